package domain_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

// The state diagram, written by hand from the specification: a line is where an order stands, a column where it shall go, in the
// order Draft, Pending, Ready, Completed, Cancelled. '+' is a step, 'x' one that the role may not take, '.' none at all.
var diagram = map[domain.Role]map[domain.OrderState]string{
	domain.RoleAdmin: {
		domain.OrderDraft:     ".+..+",
		domain.OrderPending:   "..+.+",
		domain.OrderReady:     "...++",
		domain.OrderCompleted: ".....",
		domain.OrderCancelled: ".....",
	},
	domain.RoleManager: {
		domain.OrderDraft:     ".+..+",
		domain.OrderPending:   "..+.+",
		domain.OrderReady:     "...++",
		domain.OrderCompleted: ".....",
		domain.OrderCancelled: ".....",
	},
	domain.RoleUser: {
		domain.OrderDraft:     ".+..+",
		domain.OrderPending:   "..x.+",
		domain.OrderReady:     "...xx",
		domain.OrderCompleted: ".....",
		domain.OrderCancelled: ".....",
	},
	domain.RoleReadonlyUser: {
		domain.OrderDraft:     ".x..x",
		domain.OrderPending:   "..x.x",
		domain.OrderReady:     "...xx",
		domain.OrderCompleted: ".....",
		domain.OrderCancelled: ".....",
	},
	"Root": { // no role
		domain.OrderDraft:     ".x..x",
		domain.OrderPending:   "..x.x",
		domain.OrderReady:     "...xx",
		domain.OrderCompleted: ".....",
		domain.OrderCancelled: ".....",
	},
}

var states = []domain.OrderState{domain.OrderDraft, domain.OrderPending, domain.OrderReady, domain.OrderCompleted, domain.OrderCancelled}

// effects are the steps that move stock, with the sign of the order's quantity.
var effects = map[[2]domain.OrderState]struct {
	reason domain.MovementReason
	sign   int64
}{
	{domain.OrderPending, domain.OrderReady}:   {domain.MovementReserved, -1},
	{domain.OrderReady, domain.OrderCancelled}: {domain.MovementReleased, +1},
}

func anOrder(state domain.OrderState, quantity int64) domain.Order {
	p := domain.Product{ID: domain.NewID(), Name: "iPhone 12", Quantity: 10}
	return domain.Order{ID: domain.NewID(), ProductID: p.ID, Item: p, State: state, Quantity: quantity, Version: 3, CreatedAt: now, UpdatedAt: now}
}

func TestOrder_MoveTo(t *testing.T) {
	require.Equal(t, states, domain.OrderStates)
	later := now.Add(time.Hour)
	for role, lines := range diagram {
		require.Len(t, lines, len(states))
		for from, line := range lines {
			require.Len(t, line, len(states))
			for i, to := range states {
				t.Run(string(role)+"/"+string(from)+"/"+string(to), func(t *testing.T) {
					actor := domain.Actor{ID: domain.NewID(), Role: role}
					before := anOrder(from, 4)
					order := before
					movement, err := order.MoveTo(to, actor, later)
					if line[i] != '+' {
						want := refusal{domain.KindConflict, "transition"}
						if line[i] == 'x' {
							want = refusal{domain.KindForbidden, "authorization"}
						}
						require.Equal(t, want, refused(t, err))
						require.Nil(t, movement)
						require.Equal(t, before, order, "a refused step changes nothing")
						return
					}
					require.NoError(t, err)
					after := before
					after.State, after.Version, after.UpdatedAt = to, before.Version+1, later
					require.Equal(t, after, order)
					effect, moves := effects[[2]domain.OrderState{from, to}]
					if !moves {
						require.Nil(t, movement)
						return
					}
					require.NotNil(t, movement)
					require.Equal(t, domain.Movement{
						ID: movement.ID, ProductID: order.ProductID, Delta: effect.sign * 4, Reason: effect.reason, OrderID: &order.ID, UserID: &actor.ID, CreatedAt: later,
					}, *movement)
				})
			}
			order := anOrder(from, 4)
			_, err := order.MoveTo("Lost", domain.Actor{Role: role}, later)
			require.Equal(t, refusal{domain.KindConflict, "transition"}, refused(t, err), "a state that does not exist")
		}
	}
}

func TestOrder_MoveTo_sentences(t *testing.T) {
	order := anOrder(domain.OrderDraft, 1)
	_, err := order.MoveTo(domain.OrderCompleted, domain.Actor{Role: domain.RoleAdmin}, now)
	require.Equal(t, domain.Conflict("transition", "The transaction cannot go from the state 'Draft' to the state 'Completed'"), err)
}

func TestOrder_Release(t *testing.T) {
	actor := domain.Actor{ID: domain.NewID(), Role: domain.RoleAdmin}
	for _, state := range states {
		order := anOrder(state, 7)
		movement := order.Release(actor, now)
		if state != domain.OrderReady {
			require.Nil(t, movement, state)
			continue
		}
		require.Equal(t, domain.Movement{
			ID: movement.ID, ProductID: order.ProductID, Delta: 7, Reason: domain.MovementReleased, OrderID: &order.ID, UserID: &actor.ID, CreatedAt: now,
		}, *movement)
	}
}

func TestNewOrder(t *testing.T) {
	p, by := domain.Product{ID: domain.NewID(), Name: "iPhone 12", Quantity: 10}, domain.NewID()
	order, err := domain.NewOrder(p, "JOHN Doe", "ÄRGER", 10, domain.OrderDraft, by, now)
	require.NoError(t, err)
	require.Equal(t, domain.Order{
		ID: order.ID, ProductID: p.ID, Item: p, Client: "JOHN Doe", ClientKey: "john doe", Description: "ÄRGER", SearchKey: "john doe\närger", Quantity: 10, State: domain.OrderDraft,
		Version: 1, CreatedBy: &by, CreatedAt: now, UpdatedAt: now,
	}, order)

	_, err = domain.NewOrder(p, "John", "", 11, domain.OrderPending, by, now)
	require.Equal(t, domain.Conflict("quantity", "You specified the quantity 11, but the item 'iPhone 12' has only 10 unit(s) available"), err)
}

func TestOrder_Edit(t *testing.T) {
	later := now.Add(time.Hour)
	for state, want := range map[domain.OrderState]struct{ same, other, tooMuch refusal }{
		domain.OrderDraft:     {refusal{}, refusal{}, refusal{domain.KindConflict, "quantity"}},
		domain.OrderPending:   {refusal{}, refusal{}, refusal{domain.KindConflict, "quantity"}},
		domain.OrderReady:     {refusal{}, refusal{domain.KindConflict, "quantity"}, refusal{domain.KindConflict, "quantity"}},
		domain.OrderCompleted: {refusal{domain.KindConflict, "state"}, refusal{domain.KindConflict, "state"}, refusal{domain.KindConflict, "state"}},
		domain.OrderCancelled: {refusal{domain.KindConflict, "state"}, refusal{domain.KindConflict, "state"}, refusal{domain.KindConflict, "state"}},
	} {
		for quantity, want := range map[int64]refusal{4: want.same, 10: want.other, 11: want.tooMuch} {
			before := anOrder(state, 4)
			order := before
			err := order.Edit("Jane", "new", quantity, later)
			require.Equal(t, want, refused(t, err), "%s %d", state, quantity)
			if err != nil {
				require.Equal(t, before, order, "a refused change changes nothing")
				continue
			}
			after := before
			after.Client, after.ClientKey, after.Description, after.SearchKey = "Jane", "jane", "new", "jane\nnew"
			after.Quantity, after.Version, after.UpdatedAt = quantity, 4, later
			require.Equal(t, after, order)
		}
	}
	// What a Ready order took has left the stock: how much is left there does not matter to it.
	order := anOrder(domain.OrderReady, 40)
	require.NoError(t, order.Edit("Jane", "", 40, later))
}

func TestNewOrderStep(t *testing.T) {
	order, by, from := anOrder(domain.OrderReady, 1), domain.NewID(), domain.OrderPending
	step := domain.NewOrderStep(order, &from, by, now)
	require.Equal(t, domain.OrderStep{
		ID: step.ID, OrderID: order.ID, OrderVersion: 3, FromState: &from, ToState: domain.OrderReady, UserID: &by, CreatedAt: now,
	}, step)
	require.NotEqual(t, uuid.Nil, step.ID)
}

func TestOrderStates_parse(t *testing.T) {
	for _, state := range states {
		parsed, err := domain.ParseOrderState("transition", string(state))
		require.NoError(t, err)
		require.Equal(t, state, parsed)
	}
	for _, s := range []string{"", "draft", "Draft ", "READY", "Lost"} {
		_, err := domain.ParseOrderState("transition", s)
		require.Equal(t, refusal{domain.KindInvalid, "transition"}, refused(t, err), s)
	}
	for s, want := range map[string]refusal{
		"Draft": {}, "Pending": {}, "Ready": {domain.KindInvalid, "initialState"}, "Completed": {domain.KindInvalid, "initialState"},
		"Cancelled": {domain.KindInvalid, "initialState"}, "": {domain.KindInvalid, "initialState"}, "pending": {domain.KindInvalid, "initialState"},
	} {
		state, err := domain.InitialOrderState(s)
		require.Equal(t, want, refused(t, err), s)
		if err == nil {
			require.EqualValues(t, s, state)
		}
	}
	_, err := domain.InitialOrderState("Completed")
	require.Equal(t, domain.Invalid("initialState", "The state 'Completed' cannot be an initial state"), err)
}
