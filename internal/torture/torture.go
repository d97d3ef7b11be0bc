// Package torture runs the API the way nobody should: many clients change a few products and orders at the same time, through
// several API processes on one database, while those processes are killed, the database is restarted and its connections are cut.
// During the run and after it, it checks that what the API promised is true. It knows the API's routes and the tables; the rest
// of the product it sees from outside only.
package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// The engines.
const (
	Postgres = "postgres"
	SQLite   = "sqlite"
)

// Config says what to run and for how long.
type Config struct {
	Duration  time.Duration // of operations and faults; starting, settling and the last checks come on top
	Seed      uint64        // the same seed plans the same operations for each client, and the same faults
	Instances int           // API processes; SQLite has one
	Engine    string
	Clients   int           // who call at the same time
	Calm      time.Duration // the mean pause between two faults of one sort
}

// check refuses what cannot be run and fills in what is left open.
func (c *Config) check() error {
	if c.Clients == 0 {
		c.Clients = 12
	}
	if c.Calm == 0 {
		c.Calm = time.Second
	}
	switch {
	case c.Engine != Postgres && c.Engine != SQLite:
		return fmt.Errorf("the engine must be %s or %s", Postgres, SQLite)
	case c.Duration <= 0:
		return errors.New("the duration must be longer than nothing")
	case c.Instances < 1:
		return errors.New("there must be at least one instance")
	case c.Engine == SQLite && c.Instances > 1:
		return errors.New("on sqlite there can be one instance only")
	}
	return nil
}

// leaseWait is how long a key whose request was killed may answer "still running", and some more.
const leaseWait = 90 * time.Second

// hastenBelow is the length of a run below which it does not wait for leases to end but ends them by hand.
const hastenBelow = time.Minute

// Run tortures the API and reports what it found. It returns an error only when it could not be run to its end. progress is told
// the seed first, then now and then how far it is, and every violation.
func Run(ctx context.Context, c Config, progress io.Writer) (Report, error) {
	if err := c.check(); err != nil {
		return Report{}, err
	}
	t := newTally(c, progress)
	t.say("torture: seed %d, %s, %d instance(s), %d clients, %s", c.Seed, c.Engine, c.Instances, c.Clients, c.Duration)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w, err := newWorld(ctx, c, t)
	if err != nil {
		return Report{}, err
	}
	defer func() { w.close(t.violated()) }()

	t.start()
	clients := w.newClients()
	if err := seedProducts(ctx, clients[0]); err != nil {
		return Report{}, err
	}
	w.storm(ctx, cancel, clients)
	if ctx.Err() != nil {
		return t.report(), context.Cause(ctx)
	}
	if err := w.settle(ctx, clients); err != nil {
		return t.report(), err
	}
	err = w.checkEverything(ctx)
	return t.report(), err
}

// storm lets clients, faults and checks loose on each other until the time is over, and returns when all have come to rest.
func (w *world) storm(ctx context.Context, cancel context.CancelCauseFunc, clients []*client) {
	storm, stop := context.WithTimeout(ctx, w.config.Duration)
	defer stop()
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() { c.run(ctx, storm) })
	}
	for i, faults := range w.hands() {
		all.Go(func() {
			if err := w.hand(storm, uint64(i), faults); err != nil {
				cancel(err)
			}
		})
	}
	all.Go(func() { w.checkNowAndThen(storm) })
	all.Go(func() { w.tally.tellNowAndThen(storm) })
	all.Wait()
}

// settle repairs everything and has the clients repeat what still has no answer.
func (w *world) settle(ctx context.Context, clients []*client) error {
	w.tally.say("torture: all faults are mended, what has no answer yet is asked for again")
	if w.proxy != nil {
		w.proxy.commit.Store(commitPasses)
	}
	for _, i := range w.instances {
		if err := i.ensure(ctx); err != nil {
			return err
		}
	}
	if w.config.Duration < hastenBelow {
		if err := w.endLeases(ctx); err != nil {
			return err
		}
	}
	patient, stop := context.WithTimeout(ctx, leaseWait)
	defer stop()
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() { c.finish(patient) })
	}
	all.Wait()
	return ctx.Err()
}
