package main

// A consumer ranges over a channel that its producer never closes.
func init() {
	both("range-never-closed",
		func(unit int) { produce(unit) },
		func(unit int) { close(produce(unit)) })
}

func produce(unit int) chan<- int {
	lines := make(chan int)
	go consume(lines) // LEAK: go
	lines <- unit
	return lines
}

func consume(lines <-chan int) {
	for line := range lines { // LEAK: blocks
		use(line)
	}
}
