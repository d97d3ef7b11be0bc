package torture

import (
	"context"
	"math/rand/v2"
	"time"
)

// fault is one way to do harm. It is over when do returns, which gives an error only when the run cannot go on.
type fault struct {
	name   string
	weight int
	do     func(ctx context.Context, dice *rand.Rand) error
}

// hands are those who do harm, each by its own faults and one at a time.
func (w *world) hands() [][]fault {
	if w.config.Engine == SQLite {
		return [][]fault{w.instanceFaults(), w.fileFaults()}
	}
	return [][]fault{w.instanceFaults(), w.linkFaults(), w.serverFaults()}
}

// dice gives the random numbers of somebody's step: the same ones for the same seed, whatever happened before.
func (c Config) dice(who, step uint64) *rand.Rand {
	return rand.New(rand.NewPCG(c.Seed, who<<40|step)) //nolint:gosec // to be repeated is what they are for
}

// handsFrom numbers the hands apart from the clients.
const handsFrom = 1 << 20

// hand does one fault after the other until the storm is over.
func (w *world) hand(storm context.Context, number uint64, faults []fault) error {
	for step := uint64(0); ; step++ {
		dice := w.config.dice(handsFrom+number, step)
		if !sleep(storm, time.Duration(dice.Int64N(int64(2*w.config.Calm)))) {
			return nil
		}
		f := pick(dice, faults)
		if f.do == nil {
			continue
		}
		w.tally.fault(f.name)
		if err := f.do(context.WithoutCancel(storm), dice); err != nil {
			return err
		}
	}
}

func pick(dice *rand.Rand, faults []fault) fault {
	total := 0
	for _, f := range faults {
		total += f.weight
	}
	n := dice.IntN(total)
	for _, f := range faults {
		if n -= f.weight; n < 0 {
			return f
		}
	}
	return faults[0]
}

// between gives a time from the shortest to the longest.
func between(dice *rand.Rand, shortest, longest time.Duration) time.Duration {
	return shortest + time.Duration(dice.Int64N(int64(longest-shortest)))
}

func (w *world) instanceFaults() []fault {
	one := func(end func(*instance)) func(context.Context, *rand.Rand) error {
		return func(ctx context.Context, dice *rand.Rand) error {
			i := w.instances[dice.IntN(len(w.instances))]
			end(i)
			sleep(ctx, between(dice, 0, w.config.Calm/2))
			return i.ensure(ctx)
		}
	}
	return []fault{
		{"API killed (SIGKILL)", 8, one((*instance).kill)},
		{"API stopped (SIGTERM)", 2, one((*instance).stop)},
	}
}

func (w *world) linkFaults() []fault {
	spoil := func(order int32) func(context.Context, *rand.Rand) error {
		return func(context.Context, *rand.Rand) error {
			w.proxy.commit.Store(order)
			return nil
		}
	}
	return []fault{
		{"connection cut before a COMMIT", 4, spoil(commitLost)},
		{"connection cut after a COMMIT", 12, spoil(commitUntold)},
		{"all connections cut", 2, func(context.Context, *rand.Rand) error {
			w.proxy.cut()
			return nil
		}},
		{"all connections hang", 1, func(ctx context.Context, dice *rand.Rand) error {
			w.proxy.stall(true)
			defer w.proxy.stall(false)
			sleep(ctx, between(dice, 100*time.Millisecond, time.Second))
			return nil
		}},
		{"deadlock", 2, w.deadlock},
	}
}

func (w *world) serverFaults() []fault {
	again := func(end func()) func(context.Context, *rand.Rand) error {
		return func(ctx context.Context, dice *rand.Rand) error {
			w.checking.Lock()
			defer w.checking.Unlock()
			end()
			sleep(ctx, between(dice, 0, w.config.Calm))
			return w.postgres.Start()
		}
	}
	return []fault{
		{weight: 6}, // nothing: each of the others takes seconds, in which little else can happen
		{"Postgres killed (SIGKILL)", 1, again(w.postgres.Kill)},
		{"Postgres restarted", 1, again(w.postgres.Stop)},
		{"Postgres hangs (SIGSTOP)", 1, func(ctx context.Context, dice *rand.Rand) error {
			w.checking.Lock()
			defer w.checking.Unlock()
			w.postgres.Pause()
			defer w.postgres.Resume()
			sleep(ctx, between(dice, 100*time.Millisecond, 2*time.Second))
			return nil
		}},
	}
}

// takeProducts is the statement by which Postgres's log shows that a deadlock is the one below.
const takeProducts = "SELECT id FROM products WHERE deleted_at IS NULL ORDER BY id FOR UPDATE"

// deadlock takes what transactions want last, waits until some of them hold what they want first, and then wants that. Postgres ends a
// transaction that has waited for a second, which is never this one: it would look for a deadlock much later. It gives up before one that is run
// again and again has used up its tries.
func (w *world) deadlock(ctx context.Context, _ *rand.Rand) error {
	const gather, most = 150 * time.Millisecond, 2500 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return nil //nolint:nilerr // the server is away, by the work of another hand
	}
	defer func() { _ = tx.Rollback() }()
	for _, statement := range []string{
		"SET LOCAL deadlock_timeout = '30s'",
		"UPDATE audit_head SET seq = seq WHERE id = 1",
		takeProducts,
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return nil //nolint:nilerr // as above
		}
		sleep(ctx, gather/2)
	}
	return nil
}

func (w *world) fileFaults() []fault {
	return []fault{{"database locked by another process", 1, func(ctx context.Context, dice *rand.Rand) error {
		conn, err := w.db.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
			return nil //nolint:nilerr // the API was busy for longer than we wait
		}
		sleep(ctx, between(dice, 50*time.Millisecond, w.config.Calm))
		_, err = conn.ExecContext(ctx, "ROLLBACK")
		return err
	}}}
}
