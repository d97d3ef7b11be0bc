package rabbitmq

import (
	"context"
	"fmt"
	"math"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// giveBackTimeout is how long a call waits to see the messages in the queue again. Another operator may have them.
const giveBackTimeout = 2 * time.Second

// DeadLetters is an operator's view of the messages that were put aside, by a handler or by the broker. Each call
// makes a connection of its own. Two operators at once see only a part each.
type DeadLetters struct {
	cfg      Config
	topology topology
}

// NewDeadLetters fails only if the configuration is wrong.
func NewDeadLetters(cfg Config) (*DeadLetters, error) {
	cfg, err := cfg.prepare()
	if err != nil {
		return nil, err
	}
	return &DeadLetters{cfg: cfg, topology: newTopology(cfg)}, nil
}

// List returns the first messages, up to limit, and leaves them where they are. Their bodies may hold secrets.
func (q *DeadLetters) List(ctx context.Context, limit int) ([]Message, error) {
	var all []Message
	err := q.visit(ctx, limit, func(_ *outlet, d amqp.Delivery) (bool, error) {
		all = append(all, received(d))
		return false, nil
	})
	return all, err
}

// Requeue has the messages with this id handled again, with all their retries, and returns how many there were.
func (q *DeadLetters) Requeue(ctx context.Context, id string) (int, error) {
	return q.requeue(ctx, func(d amqp.Delivery) bool { return d.MessageId == id })
}

// RequeueAll has all messages handled again, with all their retries, and returns how many there were. After an
// error it may be called again for the rest; the message that it failed at may then be handled twice.
func (q *DeadLetters) RequeueAll(ctx context.Context) (int, error) {
	return q.requeue(ctx, func(amqp.Delivery) bool { return true })
}

// Drop deletes the messages with this id for good and returns how many there were.
func (q *DeadLetters) Drop(ctx context.Context, id string) (int, error) {
	dropped := 0
	err := q.visit(ctx, math.MaxInt, func(_ *outlet, d amqp.Delivery) (bool, error) {
		if d.MessageId != id {
			return false, nil
		}
		dropped++
		return true, nil
	})
	return dropped, err
}

// requeue goes straight to the queue that is consumed: the exchange may have others, which have had the message.
func (q *DeadLetters) requeue(ctx context.Context, wanted func(amqp.Delivery) bool) (int, error) {
	moved := 0
	err := q.visit(ctx, math.MaxInt, func(o *outlet, d amqp.Delivery) (bool, error) {
		if !wanted(d) {
			return false, nil
		}
		if err := o.publish(ctx, "", q.topology.queue, again(d)); err != nil {
			return false, err
		}
		moved++
		return true, nil
	})
	return moved, err
}

// visitor looks at a message and says whether the dead-letter queue is done with it. The outlet is there to publish
// it elsewhere.
type visitor func(*outlet, amqp.Delivery) (done bool, err error)

// visit shows each message that is there now, up to limit, and gives back those that are not done with. Nobody else
// sees them meanwhile.
func (q *DeadLetters) visit(ctx context.Context, limit int, show visitor) error {
	l, err := open(ctx, q.cfg, q.topology, "dead letters")
	if err != nil {
		return err
	}
	defer l.close()
	o, err := newOutlet(ctx, l, q.cfg.ConfirmTimeout)
	if err != nil {
		return err
	}
	return l.bounded(ctx, func() error {
		ch, err := l.conn.Channel()
		if err != nil {
			return fmt.Errorf("open a channel: %w", err)
		}
		kept, err := q.visitOn(ch, o, limit, show)
		if err != nil {
			return err // the end of the connection gives back what was kept
		}
		return q.giveBack(ch, kept)
	})
}

func (q *DeadLetters) visitOn(ch *amqp.Channel, o *outlet, limit int, show visitor) (kept int, err error) {
	count, err := q.count(ch)
	if err != nil {
		return 0, err
	}
	for range min(limit, count) {
		d, ok, err := ch.Get(q.topology.dead, false)
		if err != nil {
			return kept, fmt.Errorf("get a dead letter: %w", err)
		}
		if !ok {
			return kept, nil
		}
		done, err := show(o, d)
		if err != nil {
			return kept, err
		}
		if !done {
			kept++
			continue
		}
		if err := d.Ack(false); err != nil {
			return kept, fmt.Errorf("take a dead letter off its queue: %w", err)
		}
	}
	return kept, nil
}

// giveBack returns all open messages to the queue and waits until they show up there, so that the next call finds
// them: the broker answers before that.
func (q *DeadLetters) giveBack(ch *amqp.Channel, kept int) error {
	if err := ch.Nack(0, true, true); err != nil { // 0 stands for all
		return fmt.Errorf("give back the dead letters: %w", err)
	}
	for deadline := time.Now().Add(giveBackTimeout); ; time.Sleep(5 * time.Millisecond) {
		count, err := q.count(ch)
		if err != nil {
			return err
		}
		if count >= kept || time.Now().After(deadline) {
			return nil
		}
	}
}

func (q *DeadLetters) count(ch *amqp.Channel) (int, error) {
	queue, err := ch.QueueDeclarePassive(q.topology.dead, true, false, false, false, nil)
	if err != nil {
		return 0, fmt.Errorf("count the dead letters: %w", err)
	}
	return queue.Messages, nil
}
