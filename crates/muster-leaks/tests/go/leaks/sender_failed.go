package main

import "errors"

// The receiver waits for a sender that gave up without a word.
func init() {
	both("sender-failed",
		func(unit int) {
			rows := make(chan int)
			go func() { // LEAK: go
				use(<-rows) // LEAK: blocks
			}()
			if row, err := fetch(unit); err == nil {
				rows <- row
			}
		},
		func(unit int) {
			rows := make(chan int)
			go func() { use(<-rows) }()
			defer close(rows)
			if row, err := fetch(unit); err == nil {
				rows <- row
			}
		})
}

func fetch(unit int) (int, error) {
	return 0, errors.New("connection refused")
}

//go:noinline
func use(int) {}
