package domain

import (
	"time"

	"github.com/google/uuid"
)

// DeliveryState says what became of the mail of an event.
type DeliveryState string

// The states of a delivery. An event without a delivery row is queued.
const (
	DeliverySending  DeliveryState = "Sending"  // a worker holds it until LeaseUntil
	DeliveryAccepted DeliveryState = "Accepted" // the provider took it; its final word is awaited
	DeliveryRetrying DeliveryState = "Retrying" // the last try failed, another one follows
	DeliverySent     DeliveryState = "Sent"     // final
	DeliveryFailed   DeliveryState = "Failed"   // dead-lettered; an operator may requeue it
	DeliveryDropped  DeliveryState = "Dropped"  // final: no longer wanted before it could be sent
)

// DeliveryStates are all states of a delivery.
var DeliveryStates = []DeliveryState{DeliverySending, DeliveryAccepted, DeliveryRetrying, DeliverySent, DeliveryFailed, DeliveryDropped}

// Delivery is the record of one event's mail. There is at most one per event, whatever the broker repeats.
type Delivery struct {
	EventID     uuid.UUID `gorm:"primaryKey"`
	UserID      uuid.UUID
	Type        EventType
	State       DeliveryState
	Attempts    int        // sends begun so far
	LastError   string     // of the last failed try, without secrets; empty if none failed
	OperationID *uuid.UUID // the provider's name for the send, set before it is begun
	Polls       int        // how often the provider was asked for its final word
	LeaseUntil  *time.Time // another worker keeps off until then
	CreatedAt   time.Time
	UpdatedAt   time.Time
	SentAt      *time.Time
}

// Verdict is what a queue does with an event after one try to handle it.
type Verdict int

const (
	// VerdictDone takes the event off the queue.
	VerdictDone Verdict = iota + 1
	// VerdictRetry puts it back, to be handled again after a while.
	VerdictRetry
	// VerdictDead puts it aside, for an operator to look at.
	VerdictDead
)

// String gives the verdict in a word.
func (v Verdict) String() string {
	switch v {
	case VerdictDone:
		return "done"
	case VerdictRetry:
		return "retry"
	case VerdictDead:
		return "dead"
	}
	return "none"
}

// Outcome is the answer of whoever handles an event to the queue it came from.
type Outcome struct {
	Verdict Verdict
	After   time.Duration // VerdictRetry: not before
	Spent   bool          // VerdictRetry: costs one of the event's retries
	Reason  string        // VerdictRetry, VerdictDead: why, without secrets
}
