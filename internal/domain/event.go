package domain

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// EventType names what happened. It is the CloudEvents `type` and the broker's routing key.
type EventType string

// The events that the server announces. Each makes the email worker write one mail.
const (
	EventUserInvited   EventType = "user.invited"
	EventPasswordReset EventType = "user.password-reset"
	EventEmailChanged  EventType = "user.email-changed"
	EventStockLow      EventType = "stock.low"
)

// Event is something that happened and that must be announced at least once. Its id stays the same however
// often it is relayed, so that whoever receives it twice can tell.
type Event struct {
	ID      uuid.UUID
	Type    EventType
	Subject uuid.UUID // the user it is about, or whom it is for
	At      time.Time
	Data    json.RawMessage // one of the structs below, by Type
	// TraceParent joins it to the trace in which it happened (W3C Trace Context, traceparent); empty if that is not traced.
	TraceParent string
}

// UserInvited is the data of a [EventUserInvited]. The token is secret: it opens the account.
type UserInvited struct {
	Email     string    `json:"email"`
	FirstName string    `json:"firstName"`
	LastName  string    `json:"lastName"`
	Role      Role      `json:"role"`
	InvitedBy string    `json:"invitedBy"` // the inviter's full name, or empty when the server itself invites
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// PasswordReset is the data of a [EventPasswordReset]. The token is secret: it opens the account.
type PasswordReset struct {
	Email     string    `json:"email"`
	FirstName string    `json:"firstName"`
	LastName  string    `json:"lastName"`
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// EmailChanged is the data of a [EventEmailChanged], sent to the address that no longer counts.
type EmailChanged struct {
	Email     string `json:"email"` // the old address
	FirstName string `json:"firstName"`
	LastName  string `json:"lastName"`
}

// StockLow is the data of a [EventStockLow], which tells one user of a product that has become low.
type StockLow struct {
	Email        string    `json:"email"`
	FirstName    string    `json:"firstName"`
	LastName     string    `json:"lastName"`
	ProductID    uuid.UUID `json:"productId"`
	ProductName  string    `json:"productName"`
	SKU          string    `json:"sku,omitempty"`
	Quantity     int64     `json:"quantity"`
	ReorderLevel int64     `json:"reorderLevel"`
}

// NewStockLow tells a user of a product that is low.
func NewStockLow(to User, p Product, at time.Time) (Event, error) {
	low := StockLow{Email: to.Email, FirstName: to.FirstName, LastName: to.LastName, ProductID: p.ID, ProductName: p.Name, Quantity: p.Quantity}
	if p.SKU != nil {
		low.SKU = *p.SKU
	}
	if p.ReorderLevel != nil {
		low.ReorderLevel = *p.ReorderLevel
	}
	return NewEvent(EventStockLow, to.ID, at, low)
}

// NewEvent makes an event about a user. The data must be the struct that belongs to the type.
func NewEvent(t EventType, subject uuid.UUID, at time.Time, data any) (Event, error) {
	body, err := json.Marshal(data)
	if err != nil {
		return Event{}, fmt.Errorf("encode %s: %w", t, err)
	}
	return Event{ID: NewID(), Type: t, Subject: subject, At: at, Data: body}, nil
}

// NewID makes an id: a UUID of version 7 (RFC 9562), so that ids rise with time and indexes stay dense.
func NewID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
