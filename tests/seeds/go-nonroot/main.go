// Serves one page that says as whom it runs.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/whoami", func(w http.ResponseWriter, _ *http.Request) {
		err := os.WriteFile("/app/new", nil, 0o600)
		fmt.Fprintf(w, "user %d, group %d, may write beside the program: %v\n", os.Getuid(), os.Getgid(), err == nil)
	})
	log.Fatal(http.ListenAndServe(":8000", nil))
}
