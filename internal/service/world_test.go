package service_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/imagestore"
	"inventoryhub/internal/password"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/service"
	"inventoryhub/internal/storetest"
	"inventoryhub/internal/token"
)

// goodPassword is the password of every user that a test makes. Hashing is dear, so they share one hash.
const goodPassword = "Tolya123!"

var goodHash = sync.OnceValue(func() string {
	hash, err := password.NewHasher().Hash(context.Background(), goodPassword)
	if err != nil {
		panic(err)
	}
	return hash
})

// address is where everybody calls from.
const address = "192.0.2.1"

// world is all use cases over a fresh database and a directory for pictures, with a clock that is moved by hand.
type world struct {
	t     *testing.T
	ctx   context.Context // ends soon: a use case that waits for its own transaction is found out
	url   string
	store *repository.Store
	raw   *sql.DB // a way around the store
	dir   string  // of the pictures

	auth         *service.Auth
	users        *service.Users
	categories   *service.Categories
	products     *service.Products
	pictures     *service.Pictures
	orders       *service.Orders
	operator     *service.Operator
	housekeeping *service.Housekeeping

	*moving
}

// moving is what changes while the use cases look at it.
type moving struct {
	mu    sync.Mutex
	clock time.Time
	log   bytes.Buffer
}

// each runs a test on both engines.
func each(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		t.Parallel()
		test(t, newWorld(t, url, url))
	})
}

// newWorld makes a world on a database. Its store may have another way there than its test.
func newWorld(t *testing.T, url, way string) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, url: url, store: storetest.Open(t, way), dir: t.TempDir(), moving: &moving{clock: time.Now().UTC().Truncate(time.Millisecond)}}
	driver, source := "pgx", url
	if path, isFile := strings.CutPrefix(url, "sqlite://"); isFile {
		driver, source = "sqlite", "file:"+path+"?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)"
	}
	var err error
	w.raw, err = sql.Open(driver, source)
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.raw.Close() })
	files, err := imagestore.Open(t.Context(), "file://"+w.dir)
	require.NoError(t, err)
	tokens, err := token.NewIssuer([]byte(strings.Repeat("k", 32)), 15*time.Minute, w.now)
	require.NoError(t, err)
	vault, err := token.NewVault([]byte(strings.Repeat("k", 32)))
	require.NoError(t, err)

	hasher := password.NewHasher()
	settings := service.AuthSettings{RefreshTTL: 168 * time.Hour, SessionTTL: 720 * time.Hour, InvitationTTL: 72 * time.Hour, MinPassword: 8}
	w.pictures = service.NewPictures(w.store, files, slog.New(slog.NewTextHandler(w, nil)), w.now)
	w.auth = service.NewAuth(w.store, tokens, vault, hasher, settings, w.now)
	w.users = service.NewUsers(w.store, settings.InvitationTTL, w.now)
	w.categories = service.NewCategories(w.store, w.pictures, w.now)
	w.products = service.NewProducts(w.store, w.pictures, w.now)
	w.orders = service.NewOrders(w.store, w.now)
	w.operator = service.NewOperator(w.store, hasher, 8, w.now)
	w.housekeeping = service.NewHousekeeping(w.store, w.pictures, w.now)
	return w
}

func (w *moving) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *moving) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

// Write takes what is logged.
func (w *moving) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *moving) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// within is the same world in a sub-test, which has a deadline of its own.
func (w *world) within(t *testing.T) *world {
	t.Helper()
	inner := *w
	inner.t = t
	var cancel context.CancelFunc
	inner.ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return &inner
}

func (w *world) ok(err error) {
	w.t.Helper()
	require.NoError(w.t, err)
}

// refuses checks that an error is a refusal of the kind about exactly these fields.
func (w *world) refuses(err error, kind domain.Kind, fields ...string) {
	w.t.Helper()
	var e *domain.Error
	require.ErrorAs(w.t, err, &e)
	require.Equal(w.t, kind, e.Kind, err)
	var named []string
	for field := range e.Fields {
		named = append(named, field)
	}
	require.ElementsMatch(w.t, fields, named)
}

func (w *world) exec(statements ...string) {
	w.t.Helper()
	for _, s := range statements {
		_, err := w.raw.ExecContext(w.ctx, s)
		require.NoError(w.t, err, s)
	}
}

var tables = []string{
	"users", "sessions", "refresh_tokens", "one_time_tokens", "login_failures", "categories", "products", "orders", "order_steps", "movements", "outbox", "deliveries",
	"second_factors", "recovery_codes", "api_keys",
	"attempts", "audit_log", "audit_head",
}

// dump gives all that is stored: the rows of every table, and the names of the pictures.
func (w *world) dump() map[string][]string {
	w.t.Helper()
	all := map[string][]string{"pictures": w.files()}
	for _, table := range tables {
		all[table] = w.rows(table)
	}
	return all
}

// rows gives all that is in a table.
func (w *world) rows(table string) []string {
	w.t.Helper()
	rows, err := w.raw.QueryContext(w.ctx, "SELECT * FROM "+table)
	w.ok(err)
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	w.ok(err)
	lines := []string{}
	for rows.Next() {
		values, places := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			places[i] = &values[i]
		}
		w.ok(rows.Scan(places...))
		lines = append(lines, fmt.Sprint(values...))
	}
	w.ok(rows.Err())
	slices.Sort(lines)
	return lines
}

// files gives the names in the directory of pictures.
func (w *world) files() []string {
	w.t.Helper()
	entries, err := os.ReadDir(w.dir)
	w.ok(err)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// changed gives the tables in which two dumps differ.
func changed(before, after map[string][]string) []string {
	var names []string
	for table := range after {
		if !slices.Equal(before[table], after[table]) {
			names = append(names, table)
		}
	}
	slices.Sort(names)
	return names
}

// serial makes names that occur once.
func serial() string { return uuid.NewString()[:8] }

// user makes an active user.
func (w *world) user(role domain.Role) domain.User {
	w.t.Helper()
	name := strings.ToLower(string(role)) + "_" + serial()
	u := domain.NewDraft(name+"@example.com", "Jane", "Doe", role, w.now())
	u.Activate(name, goodHash(), w.now())
	w.ok(w.store.Users.Create(w.ctx, u))
	return u
}

// draft makes an invited user.
func (w *world) draft(role domain.Role) domain.User {
	w.t.Helper()
	admin := w.user(domain.RoleAdmin)
	email := "draft_" + serial() + "@example.com"
	w.ok(w.auth.Invite(w.ctx, domain.Actor{ID: admin.ID, Role: admin.Role}, service.Invitee{Email: email, FirstName: "Drew", LastName: "Aft", Role: role}, nil, nil))
	u, err := w.store.Users.ByEmail(w.ctx, email)
	w.ok(err)
	return u
}

// actor is a user with a session.
type actor struct {
	domain.Actor
	user    domain.User
	refresh string
	access  string
}

// login opens a session for a user, as a login would.
func (w *world) login(u domain.User) actor {
	w.t.Helper()
	pair, err := w.auth.Login(w.ctx, domain.Stranger(address), u.Email, goodPassword, "", nil)
	w.ok(err)
	who, err := w.auth.Authenticate(w.ctx, pair.Access, address)
	w.ok(err)
	return actor{who, u, pair.Refresh, pair.Access}
}

// as makes somebody of a role who is logged in, without the cost of a password.
func (w *world) as(role domain.Role) actor {
	w.t.Helper()
	u := w.user(role)
	return w.session(u)
}

func (w *world) session(u domain.User) actor {
	w.t.Helper()
	s := domain.NewSession(u.ID, 168*time.Hour, 720*time.Hour, w.now())
	a := actor{domain.Actor{ID: u.ID, Role: u.Role, SessionID: s.ID}, u, token.NewSecret(), ""}
	w.ok(w.store.Sessions.Create(w.ctx, s, domain.RefreshToken{Hash: token.Hash(a.refresh), SessionID: s.ID, CreatedAt: w.now()}))
	issuer, err := token.NewIssuer([]byte(strings.Repeat("k", 32)), 15*time.Minute, w.now)
	w.ok(err)
	a.access, err = issuer.Issue(token.Claims{UserID: u.ID, SessionID: s.ID})
	w.ok(err)
	return a
}

// live says whether somebody's session can still be used.
func (w *world) live(a actor) bool {
	w.t.Helper()
	_, err := w.auth.Authenticate(w.ctx, a.access, address)
	if err != nil {
		w.refuses(err, domain.KindUnauthenticated, "authorization")
	}
	return err == nil
}

func (w *world) category() domain.Category {
	w.t.Helper()
	c := domain.NewCategory("Category "+serial(), w.now())
	w.ok(w.store.Categories.Create(w.ctx, c))
	return c
}

// product makes a product, with a picture if there is one.
func (w *world) product(in domain.Category, quantity int64, picture []byte) domain.Product {
	w.t.Helper()
	p, err := w.products.Create(w.ctx, w.as(domain.RoleAdmin).Actor, service.ProductInput{Name: "Product " + serial(), Category: in.Name, Quantity: &quantity, Image: picture}, nil, nil)
	w.ok(err)
	return p
}

// order makes an order in a state.
func (w *world) order(p domain.Product, quantity int64, state domain.OrderState) domain.Order {
	w.t.Helper()
	admin := w.as(domain.RoleAdmin).Actor
	path := map[domain.OrderState][]domain.OrderState{
		domain.OrderDraft: {domain.OrderDraft}, domain.OrderPending: {domain.OrderPending}, domain.OrderReady: {domain.OrderPending, domain.OrderReady},
		domain.OrderCompleted: {domain.OrderPending, domain.OrderReady, domain.OrderCompleted}, domain.OrderCancelled: {domain.OrderDraft, domain.OrderCancelled},
	}[state]
	o, err := w.orders.Place(w.ctx, admin, service.NewOrder{ItemID: p.ID, Client: "Client", Quantity: quantity, State: path[0]}, nil, nil)
	w.ok(err)
	for _, to := range path[1:] {
		o, err = w.orders.Move(w.ctx, admin, o.ID, to, domain.Expectation{}, nil)
		w.ok(err)
	}
	return o
}

// picture makes a small picture of a colour.
func picture(c uint8) []byte {
	img := image.NewRGBA(image.Rect(0, 0, 4, 4))
	img.Set(1, 1, color.RGBA{c, c, c, 255})
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// announced is what an event says, as far as these tests look.
type announced struct {
	Type    domain.EventType
	Subject uuid.UUID
	Email   string
	Token   string
}

// events gives what waits in the outbox. Nothing relays it in these tests.
func (w *world) events() []announced {
	w.t.Helper()
	rows, err := w.raw.QueryContext(w.ctx, "SELECT type, subject, data FROM outbox ORDER BY id")
	w.ok(err)
	defer func() { _ = rows.Close() }()
	all := []announced{}
	for rows.Next() {
		var a announced
		var data string
		w.ok(rows.Scan(&a.Type, &a.Subject, &data))
		w.ok(json.Unmarshal([]byte(data), &a))
		all = append(all, a)
	}
	w.ok(rows.Err())
	return all
}

// lastEvent gives the newest one.
func (w *world) lastEvent() announced {
	w.t.Helper()
	all := w.events()
	require.NotEmpty(w.t, all)
	return all[len(all)-1]
}

// invitee makes somebody to invite.
func invitee(role domain.Role) service.Invitee {
	return service.Invitee{Email: "new_" + serial() + "@example.com", FirstName: "Nea", LastName: "Comer", Role: role}
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
