package main

import (
	"context"
	"time"
)

// The caller stops waiting; the one who works for it cannot hand over what it made.
func init() {
	both("timeout-wins",
		func(unit int) { lookUp(make(chan int)) },
		func(unit int) { lookUp(make(chan int, 1)) })
}

func lookUp(result chan int) int {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Microsecond)
	defer cancel()
	go func() { // LEAK: go
		<-ctx.Done()
		time.Sleep(50 * time.Microsecond)
		result <- 1 // LEAK: blocks
	}()
	select {
	case value := <-result:
		return value
	case <-ctx.Done():
		return 0
	}
}
