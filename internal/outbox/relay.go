// Package outbox is an edge: it carries the events that transactions wrote down to whoever announces them, and obeys what becomes of
// each. It does not know whether that is a broker or the mailer itself.
package outbox

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/tracing"
)

// Handler takes an event over and says what the outbox has to do with it. retries is how many are spent on it so far. It may be
// called by several goroutines, and twice for the same event.
type Handler interface {
	Handle(ctx context.Context, e domain.Event, retries int) domain.Outcome
}

const (
	// workers is how many events are under way at once, so that a slow one holds up no other.
	workers = 16
	// poll is how often the outbox is looked at when nobody calls Wake: the net under it.
	poll = time.Second
	// grace is how long the events under way may go on after a stop.
	grace = 15 * time.Second
	// answerLimit is how long the database may take to answer. A machine that is gone never does.
	answerLimit = 10 * time.Second
)

// Relay carries events. Several relays, in one process or in many, may work on one database.
type Relay struct {
	store   *repository.Store
	handler Handler
	lease   time.Duration
	now     func() time.Time
	tracer  *tracing.Tracer
	log     *slog.Logger
	wake    chan struct{}
}

// NewRelay makes a relay, which does nothing before [Relay.Run]. An event belongs to the relay that claimed it for the lease, which must be
// longer than the handler takes; after a crash others wait for its end.
func NewRelay(store *repository.Store, handler Handler, lease time.Duration, now func() time.Time, tracer *tracing.Tracer, log *slog.Logger) *Relay {
	return &Relay{store: store, handler: handler, lease: lease, now: now, tracer: tracer, log: log, wake: make(chan struct{}, 1)}
}

// Wake makes the relay look at the outbox now. It never blocks.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default: // it is awake
	}
}

// Run carries events until ctx ends, then waits for those under way, which have a grace to finish.
func (r *Relay) Run(ctx context.Context) {
	handling, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var running sync.WaitGroup
	free := make(chan struct{}, workers)
	for ctx.Err() == nil {
		n := acquire(ctx, free)
		events := r.claim(ctx, n)
		for range n - len(events) {
			<-free
		}
		for _, e := range events {
			running.Go(func() {
				defer func() { <-free }()
				r.carry(handling, e)
			})
		}
		if len(events) < n || n == 0 {
			r.rest(ctx)
		}
	}
	stop := time.AfterFunc(grace, cancel)
	defer stop.Stop()
	running.Wait()
}

// acquire waits for one free place and takes all that are free then.
func acquire(ctx context.Context, free chan struct{}) (n int) {
	select {
	case free <- struct{}{}:
		n = 1
	case <-ctx.Done():
		return 0
	}
	for {
		select {
		case free <- struct{}{}:
			n++
		default:
			return n
		}
	}
}

func (r *Relay) claim(ctx context.Context, n int) []repository.QueuedEvent {
	if n == 0 {
		return nil
	}
	// A stop does not cut it off: Postgres may have given the events away already, and they would wait for the end of their lease.
	claiming, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerLimit)
	defer cancel()
	events, err := r.store.Outbox.Claim(claiming, n, r.clock(), r.lease)
	if err != nil && ctx.Err() == nil {
		r.log.ErrorContext(ctx, "the outbox cannot be read", "error", err)
	}
	return events
}

// rest waits until there may be something to do.
func (r *Relay) rest(ctx context.Context) {
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case <-r.wake:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// carry hands one event over and writes down what became of it. If that cannot be written the event comes again when its lease ends.
func (r *Relay) carry(ctx context.Context, e repository.QueuedEvent) {
	ctx, span := r.tracer.Continue(ctx, e.TraceParent, tracing.Internal, "relay "+string(e.Type))
	defer span.End()
	span.Set("event.id", e.ID.String())
	outcome := r.handle(ctx, e)
	span.Set("verdict", outcome.Verdict.String())
	if outcome.Verdict == domain.VerdictDead {
		span.Fail("dead")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerLimit)
	defer cancel()
	var err error
	switch outcome.Verdict {
	case domain.VerdictDone:
		err = r.store.Outbox.Sent(ctx, e.ID, r.clock())
	case domain.VerdictDead:
		r.log.ErrorContext(ctx, "an event was put aside", "event", e.ID, "type", e.Type, "reason", outcome.Reason)
		err = r.store.Outbox.Dead(ctx, e.ID, outcome.Reason)
	default:
		retries := e.Retries
		if outcome.Spent {
			retries++
		}
		err = r.store.Outbox.Retry(ctx, e.ID, retries, r.clock().Add(outcome.After), outcome.Reason)
	}
	if err != nil {
		r.log.ErrorContext(ctx, "the outbox cannot be written", "event", e.ID, "error", err)
	}
}

// handle calls the handler. A panic is a defect of it that must not end the process; the event is tried again.
func (r *Relay) handle(ctx context.Context, e repository.QueuedEvent) (outcome domain.Outcome) {
	defer func() {
		if fault := recover(); fault != nil {
			r.log.ErrorContext(ctx, "the handler of an event panicked", "event", e.ID, "type", e.Type, "panic", fault)
			outcome = domain.Outcome{Verdict: domain.VerdictRetry, After: r.lease, Spent: true, Reason: "internal error"}
		}
	}()
	return r.handler.Handle(ctx, e.Event, e.Retries)
}

func (r *Relay) clock() time.Time { return r.now().UTC().Truncate(time.Millisecond) }
