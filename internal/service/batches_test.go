package service_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/service"
	"inventoryhub/internal/tracing"
)

// gathered has calls come one after the other, all of which wait, and then be carried out together. It gives what each was answered.
func gathered(wait func(int), release func(), calls []func() string) []string {
	answers := make([]string, len(calls))
	var all sync.WaitGroup
	for i, call := range calls {
		all.Go(func() { answers[i] = call() })
		wait(i + 1)
	}
	release()
	all.Wait()
	return answers
}

// told puts an answer into words that are the same for things of the same kind.
func told(err error, format string, args ...any) string {
	var refused *domain.Error
	switch {
	case errors.As(err, &refused):
		return fmt.Sprint(refused.Kind, refused.Fields)
	case err != nil:
		return err.Error()
	}
	return fmt.Sprintf(format, args...)
}

// moves prepares calls of many kinds, of orders of two products.
func (w *world) moves() []func() string {
	w.t.Helper()
	c := w.category()
	scarce, other := w.product(c, 5, nil), w.product(c, 50, nil)
	admin, manager, user := w.as(domain.RoleAdmin).Actor, w.as(domain.RoleManager).Actor, w.as(domain.RoleUser).Actor
	var calls []func() string
	add := func(who domain.Actor, id uuid.UUID, to domain.OrderState, expected domain.Expectation, faults domain.Faults) {
		calls = append(calls, func() string {
			o, err := w.orders.Move(w.ctx, who, id, to, expected, faults)
			answer := told(err, "%s version %d, item version %d, quantity %d", o.State, o.Version, o.Item.Version, o.Item.Quantity)
			return strings.NewReplacer(id.String(), "ID", scarce.Name, "scarce", other.Name, "other").Replace(answer)
		})
	}
	whatever := domain.Expectation{}
	reserved := w.order(scarce, 1, domain.OrderReady).ID
	add(manager, w.order(scarce, 3, domain.OrderPending).ID, domain.OrderReady, whatever, nil)
	add(manager, w.order(scarce, 2, domain.OrderPending).ID, domain.OrderReady, whatever, nil) // one is left
	add(admin, reserved, domain.OrderCancelled, whatever, nil)                                 // two are left
	add(manager, w.order(scarce, 2, domain.OrderPending).ID, domain.OrderReady, whatever, nil) // none is left
	add(manager, w.order(other, 7, domain.OrderPending).ID, domain.OrderReady, whatever, nil)
	add(user, w.order(other, 7, domain.OrderPending).ID, domain.OrderCancelled, whatever, nil)
	add(user, w.order(other, 1, domain.OrderDraft).ID, domain.OrderPending, whatever, nil)
	add(user, w.order(other, 1, domain.OrderPending).ID, domain.OrderReady, whatever, nil) // who may not
	add(manager, w.order(other, 8, domain.OrderReady).ID, domain.OrderCompleted, whatever, nil)
	add(manager, w.order(other, 1, domain.OrderPending).ID, domain.OrderCompleted, whatever, nil) // no such step
	add(manager, uuid.New(), domain.OrderReady, whatever, nil)
	add(manager, uuid.New(), domain.OrderReady, whatever, domain.Faults{"transition": {"x"}})
	add(manager, w.order(other, 2, domain.OrderPending).ID, domain.OrderReady, domain.ExpectOneOf(7), nil)
	add(manager, w.order(other, 2, domain.OrderPending).ID, domain.OrderReady, domain.ExpectOneOf(1), nil)
	add(manager, w.order(other, 2, domain.OrderPending).ID, domain.OrderReady, whatever, domain.Faults{"transition": {"x"}})
	twice := w.order(other, 3, domain.OrderPending).ID
	add(manager, twice, domain.OrderReady, whatever, nil)
	add(manager, twice, domain.OrderReady, whatever, nil)
	return calls
}

// TestBatch_moves: in a batch each is answered as if all had come one after the other, and the same is stored.
func TestBatch_moves(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var want []string
		for _, call := range w.moves() {
			want = append(want, call())
		}
		require.Contains(t, want[3], "quantity 0")
		lines := w.count("audit_log")
		calls := w.moves()
		prepared := w.count("audit_log")
		wait, release := service.GatherMoves(w.orders)
		require.Equal(t, want, gathered(wait, release, calls))
		require.Positive(t, prepared-lines)
		require.Equal(t, 9, w.count("audit_log")-prepared, "one line for each that was moved")
		w.addsUp()
		verified, fault, err := w.store.Audit.Verify(w.ctx)
		w.ok(err)
		require.Empty(t, fault)
		require.EqualValues(t, w.count("audit_log"), verified)
	})
}

// TestBatch_places: an unknown item, too little of it, a fault and a key that another has taken over hurt nobody else.
func TestBatch_places(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		u, p := w.as(domain.RoleUser).Actor, w.product(w.category(), 5, nil)
		attempts := service.NewAttempts(w.store, w.now)
		mine, err := attempts.Begin(w.ctx, u, "mine", "x")
		w.ok(err)
		late, err := attempts.Begin(w.ctx, u, "late", "x")
		w.ok(err)
		w.advance(domain.AttemptLease)
		_, err = attempts.Begin(w.ctx, u, "late", "x")
		w.ok(err)
		place := func(item uuid.UUID, quantity int64, attempt *domain.Attempt, faults domain.Faults) func() string {
			return func() string {
				o, err := w.orders.Place(w.ctx, u, service.NewOrder{ItemID: item, Client: "x", Quantity: quantity, State: domain.OrderPending}, attempt, faults)
				return told(err, "%s %d %d", o.State, o.Version, o.Quantity)
			}
		}
		wait, release := service.GatherPlaces(w.orders)
		unknown := uuid.New()
		require.Equal(t, []string{
			"Pending 1 1",
			told(domain.Invalid("itemId", "The item with id '%s' does not exist", unknown), ""),
			told(domain.TooLittleStock("quantity", 6, p), ""),
			"Pending 1 2",
			told(domain.Conflict("request", "A request with this Idempotency-Key is still running"), ""),
			told(domain.Invalid("client", "wrong"), ""),
			"Pending 1 5",
		}, gathered(wait, release, []func() string{
			place(p.ID, 1, nil, nil), place(unknown, 1, nil, nil), place(p.ID, 6, nil, nil), place(p.ID, 2, &mine, nil), place(p.ID, 3, &late, nil),
			place(p.ID, 4, nil, domain.Faults{"client": {"wrong"}}), place(p.ID, 5, nil, nil),
		}))
		require.Equal(t, 3, w.count("orders"))
		require.Equal(t, 1, w.count("attempts a JOIN orders o ON o.id = a.result_id WHERE a.key = 'mine' AND o.quantity = 2"))
		require.Equal(t, 0, w.count("attempts WHERE key = 'late' AND result_id IS NOT NULL"))
		w.addsUp()
	})
}

// TestBatch_adjusts: each finds what those before left, and the event of each belongs to its own caller's trace.
func TestBatch_adjusts(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		boss := w.as(domain.RoleAdmin).Actor
		c := w.category()
		level := service.Change[int64]{Set: true, Value: new(int64(3))}
		low := func() domain.Product {
			p, err := w.products.Create(w.ctx, boss, service.ProductInput{Name: "Nail", Category: c.Name, Quantity: new(int64(5)), Reorder: level}, nil, nil)
			w.ok(err)
			return p
		}
		one, two := low(), low()
		collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		t.Cleanup(collector.Close)
		tracer, err := tracing.Open(w.ctx, collector.URL, "test", slog.New(slog.DiscardHandler))
		w.ok(err)
		t.Cleanup(tracer.Close)
		var traces []string
		adjust := func(p domain.Product, in service.Adjustment, expected domain.Expectation) func() string {
			ctx, span := tracer.Begin(w.ctx, tracing.Server, "a request")
			t.Cleanup(span.End)
			traces = append(traces, tracing.ID(ctx))
			return func() string {
				after, err := w.products.Adjust(ctx, boss, p.ID, in, expected, nil)
				return told(err, "version %d, quantity %d", after.Version, after.Quantity)
			}
		}
		delta := func(n int64) service.Adjustment { return service.Adjustment{Delta: &n} }
		whatever := domain.Expectation{}
		wait, release := service.GatherAdjusts(w.products)
		after := one
		after.Quantity = 1
		require.Equal(t, []string{
			"version 3, quantity 4", "version 4, quantity 1", told(domain.ExpectOneOf().Check(0), ""), "version 3, quantity 2",
			told(domain.TooLittleStock("delta", -2, after), ""), "version 5, quantity 9",
		}, gathered(wait, release, []func() string{
			adjust(one, delta(-1), domain.ExpectOneOf(2)), adjust(one, delta(-3), whatever), adjust(one, delta(1), domain.ExpectOneOf(2)), adjust(two, delta(-3), whatever),
			adjust(one, delta(-2), whatever), adjust(one, service.Adjustment{Quantity: new(int64(9))}, whatever),
		}))
		w.addsUp()
		var parents []string
		for _, line := range w.rows("outbox") {
			for i, trace := range traces {
				if strings.Contains(line, trace) {
					parents = append(parents, fmt.Sprint(i))
				}
			}
		}
		require.ElementsMatch(t, []string{"1", "3"}, parents)
	})
}

// TestBatch_approvals has 200 callers approve orders of a product that suffices for 50.
func TestBatch_approvals(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const orders, stock = 200, 50
		admin, p := w.as(domain.RoleAdmin).Actor, w.product(w.category(), stock, nil)
		ids := make([]uuid.UUID, orders)
		for i := range ids {
			ids[i] = w.order(p, 1, domain.OrderPending).ID
		}
		answers := map[string]int{}
		for _, answer := range together(orders, func(i int) string {
			o, err := w.orders.Move(w.ctx, admin, ids[i], domain.OrderReady, domain.Expectation{}, nil)
			return told(err, "%s", o.State)
		}) {
			answers[answer]++
		}
		empty := p
		empty.Quantity = 0
		require.Equal(t, map[string]int{"Ready": stock, told(domain.TooLittleStock("quantity", 1, empty), ""): orders - stock}, answers)
		after, err := w.store.Products.ByID(w.ctx, p.ID)
		w.ok(err)
		require.Zero(t, after.Quantity)
		require.Equal(t, p.Version+stock, after.Version)
		require.Equal(t, stock, w.count(fmt.Sprintf("movements WHERE product_id = '%s' AND product_version > %d", p.ID, p.Version)), "no version is left out")
		w.addsUp()
	})
}

// TestBatch_fault: a batch that the database refuses is carried out one by one, so that only the one whose fault it is fails.
func TestBatch_fault(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		admin, p := w.as(domain.RoleAdmin).Actor, w.product(w.category(), 50, nil)
		var calls []func() string
		for i := range 5 {
			id := w.order(p, int64(i+1), domain.OrderPending).ID
			calls = append(calls, func() string {
				o, err := w.orders.Move(context.WithoutCancel(w.ctx), admin, id, domain.OrderReady, domain.Expectation{}, nil)
				if err != nil {
					return "failed"
				}
				return string(o.State)
			})
		}
		if w.store.Embedded() {
			w.exec(`CREATE TRIGGER forbid BEFORE INSERT ON movements WHEN NEW.delta = -3 BEGIN SELECT RAISE(ABORT, 'forbidden by the test'); END`)
		} else {
			w.exec(`CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'forbidden by the test'; END $$`,
				`CREATE TRIGGER forbid BEFORE INSERT ON movements FOR EACH ROW WHEN (NEW.delta = -3) EXECUTE FUNCTION forbid()`)
		}
		wait, release := service.GatherMoves(w.orders)
		require.Equal(t, []string{"Ready", "Ready", "failed", "Ready", "Ready"}, gathered(wait, release, calls))
		w.addsUp()
	})
}
