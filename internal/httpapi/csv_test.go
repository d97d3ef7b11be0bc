package httpapi_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

// records reads the rows of a file.
func (a answer) records() [][]string {
	a.t.Helper()
	require.Equal(a.t, "text/csv; charset=utf-8", a.Header.Get("Content-Type"), a.Body)
	rows, err := csv.NewReader(strings.NewReader(a.Body)).ReadAll()
	require.NoError(a.t, err)
	return rows
}

func TestExport_products(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC))
		s.category("Electronics")
		s.category("=Toys")
		user, reader := s.as(domain.RoleUser), s.as(domain.RoleReadonlyUser)
		header := []string{"id", "sku", "name", "category", "quantity", "reorderLevel", "description", "createdAt", "updatedAt"}
		empty := reader.get("/products/export").wants(http.StatusOK)
		require.Equal(t, [][]string{header}, empty.records())
		require.Equal(t, `attachment; filename="products.csv"`, empty.Header.Get("Content-Disposition"))

		const at = "2021-01-01T00:00:00.000Z"
		phone := user.post("/products", j{"name": "iPhone, \"12\"", "category": "Electronics", "quantity": 10, "description": "one\ntwo", "sku": "A-1", "reorderLevel": 0}).
			wants(http.StatusCreated).text("id")
		doll := user.post("/products", j{"name": "+Doll", "category": "=Toys", "quantity": 0, "description": "\t''x", "sku": "'=1"}).wants(http.StatusCreated).text("id")
		one := []string{phone, "A-1", "iPhone, \"12\"", "Electronics", "10", "0", "one\ntwo", at, at}
		two := []string{doll, "''=1", "'+Doll", "'=Toys", "0", "", "'\t''x", at, at}
		for query, rows := range map[string][][]string{
			"": {one, two}, "?search=TWO": {one}, "?search='=1": {two}, "?category=electronics": {one}, "?lowStock=true": {}, "?lowStock=false&category=%3Dtoys": {two}, "?search=nothing": {},
			"?page=7&pageSize=1&sort=x": {one, two}, // a file has no pages
		} {
			require.Equal(t, append([][]string{header}, rows...), reader.get("/products/export"+query).wants(http.StatusOK).records(), query)
		}
		reader.get("/products/export?lowStock=x&category=Nowhere&search=%00").refuses(http.StatusBadRequest, "lowStock", "category", "search")
	})
}

func TestExport_orders(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC))
		s.category("Electronics")
		user, reader := s.as(domain.RoleUser), s.as(domain.RoleReadonlyUser)
		item := user.post("/products", goodProduct.with(raw{"sku": `"-1"`})).wants(http.StatusCreated).text("id")
		place := func(client, state string) string {
			return user.post("/products/orders", j{"itemId": item, "client": client, "description": "@x", "quantity": 3, "initialState": state}).wants(http.StatusCreated).text("id")
		}
		draft, pending := place("Jane", "Draft"), place("=John", "Pending")
		const at = "2021-01-01T00:00:00.000Z"
		header := []string{"id", "itemId", "itemSku", "itemName", "category", "client", "description", "quantity", "state", "createdAt", "updatedAt"}
		one := []string{draft, item, "'-1", "iPhone 12", "Electronics", "Jane", "'@x", "3", "Draft", at, at}
		two := []string{pending, item, "'-1", "iPhone 12", "Electronics", "'=John", "'@x", "3", "Pending", at, at}
		for query, rows := range map[string][][]string{
			"": {one, two}, "?state=Draft": {one}, "?search=JOHN": {two}, "?category=electronics&state=Pending": {two}, "?state=Ready": {},
		} {
			got := reader.get("/products/orders/export" + query).wants(http.StatusOK)
			require.Equal(t, append([][]string{header}, rows...), got.records(), query)
			require.Equal(t, `attachment; filename="transactions.csv"`, got.Header.Get("Content-Disposition"))
		}
		reader.get("/products/orders/export?state=x&category=Nowhere").refuses(http.StatusBadRequest, "state", "category")
	})
}

// TestExport_batches exports more than is read at a time: every product once.
func TestExport_batches(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		reader := s.as(domain.RoleReadonlyUser)
		require.NoError(t, s.store.Categories.Create(t.Context(), domain.NewCategory("Electronics", s.now())))
		category, err := s.store.Categories.ByName(t.Context(), "Electronics")
		require.NoError(t, err)
		var want []string
		for i := range 1001 {
			p := domain.NewProduct(fmt.Sprint("Nail ", i), "", category, nil, s.now())
			require.NoError(t, s.store.Products.Create(t.Context(), p))
			want = append(want, p.ID.String())
		}
		for _, query := range []string{"", "?category=Electronics", "?search=nail"} {
			var got []string
			for _, row := range reader.get("/products/export" + query).wants(http.StatusOK).records()[1:] {
				got = append(got, row[0])
			}
			require.Equal(t, want, got)
		}
	})
}

// TestExport_cutOff breaks the database in the middle of an answer, which must not pass for a whole one.
func TestExport_cutOff(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	reader, category := s.as(domain.RoleReadonlyUser), s.category("Electronics")
	for range 500 {
		s.product("Nail", category, 1)
	}
	w := &breakingRecorder{ResponseRecorder: httptest.NewRecorder(), at: func() { require.NoError(t, s.store.Close()) }}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/products/export", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+reader.access)
	require.PanicsWithError(t, http.ErrAbortHandler.Error(), func() { s.handler.ServeHTTP(w, r) })
	require.Contains(t, s.log.String(), "request failed")
}

// breakingRecorder does something before the first bytes.
type breakingRecorder struct {
	*httptest.ResponseRecorder
	at func()
}

func (w *breakingRecorder) Write(p []byte) (int, error) {
	if w.at != nil {
		w.at()
		w.at = nil
	}
	return w.ResponseRecorder.Write(p)
}
