package main

import "sync"

// A worker that fails forgets to say that it is done; who waits for all waits for ever.
func init() {
	both("missing-done",
		func(unit int) {
			var workers sync.WaitGroup
			workers.Add(2)
			go work(&workers, false)
			go work(&workers, true)
			go join(&workers) // LEAK: go
		},
		func(unit int) {
			var workers sync.WaitGroup
			workers.Add(2)
			go work(&workers, false)
			go work(&workers, false)
			go join(&workers)
		})
}

func work(workers *sync.WaitGroup, fails bool) {
	if fails {
		return
	}
	workers.Done()
}

func join(workers *sync.WaitGroup) {
	workers.Wait() // LEAK: blocks
}
