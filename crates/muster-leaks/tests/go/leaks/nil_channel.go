package main

// A channel that was declared and never made.
func init() {
	both("nil-channel",
		func(unit int) {
			var done chan struct{}
			go waitFor(done) // LEAK: go
		},
		func(unit int) {
			done := make(chan struct{})
			go waitFor(done)
			close(done)
		})
}

func waitFor(done <-chan struct{}) {
	<-done // LEAK: blocks
}
