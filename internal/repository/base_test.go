package repository_test

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/storetest"
)

// now is when everything in these tests happens, unless time is their subject.
var now = time.Date(2021, 1, 1, 12, 0, 0, 123_000_000, time.UTC)

// base is a store on a fresh database of one engine, with a way around it for looking and for breaking in.
type base struct {
	*repository.Store
	t   *testing.T
	ctx context.Context
	url string
	raw *sql.DB
}

// each runs a test on both engines, with a deadline that makes a hanging statement visible.
func each(t *testing.T, test func(t *testing.T, b *base)) {
	t.Helper()
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		t.Parallel()
		test(t, newBase(t, url))
	})
}

// onPostgres runs a test that the single writer of SQLite makes pointless.
func onPostgres(t *testing.T, test func(t *testing.T, b *base)) {
	t.Helper()
	t.Parallel()
	test(t, newBase(t, storetest.PostgresURL(t)))
}

func newBase(t *testing.T, url string) *base {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return &base{Store: storetest.Open(t, url), t: t, ctx: ctx, url: url, raw: openRaw(t, url)}
}

func openRaw(t *testing.T, url string) *sql.DB {
	t.Helper()
	driver, source := "pgx", url
	if path, isFile := strings.CutPrefix(url, "sqlite://"); isFile {
		driver, source = "sqlite", "file:"+path+"?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)"
	}
	raw, err := sql.Open(driver, source)
	require.NoError(t, err)
	t.Cleanup(func() { _ = raw.Close() })
	return raw
}

// sql writes the places of parameters as the engine wants them.
func (b *base) sql(query string) string {
	if b.Embedded() {
		return query
	}
	var out strings.Builder
	for i, part := range strings.Split(query, "?") {
		if i > 0 {
			out.WriteString("$" + strconv.Itoa(i))
		}
		out.WriteString(part)
	}
	return out.String()
}

func (b *base) exec(query string, args ...any) error {
	_, err := b.raw.ExecContext(b.ctx, b.sql(query), args...)
	return err
}

// scan reads one value.
func scan[T any](b *base, query string, args ...any) T {
	b.t.Helper()
	var v T
	require.NoError(b.t, b.raw.QueryRowContext(b.ctx, b.sql(query), args...).Scan(&v))
	return v
}

// strings reads one column of texts.
func (b *base) strings(query string, args ...any) []string {
	b.t.Helper()
	rows, err := b.raw.QueryContext(b.ctx, b.sql(query), args...)
	require.NoError(b.t, err)
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var s string
		require.NoError(b.t, rows.Scan(&s))
		all = append(all, s)
	}
	require.NoError(b.t, rows.Err())
	return all
}

func (b *base) count(table string) int {
	b.t.Helper()
	return scan[int](b, "SELECT COUNT(*) FROM "+table)
}

func (b *base) ok(err error) {
	b.t.Helper()
	require.NoError(b.t, err)
}

// refuses checks that an error is a refusal of the kind about that field alone.
func (b *base) refuses(err error, kind domain.Kind, field string) {
	b.t.Helper()
	var e *domain.Error
	require.ErrorAs(b.t, err, &e)
	require.Equal(b.t, kind, e.Kind, err)
	require.Len(b.t, e.Fields, 1)
	require.Contains(b.t, e.Fields, field)
}

// isKind is for goroutines, where a test must not be ended.
func isKind(err error, kind domain.Kind) bool {
	var e *domain.Error
	return errors.As(err, &e) && e.Kind == kind
}

// together runs f at once in n goroutines and gives what they returned.
func together[T any](n int, f func(i int) T) []T {
	results := make([]T, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			results[i] = f(i)
		})
	}
	close(start)
	all.Wait()
	return results
}

// newUser makes an active user who is not stored.
func newUser(name string, role domain.Role) domain.User {
	u := domain.NewDraft(name+"@example.com", strings.ToUpper(name), "Doe", role, now)
	u.Activate(name, "$argon2id$", now)
	return u
}

func (b *base) user(name string, role domain.Role) domain.User {
	b.t.Helper()
	u := newUser(name, role)
	b.ok(b.Users.Create(b.ctx, u))
	return u
}

func (b *base) category(name string) domain.Category {
	b.t.Helper()
	c := domain.NewCategory(name, now)
	b.ok(b.Categories.Create(b.ctx, c))
	return c
}

// product makes a product with stock, in the way a use case does.
func (b *base) product(name string, in domain.Category, quantity int64) domain.Product {
	b.t.Helper()
	p := domain.NewProduct(name, "about "+name, in, nil, now)
	b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
		if err := tx.Products.Create(b.ctx, p); err != nil {
			return err
		}
		m := domain.NewMovement(p.ID, quantity, domain.MovementCreated, uuid.Nil, now)
		m.UserID = nil
		m, err := tx.Stock.Apply(b.ctx, m)
		p.Quantity, p.Version = m.QuantityAfter, m.ProductVersion
		return err
	}))
	return p
}

// order makes an order in the state, whatever it took to get there.
func (b *base) order(p domain.Product, state domain.OrderState, by domain.User) domain.Order {
	b.t.Helper()
	o, err := domain.NewOrder(p, "Client", "about "+p.Name, 1, state, by.ID, now)
	b.ok(err)
	b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
		return tx.Orders.Create(b.ctx, []domain.Order{o}, []domain.OrderStep{domain.NewOrderStep(o, nil, by.ID, now)})
	}))
	return o
}

func newEvent(at time.Time) domain.Event {
	e, err := domain.NewEvent(domain.EventPasswordReset, domain.NewID(), at, domain.PasswordReset{Email: "jane@example.com", Token: "secret"})
	if err != nil {
		panic(err)
	}
	return e
}

func (b *base) event(at time.Time) domain.Event {
	b.t.Helper()
	e := newEvent(at)
	b.ok(b.InTx(b.ctx, func(tx *repository.Store) error { return tx.Outbox.Add(b.ctx, e) }))
	return e
}

func first(field string) domain.Page {
	return domain.Page{Number: 1, Size: 100, Sort: domain.Sort{Field: field}}
}

// ids gives the ids of things, to compare lists by.
func ids[T any](things []T, id func(T) uuid.UUID) []uuid.UUID {
	all := make([]uuid.UUID, len(things))
	for i, x := range things {
		all[i] = id(x)
	}
	return all
}

// blocks checks that second waits for first, which runs in a transaction that ends when the check is done. Both get a transaction.
func (b *base) blocks(first, second func(tx *repository.Store) error) {
	b.t.Helper()
	var done chan error
	b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
		if err := first(tx); err != nil {
			return err
		}
		done = make(chan error, 1)
		go func() { done <- b.InTx(b.ctx, func(tx *repository.Store) error { return second(tx) }) }()
		select {
		case err := <-done:
			assert.Fail(b.t, "the second transaction did not wait", err)
			done <- err
		case <-time.After(60 * time.Millisecond):
		}
		return nil
	}))
	b.ok(<-done)
}
