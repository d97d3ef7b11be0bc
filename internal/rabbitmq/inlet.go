package rabbitmq

import (
	"context"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// consumerTag names the consumer on its channel, where it is the only one.
const consumerTag = "consumer"

// inlet is a channel to consume on.
type inlet struct {
	*link
	channel    *amqp.Channel
	queue      string
	prefetch   int
	deliveries <-chan amqp.Delivery // closed when no more will come
	gone       chan struct{}        // closed when the channel is lost
	cause      error                // why; to be read after gone
}

// newInlet starts to consume the queue on the link, with so many messages at a time. It ends with the link.
func newInlet(ctx context.Context, l *link, queue string, prefetch int) (*inlet, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, errTimeout)
	defer cancel()
	in := &inlet{link: l, queue: queue, prefetch: prefetch, gone: make(chan struct{})}
	if err := l.bounded(ctx, in.consume); err != nil {
		return nil, fmt.Errorf("consume %s: %w", queue, err)
	}
	lost := in.channel.NotifyClose(make(chan *amqp.Error, 1))
	go func() {
		in.cause = lostBecause(<-lost)
		close(in.gone)
	}()
	return in, nil
}

func (in *inlet) consume() error {
	var err error
	if in.channel, err = in.conn.Channel(); err != nil {
		return err
	}
	if err := in.channel.Qos(in.prefetch, 0, false); err != nil {
		return err
	}
	in.deliveries, err = in.channel.Consume(in.queue, consumerTag, false, false, false, false, nil)
	return err
}

// renew returns an inlet in place of this one, of which nothing may be in use.
//
// It cures a consumer whose queue was deleted and at once declared again. RabbitMQ 3 does not tell the consumer but
// subscribes it to the new queue, then drops all that comes from there; what it dropped is held until the channel
// closes (measured on 3.10.8, gone from 4.0).
func (in *inlet) renew(ctx context.Context) (*inlet, error) {
	closing, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	if err := in.bounded(closing, in.channel.Close); err != nil {
		return nil, fmt.Errorf("consume %s anew: %w", in.queue, err)
	}
	return newInlet(ctx, in.link, in.queue, in.prefetch)
}

// ended says why there are no more deliveries.
func (in *inlet) ended() error {
	if in.channel.IsClosed() {
		<-in.gone
		return in.cause
	}
	return errors.New("the broker ended the consumer, as if its queue were deleted")
}

// stop takes no more messages and gives back those that nobody has seen. Others can still be settled.
func (in *inlet) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = in.bounded(ctx, func() error { // a connection that fails here gives back everything
		if err := in.channel.Cancel(consumerTag, false); err != nil {
			return err
		}
		for d := range in.deliveries {
			if err := in.giveBack(d); err != nil {
				return err
			}
		}
		return nil
	})
}

// giveBack returns a message to the queue. It is nack and not reject, which from RabbitMQ 4.3 on blames the message.
func (in *inlet) giveBack(d amqp.Delivery) error { return d.Nack(false, true) }

func (in *inlet) isGone() bool {
	select {
	case <-in.gone:
		return true
	default:
		return false
	}
}
