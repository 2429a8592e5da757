package main

// A price is asked for ahead of time, and then not needed.
func init() {
	both("send-nobody-receives",
		func(unit int) {
			prices := make(chan int)
			go func() { // LEAK: go
				prices <- unit // LEAK: blocks
			}()
			if unit >= 0 {
				return
			}
			<-prices
		},
		func(unit int) {
			prices := make(chan int, 1)
			go func() { prices <- unit }()
		})
}
