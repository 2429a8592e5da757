package main

import (
	"math"
	"math/rand"
	"time"
)

// A healthy server under bursts. Requests wait for their answers, some of them across a unit; the pool that serves them
// grows with the load of the day and shrinks again. Each unit is a minute of that day, which has 160 of them.
func init() {
	server := &server{jobs: make(chan job), stop: make(chan struct{}), random: rand.New(rand.NewSource(7))}
	cases["bursty"] = server.minute
}

type job struct {
	backend chan int
	answer  chan int
}

type server struct {
	jobs    chan job
	stop    chan struct{}
	workers int
	waiting []chan int
	random  *rand.Rand
}

func (s *server) minute(unit int) {
	for _, backend := range s.waiting {
		backend <- unit
	}
	s.waiting = nil
	day := (1 - math.Cos(2*math.Pi*float64(unit)/160)) / 2
	burst := 0.6 + 0.8*s.random.Float64()
	if unit%17 == 0 {
		burst = 2
	}
	load := int(2 + 60*day*burst)
	s.resize(4 + int(100*day)/8*8 + load)
	for i := 0; i < load; i++ {
		backend := make(chan int)
		go s.request(backend)
		s.waiting = append(s.waiting, backend)
	}
	time.Sleep(200 * time.Microsecond)
}

// A request gives its job to the pool and waits for the answer.
func (s *server) request(backend chan int) {
	job := job{backend, make(chan int)}
	s.jobs <- job
	use(<-job.answer)
}

func (s *server) resize(workers int) {
	for ; s.workers < workers; s.workers++ {
		go s.worker()
	}
	for ; s.workers > workers; s.workers-- {
		s.stop <- struct{}{}
	}
}

func (s *server) worker() {
	for {
		select {
		case job := <-s.jobs:
			job.answer <- <-job.backend
		case <-s.stop:
			return
		}
	}
}
