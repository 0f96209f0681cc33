// Tells what there is beside it in the image: nothing.
package main

import (
	"fmt"
	"os"
)

func main() {
	entries, err := os.ReadDir(".")
	if err != nil {
		panic(err)
	}
	for _, entry := range entries {
		fmt.Println("alone here:", entry.Name())
	}
}
