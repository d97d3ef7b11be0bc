package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// settleGrace is how long the outcome of a handler may take to reach the broker once the handlers' grace is over.
const settleGrace = 5 * time.Second

// Consumer hands the messages of the queue to a handler. It has two connections, one to consume and one to publish
// what is to be tried again: a broker short of memory stops listening to connections that publish, and must still
// hear that a message was handled.
type Consumer struct {
	cfg      Config
	topology topology
	handler  Handler
	log      *slog.Logger
	store    *Publisher    // where messages go that are to be handled later
	slots    chan struct{} // full when as many handlers run as may

	mu    sync.Mutex
	cause error // why it does not consume right now
}

// NewConsumer makes a consumer, which does nothing before [Consumer.Run]. It fails only if the configuration is
// wrong.
func NewConsumer(cfg Config, handler Handler) (*Consumer, error) {
	cfg, err := cfg.prepare()
	if err != nil {
		return nil, err
	}
	return &Consumer{
		cfg:      cfg,
		topology: newTopology(cfg),
		handler:  handler,
		log:      cfg.Logger.With("connection", "consumer"),
		store:    newPublisher(cfg, "consumer's retries"),
		slots:    make(chan struct{}, cfg.Prefetch),
		cause:    errConnecting,
	}, nil
}

// Run consumes until ctx ends, through any number of lost connections. Then it takes no more messages, gives the
// running handlers their grace and returns. An error tells of handlers that ignored the end of it; the broker will
// deliver their messages again. Run must be called only once.
func (c *Consumer) Run(ctx context.Context) error {
	work, endWork := outlive(ctx, c.cfg.Grace)
	defer endWork()
	settle, endSettle := outlive(work, settleGrace)
	defer endSettle()
	c.store.start(context.WithoutCancel(ctx))
	defer c.store.shutdown()

	supervise(ctx, c.log, c.connect, func(ctx context.Context, in *inlet) error {
		defer in.close()
		in, err := c.serve(ctx, in, func(in *inlet, d amqp.Delivery) { c.handle(work, settle, in, d) })
		if ctx.Err() != nil {
			in.stop()
			return c.idle(settle) // the outcome of what still runs needs the connection
		}
		c.set(err)
		return err
	})
	c.set(errClosed)
	return c.idle(settle)
}

// Ready returns nil when messages are consumed and can be stored for later, or else the reason why not.
func (c *Consumer) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return fmt.Errorf("%w: %w", ErrNotConnected, c.cause)
	}
	return c.store.Ready()
}

// Depth counts the messages in the queues. It works while the consumer runs.
func (c *Consumer) Depth(ctx context.Context) (Depth, error) { return c.store.Depth(ctx) }

func (c *Consumer) connect(ctx context.Context) (*inlet, error) {
	in, err := c.open(ctx)
	c.set(err)
	return in, err
}

func (c *Consumer) open(ctx context.Context) (*inlet, error) {
	l, err := open(ctx, c.cfg, c.topology, "consumer")
	if err != nil {
		return nil, err
	}
	in, err := newInlet(ctx, l, c.topology.queue, c.cfg.Prefetch)
	if err != nil {
		l.close()
		return nil, err
	}
	return in, nil
}

// serve has messages handled until the connection is lost or ctx ends. It returns the inlet that it used last.
func (c *Consumer) serve(ctx context.Context, in *inlet, handle func(*inlet, amqp.Delivery)) (*inlet, error) {
	renewal := time.NewTicker(c.cfg.RenewEvery)
	defer renewal.Stop()
	for {
		select {
		case <-ctx.Done():
			return in, nil
		case d, ok := <-in.deliveries:
			if !ok {
				return in, in.ended()
			}
			c.dispatch(ctx, in, d, handle)
		case <-renewal.C:
			if len(c.slots) > 0 {
				continue // what comes in is proof enough
			}
			next, err := in.renew(ctx)
			if err != nil {
				return in, err
			}
			in = next
		}
	}
}

// dispatch has a message handled as soon as there is a slot. One connection brings no more messages than there are
// slots, but handlers of the one before may still be at work.
func (c *Consumer) dispatch(ctx context.Context, in *inlet, d amqp.Delivery, handle func(*inlet, amqp.Delivery)) {
	select {
	case c.slots <- struct{}{}:
		go func() {
			defer func() { <-c.slots }()
			handle(in, d)
		}()
	case <-ctx.Done():
		_ = in.giveBack(d) // a connection that fails here gives it back, too
	case <-in.gone: // the broker has the message back
	}
}

// idle waits until no handler runs.
func (c *Consumer) idle(settle context.Context) error {
	taken := 0
	defer func() {
		for range taken {
			<-c.slots
		}
	}()
	for taken < cap(c.slots) {
		select {
		case c.slots <- struct{}{}:
			taken++
		case <-settle.Done():
			if running := len(c.slots) - taken; running > 0 {
				return fmt.Errorf("%d message handlers did not stop", running)
			}
			return nil
		}
	}
	return nil
}

// handle has one message handled while work lasts, and tells the broker the outcome while settle lasts.
func (c *Consumer) handle(work, settle context.Context, in *inlet, d amqp.Delivery) {
	m := received(d)
	decision := c.decide(work, m)
	if err := c.settle(settle, in, d, decision); err != nil {
		c.log.Warn("message not settled, the broker will deliver it again", "id", m.ID, "type", m.Type, "error", err)
	}
}

// decide asks the handler, unless the message came back before its time.
func (c *Consumer) decide(ctx context.Context, m Message) (decision Decision) {
	defer func() {
		if p := recover(); p != nil {
			reason := fmt.Sprintf("the handler panicked: %v", p)
			c.log.Error("message not handled", "id", m.ID, "type", m.Type, "error", reason, "stack", string(debug.Stack()))
			decision = c.afterPanic(m, reason)
		}
	}()
	if early := time.Until(m.notBefore); early > 0 {
		return Retry{After: early, Retries: m.Retries, Reason: m.Reason}
	}
	decision = c.handler(ctx, m)
	if decision == nil {
		panic("no decision")
	}
	return decision
}

func (c *Consumer) afterPanic(m Message, reason string) Decision {
	if m.Retries >= c.cfg.MaxRetries {
		return Dead{Reason: reason}
	}
	waits := c.topology.waits
	return Retry{After: waits[min(m.Retries, len(waits)-1)].delay, Retries: m.Retries + 1, Reason: reason}
}

// settle tells the broker what becomes of a message.
func (c *Consumer) settle(ctx context.Context, in *inlet, d amqp.Delivery, decision Decision) error {
	switch v := decision.(type) {
	case Retry:
		queue, msg := c.later(d, v)
		return c.move(ctx, in, d, queue, msg)
	case Dead:
		return c.move(ctx, in, d, c.topology.dead, failed(d, received(d).Retries, v.Reason))
	case Return:
		return in.giveBack(d)
	default:
		return d.Ack(false)
	}
}

// later addresses a message to the wait queue for its pause. The message's own expiry ends the pause on time, at
// the latest when those before it in the queue have gone, which the queue bounds. A pause longer than all queues
// takes several rounds.
func (c *Consumer) later(d amqp.Delivery, v Retry) (queue string, msg amqp.Publishing) {
	msg = failed(d, v.Retries, v.Reason)
	wait := c.topology.waitFor(v.After)
	switch {
	case v.After > wait.delay:
		msg.Headers[headerNotBefore] = time.Now().Add(v.After).UnixMilli()
	case v.After > 0:
		msg.Expiration = strconv.FormatInt(max(1, v.After.Milliseconds()), 10)
	}
	return wait.name, msg
}

// move stores a message in another queue, and only then takes it off its own. While the broker does not store it,
// the message is held, and its slot with it: no other could be settled either. If its connection is lost meanwhile,
// the broker delivers it again.
func (c *Consumer) move(ctx context.Context, in *inlet, d amqp.Delivery, queue string, msg amqp.Publishing) error {
	pause := newReconnectPause()
	for tries := 1; ; tries++ {
		if in.isGone() {
			return in.cause
		}
		err := c.store.publish(ctx, "", queue, msg)
		if err == nil {
			return d.Ack(false)
		}
		if tries == 1 {
			c.log.Warn("message held until the broker stores it", "id", d.MessageId, "queue", queue, "error", err)
		}
		select {
		case <-in.gone:
		case <-ctx.Done():
			return errors.Join(err, in.giveBack(d))
		case <-time.After(pause.NextBackOff()):
		}
	}
}

func (c *Consumer) set(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cause = cause
}

// outlive returns a context that ends some time after ctx does.
func outlive(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(by, cancel) })
	return longer, func() {
		stop()
		cancel()
	}
}
