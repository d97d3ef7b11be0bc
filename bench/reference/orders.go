package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// order is one with its item in the form I.
type order[I any] struct {
	ID          uuid.UUID `json:"id"`
	Client      string    `json:"client"`
	Description string    `json:"description"`
	Quantity    int64     `json:"quantity"`
	State       string    `json:"state"`
	CreatedAt   stamp     `json:"createdAt"`
	UpdatedAt   stamp     `json:"updatedAt"`
	Item        I         `json:"item"`
	version     int64
}

const orderColumns = "o.id, o.client, o.description, o.quantity, o.state, o.created_at, o.updated_at, o.version"

// into gives the places for [orderColumns].
func (o *order[I]) into() []any {
	return []any{&o.ID, &o.Client, &o.Description, &o.Quantity, &o.State, (*time.Time)(&o.CreatedAt), (*time.Time)(&o.UpdatedAt), &o.version}
}

// item is what a list of orders shows of a product.
type item struct {
	ID       uuid.UUID `json:"id"`
	Name     string    `json:"name"`
	Category string    `json:"category"`
	Quantity int64     `json:"quantity"`
	ImageURL *string   `json:"imageUrl"`
	Deleted  bool      `json:"deleted,omitempty"`
}

func (s *server) listOrders(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	l := &list{
		table: "orders o", letter: "o", joined: "JOIN products p ON p.id = o.product_id JOIN categories c ON c.id = p.category_id",
		columns: orderColumns + ", p.id, p.name, c.name, p.quantity, p.image, p.deleted_at IS NOT NULL",
		total:   "(SELECT COALESCE(sum(n), 0)::bigint FROM order_counts)",
	}
	if state := q.Get("state"); state != "" {
		named := l.arg(state)
		l.filter = " AND o.state = " + named
		l.total = "(SELECT COALESCE(sum(n), 0)::bigint FROM order_counts WHERE state = " + named + ")"
	} else if category := q.Get("category"); category != "" {
		named := fmt.Sprintf(categoryNamed, l.arg(strings.ToLower(category)))
		l.filter = " AND p.category_id = " + named
		// Products have an index of a category's for those that are there, and one for those that are deleted.
		l.count(fmt.Sprintf(`SELECT o.id FROM (SELECT id FROM products WHERE category_id = %[1]s AND deleted_at IS NULL
				UNION ALL SELECT id FROM products WHERE category_id = %[1]s AND deleted_at IS NOT NULL) p
			CROSS JOIN LATERAL (SELECT id FROM orders WHERE product_id = p.id AND deleted_at IS NULL OFFSET 0) o`, named))
	} else if search := q.Get("search"); search != "" {
		like := l.like(search)
		l.filter = fmt.Sprintf(" AND (o.search_key LIKE %[1]s OR p.name_key LIKE %[1]s)", like)
		// OFFSET 0 keeps the order of the steps: from the texts to their rows.
		l.found = fmt.Sprintf(`SELECT order_id AS id FROM order_texts WHERE text LIKE %[1]s UNION ALL
			SELECT o.id FROM (SELECT product_id FROM product_texts WHERE text LIKE %[1]s OFFSET 0) t
			CROSS JOIN LATERAL (SELECT id FROM products WHERE id = t.product_id AND name_key LIKE %[1]s OFFSET 0) p
			CROSS JOIN LATERAL (SELECT id FROM orders WHERE product_id = p.id AND deleted_at IS NULL AND search_key NOT LIKE %[1]s OFFSET 0) o`, like)
		l.count(l.found)
	}
	p, err := newPage(q)
	if err != nil {
		return err
	}
	found, err := read(r.Context(), s, l, &p, func(row pgx.Rows, total *int64) (order[item], error) {
		var o order[item]
		i := &o.Item
		err := row.Scan(append(append([]any{total}, o.into()...), &i.ID, &i.Name, &i.Category, &i.Quantity, &i.ImageURL, &i.Deleted)...)
		return o, err
	}, func(o order[item]) cursor { return cursor{Time: time.Time(o.CreatedAt).UTC(), ID: o.ID} })
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		Orders []order[item] `json:"orders"`
		page
	}{found, p})
}

// placeOrder holds the product, and makes the order with the first line of its history and that of the audit log.
const placeOrder = `
WITH p AS (
	SELECT * FROM products WHERE id = $11 AND deleted_at IS NULL AND quantity >= $14 FOR SHARE
), done AS (
	INSERT INTO orders (id, product_id, client, client_key, description, search_key, quantity, state, version, created_by, created_at, updated_at)
	SELECT $10::uuid, id, $12::text, $15::text, $13::text, $16::text, $14::bigint, 'Pending', 1, $3::uuid, $2::timestamptz, $2::timestamptz FROM p
	RETURNING *
), stepped AS (
	INSERT INTO order_steps (id, order_id, order_version, to_state, user_id, created_at)
	SELECT $17::uuid, id, 1, 'Pending', $3::uuid, $2::timestamptz FROM done
), ` + auditTail + `
SELECT ` + orderColumns + `, ` + productColumns + ` FROM done o, p JOIN categories c ON c.id = p.category_id`

func (s *server) place(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		ItemID      uuid.UUID
		Client      string
		Description string
		Quantity    int64
	}
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	id, key := uuid.Must(uuid.NewV7()), strings.ToLower(in.Client)
	details := struct {
		Item     uuid.UUID `json:"item"`
		Quantity int64     `json:"quantity"`
		State    string    `json:"state"`
	}{in.ItemID, in.Quantity, "Pending"}
	entry := newEntry(callerOf(r.Context()), now(), "order.placed", "order", id, details)
	var o order[product]
	err := s.db.QueryRow(r.Context(), placeOrder, entry.before(id, in.ItemID, in.Client, in.Description, in.Quantity, key,
		key+"\n"+strings.ToLower(in.Description), uuid.Must(uuid.NewV7()))...).Scan(append(o.into(), o.Item.into()...)...)
	if isNoRow(err) {
		return refusal{http.StatusConflict, "quantity", "The item does not exist or has too little"}
	}
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/products/orders/"+id.String())
	w.Header().Set("ETag", tag(o.version))
	return writeJSON(w, http.StatusCreated, o)
}

// approveOrder moves a Pending order to Ready, takes its stock, writes history, movement and audit log, and announces what has become low. Where
// there is too little, the product's own check fails it as a whole.
const approveOrder = `
WITH o AS (
	UPDATE orders SET state = 'Ready', version = version + 1, updated_at = $2 WHERE id = $10 AND state = 'Pending' AND deleted_at IS NULL RETURNING *
), done AS (
	UPDATE products SET quantity = products.quantity - o.quantity, version = products.version + 1, updated_at = $2
	FROM o WHERE products.id = o.product_id RETURNING products.*
), stepped AS (
	INSERT INTO order_steps (id, order_id, order_version, from_state, to_state, user_id, created_at)
	SELECT $11::uuid, id, version, 'Pending', 'Ready', $3::uuid, $2::timestamptz FROM o
), moved AS (
	INSERT INTO movements (id, product_id, product_version, delta, quantity_after, reason, order_id, user_id, note, created_at)
	SELECT $12::uuid, p.id, p.version, -o.quantity, p.quantity, 'Reserved', o.id, $3::uuid, '', $2::timestamptz FROM o, done p
), low AS (
	SELECT p.* FROM o, done p WHERE p.quantity <= p.reorder_level AND p.quantity + o.quantity > p.reorder_level
), ` + announceLow + `, ` + auditTail + `
SELECT ` + orderColumns + `, ` + productColumns + ` FROM o, done p JOIN categories c ON c.id = p.category_id`

func (s *server) approve(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "transaction")
	if err != nil {
		return err
	}
	var in struct{ Transition string }
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	if in.Transition != "Ready" {
		return refusal{http.StatusBadRequest, "transition", "The reference approves and nothing else"}
	}
	entry := newEntry(callerOf(r.Context()), now(), "order.moved", "order", id, map[string]string{"from": "Pending", "to": "Ready"})
	var o order[product]
	args := entry.before(id, uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7()))
	err = s.db.QueryRow(r.Context(), approveOrder, args...).Scan(append(o.into(), o.Item.into()...)...)
	const checkViolation = "23514"
	switch {
	case isNoRow(err):
		return refusal{http.StatusConflict, "transition", "The transaction does not exist or does not wait for approval"}
	case isRefused(err, checkViolation):
		return refusal{http.StatusConflict, "quantity", "The item has too little"}
	case err != nil:
		return err
	}
	w.Header().Set("ETag", tag(o.version))
	return writeJSON(w, http.StatusOK, o)
}
