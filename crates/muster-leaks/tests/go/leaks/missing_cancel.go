package main

import "context"

// A context is made for each request and never cancelled.
func init() {
	both("missing-cancel",
		func(unit int) {
			ctx, cancel := context.WithCancel(context.Background())
			watch(ctx)
			_ = cancel
		},
		func(unit int) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			watch(ctx)
		})
}

func watch(ctx context.Context) {
	updates := make(chan int)
	go func() { // LEAK: go
		for {
			select { // LEAK: blocks
			case update := <-updates:
				use(update)
			case <-ctx.Done():
				return
			}
		}
	}()
}
