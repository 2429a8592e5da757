package main

// Three replicas are asked, the first answer is taken.
func init() {
	both("first-of-many",
		func(unit int) { firstOf(3, make(chan int)) },
		func(unit int) { firstOf(3, make(chan int, 3)) })
}

func firstOf(replicas int, answers chan int) int {
	for i := 0; i < replicas; i++ {
		go askReplica(i, answers) // LEAK: go
	}
	return <-answers
}

func askReplica(replica int, answers chan<- int) {
	answers <- replica // LEAK: blocks
}
