package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

var (
	errConnecting = errors.New("connecting")
	errClosed     = errors.New("closed")
)

// Publisher publishes messages on a connection of its own, which it keeps up in the background.
// Its methods may be called by many goroutines at once.
type Publisher struct {
	cfg      Config
	role     string // tells the connection from others of the same program
	topology topology
	log      *slog.Logger

	stop    context.CancelFunc
	stopped chan struct{}
	heal    chan struct{} // asks for the topology to be declared again

	mu     sync.Mutex
	outlet *outlet // nil while there is no connection
	cause  error   // why there is none
}

// NewPublisher starts to connect to the broker and returns at once; see [Publisher.Ready]. It fails only if the
// configuration is wrong. The caller must close the publisher.
func NewPublisher(cfg Config) (*Publisher, error) {
	cfg, err := cfg.prepare()
	if err != nil {
		return nil, err
	}
	p := newPublisher(cfg, "publisher")
	p.start(context.Background())
	return p, nil
}

func newPublisher(cfg Config, role string) *Publisher {
	return &Publisher{
		cfg:      cfg,
		role:     role,
		topology: newTopology(cfg),
		log:      cfg.Logger.With("connection", role),
		stopped:  make(chan struct{}),
		heal:     make(chan struct{}, 1),
		cause:    errConnecting,
	}
}

// Publish sends a message to the exchange under its type and waits until the broker has stored it in a queue.
// Any error means that it must be published again: [ErrNotConnected] and [ErrBlocked] come at once,
// [ErrUnroutable] and [ErrUnconfirmed] within the confirm timeout.
func (p *Publisher) Publish(ctx context.Context, m Message) error {
	return p.publish(ctx, p.topology.exchange, m.Type, m.publishing())
}

// Ready returns nil when messages can be published right now, or else the reason why not.
func (p *Publisher) Ready() error {
	o, err := p.current()
	if err != nil {
		return err
	}
	if o.blocked.Load() {
		return ErrBlocked
	}
	return nil
}

// Depth counts the messages in the queues. It fails without a connection or when the broker is silent.
func (p *Publisher) Depth(ctx context.Context) (Depth, error) {
	o, err := p.current()
	if err != nil {
		return Depth{}, err
	}
	if o.blocked.Load() {
		return Depth{}, ErrBlocked // a blocked connection gets no answers
	}
	var depth Depth
	answer := make(chan error, 1)
	go func() {
		var err error
		depth, err = p.count(o)
		answer <- err
	}()
	select {
	case err := <-answer:
		return depth, err
	case <-ctx.Done():
		return Depth{}, context.Cause(ctx)
	}
}

// count has a limit of its own, which costs the connection: the hurry of one caller must not.
func (p *Publisher) count(o *outlet) (Depth, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), callTimeout, errTimeout)
	defer cancel()
	var depth Depth
	err := o.bounded(ctx, func() error {
		var err error
		depth, err = p.topology.depth(o.conn)
		return err
	})
	return depth, err
}

// Close ends the connection. Messages that are being published count as unconfirmed.
func (p *Publisher) Close(ctx context.Context) error {
	p.stop()
	select {
	case <-p.stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close the connection to the broker: %w", context.Cause(ctx))
	}
}

// start keeps the connection up until ctx ends or stop is called.
func (p *Publisher) start(ctx context.Context) {
	ctx, p.stop = context.WithCancel(ctx)
	go func() {
		defer close(p.stopped)
		supervise(ctx, p.log, p.connect, p.serve)
		p.set(nil, errClosed)
	}()
}

// shutdown ends what start began and waits for the end.
func (p *Publisher) shutdown() {
	p.stop()
	<-p.stopped
}

func (p *Publisher) connect(ctx context.Context) (*outlet, error) {
	o, err := p.open(ctx)
	p.set(o, err)
	return o, err
}

func (p *Publisher) open(ctx context.Context) (*outlet, error) {
	l, err := open(ctx, p.cfg, p.topology, p.role)
	if err != nil {
		return nil, err
	}
	o, err := newOutlet(ctx, l, p.cfg.ConfirmTimeout)
	if err != nil {
		l.close()
		return nil, err
	}
	return o, nil
}

// serve waits until the connection is lost or ctx ends, and repairs the topology when asked to.
func (p *Publisher) serve(ctx context.Context, o *outlet) error {
	defer o.close()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-o.gone:
			p.set(nil, o.cause)
			return o.cause
		case <-p.heal:
			if err := p.redeclare(ctx, o); err != nil {
				p.log.Error("cannot repair the broker's queues", "error", err)
			}
		}
	}
}

func (p *Publisher) redeclare(ctx context.Context, o *outlet) error {
	ctx, cancel := context.WithTimeoutCause(ctx, setupTimeout, errTimeout)
	defer cancel()
	return o.bounded(ctx, func() error { return p.topology.declare(o.conn) })
}

func (p *Publisher) publish(ctx context.Context, exchange, key string, msg amqp.Publishing) error {
	o, err := p.current()
	if err != nil {
		return err
	}
	err = o.publish(ctx, exchange, key, msg)
	if errors.Is(err, ErrUnroutable) {
		p.log.Error("message came back, declaring the queues again", "exchange", exchange, "key", key, "id", msg.MessageId)
		select {
		case p.heal <- struct{}{}:
		default: // already asked for
		}
	}
	return err
}

func (p *Publisher) set(o *outlet, cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outlet, p.cause = o, cause
}

func (p *Publisher) current() (*outlet, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.outlet == nil {
		return nil, fmt.Errorf("%w: %w", ErrNotConnected, p.cause)
	}
	return p.outlet, nil
}
