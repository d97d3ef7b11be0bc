package rabbitmq

import (
	"context"
	"time"
)

// Handler handles one message and decides what becomes of it. Up to [Config.Prefetch] run at a time, in no order,
// and the same message may come twice, even at once. Its ctx ends when the grace is over after a stop.
//
// A panic costs a retry. Once the message has spent [Config.MaxRetries], a panic puts it aside.
type Handler func(ctx context.Context, m Message) Decision

// Decision is what becomes of a message: [Ack], [Retry], [Dead] or [Return].
type Decision interface{ decision() }

// Ack takes the message off the queue: it was handled.
type Ack struct{}

// Retry has the message handled again after a pause.
type Retry struct {
	After   time.Duration // not before; of any length, and the shortest pause if not positive
	Retries int           // the message's new count
	Reason  string        // why, without secrets; cut to 1000 bytes
}

// Dead puts the message aside for an operator.
type Dead struct {
	Reason string // why, without secrets; cut to 1000 bytes
}

// Return gives the message back to the queue, to be delivered again at once. It is meant for a stop: it counts as
// a delivery before RabbitMQ 4.3, and the broker puts a message aside that it delivered more than 20 times.
type Return struct{}

func (Ack) decision()    {}
func (Retry) decision()  {}
func (Dead) decision()   {}
func (Return) decision() {}
