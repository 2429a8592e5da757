package main

import (
	"errors"
	"sync"
)

// One path returns without unlocking; everybody after it waits.
func init() {
	leaking, mended := &account{}, &account{}
	both("mutex-held",
		func(unit int) {
			go leaking.pay(unit) // LEAK: go
		},
		func(unit int) {
			go mended.payMended(unit)
		})
}

type account struct {
	lock    sync.Mutex
	balance int
}

func (a *account) pay(amount int) error {
	a.lock.Lock() // LEAK: blocks
	if a.balance <= amount {
		return errors.New("not enough")
	}
	a.balance -= amount
	a.lock.Unlock()
	return nil
}

func (a *account) payMended(amount int) error {
	a.lock.Lock()
	defer a.lock.Unlock()
	if a.balance <= amount {
		return errors.New("not enough")
	}
	a.balance -= amount
	return nil
}
