package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

type product struct {
	ID          uuid.UUID `json:"id"`
	Name        string    `json:"name"`
	Category    string    `json:"category"`
	Quantity    int64     `json:"quantity"`
	Description string    `json:"description"`
	SKU         *string   `json:"sku,omitempty"`
	Reorder     *int64    `json:"reorderLevel,omitempty"`
	ImageURL    *string   `json:"imageUrl"`
	CreatedAt   stamp     `json:"createdAt"`
	UpdatedAt   stamp     `json:"updatedAt"`
	version     int64
}

const productColumns = "p.id, p.name, c.name, p.quantity, p.description, p.sku, p.reorder_level, p.image, p.created_at, p.updated_at, p.version"

// into gives the places for [productColumns].
func (p *product) into() []any {
	return []any{
		&p.ID, &p.Name, &p.Category, &p.Quantity, &p.Description, &p.SKU, &p.Reorder, &p.ImageURL,
		(*time.Time)(&p.CreatedAt), (*time.Time)(&p.UpdatedAt), &p.version,
	}
}

func tag(version int64) string { return `"v` + strconv.FormatInt(version, 10) + `"` }

func pathID(r *http.Request, thing string) (uuid.UUID, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return id, notFound(thing, r.PathValue("id"))
	}
	return id, nil
}

func notFound(thing, id string) refusal {
	return refusal{http.StatusNotFound, "id", fmt.Sprintf("The %s with id '%s' does not exist", thing, id)}
}

const productByID = "SELECT " + productColumns + " FROM products p JOIN categories c ON c.id = p.category_id WHERE p.id = $1 AND p.deleted_at IS NULL"

func (s *server) product(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "item")
	if err != nil {
		return err
	}
	var p product
	if err := s.db.QueryRow(r.Context(), productByID, id).Scan(p.into()...); isNoRow(err) {
		return notFound("item", id.String())
	} else if err != nil {
		return err
	}
	w.Header().Set("ETag", tag(p.version))
	if r.Header.Get("If-None-Match") == tag(p.version) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return writeJSON(w, http.StatusOK, p)
}

const categoryNamed = "(SELECT id FROM categories WHERE name_key = %s AND deleted_at IS NULL)"

func (s *server) listProducts(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	l := &list{
		table: "products p", letter: "p", joined: "JOIN categories c ON c.id = p.category_id", columns: productColumns,
		total: "(SELECT COALESCE(sum(n), 0)::bigint FROM product_counts)",
	}
	if category := q.Get("category"); category != "" {
		named := fmt.Sprintf(categoryNamed, l.arg(strings.ToLower(category)))
		l.filter = " AND p.category_id = " + named
		l.total = "(SELECT COALESCE(sum(n), 0)::bigint FROM product_counts WHERE category_id = " + named + ")"
	} else if search := q.Get("search"); search != "" {
		like := l.like(search)
		l.filter = " AND p.search_key LIKE " + like
		l.found = "SELECT product_id AS id FROM product_texts WHERE text LIKE " + like
		l.count(l.found)
	}
	p, err := newPage(q)
	if err != nil {
		return err
	}
	found, err := read(r.Context(), s, l, &p, func(row pgx.Rows, total *int64) (product, error) {
		var p product
		err := row.Scan(append([]any{total}, p.into()...)...)
		return p, err
	}, func(p product) cursor { return cursor{Time: time.Time(p.CreatedAt).UTC(), ID: p.ID} })
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		Products []product `json:"products"`
		page
	}{found, p})
}

// adjustStock changes a product's quantity, writes the movement and the audit log, and announces what has become low.
const adjustStock = `
WITH done AS (
	UPDATE products SET quantity = quantity + $11, version = version + 1, updated_at = $2
	WHERE id = $10 AND deleted_at IS NULL AND quantity + $11 BETWEEN 0 AND 1000000000 RETURNING *
), moved AS (
	INSERT INTO movements (id, product_id, product_version, delta, quantity_after, reason, user_id, note, created_at)
	SELECT $12::uuid, id, version, $11, quantity, 'Adjusted', $3::uuid, $13::text, $2::timestamptz FROM done
), low AS (
	SELECT * FROM done WHERE quantity <= reorder_level AND quantity - $11 > reorder_level
), ` + announceLow + `, ` + auditTail + `
SELECT ` + productColumns + ` FROM done p JOIN categories c ON c.id = p.category_id`

// announceLow tells everybody who watches the stock of the product in "low", if there is one.
const announceLow = `announced AS (
	INSERT INTO outbox (id, type, subject, data, occurred_at, state, retries, due_at, last_error, trace_parent)
	SELECT gen_random_uuid(), 'stock.low', u.id, json_build_object('email', u.email, 'firstName', u.first_name, 'lastName', u.last_name,
		'productId', low.id, 'productName', low.name, 'sku', COALESCE(low.sku, ''), 'quantity', low.quantity, 'reorderLevel', low.reorder_level)::text,
		$2, 'Pending', 0, $2, '', ''
	FROM low JOIN users u ON u.deleted_at IS NULL AND u.status = 'Active' AND u.role IN ('Admin', 'Manager')
)`

func (s *server) adjust(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "item")
	if err != nil {
		return err
	}
	var in struct {
		Delta int64
		Note  string
	}
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	entry := newEntry(callerOf(r.Context()), now(), "product.adjusted", "product", id, map[string]int64{"delta": in.Delta})
	var p product
	err = s.db.QueryRow(r.Context(), adjustStock, entry.before(id, in.Delta, uuid.Must(uuid.NewV7()), in.Note)...).Scan(p.into()...)
	if isNoRow(err) {
		if err = s.db.QueryRow(r.Context(), productByID, id).Scan(p.into()...); isNoRow(err) {
			return notFound("item", id.String())
		} else if err == nil {
			err = refusal{http.StatusConflict, "delta", fmt.Sprintf("The item '%s' has %d unit(s)", p.Name, p.Quantity)}
		}
	}
	if err != nil {
		return err
	}
	w.Header().Set("ETag", tag(p.version))
	return writeJSON(w, http.StatusOK, p)
}
