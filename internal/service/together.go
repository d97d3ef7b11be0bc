package service

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/tracing"
)

const (
	// maxTogether bounds a batch. More would gain little: what a transaction costs by itself is spread over many already.
	maxTogether = 64
	// maxWaiting is beyond what anybody could be answered in the time that a request has: it bounds the memory.
	maxWaiting = 1000
	// togetherTimeout bounds the transaction of a batch, which no caller's going away ends. It leaves time within a request's for each to try alone.
	togetherTimeout = 5 * time.Second
	// patience is how long others wait for one who is carried out alone, and who may have to wait itself for what somebody holds.
	patience = 100 * time.Millisecond
)

// together commits callers together who come while others are at work: what a transaction costs by itself is paid once for all of them, and they do
// not wait for each other's locks. Nobody waits for company: whoever comes alone begins at once.
//
// Each is answered after the commit, as if all had come one after the other in their order. Whoever is refused changes nothing for the others. If
// something else goes wrong, each tries again alone, so that it hurts only the one whose fault it is.
type together[T any] struct {
	store *repository.Store
	// carryOut does what the calls ask for, in their order. It notes in a call how it was refused, before anything is written for it, and returns
	// what is nobody's own. It may run again, and must then set everything anew.
	carryOut func(ctx context.Context, tx *repository.Store, batch []*call[T]) error

	mu      sync.Mutex
	busy    bool
	waiting []*call[T]
}

// call is one caller's request and what becomes of it.
type call[T any] struct {
	ctx     context.Context // the caller's own
	in      T
	refused error
	apart   bool      // it cannot be carried out in this batch, but alone
	told    chan word // bears one word
}

// word is what a caller who waits is told.
type word int

const (
	lead  word = iota // it is your turn: take those along who wait
	done              // you were carried out, or refused
	alone             // try it alone
)

// do carries out a request, alone or with others, and gives it back with its result.
func (t *together[T]) do(ctx context.Context, in T) (T, error) {
	c := &call[T]{ctx: ctx, in: in, told: make(chan word, 1)}
	if err := t.enter(c); err != nil {
		return in, err
	}
	said := lead
	select {
	case said = <-c.told:
	case <-ctx.Done():
		return in, t.leave(c)
	}
	if said == lead {
		var err error
		if said, err = t.lead(c); err != nil {
			return in, err
		}
	}
	if said == alone {
		return c.in, t.alone(c)
	}
	return c.in, c.refused
}

// enter puts a call behind those who wait, or has it lead if nobody is at work.
func (t *together[T]) enter(c *call[T]) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !t.busy:
		t.busy = true
		c.told <- lead
	case len(t.waiting) >= maxWaiting:
		return domain.Unavailable(errors.New("too many are waiting already"))
	default:
		t.waiting = append(t.waiting, c)
	}
	return nil
}

// leave is for a caller who waits no longer. If its batch is at work, nobody knows what becomes of it.
func (t *together[T]) leave(c *call[T]) error {
	t.mu.Lock()
	for i, other := range t.waiting {
		if other == c {
			t.waiting = append(t.waiting[:i], t.waiting[i+1:]...)
			break
		}
	}
	t.mu.Unlock()
	select {
	case said := <-c.told:
		if said == lead {
			t.passOn()
		}
	default:
	}
	return ended(c.ctx)
}

// ended says why a caller is not answered.
func ended(ctx context.Context) error {
	if err := ctx.Err(); errors.Is(err, context.DeadlineExceeded) {
		return domain.Unavailable(fmt.Errorf("wait for others: %w", err))
	}
	return fmt.Errorf("wait for others: %w", ctx.Err())
}

// passOn has the first of those who wait lead.
func (t *together[T]) passOn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy = len(t.waiting) > 0; t.busy {
		next := t.waiting[0]
		t.waiting = t.waiting[1:]
		next.told <- lead
	}
}

// lead carries out a call, and with it those who wait.
func (t *together[T]) lead(c *call[T]) (word, error) {
	passOn := sync.OnceFunc(t.passOn)
	defer passOn()
	batch := t.join(c)
	if len(batch) == 1 {
		defer time.AfterFunc(patience, passOn).Stop()
		return done, t.alone(c)
	}
	again, err := t.try(batch)
	said := done
	if again {
		said = alone
	}
	for _, other := range batch {
		if err != nil && !again {
			other.refused = err
		}
		if other != c {
			other.told <- max(said, other.word())
		}
	}
	return max(said, c.word()), nil
}

// word gives what the caller is told after its batch was carried out.
func (c *call[T]) word() word {
	if c.apart {
		return alone
	}
	return done
}

// join gives a call and those who wait, but for the callers who are gone.
func (t *together[T]) join(c *call[T]) []*call[T] {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(t.waiting), maxTogether-1)
	batch := append(make([]*call[T], 0, n+1), c)
	for _, other := range t.waiting[:n] {
		if other.ctx.Err() == nil { // else it leaves by itself
			batch = append(batch, other)
		}
	}
	t.waiting = append([]*call[T](nil), t.waiting[n:]...)
	return batch
}

// try carries out several at once. With an error it says whether each may try again alone.
func (t *together[T]) try(batch []*call[T]) (again bool, err error) {
	for _, c := range batch {
		_, span := tracing.Begin(c.ctx, "together")
		span.Set("callers", len(batch))
		defer span.End()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(batch[0].ctx), togetherTimeout)
	defer cancel()
	defer func() {
		if fault := recover(); fault != nil { // whose fault it is panics again when it is alone
			again, err = true, fmt.Errorf("panic: %v\n%s", fault, debug.Stack())
		}
	}()
	again, err = t.store.TryInTx(ctx, func(tx *repository.Store) error { return t.carryOut(ctx, tx, batch) })
	if err == nil {
		for _, c := range batch {
			t.store.Changed(c.ctx)
		}
	}
	return again, err
}

// alone carries out one call by itself.
func (t *together[T]) alone(c *call[T]) error {
	return t.store.InTx(c.ctx, func(tx *repository.Store) error {
		c.refused, c.apart = nil, false
		if err := t.carryOut(c.ctx, tx, []*call[T]{c}); err != nil {
			return err
		}
		return c.refused // so that nothing is kept
	})
}
