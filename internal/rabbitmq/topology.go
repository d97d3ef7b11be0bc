package rabbitmq

import (
	"fmt"
	"math"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// version is part of every queue's name. The broker refuses to declare a queue again with other arguments
	// (406), so whoever changes an argument below raises it.
	version = "v1"

	// deliveryLimit is how often the broker hands out a message that nobody settles, such as one that kills the
	// process, before it dead-letters it by itself. It is the default of RabbitMQ 4.0; older ones have none.
	deliveryLimit = 20

	// unlimited stands for "no delivery limit" on the dead-letter queue, where looking counts as a delivery.
	// -1 would say so from 4.0 on, but makes 3.10 drop a message at its first return (rabbit_fifo, 3.10.8).
	unlimited = math.MaxInt32
)

// topology is what must exist on the broker: a topic exchange, the queue that is consumed, one queue for each
// pause before a retry, and the queue of the dead letters.
type topology struct {
	exchange string
	bindings []string
	queue    string
	dead     string
	waits    []waitQueue // by rising delay
}

// waitQueue keeps messages for its delay at most, then gives them back to the main queue.
type waitQueue struct {
	name  string
	delay time.Duration
}

func newTopology(cfg Config) topology {
	stem := cfg.Prefix + cfg.Queue
	t := topology{
		exchange: cfg.Prefix + cfg.Exchange,
		bindings: cfg.Bindings,
		queue:    stem + "." + version,
		dead:     stem + ".dead." + version,
	}
	for _, delay := range steps(cfg.RetryDelay, cfg.RetryMaxDelay) {
		t.waits = append(t.waits, waitQueue{name: fmt.Sprintf("%s.wait-%v.%s", stem, delay, version), delay: delay})
	}
	return t
}

// steps doubles from the shortest delay up to the longest.
func steps(shortest, longest time.Duration) []time.Duration {
	var all []time.Duration
	for delay := shortest; delay < longest; delay *= 2 {
		all = append(all, delay)
	}
	return append(all, longest)
}

// waitFor returns the queue with the shortest delay that is long enough, or the longest one there is.
func (t topology) waitFor(after time.Duration) waitQueue {
	for _, w := range t.waits {
		if w.delay >= after {
			return w
		}
	}
	return t.waits[len(t.waits)-1]
}

// declare creates what is missing on the broker. It changes nothing if all is there.
func (t topology) declare(conn *amqp.Connection) error {
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	defer ch.Close()

	if err := ch.ExchangeDeclare(t.exchange, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
		return fmt.Errorf("declare exchange %s: %w", t.exchange, err)
	}
	// The dead letters come first and the binding last: a message must find all it may need.
	if err := declareQueue(ch, t.dead, amqp.Table{"x-delivery-limit": int64(unlimited)}); err != nil {
		return err
	}
	args := deadLetterTo(t.dead)
	args["x-delivery-limit"] = int64(deliveryLimit)
	if err := declareQueue(ch, t.queue, args); err != nil {
		return err
	}
	for _, w := range t.waits {
		args := deadLetterTo(t.queue)
		args[amqp.QueueMessageTTLArg] = w.delay.Milliseconds()
		if err := declareQueue(ch, w.name, args); err != nil {
			return err
		}
	}
	for _, key := range t.bindings {
		if err := ch.QueueBind(t.queue, key, t.exchange, false, nil); err != nil {
			return fmt.Errorf("bind queue %s to %s: %w", t.queue, key, err)
		}
	}
	return nil
}

func declareQueue(ch *amqp.Channel, name string, args amqp.Table) error {
	args[amqp.QueueTypeArg] = amqp.QueueTypeQuorum
	if _, err := ch.QueueDeclare(name, true, false, false, false, args); err != nil {
		return fmt.Errorf("declare queue %s: %w", name, err)
	}
	return nil
}

// deadLetterTo returns the arguments that make the broker itself move what expires or exceeds the delivery limit to
// the target, and keep it until the target has confirmed it. It goes through the default exchange, whose bindings
// nobody can delete.
func deadLetterTo(target string) amqp.Table {
	return amqp.Table{
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": target,
		"x-dead-letter-strategy":    "at-least-once",
		amqp.QueueOverflowArg:       amqp.QueueOverflowRejectPublish, // at-least-once needs it
	}
}

// Depth counts messages, without those that consumers hold right now.
type Depth struct {
	Ready   int // to be handled
	Delayed int // waiting for their next try
	Dead    int // put aside for an operator
}

func (t topology) depth(conn *amqp.Connection) (Depth, error) {
	ch, err := conn.Channel()
	if err != nil {
		return Depth{}, fmt.Errorf("open a channel: %w", err)
	}
	defer ch.Close()

	var depth Depth
	counters := map[string]*int{t.queue: &depth.Ready, t.dead: &depth.Dead}
	for _, w := range t.waits {
		counters[w.name] = &depth.Delayed
	}
	for name, counter := range counters {
		queue, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
		if err != nil {
			return Depth{}, fmt.Errorf("look at queue %s: %w", name, err)
		}
		*counter += queue.Messages
	}
	return depth, nil
}
