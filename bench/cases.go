package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// benchCase is one kind of request.
type benchCase struct {
	name    string
	clients int
	status  int // of every answer
	grows   bool
	next    func(dice *rand.Rand) (request, bool) // false: nothing is left to ask for

	uses *queue // what next takes from, if it takes anything

	// varies lists the fields in which two servers' answers to the same kind of request differ: what is made anew, and when.
	varies []string
	// alone marks what each answer changes, so that two servers cannot be asked the same: they are asked for the next.
	alone bool
}

// Clients that ask at a time. A search keeps a core busy by itself; a login does by design, and more than nine unanswered tries from one address
// are held up as guessing.
const (
	manyClients  = 32
	someClients  = 8
	loginClients = 4
	crowd        = 64 // all of whom approve orders of the same product
)

// stock is what there is to ask for in one database.
type stock struct {
	products   []string // ids, drawn at random
	categories []string
	pending    *queue // ids of orders that wait for approval
	hot        *queue // the same, all of the one product
	hotID      string
	pictured   string // the id of the product with a picture
	image      string // that picture's name
	tag        string // that product's entity tag
	after      string // the cursor behind a page of products far from the first
	afterOrder string // the same of orders
	size       int
}

// anew is the same of a database in which nothing is taken yet.
func (s *stock) anew() *stock {
	fresh := *s
	fresh.pending, fresh.hot = s.pending.anew(), s.hot.anew()
	return &fresh
}

// queue hands out each of its ids once.
type queue struct {
	of     []string // the products that the orders want
	loaded int      // how many were there from the beginning
	mu     sync.Mutex
	ids    []string
	taken  int
}

func (q *queue) anew() *queue {
	return &queue{of: q.of, loaded: q.loaded, ids: slices.Clip(q.ids[:q.loaded])}
}

func (q *queue) take() (string, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.taken == len(q.ids) {
		return "", false
	}
	q.taken++
	return q.ids[q.taken-1], true
}

func (q *queue) left() int { return len(q.ids) - q.taken }

// handedOut are the ids that were taken.
func (q *queue) handedOut() []string { return q.ids[:q.taken] }

// fill has the server make orders until so many are left.
func (q *queue) fill(ctx context.Context, s *server, least int) error {
	var makers errgroup.Group
	makers.SetLimit(manyClients)
	for n := range least - q.left() {
		makers.Go(func() error {
			made, err := s.ask(ctx, place(q.of[n%len(q.of)]))
			if err != nil || made.status != http.StatusCreated {
				return fmt.Errorf("make an order: %w, %d %s", err, made.status, made.body)
			}
			q.mu.Lock()
			defer q.mu.Unlock()
			q.ids = append(q.ids, path.Base(made.header.Get("Location")))
			return nil
		})
	}
	return makers.Wait()
}

// The hot product by the number that catalogue.sql gives it, and the one with a picture, which nothing changes.
var (
	hot      = "(SELECT id FROM products ORDER BY created_at, id LIMIT 1 OFFSET 6)"
	pictured = "(SELECT id FROM products ORDER BY created_at, id LIMIT 1 OFFSET 7)"
)

// look reads from the database what there is to ask for.
func look(ctx context.Context, db *pgx.Conn, products int) (*stock, error) {
	s := &stock{pending: &queue{}, hot: &queue{}, size: products}
	if err := db.QueryRow(ctx, "SELECT "+hot+"::text, "+pictured+"::text").Scan(&s.hotID, &s.pictured); err != nil {
		return nil, err
	}
	pending := "SELECT id::text FROM orders WHERE state = 'Pending' AND deleted_at IS NULL AND product_id "
	for into, sql := range map[*[]string]string{
		&s.products:    "SELECT id::text FROM products WHERE id NOT IN ($1, $2) ORDER BY md5(id::text) LIMIT 5000",
		&s.pending.ids: pending + "NOT IN ($1, $2) ORDER BY md5(id::text) LIMIT 400000",
		&s.hot.ids:     pending + "= $1 AND $2::uuid IS NOT NULL ORDER BY id",
		&s.categories:  "SELECT name FROM categories WHERE id NOT IN ($1, $2) ORDER BY name_key",
	} {
		rows, err := db.Query(ctx, sql, s.hotID, s.pictured)
		if err != nil {
			return nil, err
		}
		if *into, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return nil, err
		}
	}
	s.pending.of, s.pending.loaded = s.products, len(s.pending.ids)
	s.hot.of, s.hot.loaded = []string{s.hotID}, len(s.hot.ids)
	return s, nil
}

func get(route string, query ...string) request {
	values := url.Values{}
	for i := 0; i < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	if len(values) > 0 {
		route += "?" + values.Encode()
	}
	return request{method: http.MethodGet, path: route}
}

func always(r request) func(*rand.Rand) (request, bool) {
	return func(*rand.Rand) (request, bool) { return r, true }
}

// draw makes a request of something drawn at random.
func draw(from []string, ask func(string) request) func(*rand.Rand) (request, bool) {
	return func(dice *rand.Rand) (request, bool) { return ask(from[dice.IntN(len(from))]), true }
}

// Words of catalogue.sql: one of materials is in a tenth of all names, a pair of finish and thing in five of a thousand.
var (
	materials = []string{"Steel", "Brass", "Copper", "Titanium", "Nylon", "Oak", "Walnut", "Granite", "Carbon", "Zinc"}
	finishes  = []string{"polished", "brushed", "painted", "coated", "tempered", "waxed"}
	things    = []string{"bolt", "washer", "bracket", "hinge", "lantern", "shelf", "crate", "hammer", "wrench", "ladder"}
	states    = []string{"Draft", "Pending", "Ready", "Completed", "Cancelled"}
)

func (s *stock) cases() []benchCase {
	search := func(route string) func(string) request {
		return func(text string) request { return get(route, "search", text) }
	}
	prefix := func(form string, of int) func(*rand.Rand) string {
		return func(dice *rand.Rand) string { return fmt.Sprintf(form, 1+dice.IntN(max(of/10-1, 1))) }
	}
	fewProducts, fewOrders := prefix("KX-%06d", s.size), prefix("C-%07d", 2*s.size)
	const products, orders = "/products", "/products/orders"
	return []benchCase{
		{name: "login", clients: loginClients, status: http.StatusOK, next: always(login(tillEmail)), varies: []string{"accessToken", "refreshToken"}},

		{name: "a product", clients: manyClients, status: http.StatusOK, grows: true, next: draw(s.products, func(id string) request {
			return get("/products/" + id)
		})},
		{name: "a product, unchanged (304)", clients: manyClients, status: http.StatusNotModified, next: always(request{
			method: http.MethodGet, path: "/products/" + s.pictured, ifNoneMatch: s.tag,
		})},
		{name: "a picture", clients: manyClients, status: http.StatusOK, next: always(get("/images/" + s.image))},

		{name: "products, first page", clients: manyClients, status: http.StatusOK, grows: true, next: always(get(products))},
		{name: "products of a category", clients: manyClients, status: http.StatusOK, grows: true, next: draw(s.categories, func(c string) request {
			return get(products, "category", c)
		})},
		{name: "products, page 1000", clients: someClients, status: http.StatusOK, next: always(get(products, "page", "1000"))},
		{name: "products behind a cursor", clients: manyClients, status: http.StatusOK, grows: true, next: always(get(products, "after", s.after))},
		{name: "products, search that finds 10", clients: someClients, status: http.StatusOK, grows: true, next: func(dice *rand.Rand) (request, bool) {
			return search(products)(fewProducts(dice)), true
		}},
		{name: "products, search that finds 1 in 200", clients: someClients, status: http.StatusOK, next: func(dice *rand.Rand) (request, bool) {
			return search(products)(finishes[dice.IntN(len(finishes))] + " " + things[dice.IntN(len(things))]), true
		}},
		{name: "products, search that finds 1 in 10", clients: someClients, status: http.StatusOK, next: draw(materials, search(products))},
		{name: "products, search that finds none", clients: someClients, status: http.StatusOK, next: always(search(products)("unobtainium"))},

		{name: "orders, first page", clients: manyClients, status: http.StatusOK, grows: true, next: always(get(orders))},
		{name: "orders in a state", clients: manyClients, status: http.StatusOK, grows: true, next: draw(states, func(state string) request {
			return get(orders, "state", state)
		})},
		{name: "orders of a category", clients: someClients, status: http.StatusOK, next: draw(s.categories, func(c string) request {
			return get(orders, "category", c)
		})},
		{name: "orders, page 1000", clients: someClients, status: http.StatusOK, next: always(get(orders, "page", "1000"))},
		{name: "orders behind a cursor", clients: manyClients, status: http.StatusOK, grows: true, next: always(get(orders, "after", s.afterOrder))},
		{name: "orders, search that finds 10", clients: someClients, status: http.StatusOK, next: func(dice *rand.Rand) (request, bool) {
			return search(orders)(fewOrders(dice)), true
		}},

		{name: "making an order", clients: manyClients, status: http.StatusCreated, next: draw(s.products, place),
			varies: []string{"id", "createdAt", "updatedAt"}},
		{name: "approval, of many products", clients: manyClients, status: http.StatusOK, next: approve(s.pending), uses: s.pending,
			varies: []string{"id", "createdAt", "updatedAt", "client", "description", "quantity", "name", "category", "sku", "reorderLevel", "imageUrl"},
			alone:  true},
		{name: "approval, of one product", clients: crowd, status: http.StatusOK, next: approve(s.hot), uses: s.hot,
			varies: []string{"id", "createdAt", "updatedAt", "client", "description", "quantity"}, alone: true},
		{name: "changing a quantity by 1", clients: manyClients, status: http.StatusOK, next: draw(s.products, func(id string) request {
			return request{method: http.MethodPatch, path: "/products/quantity/" + id, body: `{"delta":1}`}
		}), varies: []string{"quantity", "updatedAt"}},
	}
}

func login(email string) request {
	return request{method: http.MethodPost, path: "/auth/login", body: fmt.Sprintf(`{"email":%q,"password":%q}`, email, password)}
}

func place(product string) request {
	return request{method: http.MethodPost, path: "/products/orders", body: fmt.Sprintf(
		`{"itemId":%q,"client":"Bench and Daughters","description":"Contract B-1, to be delivered to the gate","quantity":1}`, product)}
}

func approve(q *queue) func(*rand.Rand) (request, bool) {
	return func(*rand.Rand) (request, bool) {
		id, ok := q.take()
		return request{method: http.MethodPatch, path: "/products/orders/state/" + id, body: `{"transition":"Ready"}`}, ok
	}
}
