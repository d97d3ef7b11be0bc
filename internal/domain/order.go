package domain

import (
	"time"

	"github.com/google/uuid"
)

// OrderState is where an order stands.
type OrderState string

// The states of an order.
const (
	OrderDraft     OrderState = "Draft"
	OrderPending   OrderState = "Pending" // waits for approval
	OrderReady     OrderState = "Ready"   // approved: its quantity has left the stock
	OrderCompleted OrderState = "Completed"
	OrderCancelled OrderState = "Cancelled"
)

// OrderStates lists all states in the order of an order's life.
var OrderStates = []OrderState{OrderDraft, OrderPending, OrderReady, OrderCompleted, OrderCancelled}

// OpenOrderStates are those in which an order still counts on its product.
var OpenOrderStates = []OrderState{OrderDraft, OrderPending, OrderReady}

// ParseOrderState takes a state by its exact name. It returns a KindInvalid on the given field for any other text.
func ParseOrderState(field, s string) (OrderState, error) {
	for _, state := range OrderStates {
		if string(state) == s {
			return state, nil
		}
	}
	return "", Invalid(field, "The state '%s' is not valid", Clip(s))
}

// InitialOrderState takes the state in which an order may begin: Draft or Pending. It returns a KindInvalid on `initialState`.
func InitialOrderState(s string) (OrderState, error) {
	state, err := ParseOrderState("initialState", s)
	if err != nil {
		return "", err
	}
	if state != OrderDraft && state != OrderPending {
		return "", Invalid("initialState", "The state '%s' cannot be an initial state", state)
	}
	return state, nil
}

// step is one arrow of the state diagram.
type step struct {
	from, to OrderState
	lowest   Role
	stock    MovementReason // what the step does to the stock; empty for nothing
}

var steps = []step{
	{OrderDraft, OrderPending, RoleUser, ""},
	{OrderDraft, OrderCancelled, RoleUser, ""},
	{OrderPending, OrderReady, RoleManager, MovementReserved},
	{OrderPending, OrderCancelled, RoleUser, ""},
	{OrderReady, OrderCompleted, RoleManager, ""},
	{OrderReady, OrderCancelled, RoleManager, MovementReleased},
}

// Order is a client's demand for a quantity of one product. The API also calls it a transaction.
type Order struct {
	ID          uuid.UUID
	ProductID   uuid.UUID
	Item        Product `gorm:"-"` // the product as it stands now, or as it was last known
	Client      string
	ClientKey   string // folded, for order
	Description string
	SearchKey   string // client and description, folded
	Quantity    int64
	State       OrderState
	Version     int64 // rises with every change
	CreatedBy   *uuid.UUID
	CreatedAt   time.Time
	UpdatedAt   time.Time
	DeletedAt   *time.Time
}

// NewOrder makes an order for a product. It returns a KindConflict on `quantity` if the product has less.
func NewOrder(product Product, client, description string, quantity int64, initial OrderState, by uuid.UUID, now time.Time) (Order, error) {
	o := Order{ID: NewID(), ProductID: product.ID, Item: product, State: initial, Version: 1, CreatedBy: &by, CreatedAt: now}
	if err := o.setQuantity(quantity); err != nil {
		return Order{}, err
	}
	o.describe(client, description, now)
	return o, nil
}

// Edit changes what an order says. It returns a KindConflict on `state` if the order is final, and on `quantity` if the
// product has less or the quantity has left the stock already.
func (o *Order) Edit(client, description string, quantity int64, now time.Time) error {
	switch {
	case o.State == OrderCompleted || o.State == OrderCancelled:
		return Conflict("state", "The transaction in the state '%s' can no longer be changed", o.State)
	case o.State == OrderReady && quantity != o.Quantity:
		return Conflict("quantity", "The quantity of a transaction in the state '%s' can no longer be changed", o.State)
	case o.State != OrderReady:
		if err := o.setQuantity(quantity); err != nil {
			return err
		}
	}
	o.describe(client, description, now)
	o.Version++
	return nil
}

func (o *Order) setQuantity(quantity int64) error {
	if quantity > o.Item.Quantity {
		return TooLittleStock("quantity", quantity, o.Item)
	}
	o.Quantity = quantity
	return nil
}

func (o *Order) describe(client, description string, now time.Time) {
	o.Client, o.ClientKey = client, Fold(client)
	o.Description = description
	o.SearchKey = o.ClientKey + "\n" + Fold(description)
	o.UpdatedAt = now
}

// TooLittleStock makes the KindConflict of someone who asks for more than a product has.
func TooLittleStock(field string, asked int64, p Product) *Error {
	return Conflict(field, "You specified the %s %d, but the item '%s' has only %d unit(s) available", field, asked, p.Name, p.Quantity)
}

// MoveTo takes an order one step further and gives the movement of stock that the step causes, if any. It returns a
// KindConflict on `transition` if no such step exists, and a KindForbidden if the actor's role is too low for it.
func (o *Order) MoveTo(to OrderState, actor Actor, now time.Time) (*Movement, error) {
	for _, s := range steps {
		if s.from != o.State || s.to != to {
			continue
		}
		if !actor.Role.AtLeast(s.lowest) {
			return nil, Forbidden("authorization", "The role '%s' may not take a transaction from the state '%s' to the state '%s'", actor.Role, s.from, to)
		}
		o.State, o.UpdatedAt = to, now
		o.Version++
		return o.movement(s.stock, actor, now), nil
	}
	return nil, IllegalTransition(o.State, to)
}

// Release gives the movement that returns what a Ready order has taken, and nil for any other.
func (o Order) Release(actor Actor, now time.Time) *Movement {
	if o.State != OrderReady {
		return nil
	}
	return o.movement(MovementReleased, actor, now)
}

func (o Order) movement(reason MovementReason, actor Actor, now time.Time) *Movement {
	delta := o.Quantity
	switch reason {
	case MovementReserved:
		delta = -delta
	case MovementReleased:
	default:
		return nil
	}
	m := NewMovement(o.ProductID, delta, reason, actor.ID, now)
	m.OrderID = &o.ID
	return &m
}

// IllegalTransition makes the KindConflict of a step that the state diagram does not have.
func IllegalTransition(from, to OrderState) *Error {
	return Conflict("transition", "The transaction cannot go from the state '%s' to the state '%s'", from, to)
}

// OrderStep is one line of an order's history.
type OrderStep struct {
	ID           uuid.UUID
	OrderID      uuid.UUID
	OrderVersion int64       // the order's after the step: the history's order
	FromState    *OrderState // nil when the order was made
	ToState      OrderState
	UserID       *uuid.UUID
	Username     *string `gorm:"->"`
	CreatedAt    time.Time
}

// NewOrderStep notes that the actor brought the order to the state it now has.
func NewOrderStep(o Order, from *OrderState, by uuid.UUID, now time.Time) OrderStep {
	return OrderStep{ID: NewID(), OrderID: o.ID, OrderVersion: o.Version, FromState: from, ToState: o.State, UserID: &by, CreatedAt: now}
}

// OrderFilter narrows a list of orders. Empty fields do not narrow.
type OrderFilter struct {
	Page     Page
	Search   string // part of item name, client or description, without regard to case
	Category string // a category's name, without regard to case
	State    OrderState
}
