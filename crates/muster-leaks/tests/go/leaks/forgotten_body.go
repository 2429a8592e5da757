package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// The body of an answer is neither read nor closed: the connection waits for that, with two goroutines of net/http.
// What blocks and who starts it are lines of net/http.
func init() {
	both("forgotten-body",
		func(unit int) {
			http.Get(upstream())
		},
		func(unit int) {
			response, err := http.Get(upstream())
			if err == nil {
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
		})
}

var upstreamAddress string

// The address of another service, in this process only to keep the test small.
func upstream() string {
	if upstreamAddress == "" {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			os.Exit(1)
		}
		body := strings.Repeat("x", 10_000)
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) })
		go http.Serve(listener, handler)
		upstreamAddress = "http://" + listener.Addr().String()
	}
	return upstreamAddress
}
