// Prints the primes below a bound.
package main

import "fmt"

func main() {
	const bound = 30
	composite := [bound]bool{}
	for n := 2; n < bound; n++ {
		if composite[n] {
			continue
		}
		fmt.Print(n, " ")
		for multiple := n * n; multiple < bound; multiple += n {
			composite[multiple] = true
		}
	}
	fmt.Println("are prime")
}
