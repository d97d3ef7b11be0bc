package httpapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

// labels gives the SKU and the reorder level of an answer; <nil> stands for a key that is left out.
func (a answer) labels() string {
	body := a.json()
	return fmt.Sprint(body["sku"], " ", body["reorderLevel"])
}

// TestSKU_fields gives SKU and reorder level every kind of value.
func TestSKU_fields(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		item, user := s.product("iPhone 12", "Electronics", 10), s.as(domain.RoleUser)
		bad := badTexts("sku", 64)
		for _, control := range []string{`\u0000`, `\t`, `\n`, `\r`, `\u001b`, `\u0085`, `\u2028`} {
			bad = append(bad, fault{`"x` + control + `x"`, "The sku must be one line of valid UTF-8 without control characters"})
		}
		for _, to := range []struct {
			name, method, path string
			status             int
		}{
			{"create", http.MethodPost, "/products", http.StatusCreated},
			{"update", http.MethodPut, "/products/" + item, http.StatusOK},
		} {
			send := func(field string) func(string) answer {
				return func(value string) answer { return user.do(to.method, to.path, goodProduct.with(raw{field: value})) }
			}
			s.run(to.name+"/bad_sku", func(t *testing.T) { s.checkFaults(t, "sku", bad, send("sku")) })
			s.run(to.name+"/bad_level", func(t *testing.T) {
				s.checkFaults(t, "reorderLevel", badQuantities("reorder level", 0), send("reorderLevel"))
			})
			s.run(to.name+"/good_sku", func(t *testing.T) {
				for value, kept := range goodLines(64) {
					made := send("sku")(value).wants(to.status).json()
					require.Equal(t, kept, made["sku"])
					require.Equal(t, made, user.get("/products/"+made["id"].(string)).wants(http.StatusOK).json())
					user.do(http.MethodPut, "/products/"+made["id"].(string), goodProduct.with(raw{"sku": "null"})).wants(http.StatusOK)
				}
			})
			s.run(to.name+"/good_level", func(t *testing.T) {
				for value, kept := range map[string]float64{"0": 0, "1": 1, "1000000000": 1e9} {
					require.Equal(t, kept, send("reorderLevel")(value).wants(to.status).json()["reorderLevel"])
				}
			})
		}
		s.run("create/none", func(t *testing.T) {
			for _, value := range []string{"", "null", `""`, `"  "`} {
				made := user.post("/products", goodProduct.with(raw{"sku": value, "reorderLevel": map[bool]string{true: "null"}[value == "null"]})).wants(http.StatusCreated).json()
				require.NotContains(t, made, "sku")
				require.NotContains(t, made, "reorderLevel")
			}
		})
	})
}

// TestSKU_update changes a product in every way that keeps, replaces or removes what it has.
func TestSKU_update(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.category("Electronics")
		user := s.as(domain.RoleUser)
		made := user.post("/products", goodProduct.with(raw{"sku": `" A-1 "`, "reorderLevel": "3"})).wants(http.StatusCreated)
		require.Equal(t, "A-1 3", made.labels())
		path := "/products/" + made.text("id")
		for _, c := range []struct {
			changes raw
			want    string
		}{
			{raw{}, "A-1 3"},
			{raw{"sku": `"a-1"`}, "a-1 3"}, // its own in another case
			{raw{"sku": `"A-2"`, "reorderLevel": "0"}, "A-2 0"},
			{raw{"sku": "null"}, "<nil> 0"},
			{raw{"reorderLevel": "null", "sku": `"A-3"`}, "A-3 <nil>"},
			{raw{"sku": `""`}, "<nil> <nil>"},
			{raw{"sku": `"A-4"`, "reorderLevel": "7"}, "A-4 7"},
			{raw{"sku": `" "`}, "<nil> 7"},
		} {
			require.Equal(t, c.want, user.do(http.MethodPut, path, goodProduct.with(c.changes)).wants(http.StatusOK).labels())
			require.Equal(t, c.want, user.get(path).wants(http.StatusOK).labels())
		}
		fields := []part{{name: "name", value: "iPhone 12"}, {name: "category", value: "Electronics"}}
		for _, c := range []struct {
			changes []part
			want    string
		}{
			{[]part{{name: "sku", value: " B-1 "}, {name: "reorderLevel", value: "5"}}, "B-1 5"},
			{nil, "B-1 5"},
			{[]part{{name: "sku", value: ""}}, "<nil> 5"},
			{[]part{{name: "sku", value: "B-2"}, {name: "reorderLevel", value: ""}}, "B-2 <nil>"},
			{[]part{{name: "sku", value: "null"}, {name: "reorderLevel", value: "1"}}, "<nil> 1"},
			{[]part{{name: "reorderLevel", value: "null"}}, "<nil> <nil>"},
		} {
			require.Equal(t, c.want, user.form(http.MethodPut, path, append(fields[:2:2], c.changes...)...).wants(http.StatusOK).labels())
		}
		for value, says := range map[string]string{"x": "The reorder level must be a whole number", "-1": "The reorder level must be at least 0"} {
			require.Equal(t, map[string][]string{"reorderLevel": {says}},
				user.form(http.MethodPut, path, append(fields[:2:2], part{name: "reorderLevel", value: value})...).refuses(http.StatusBadRequest, "reorderLevel"))
		}
	})
}

func TestSKU_unique(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.category("Electronics")
		admin := s.as(domain.RoleAdmin)
		first := admin.post("/products", goodProduct.with(raw{"sku": `"Straße-1"`})).wants(http.StatusCreated).text("id")
		second := admin.post("/products", goodProduct.with(raw{"sku": `"x"`})).wants(http.StatusCreated).text("id")
		before := s.rows("SELECT * FROM products")
		for _, sku := range []string{"Straße-1", "STRAßE-1", " sTRAßE-1 "} {
			taken := map[string][]string{"sku": {fmt.Sprintf("The item with SKU '%s' already exists", strings.TrimSpace(sku))}}
			body := goodProduct.with(raw{"sku": strconv.Quote(sku)})
			require.Equal(t, taken, admin.post("/products", body).refuses(http.StatusConflict, "sku"))
			require.Equal(t, taken, admin.put("/products/"+second, body).refuses(http.StatusConflict, "sku"))
		}
		require.Equal(t, before, s.rows("SELECT * FROM products"))
		admin.delete("/products/" + first).wants(http.StatusNoContent) // frees it
		require.Equal(t, "STRAßE-1 <nil>", admin.do(http.MethodPut, "/products/"+second, goodProduct.with(raw{"sku": `"STRAßE-1"`})).wants(http.StatusOK).labels())
	})
}

// TestSKU_race lets twenty people give the same SKU at once: one gets it.
func TestSKU_race(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.category("Electronics")
		user, statuses := s.as(domain.RoleUser), make([]int, 20)
		var all sync.WaitGroup
		for i := range statuses {
			all.Go(func() { statuses[i] = user.post("/products", goodProduct.with(raw{"sku": `"A-1"`})).Status })
		}
		all.Wait()
		count := map[int]int{}
		for _, status := range statuses {
			count[status]++
		}
		require.Equal(t, map[int]int{http.StatusCreated: 1, http.StatusConflict: 19}, count)
		require.EqualValues(t, 1, user.get("/products").wants(http.StatusOK).json()["totalItems"])
	})
}

// TestSKU_shown looks for a product by its SKU, and at the order of it.
func TestSKU_shown(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.category("Electronics")
		user := s.as(domain.RoleUser)
		item := user.post("/products", goodProduct.with(raw{"sku": `"Ä_b%7"`, "reorderLevel": "2"})).wants(http.StatusCreated).text("id")
		user.post("/products", goodProduct.with(raw{"sku": `"other"`})).wants(http.StatusCreated)
		for search, found := range map[string]int{"ä_B%7": 1, "_": 1, "b%": 1, "äb": 0, "iphone": 2} {
			require.EqualValues(t, found, user.get("/products?search=" + url.QueryEscape(search)).wants(http.StatusOK).json()["totalItems"], search)
		}
		order := user.post("/products/orders", j{"itemId": item, "client": "x", "quantity": 1}).wants(http.StatusCreated).json()
		shown := order["item"].(j)
		require.Equal(t, []any{"Ä_b%7", 2.}, []any{shown["sku"], shown["reorderLevel"]})
		require.Equal(t, order, user.get("/products/orders/"+order["id"].(string)).wants(http.StatusOK).json())
	})
}

// TestLowStock lists what is low and what is not.
func TestLowStock(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.category("Electronics")
		user := s.as(domain.RoleUser)
		for name, fields := range map[string]raw{
			"below": {"quantity": "1", "reorderLevel": "2"}, "at": {"quantity": "2", "reorderLevel": "2"}, "above": {"quantity": "3", "reorderLevel": "2"},
			"none": {"quantity": "0"}, "out": {"quantity": "0", "reorderLevel": "0"},
		} {
			fields["name"] = strconv.Quote(name)
			user.post("/products", goodProduct.with(fields)).wants(http.StatusCreated)
		}
		for query, names := range map[string][]any{
			"lowStock=true": {"at", "below", "out"}, "lowStock=false": {"above", "none"}, "": {"above", "at", "below", "none", "out"},
			"lowStock=true&search=elo&category=electronics": {"below"},
		} {
			found := user.get("/products?sort=name&" + query).wants(http.StatusOK)
			require.Equal(t, names, found.column("products", "name"), query)
			require.EqualValues(t, len(names), found.json()["totalItems"])
		}
		for _, bad := range []string{"", "1", "TRUE", "yes", "true%20", "null"} {
			require.Equal(t, map[string][]string{"lowStock": {"The lowStock must be true or false"}},
				user.get("/products?lowStock="+bad).refuses(http.StatusBadRequest, "lowStock"), bad)
		}
		require.Equal(t, map[string][]string{"lowStock": {"The lowStock must stand once"}}, user.get("/products?lowStock=true&lowStock=true").refuses(http.StatusBadRequest, "lowStock"))
	})
}
