package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Why a message does not count as published.
var (
	// ErrNotConnected means that there is no connection right now. Nothing was sent.
	ErrNotConnected = errors.New("not connected to the broker")
	// ErrBlocked means that the broker takes no messages right now, for want of memory or disk. Nothing was sent.
	ErrBlocked = errors.New("the broker takes no messages right now")
	// ErrUnroutable means that the broker has no queue for the message and dropped it.
	ErrUnroutable = errors.New("the broker has no queue for the message")
	// ErrUnconfirmed means that the broker refused the message or did not answer: it may have the message or not.
	ErrUnconfirmed = errors.New("the broker did not confirm the message")
)

// outlet is a channel to publish on. It knows of each message whether the broker has confirmed it and whether it
// has sent it back: a message without a queue is sent back first and confirmed all the same.
type outlet struct {
	*link
	channel *amqp.Channel
	timeout time.Duration
	blocked atomic.Bool

	publishing sync.Mutex // the client library's channels are not made for concurrent use
	published  uint64     // numbers the messages, to tell them apart when they come back

	questions chan question
	gone      chan struct{} // closed when the channel is lost
	cause     error         // why; to be read after gone
}

// question asks whether the message with this number came back.
type question struct {
	number string
	answer chan bool
}

// newOutlet opens a channel on the link. It ends with the link.
func newOutlet(ctx context.Context, l *link, timeout time.Duration) (*outlet, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, errTimeout)
	defer cancel()
	var ch *amqp.Channel
	err := l.bounded(ctx, func() error {
		var err error
		if ch, err = l.conn.Channel(); err != nil {
			return err
		}
		return ch.Confirm(false)
	})
	if err != nil {
		return nil, fmt.Errorf("open a channel with confirms: %w", err)
	}
	o := &outlet{link: l, channel: ch, timeout: timeout, questions: make(chan question), gone: make(chan struct{})}
	lost := ch.NotifyClose(make(chan *amqp.Error, 1))
	returns := ch.NotifyReturn(make(chan amqp.Return))
	// Without room, the library's reader could be waiting here while another goroutine of it closes the channel,
	// and a send on a closed channel panics.
	blocks := l.conn.NotifyBlocked(make(chan amqp.Blocking, 8))
	go o.watch(lost, returns, blocks)
	return o, nil
}

// watch listens to what the broker says out of turn, until the channel is lost. A return that comes after its
// publisher gave up is remembered until then; it is a few bytes.
//
// The channel of returns has no room on purpose. The library's reader hands over a return before it reads the
// confirm of the same message, so whoever sees the confirm and asks afterwards gets the right answer.
func (o *outlet) watch(lost <-chan *amqp.Error, returns <-chan amqp.Return, blocks <-chan amqp.Blocking) {
	defer close(o.gone)
	returned := map[string]bool{}
	for {
		select {
		case err := <-lost:
			o.cause = lostBecause(err)
			return
		case r := <-returns:
			returned[r.CorrelationId] = true
		case q := <-o.questions:
			q.answer <- returned[q.number]
			delete(returned, q.number)
		case b := <-blocks:
			o.blocked.Store(b.Active)
		}
	}
}

// lostBecause words the library's reason, which is nil when we ended the connection ourselves.
func lostBecause(err *amqp.Error) error {
	if err == nil {
		return errors.New("connection closed")
	}
	return fmt.Errorf("connection lost: %w", err)
}

// publish sends a message and waits until the broker has stored it in a queue. It returns one of the errors above
// if that did not happen.
func (o *outlet) publish(ctx context.Context, exchange, key string, msg amqp.Publishing) error {
	if o.blocked.Load() {
		return ErrBlocked
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, errTimeout)
	defer cancel()
	number, confirm, err := o.send(exchange, key, msg)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnconfirmed, err)
	}
	select {
	case <-confirm.Done():
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnconfirmed, context.Cause(ctx))
	}
	switch {
	case confirm.Acked():
		return o.unlessReturned(number)
	case o.channel.IsClosed():
		return fmt.Errorf("%w: connection lost", ErrUnconfirmed)
	default:
		return fmt.Errorf("%w: refused", ErrUnconfirmed)
	}
}

// send numbers the message in its correlation id, which comes back with it: a message id may be in flight twice.
func (o *outlet) send(exchange, key string, msg amqp.Publishing) (string, *amqp.DeferredConfirmation, error) {
	o.publishing.Lock()
	defer o.publishing.Unlock()
	o.published++
	msg.CorrelationId = strconv.FormatUint(o.published, 10)
	confirm, err := o.channel.PublishWithDeferredConfirm(exchange, key, true, false, msg)
	return msg.CorrelationId, confirm, err
}

// unlessReturned returns an error if the broker sent back a message that it has confirmed.
func (o *outlet) unlessReturned(number string) error {
	q := question{number: number, answer: make(chan bool, 1)}
	select {
	case o.questions <- q:
		if <-q.answer {
			return ErrUnroutable
		}
		return nil
	case <-o.gone:
		return fmt.Errorf("%w: connection lost", ErrUnconfirmed)
	}
}
