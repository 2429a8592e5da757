package main

import "errors"

// An error on the way returns before the answer of the other service is taken.
func init() {
	both("early-return",
		func(unit int) { discount(unit) },
		func(unit int) { discountMended(unit) })
}

var errNoRule = errors.New("no rule matches")

func discount(unit int) (int, error) {
	answer := make(chan int)
	go askService(unit, answer) // LEAK: go
	if err := matchRules(unit); err != nil {
		return 0, err
	}
	return <-answer, nil
}

func discountMended(unit int) (int, error) {
	answer := make(chan int, 1)
	go askService(unit, answer)
	if err := matchRules(unit); err != nil {
		return 0, err
	}
	return <-answer, nil
}

func askService(unit int, answer chan<- int) {
	answer <- unit % 7 // LEAK: blocks
}

func matchRules(unit int) error {
	return errNoRule
}
