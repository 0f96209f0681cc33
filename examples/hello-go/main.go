// Command hello greets once, or serves greetings over HTTP.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"
)

var version = "development"

func main() {
	name := flag.String("name", "world", "whom to greet")
	listen := flag.String("listen", "", "serve on this address instead of greeting once")
	flag.Parse()

	if *listen == "" {
		fmt.Println(greeting(*name))
		return
	}
	server := &http.Server{Addr: *listen, Handler: handler(), ReadHeaderTimeout: 5 * time.Second}
	log.Printf("listening on %s", *listen)
	if err := server.ListenAndServe(); err != nil {
		log.Print(err)
		os.Exit(1)
	}
}

func greeting(name string) string {
	return fmt.Sprintf("Hello, %s! (hello-go %s)", name, version)
}

func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("name")
		if name == "" {
			name = "world"
		}
		fmt.Fprintln(w, greeting(name))
	})
	return mux
}
