package main

// Each round starts checkers that report to a channel which the first round has filled and nobody empties.
func init() {
	full := make(chan int, 2)
	both("full-channel",
		func(unit int) {
			for checker := 0; checker < 4; checker++ {
				go check(full) // LEAK: go
			}
		},
		func(unit int) {
			done := make(chan int, 2)
			for checker := 0; checker < 4; checker++ {
				go check(done)
			}
			for checker := 0; checker < 4; checker++ {
				<-done
			}
		})
}

func check(done chan<- int) {
	done <- 1 // LEAK: blocks
}
