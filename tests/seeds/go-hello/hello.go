// Prints one line, and says by what it was compiled.
package main

import (
	"fmt"
	"runtime"
)

func main() {
	fmt.Printf("greetings from a %s program of one file\n", runtime.GOOS)
}
