package main

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHandlerGreetsByName(t *testing.T) {
	answer := httptest.NewRecorder()
	handler().ServeHTTP(answer, httptest.NewRequest("GET", "/?name=gopher", nil))
	if got := answer.Body.String(); !strings.HasPrefix(got, "Hello, gopher!") {
		t.Fatalf("got %q", got)
	}
}
