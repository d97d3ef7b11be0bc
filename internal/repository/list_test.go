package repository_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
)

// TestLists_search compares what is found with what each text contains, for texts and terms of all that is special to an index or a pattern.
func TestLists_search(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u, shelves := b.user("jane", domain.RoleUser), []domain.Category{b.category("Phones"), b.category("Lamps")}
		chance := rand.New(rand.NewPCG(1, 2))
		words := []string{"bolt", "Bolt", "BOLTED", "bo", "b", "50%", "%", "_", "a_b", `\`, `\%`, `"`, `"bolt"`, `""`, "'", "O'Brien", "ünï", "Äpfel", "Жук", "жуки", "😀", "😀😀😀", "日本語",
			"M8x20", "KX-482", "--", "*", "bolt*", "OR", "AND NOT", "NEAR(a b)", "(", ")", "^a", "a:b", "ß", "İ", "search_key:", "x  y", "1", "12", "123"}
		text := func() string {
			some := make([]string, 1+chance.IntN(4))
			for i := range some {
				some[i] = words[chance.IntN(len(words))]
			}
			return strings.Join(some, []string{" ", "", "-"}[chance.IntN(3)])
		}
		var products []domain.Product
		var orders []domain.Order
		for i := range 60 {
			p := domain.NewProduct(text(), text()+"\n"+text(), shelves[i%2], nil, now.Add(time.Duration(i)*time.Second))
			if i%3 == 0 {
				p.Label(new(fmt.Sprint(words[chance.IntN(len(words))], i)), new(int64(i%2)))
			}
			products = append(products, p)
		}
		b.ok(b.Products.CreateAll(b.ctx, products))
		b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
			for i := range 60 {
				p := products[chance.IntN(len(products))]
				o, err := domain.NewOrder(p, text(), text(), 0, domain.OrderStates[i%5], u.ID, now.Add(time.Duration(i)*time.Second))
				b.ok(err)
				o.Quantity = int64(1 + i)
				b.ok(tx.Orders.Create(b.ctx, []domain.Order{o}, []domain.OrderStep{domain.NewOrderStep(o, nil, u.ID, now)}))
				orders = append(orders, o)
			}
			return nil
		}))
		for i := range 12 { // changed, moved and deleted
			p := &products[i]
			p.Describe(text(), text(), shelves[(i+1)%2], now)
			version, err := b.Products.SaveDescription(b.ctx, *p)
			b.ok(err)
			p.Version = version
			if i < 4 {
				b.ok(b.Products.Delete(b.ctx, p.ID, now))
				p.DeletedAt = &now
			}
			o := &orders[i]
			if i < 4 {
				b.ok(b.Orders.Delete(b.ctx, *o, now))
				o.DeletedAt = &now
			} else if o.State != domain.OrderCompleted && o.State != domain.OrderCancelled {
				o.Client = text()
				o.ClientKey, o.SearchKey = domain.Fold(o.Client), domain.Fold(o.Client)+"\n"+domain.Fold(o.Description)
				o.Version++
				b.ok(b.Orders.SaveText(b.ctx, *o))
			}
		}
		byID := map[uuid.UUID]domain.Product{}
		for _, p := range products {
			byID[p.ID] = p
		}
		compare := func(when string, rounds int) {
			for range rounds {
				runes := []rune(text())
				from := chance.IntN(len(runes))
				term := string(runes[from : from+1+chance.IntN(min(len(runes)-from, 6))])
				folded := domain.Fold(term)
				f, of := domain.ProductFilter{Page: first("createdAt"), Search: term}, domain.OrderFilter{Page: first("createdAt"), Search: term}
				if chance.IntN(3) == 0 {
					f.Page, of.Page = first("quantity"), first("client")
				}
				if chance.IntN(3) == 0 {
					f.Category, of.Category = "phones", "phones"
				}
				if chance.IntN(3) == 0 {
					f.Low, of.State = new(chance.IntN(2) == 0), domain.OrderReady
				}
				var want, wantOrders []uuid.UUID
				for _, p := range products {
					if p.DeletedAt == nil && strings.Contains(p.SearchKey, folded) && (f.Category == "" || p.CategoryName == "Phones") && (f.Low == nil || *f.Low == p.Low()) {
						want = append(want, p.ID)
					}
				}
				for _, o := range orders {
					p := byID[o.ProductID]
					if o.DeletedAt == nil && (strings.Contains(o.SearchKey, folded) || strings.Contains(p.NameKey, folded)) &&
						(of.Category == "" || p.CategoryName == "Phones") && (of.State == "" || o.State == of.State) {
						wantOrders = append(wantOrders, o.ID)
					}
				}
				found, extent, err := b.Products.List(b.ctx, f)
				b.ok(err)
				require.ElementsMatch(t, want, ids(found, func(p domain.Product) uuid.UUID { return p.ID }), "%s: products with %q", when, term)
				require.Equal(t, domain.Extent{Total: int64(len(want))}, extent)
				foundOrders, extent, err := b.Orders.List(b.ctx, of)
				b.ok(err)
				require.ElementsMatch(t, wantOrders, ids(foundOrders, func(o domain.Order) uuid.UUID { return o.ID }), "%s: orders with %q", when, term)
				require.Equal(t, domain.Extent{Total: int64(len(wantOrders))}, extent)
			}
		}
		compare("at once", 150)
		if b.Embedded() { // VACUUM may give rows that have no number of their own another one
			b.ok(b.exec("DELETE FROM products WHERE id IN (SELECT id FROM products WHERE id NOT IN (SELECT product_id FROM orders) LIMIT 5)"))
			left := b.strings("SELECT id FROM products")
			products = slices.DeleteFunc(products, func(p domain.Product) bool { return !slices.Contains(left, p.ID.String()) })
			b.ok(b.exec("VACUUM"))
			b.ok(b.exec("INSERT INTO product_texts (product_texts) VALUES ('integrity-check')"))
			compare("after VACUUM", 50)
		}
	})
}

// TestLists_many makes more than are counted, and reads all of them in each order and way.
func TestLists_many(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		const nuts, bolts = 10_010, 10_100 // the nuts are the older ones, so that they are not found by looking at the newest for a while
		phones, u := b.category("Phones"), b.user("jane", domain.RoleUser)
		b.category("Empty")
		b.makeMany(nuts+bolts, nuts, fmt.Sprintf("CASE WHEN i <= %d THEN 'nut ' ELSE 'bolt ' END || (i %% 100)", nuts), phones, u)
		number := func(id uuid.UUID) int { // what it was made from
			n := 0
			for _, c := range id[10:] {
				n = n<<8 | int(c)
			}
			return n
		}
		label := func(i int) string {
			if i <= nuts {
				return fmt.Sprint("nut ", i%100)
			}
			return fmt.Sprint("bolt ", i%100)
		}
		orders := map[string]func(i, j int) int{
			"createdAt": cmp.Compare[int],
			"name":      func(i, j int) int { return cmp.Or(strings.Compare(label(i), label(j)), cmp.Compare(i, j)) },
			"quantity":  func(i, j int) int { return cmp.Or(cmp.Compare(i%7, j%7), cmp.Compare(i, j)) },
			"category":  cmp.Compare[int],
		}
		numbers := func(from, to int, by func(i, j int) int, desc bool) []int {
			var all []int
			for i := from; i <= to; i++ {
				all = append(all, i)
			}
			slices.SortFunc(all, by)
			if desc {
				slices.Reverse(all)
			}
			return all
		}
		found := func(products []domain.Product) []int {
			all := make([]int, len(products))
			for i, p := range products {
				all[i] = number(p.ID)
			}
			return all
		}
		list := func(f domain.ProductFilter) func(p domain.Page) ([]domain.Product, domain.Extent, error) {
			return func(p domain.Page) ([]domain.Product, domain.Extent, error) {
				f.Page = p
				return b.Products.List(b.ctx, f)
			}
		}
		for _, c := range []struct {
			name   string
			filter domain.ProductFilter
			to     int // of the numbers from 1
			total  int64
			sorts  []string
		}{
			{"all", domain.ProductFilter{}, nuts + bolts, nuts + bolts, []string{"createdAt", "category"}},
			{"of a category", domain.ProductFilter{Category: "Phones"}, nuts + bolts, nuts + bolts, []string{"createdAt", "name", "quantity"}},
			{"old ones", domain.ProductFilter{Search: "nut"}, nuts, domain.MaxCounted, []string{"createdAt", "name", "category"}},
			{"a short text", domain.ProductFilter{Search: "nu"}, nuts, domain.MaxCounted, []string{"createdAt"}},
			{"old ones of a category", domain.ProductFilter{Search: "nut", Category: "Phones"}, nuts, domain.MaxCounted, []string{"createdAt"}},
			{"not low", domain.ProductFilter{Low: new(false)}, nuts + bolts, domain.MaxCounted, []string{"quantity"}},
		} {
			for _, sort := range c.sorts {
				desc := sort != "name"
				page := domain.Page{Number: 1, Size: 100, Sort: domain.Sort{Field: sort, Desc: desc}}
				want := numbers(1, c.to, orders[sort], desc)
				for _, n := range []int{1, 101, len(want)/100 + 2} {
					page.Number = n
					part, extent, err := list(c.filter)(page)
					b.ok(err)
					what := fmt.Sprintf("%s by %s, page %d", c.name, sort, n)
					require.Equal(t, c.total, extent.Total, what)
					require.Equal(t, c.total < int64(len(want)), extent.AtLeast, what)
					require.Equal(t, n*100 < len(want), extent.Next != nil, what)
					require.Equal(t, want[min((n-1)*100, len(want)):min(n*100, len(want))], found(part), what)
					if n == 1 {
						next, _, err := list(c.filter)(domain.Page{Number: 2, Size: 100, Sort: page.Sort, After: extent.Next})
						b.ok(err)
						require.Equal(t, want[100:200], found(next), what+", and what follows")
					}
				}
			}
		}
		for _, f := range []domain.OrderFilter{{}, {State: domain.OrderDraft}, {Category: "phones"}, {Search: "nut"}, {Search: "nut", Category: "phones", State: domain.OrderDraft}} {
			for sort := range map[string]bool{"createdAt": true, "client": true} {
				f.Page = domain.Page{Number: 101, Size: 100, Sort: domain.Sort{Field: sort}}
				part, extent, err := b.Orders.List(b.ctx, f)
				b.ok(err)
				require.Equal(t, 10_001, number(part[0].ID), "%+v", f)
				require.Equal(t, f.Search != "" || f.Category != "", extent.AtLeast)
				f.Page.After, f.Page.Number = &domain.Cursor{Sort: f.Page.Sort, Value: extentValue(part[4], sort), ID: part[4].ID, Page: 2}, 2
				rest, _, err := b.Orders.List(b.ctx, f)
				b.ok(err)
				require.Equal(t, 10_006, number(rest[0].ID), "%+v", f)
			}
		}
		b.countsHold("many")
	})
}

// TestLists_behindAnImport searches for what is older than 50,000 products that came at once, but for the newest of all.
func TestLists_behindAnImport(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		const nuts, all = 10_010, 60_021
		b.makeMany(all, 0, fmt.Sprintf("CASE WHEN i <= %d OR i = %d THEN 'nut ' ELSE 'bolt ' END || i", nuts, all), b.category("Phones"), b.user("jane", domain.RoleUser))
		page := domain.Page{Number: 1, Size: 10, Sort: domain.Sort{Field: "createdAt", Desc: true}}
		first, _, err := b.Products.List(b.ctx, domain.ProductFilter{Page: page})
		b.ok(err)
		want := []string{fmt.Sprint("nut ", all)}
		for i := nuts; len(want) <= 2*page.Size; i-- {
			want = append(want, fmt.Sprint("nut ", i))
		}
		search := func() []string {
			found, extent, err := b.Products.List(b.ctx, domain.ProductFilter{Search: "nut", Page: page})
			b.ok(err)
			require.Equal(t, domain.Extent{Total: domain.MaxCounted, AtLeast: true, Next: extent.Next}, extent)
			page.After = extent.Next
			names := make([]string, len(found))
			for i, p := range found {
				names[i] = p.Name
			}
			return names
		}
		require.Equal(t, want[:10], search())
		require.Equal(t, want[10:20], search())
		page.After = &domain.Cursor{Sort: page.Sort, Value: first[0].CreatedAt, ID: first[0].ID, Page: 1}
		require.Equal(t, want[1:11], search())
	})
}

// makeMany makes products around the store, each with the name that the SQL gives the i-th, and a draft of an order for each of the first ones.
func (b *base) makeMany(products, orders int, name string, shelf domain.Category, u domain.User) {
	b.t.Helper()
	series, hex, at := "(WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < ?) SELECT i FROM s) s", "printf('%012x', i)", "strftime('%Y-%m-%d %H:%M:%S+00:00', 1600000000 + i, 'unixepoch')"
	if !b.Embedded() {
		series, hex, at = "generate_series(1, CAST(? AS integer)) AS s (i)", "lpad(to_hex(i), 12, '0')", "to_timestamp(1600000000 + i)"
	}
	uid := func(text string) string {
		if b.Embedded() {
			return text
		}
		return "CAST(" + text + " AS uuid)"
	}
	b.ok(b.exec(`INSERT INTO products (id, name, name_key, category_id, quantity, description, search_key, version, created_at, updated_at)
		SELECT `+uid("'00000000-0000-7000-8000-' || "+hex)+`, `+name+`, `+name+`, `+uid("'"+shelf.ID.String()+"'")+`, i % 7, '', `+name+`, 1, `+at+`, `+at+` FROM `+series, products))
	b.ok(b.exec(`INSERT INTO orders (id, product_id, client, client_key, description, search_key, quantity, state, version, created_by, created_at, updated_at)
		SELECT `+uid("'00000001-0000-7000-8000-' || "+hex)+`, `+uid("'00000000-0000-7000-8000-' || "+hex)+`, 'x', 'x', '', 'x', 1, 'Draft', 1, `+uid("'"+u.ID.String()+"'")+`, `+at+`, `+at+`
		FROM `+series, orders))
	if !b.Embedded() {
		b.ok(b.exec("ANALYZE"))
	}
}

// extentValue is what an order has in the order of a list.
func extentValue(o domain.Order, sort string) any {
	return map[string]any{"createdAt": o.CreatedAt, "client": o.Client}[sort]
}

// TestLists_totals asks the same again and again while texts come, change and go: a total is remembered only for as long as it is what a count would say.
func TestLists_totals(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		const nuts = domain.MaxCounted + 2
		phones, u := b.category("Phones"), b.user("jane", domain.RoleUser)
		b.makeMany(nuts+1_000, nuts, fmt.Sprintf("CASE WHEN i <= %d THEN 'nut ' || i ELSE 'bolt ' || i END", nuts), phones, u)
		lamps := b.category("Lamps")
		terms := []string{"nut", "bolt"} // more than are counted, and fewer
		page := domain.Page{Number: 1, Size: 3, Sort: domain.Sort{Field: "createdAt", Desc: true}}
		lists := map[string]func(term string) (domain.Extent, error){
			"products": func(term string) (domain.Extent, error) {
				_, extent, err := b.Products.List(b.ctx, domain.ProductFilter{Page: page, Search: term})
				return extent, err
			},
			"orders": func(term string) (domain.Extent, error) {
				_, extent, err := b.Orders.List(b.ctx, domain.OrderFilter{Page: page, Search: term})
				return extent, err
			},
			"phones": func(term string) (domain.Extent, error) {
				_, extent, err := b.Products.List(b.ctx, domain.ProductFilter{Page: page, Search: term, Category: "phones"})
				return extent, err
			},
			"orders of phones": func(string) (domain.Extent, error) {
				_, extent, err := b.Orders.List(b.ctx, domain.OrderFilter{Page: page, Category: "phones"})
				return extent, err
			},
		}
		counted := map[string]string{
			"products": "SELECT COUNT(*) FROM products WHERE deleted_at IS NULL AND search_key LIKE ?",
			"orders": `SELECT COUNT(*) FROM orders o JOIN products p ON p.id = o.product_id WHERE o.deleted_at IS NULL AND
				(o.search_key LIKE ? OR p.name_key LIKE ?)`,
			"phones": `SELECT COUNT(*) FROM products p JOIN categories c ON c.id = p.category_id WHERE p.deleted_at IS NULL AND p.search_key LIKE ?
				AND c.name_key = 'phones'`,
			"orders of phones": `SELECT COUNT(*) FROM orders o JOIN products p ON p.id = o.product_id JOIN categories c ON c.id = p.category_id
				WHERE o.deleted_at IS NULL AND ? <> '' AND c.name_key = 'phones'`,
		}
		compare := func(when string) {
			t.Helper()
			for what, list := range lists {
				for _, term := range terms {
					n := scan[int64](b, counted[what], slices.Repeat([]any{"%" + term + "%"}, strings.Count(counted[what], "?"))...)
					for range 2 { // the second time from memory
						extent, err := list(term)
						b.ok(err)
						require.Equal(t, []any{min(n, domain.MaxCounted), n > domain.MaxCounted}, []any{extent.Total, extent.AtLeast}, "%s: %s with %s", when, what, term)
					}
				}
			}
		}
		all := b.strings("SELECT id FROM products ORDER BY created_at")
		product := func(i int) domain.Product {
			p, err := b.Products.ByID(b.ctx, uuid.MustParse(all[i]))
			b.ok(err)
			return p
		}
		order := func(i int) domain.Order {
			o, err := b.Orders.ByID(b.ctx, uuid.MustParse(fmt.Sprintf("00000001-0000-7000-8000-%012x", i)))
			b.ok(err)
			return o
		}
		rename := func(i int, name string) func() {
			return func() {
				p := product(i)
				p.Describe(name, "", phones, now)
				_, err := b.Products.SaveDescription(b.ctx, p)
				b.ok(err)
			}
		}
		move := func(i int, shelf domain.Category) func() {
			return func() {
				p := product(i)
				p.Describe(p.Name, "", shelf, now)
				_, err := b.Products.SaveDescription(b.ctx, p)
				b.ok(err)
			}
		}
		compare("at first")
		b.PlantTotals(7)
		for what, list := range lists {
			extent, err := list("nut")
			b.ok(err)
			require.Equal(t, int64(7), extent.Total, "nothing has changed: %s are not counted again", what)
		}
		for _, step := range []struct {
			name string
			do   func()
		}{
			{"one is renamed", rename(nuts, "nail")},
			{"one is named like the others", rename(nuts, "bolt")},
			{"one more", func() { b.product("bolt", phones, 0) }},
			{"one goes, another comes", func() {
				b.ok(b.Products.Delete(b.ctx, uuid.MustParse(all[nuts+1]), now))
				b.product("nut", phones, 0)
			}},
			{"an order more", func() { b.order(b.product("bolt", phones, 5), domain.OrderPending, u) }},
			{"an order goes", func() { b.ok(b.Orders.Delete(b.ctx, order(1), now)) }},
			{"an order says something else", func() {
				o := order(2)
				o.Client, o.ClientKey, o.SearchKey, o.Version = "a bolt", "a bolt", "a bolt\n", o.Version+1
				b.ok(b.Orders.SaveText(b.ctx, o))
			}},
			{"a product with an order is renamed", rename(2, "bolt with an order")},
			{"as many as are counted", rename(3, "bolt")},
			{"one fewer", rename(4, "bolt")},
			{"and one more fewer", rename(5, "bolt")},
			{"one goes to another category", move(100, lamps)},
			{"and comes back", move(100, phones)},
			{"and goes again", move(100, lamps)},
			{"many at once", func() {
				b.ok(b.exec("UPDATE products SET search_key = 'bolt', name_key = 'bolt' WHERE name LIKE 'nut 9%'"))
			}},
			{"rows are removed around the store", func() { b.ok(b.exec("DELETE FROM products WHERE id = ?", all[nuts+5])) }},
		} {
			step.do()
			compare(step.name)
		}
	})
}

// TestLists_old lists what is older than all else: what is passed over on the way to it must not grow with what is there.
func TestLists_old(t *testing.T) {
	onPostgres(t, func(t *testing.T, b *base) {
		const many = 20_000
		lamps, u := b.category("Lamps"), b.user("jane", domain.RoleUser)
		b.makeMany(many, many, "'nut ' || i", b.category("Phones"), u)
		var shelves []any // of those and of states there is one of each next to the other, which makes their indexes look bad
		for _, name := range []string{"A", "B", "C", "D"} {
			shelves = append(shelves, b.category(name).ID)
		}
		b.ok(b.exec("UPDATE products SET category_id = (CAST(ARRAY[?, ?, ?, ?] AS uuid[]))[1 + quantity % 4]", shelves...))
		b.ok(b.exec("UPDATE orders o SET state = (ARRAY['Pending', 'Ready', 'Completed', 'Cancelled'])[1 + p.quantity % 4] FROM products p WHERE p.id = o.product_id"))
		b.ok(b.exec("UPDATE products SET category_id = ? WHERE id IN (SELECT id FROM products ORDER BY created_at LIMIT 50)", lamps.ID))
		b.ok(b.exec("UPDATE orders SET state = 'Draft' WHERE id IN (SELECT id FROM orders ORDER BY created_at LIMIT 50)"))
		b.ok(b.exec("VACUUM ANALYZE"))
		page := domain.Page{Number: 1, Size: 10, Sort: domain.Sort{Field: "createdAt", Desc: true}}
		for table, list := range map[string]func(tx *repository.Store, p domain.Page) (domain.Extent, error){
			"products": func(tx *repository.Store, p domain.Page) (domain.Extent, error) {
				_, extent, err := tx.Products.List(b.ctx, domain.ProductFilter{Page: p, Category: "Lamps"})
				return extent, err
			},
			"orders": func(tx *repository.Store, p domain.Page) (domain.Extent, error) {
				_, extent, err := tx.Orders.List(b.ctx, domain.OrderFilter{Page: p, State: domain.OrderDraft})
				return extent, err
			},
		} {
			b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
				db, _ := tx.Handles()
				b.ok(db.Exec("SET LOCAL plan_cache_mode = force_generic_plan").Error) // as after the first few times
				extent, err := list(tx, page)
				b.ok(err)
				require.Equal(t, int64(50), extent.Total)
				next := page
				next.After, next.Number = extent.Next, 2
				_, err = list(tx, next)
				b.ok(err)
				var read int
				b.ok(db.Raw("SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = ?", table).Scan(&read).Error)
				require.Less(t, read, 200, table)
				return nil
			}))
		}
	})
}
