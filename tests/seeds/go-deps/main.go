// Names things: the same name gives the same identifier everywhere.
package main

import (
	"fmt"
	"os"

	"github.com/google/uuid"
)

func main() {
	name := "farm"
	if len(os.Args) > 1 {
		name = os.Args[1]
	}
	fmt.Println(name, uuid.NewSHA1(uuid.NameSpaceDNS, []byte(name)))
}
