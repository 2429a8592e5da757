// Command leaks serves one way of leaking goroutines, or its mended twin, for the tests of the hunter.
//
//	leaks CASE            the leaking form
//	leaks CASE-mended     the mended form
//
// It prints the address that it listens on. Each request to /step?units=N does N units of work, one after the other;
// each unit of a leaking form leaves goroutines behind. /debug/pprof/ is Go's own. It ends when its standard input does.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"sort"
	"strconv"
)

// One way to do a unit of work. The number counts the units from 0.
type form func(unit int)

var cases = map[string]form{}

// Adds a case in both forms.
func both(name string, leaking, mended form) {
	cases[name] = leaking
	cases[name+"-mended"] = mended
}

func main() {
	var unit form
	if len(os.Args) == 2 {
		unit = cases[os.Args[1]]
	}
	if unit == nil {
		names := make([]string, 0, len(cases))
		for name := range cases {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Fprintln(os.Stderr, "usage: leaks CASE, one of", names)
		os.Exit(2)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	done := 0
	http.HandleFunc("/step", func(w http.ResponseWriter, r *http.Request) {
		units, _ := strconv.Atoi(r.URL.Query().Get("units"))
		for i := 0; i < units; i++ {
			unit(done)
			done++
		}
		fmt.Fprintln(w, done)
	})
	fmt.Fprintln(os.Stderr, http.Serve(listener, nil))
	os.Exit(1)
}
