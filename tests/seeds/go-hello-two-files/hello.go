// Prints one line, and says by what it was compiled.
package main

import (
	"fmt"
	"runtime"
)

func main() {
	fmt.Printf("carried out of one image and into another on %s\n", runtime.GOOS)
}
