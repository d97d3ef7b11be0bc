package repository_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
)

func TestCategories(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		none, err := b.Categories.List(b.ctx)
		b.ok(err)
		require.Equal(t, []domain.Category{}, none)

		trouble, phones := b.category("Ärger / Büro"), b.category("Phones")
		for _, name := range []string{"Ärger / Büro", "ÄRGER / BÜRO", "ärger / büro"} {
			found, err := b.Categories.ByName(b.ctx, name)
			b.ok(err)
			require.Equal(t, trouble, found)
			b.refuses(b.Categories.Create(b.ctx, domain.NewCategory(name, now)), domain.KindConflict, "name")
		}
		b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
			locked, err := tx.Categories.Lock(b.ctx, "PHONES")
			b.ok(err)
			require.Equal(t, phones, locked)
			held, err := tx.Categories.Hold(b.ctx, "PHONES")
			b.ok(err)
			require.Equal(t, phones, held)
			return nil
		}))

		b.product("iPhone", phones, 1)
		gone := b.product("Nokia", phones, 1)
		b.ok(b.Products.Delete(b.ctx, gone.ID, now))
		listed, err := b.Categories.List(b.ctx)
		b.ok(err)
		counted := phones
		counted.Products = 1
		require.Equal(t, []domain.Category{counted, trouble}, listed)
	})
}

func TestCategories_unknown(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		deleted := b.category("Phones")
		b.ok(b.Categories.Delete(b.ctx, deleted, now))
		for _, name := range []string{"Phones", "Phone", "Phones ", "%", "", "' OR 1=1--"} {
			for _, find := range []func() (domain.Category, error){
				func() (domain.Category, error) { return b.Categories.ByName(b.ctx, name) },
				func() (domain.Category, error) { return b.Categories.Lock(b.ctx, name) },
				func() (domain.Category, error) { return b.Categories.Hold(b.ctx, name) },
			} {
				found, err := find()
				b.refuses(err, domain.KindNotFound, "name")
				require.Zero(t, found)
			}
		}
		b.refuses(b.Categories.Delete(b.ctx, deleted, now), domain.KindNotFound, "name")
		b.category("PHONES") // the name is free again
		listed, err := b.Categories.List(b.ctx)
		b.ok(err)
		require.Len(t, listed, 1)
	})
}

// TestCategories_List_order proves that both engines order by the folded name, byte by byte.
func TestCategories_List_order(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		want := []string{"10", "9", "a b", "A_b", "ab", "Zoo", "ähre", "Éclair", "Ωmega", "привет", "東京"}
		for i := range want {
			b.category(want[(i*7+3)%len(want)])
		}
		listed, err := b.Categories.List(b.ctx)
		b.ok(err)
		var names []string
		for _, c := range listed {
			names = append(names, c.Name)
		}
		require.Equal(t, want, names)
	})
}

// TestFold_alikeOnBothEngines has names that the engines themselves fold differently.
func TestFold_alikeOnBothEngines(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		for _, pair := range [][2]string{{"Ärger", "äRGER"}, {"ΣΊΣΥΦΟΣ", "σίσυφος"}, {"Istanbul", "İSTANBUL"}, {"kelvin", "\u212aelvin"}, {"Привет", "ПРИВЕТ"}} {
			c := b.category(pair[0])
			b.refuses(b.Categories.Create(b.ctx, domain.NewCategory(pair[1], now)), domain.KindConflict, "name")
			p := b.product("the "+pair[0]+" thing", c, 1)
			for _, s := range pair {
				found, total, err := b.Products.List(b.ctx, domain.ProductFilter{Page: first("name"), Search: s, Category: s})
				b.ok(err)
				require.EqualValues(t, 1, total.Total, s)
				require.Equal(t, []domain.Product{listed(p)}, found)
			}
		}
	})
}

// shown is a product without what ByID leaves out.
func shown(p domain.Product) domain.Product {
	p.NameKey, p.SKUKey, p.SearchKey, p.CategoryID = "", nil, "", uuid.Nil
	return p
}

// listed is what a list shows of a product.
func listed(p domain.Product) domain.Product {
	p = shown(p)
	p.Version, p.DeletedAt = 0, nil
	return p
}

func TestProducts(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		phones, toys := b.category("Phones"), b.category("Toys")
		p := domain.NewProduct("iPhone 12", "blue\nand new", phones, new("a.png"), now)
		p.Label(new("A-1"), new(int64(3)))
		b.ok(b.Products.Create(b.ctx, p))
		found, err := b.Products.ByID(b.ctx, p.ID)
		b.ok(err)
		require.Equal(t, shown(p), found)

		later := now.Add(time.Hour)
		p.Describe("Doll", "", toys, later)
		p.Label(new("A-2"), nil)
		p.Image = nil
		for version := range int64(3) {
			got, err := b.Products.SaveDescription(b.ctx, p)
			b.ok(err)
			require.Equal(t, version+2, got, "each change has a version of its own")
		}
		p.Version = 4
		require.NoError(t, b.InTx(b.ctx, func(tx *repository.Store) error {
			for _, find := range []func() (domain.Product, error){
				func() (domain.Product, error) { return tx.Products.Lock(b.ctx, p.ID) },
				func() (domain.Product, error) { return tx.Products.Hold(b.ctx, p.ID) },
			} {
				found, err := find()
				b.ok(err)
				require.Equal(t, p, found)
			}
			found, err := tx.Products.ByID(b.ctx, p.ID)
			b.ok(err)
			require.Equal(t, shown(p), found)
			return nil
		}))
	})
}

func TestProducts_SaveDescription_leavesTheQuantity(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		p := b.product("iPhone", b.category("Phones"), 5)
		p.Quantity = 99
		_, err := b.Products.SaveDescription(b.ctx, p)
		b.ok(err)
		found, err := b.Products.ByID(b.ctx, p.ID)
		b.ok(err)
		require.EqualValues(t, 5, found.Quantity)
	})
}

func TestProducts_deletedAndUnknown(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		phones := b.category("Phones")
		deleted := domain.NewProduct("iPhone", "", phones, new("a.png"), now)
		b.ok(b.Products.Create(b.ctx, deleted))
		b.ok(b.Products.Delete(b.ctx, deleted.ID, now))
		for _, p := range []domain.Product{deleted, domain.NewProduct("unknown", "", phones, nil, now)} {
			for _, find := range []func() (domain.Product, error){
				func() (domain.Product, error) { return b.Products.ByID(b.ctx, p.ID) },
				func() (domain.Product, error) { return b.Products.Lock(b.ctx, p.ID) },
				func() (domain.Product, error) { return b.Products.Hold(b.ctx, p.ID) },
			} {
				_, err := find()
				b.refuses(err, domain.KindNotFound, "id")
			}
			_, err := b.Products.SaveDescription(b.ctx, p)
			b.refuses(err, domain.KindNotFound, "id")
			_, err = b.Stock.Apply(b.ctx, domain.NewMovement(p.ID, 1, domain.MovementAdjusted, domain.NewID(), now))
			b.refuses(err, domain.KindNotFound, "id")
			b.refuses(b.Products.Delete(b.ctx, p.ID, now), domain.KindNotFound, "id")
		}
		listed, total, err := b.Products.List(b.ctx, domain.ProductFilter{Page: first("name")})
		b.ok(err)
		require.Zero(t, total.Total)
		require.Equal(t, []domain.Product{}, listed)
		require.Equal(t, 1, b.count("products"), "the row is kept")
		require.Zero(t, scan[int](b, "SELECT COUNT(image) FROM products"), "but not its picture")
	})
}

func TestProducts_List(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		phones, toys := b.category("Phönes"), b.category("Toys")
		described := func(name, description string, c domain.Category) domain.Product {
			p := domain.NewProduct(name, description, c, nil, now)
			b.ok(b.Products.Create(b.ctx, p))
			return listed(p)
		}
		one, two := described("iPhone 12", "BLÜE, 100% new", phones), described("Back\\slash", "", phones)
		three := described("Doll_1", "a phone for dolls", toys)
		for name, c := range map[string]struct {
			search, category string
			want             []domain.Product
		}{
			"all":                      {"", "", []domain.Product{one, two, three}},
			"name or description":      {"PHONE", "", []domain.Product{one, three}},
			"within a category":        {"phone", "TOYS", []domain.Product{three}},
			"a category":               {"", "PHÖNES", []domain.Product{one, two}},
			"an unknown category":      {"", "Phön", nil},
			"a category is no pattern": {"", "%", nil},
			"beyond ASCII":             {"blüe", "", []domain.Product{one}},
			"percent sign":             {"%", "", []domain.Product{one}},
			"escaped percent sign":     {`\%`, "", nil},
			"underscore":               {"_", "", []domain.Product{three}},
			"backslash":                {`\`, "", []domain.Product{two}},
			"two backslashes":          {`\\`, "", nil},
			"injection":                {`' OR 1=1--`, "", nil},
		} {
			t.Run(name, func(t *testing.T) {
				listed, total, err := b.Products.List(b.ctx, domain.ProductFilter{Page: first("name"), Search: c.search, Category: c.category})
				require.NoError(t, err)
				require.EqualValues(t, len(c.want), total.Total)
				require.NotNil(t, listed)
				require.ElementsMatch(t, c.want, listed)
			})
		}
	})
}

func TestProducts_sorts(t *testing.T) {
	each(t, func(_ *testing.T, b *base) {
		phones, toys := b.category("phones"), b.category("Älter")
		made := func(name string, c domain.Category, quantity int64, created, updated time.Duration) domain.Product {
			p := domain.NewProduct(name, "", c, nil, now.Add(created))
			b.ok(b.Products.Create(b.ctx, p))
			m, err := b.Stock.Apply(b.ctx, domain.Movement{ID: domain.NewID(), ProductID: p.ID, Delta: quantity, Reason: domain.MovementCreated, CreatedAt: now.Add(updated)})
			b.ok(err)
			p.Quantity, p.Version, p.UpdatedAt = m.QuantityAfter, m.ProductVersion, m.CreatedAt
			return listed(p)
		}
		one := made("b", toys, 10, 0, time.Hour)
		two := made("B", phones, 9, time.Second, time.Minute)
		three := made("A", phones, 9, 2*time.Second, time.Second)
		sorts(b, map[string][]domain.Product{
			"name":      {three, one, two},
			"quantity":  {two, three, one},
			"category":  {two, three, one},
			"createdAt": {one, two, three},
			"updatedAt": {three, two, one},
		}, func(p domain.Page) ([]domain.Product, domain.Extent, error) {
			return b.Products.List(b.ctx, domain.ProductFilter{Page: p})
		})
	})
}

func TestProducts_ofACategory(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		phones, toys := b.category("Phones"), b.category("Toys")
		var want []domain.Product
		for i := range 4 {
			p := b.product(fmt.Sprint("phone ", i), phones, 1)
			p.CategoryName = "" // not read
			want = append(want, p)
		}
		doll, gone := b.product("doll", toys, 1), b.product("gone", phones, 1)
		b.ok(b.Products.Delete(b.ctx, gone.ID, now))
		b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
			locked, err := tx.Products.LockAllIn(b.ctx, phones.ID)
			b.ok(err)
			require.Equal(t, want, locked, "in the order of their ids")
			return tx.Products.DeleteAllIn(b.ctx, phones.ID, now)
		}))
		left, total, err := b.Products.List(b.ctx, domain.ProductFilter{Page: first("name")})
		b.ok(err)
		require.EqualValues(t, 1, total.Total)
		require.Equal(t, []domain.Product{listed(doll)}, left)
	})
}

func TestProducts_UsedImages(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		phones := b.category("Phones")
		for i, image := range []*string{new("a.png"), new("b.png"), nil} {
			b.ok(b.Products.Create(b.ctx, domain.NewProduct(fmt.Sprint(i), "", phones, image, now)))
		}
		used, err := b.Products.UsedImages(b.ctx, []string{"a.png", "c.png", "b.png", ""})
		b.ok(err)
		require.ElementsMatch(t, []string{"a.png", "b.png"}, used)
		used, err = b.Products.UsedImages(b.ctx, []string{"c.png"})
		b.ok(err)
		require.Empty(t, used)
	})
}

// TestLocks_ofTheCatalogue shows who waits for whom, so that what is about to be deleted gets nothing new.
func TestLocks_ofTheCatalogue(t *testing.T) {
	each(t, func(_ *testing.T, b *base) {
		c := b.category("Phones")
		p := b.product("iPhone", c, 10)
		o := b.order(p, domain.OrderPending, b.user("jane", domain.RoleUser))
		lockCategory := func(tx *repository.Store) error { _, err := tx.Categories.Lock(b.ctx, "phones"); return err }
		holdCategory := func(tx *repository.Store) error { _, err := tx.Categories.Hold(b.ctx, "phones"); return err }
		lock := func(tx *repository.Store) error { _, err := tx.Products.Lock(b.ctx, p.ID); return err }
		hold := func(tx *repository.Store) error { _, err := tx.Products.Hold(b.ctx, p.ID); return err }
		lockAll := func(tx *repository.Store) error { _, err := tx.Products.LockAllIn(b.ctx, c.ID); return err }
		lockOrder := func(tx *repository.Store) error { _, err := tx.Orders.Lock(b.ctx, o.ID); return err }
		b.blocks(lockCategory, holdCategory)
		b.blocks(holdCategory, lockCategory)
		b.blocks(lock, hold)
		b.blocks(hold, lock)
		b.blocks(lock, lock)
		b.blocks(lockAll, hold)
		b.blocks(hold, lockAll)
		b.blocks(lockOrder, lockOrder)
		if b.Embedded() {
			return // one transaction at a time
		}
		b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
			b.ok(holdCategory(tx))
			b.ok(hold(tx))
			return b.InTx(b.ctx, func(second *repository.Store) error { // those who only hold do not wait for each other
				b.ok(holdCategory(second))
				b.ok(hold(second))
				return lockOrder(second)
			})
		}))
	})
}

// TestProducts_Lock_seesTheWinnersWork has transactions that read, compute and write: none is lost.
func TestProducts_Lock_seesTheWinnersWork(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		p := b.product("x", b.category("Phones"), 0)
		for _, err := range together(10, func(int) error {
			return b.InTx(b.ctx, func(tx *repository.Store) error {
				locked, err := tx.Products.Lock(b.ctx, p.ID)
				if err != nil {
					return err
				}
				locked.Describe(locked.Name+"x", "", domain.Category{ID: p.CategoryID}, now)
				_, err = tx.Products.SaveDescription(b.ctx, locked)
				return err
			})
		}) {
			b.ok(err)
		}
		found, err := b.Products.ByID(b.ctx, p.ID)
		b.ok(err)
		require.Equal(t, "xxxxxxxxxxx", found.Name)
	})
}

// TestProducts_Lock_movedMeanwhile has somebody wait for a product that is put into another category, which may be newer than the wait.
func TestProducts_Lock_movedMeanwhile(t *testing.T) {
	onPostgres(t, func(t *testing.T, b *base) {
		p, old := b.product("x", b.category("Phones"), 0), b.category("Toys")
		for _, name := range []string{old.Name, "New"} {
			var found domain.Product
			done := make(chan error, 1)
			b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
				_, err := tx.Products.Lock(b.ctx, p.ID)
				b.ok(err)
				go func() {
					done <- b.InTx(b.ctx, func(tx *repository.Store) (err error) {
						found, err = tx.Products.Lock(b.ctx, p.ID)
						return err
					})
				}()
				for b.count("pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 0 {
					time.Sleep(time.Millisecond)
				}
				c := old
				if name != old.Name {
					c = b.category(name)
				}
				p.Describe("x", "", c, now)
				_, err = tx.Products.SaveDescription(b.ctx, p)
				return err
			}))
			b.ok(<-done)
			require.Equal(t, name, found.CategoryName)
			require.Equal(t, p.CategoryID, found.CategoryID)
		}
	})
}

func TestStock_Apply(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		p := b.product("iPhone", b.category("Phones"), 5)
		m := domain.NewMovement(p.ID, -5, domain.MovementAdjusted, u.ID, now.Add(time.Minute))
		m.Note = "broken"
		applied, err := b.Stock.Apply(b.ctx, m)
		b.ok(err)
		m.QuantityAfter, m.ProductVersion = 0, 3
		require.Equal(t, m, applied)

		_, err = b.Stock.Apply(b.ctx, domain.NewMovement(p.ID, -1, domain.MovementAdjusted, u.ID, now))
		b.refuses(err, domain.KindConflict, "quantity")
		require.ErrorContains(t, err, "You specified the quantity 1, but the item 'iPhone' has only 0 unit(s) available")

		none, err := b.Stock.Apply(b.ctx, domain.NewMovement(p.ID, 0, domain.MovementAdjusted, u.ID, now.Add(time.Minute)))
		b.ok(err)
		require.EqualValues(t, 4, none.ProductVersion, "a count that finds what was expected is a movement too")
		beyond, err := b.Stock.Apply(b.ctx, domain.NewMovement(p.ID, 2*domain.MaxQuantity, domain.MovementAdjusted, u.ID, now.Add(time.Minute)))
		b.ok(err)

		found, err := b.Products.ByID(b.ctx, p.ID)
		b.ok(err)
		p.Quantity, p.Version, p.UpdatedAt = 2*domain.MaxQuantity, 5, now.Add(time.Minute)
		require.Equal(t, shown(p), found)
		m.Username, none.Username, beyond.Username = u.Username, u.Username, u.Username
		b.ledger(p, m, none, beyond)
	})
}

// ledger checks that these are the lines of a product's ledger after its first, forwards and backwards and page by page, and that
// each follows from the one before.
func (b *base) ledger(p domain.Product, want ...domain.Movement) {
	b.t.Helper()
	all, _, err := b.Stock.List(b.ctx, p.ID, first("createdAt"))
	b.ok(err)
	require.Equal(b.t, domain.MovementCreated, all[0].Reason)
	require.Equal(b.t, want, all[1:])
	var sum int64
	for _, m := range all {
		sum += m.Delta
		require.Equal(b.t, sum, m.QuantityAfter)
	}
	stored, err := b.Products.ByID(b.ctx, p.ID)
	b.ok(err)
	require.Equal(b.t, sum, stored.Quantity)
	sorts(b, map[string][]domain.Movement{"createdAt": all}, func(page domain.Page) ([]domain.Movement, domain.Extent, error) {
		return b.Stock.List(b.ctx, p.ID, page)
	})
}

// TestStock_Apply_fiftyAtOnce has more takers than there is stock.
func TestStock_Apply_fiftyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		p := b.product("iPhone", b.category("Phones"), 60)
		taken := 0
		for _, err := range together(50, func(int) error {
			return b.InTx(b.ctx, func(tx *repository.Store) error {
				_, err := tx.Stock.Apply(b.ctx, domain.NewMovement(p.ID, -3, domain.MovementAdjusted, u.ID, now))
				return err
			})
		}) {
			if err == nil {
				taken++
			} else {
				b.refuses(err, domain.KindConflict, "quantity")
			}
		}
		require.Equal(t, 20, taken)
		require.Equal(t, 21, b.count("movements"), "who was refused left nothing in the ledger")
		all, _, err := b.Stock.List(b.ctx, p.ID, first("createdAt"))
		b.ok(err)
		for i, m := range all {
			require.EqualValues(t, 60-3*i, m.QuantityAfter)
			require.EqualValues(t, 2+i, m.ProductVersion)
		}
	})
}

func TestStock_List_ofAnUnknownProduct(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		none, total, err := b.Stock.List(b.ctx, uuid.Nil, first("createdAt"))
		b.ok(err)
		require.Zero(t, total.Total)
		require.Equal(t, []domain.Movement{}, none)
	})
}

// TestProducts_several writes several products at once, and refuses all of them if one is not as it was read.
func TestProducts_several(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		phones, toys := b.category("Phones"), b.category("Toys")
		products := []domain.Product{domain.NewProduct("a", "", phones, new("a.png"), now), domain.NewProduct("b", "", phones, nil, now)}
		products[0].Label(new("A"), nil)
		b.ok(b.Products.CreateAll(b.ctx, products))
		b.ok(b.Products.CreateAll(b.ctx, nil))
		read := func() (all []domain.Product) {
			for _, p := range products {
				found, err := b.Products.Lock(b.ctx, p.ID)
				b.ok(err)
				all = append(all, found)
			}
			return all
		}
		require.Equal(t, products, read())
		taken := domain.NewProduct("c", "", phones, nil, now)
		taken.Label(new("a"), nil)
		b.refuses(b.Products.CreateAll(b.ctx, []domain.Product{domain.NewProduct("d", "", phones, nil, now), taken}), domain.KindConflict, "request")

		later := now.Add(time.Hour)
		changed := read()
		for i := range changed {
			changed[i].Describe("new "+changed[i].Name, "x", toys, later)
			changed[i].Label(new(fmt.Sprint("N", i)), new(int64(i)))
		}
		b.ok(b.Products.SaveDescriptions(b.ctx, changed))
		b.ok(b.Products.SaveDescriptions(b.ctx, nil))
		for i := range changed {
			changed[i].Version++
		}
		require.Equal(t, changed, read())

		both := func(f func(p *domain.Product)) []domain.Product {
			stale := read()
			stale[0].Describe("lost", "", toys, later)
			f(&stale[1])
			return stale
		}
		for name, stale := range map[string][]domain.Product{
			"version": both(func(p *domain.Product) { p.Version-- }),
			"SKU":     both(func(p *domain.Product) { p.Label(new("n0"), nil) }),
		} {
			err := b.InTx(b.ctx, func(tx *repository.Store) error { return tx.Products.SaveDescriptions(b.ctx, stale) })
			b.refuses(err, domain.KindConflict, "request")
			require.Equal(t, changed, read(), name)
		}
		gone := both(func(*domain.Product) {})
		b.ok(b.Products.Delete(b.ctx, gone[1].ID, later))
		b.refuses(b.InTx(b.ctx, func(tx *repository.Store) error { return tx.Products.SaveDescriptions(b.ctx, gone) }), domain.KindConflict, "request")
		found, err := b.Products.ByID(b.ctx, gone[0].ID)
		b.ok(err)
		require.Equal(t, shown(changed[0]), found)
	})
}

// TestProducts_Named finds by ids and by SKUs, and no deleted ones.
func TestProducts_Named(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		phones := b.category("Phones")
		var products []domain.Product
		for i := range 4 {
			p := domain.NewProduct(fmt.Sprint(i), "", phones, nil, now)
			p.Label(new(fmt.Sprint("Ä", i)), nil)
			b.ok(b.Products.Create(b.ctx, p))
			products = append(products, p)
		}
		b.ok(b.Products.Delete(b.ctx, products[3].ID, now))
		found, err := b.Products.Named(b.ctx, []uuid.UUID{products[0].ID, products[3].ID, domain.NewID()}, []string{"ä1", "ä3", "Ä2", ""})
		b.ok(err)
		require.ElementsMatch(t, products[:2], found)
		found, err = b.Products.Named(b.ctx, nil, nil)
		b.ok(err)
		require.Empty(t, found)
	})
}

// TestStock_ApplyAll moves several products at once, and none if one is not where its movement begins.
func TestStock_ApplyAll(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		phones, u := b.category("Phones"), b.user("jane", domain.RoleUser)
		products := []domain.Product{b.product("a", phones, 5), b.product("b", phones, 7)}
		later := now.Add(time.Hour)
		moves := func() (all []domain.Movement) {
			for _, p := range products {
				m := domain.NewMovement(p.ID, 2, domain.MovementAdjusted, u.ID, later)
				m.QuantityAfter, m.ProductVersion, m.Note = p.Quantity+2, p.Version+1, "import"
				all = append(all, m)
			}
			return all
		}
		apply := func(all []domain.Movement) error {
			return b.InTx(b.ctx, func(tx *repository.Store) error { return tx.Stock.ApplyAll(b.ctx, all) })
		}
		before := b.strings("SELECT id FROM movements ORDER BY id")
		for name, spoil := range map[string]func(m *domain.Movement){
			"the version is another":  func(m *domain.Movement) { m.ProductVersion++ },
			"the version was":         func(m *domain.Movement) { m.ProductVersion-- },
			"the quantity is another": func(m *domain.Movement) { m.QuantityAfter++ },
			"there is too little":     func(m *domain.Movement) { m.Delta, m.QuantityAfter = -8, -1 },
		} {
			stale := moves()
			spoil(&stale[1])
			b.refuses(apply(stale), domain.KindConflict, "request")
			require.Equal(t, before, b.strings("SELECT id FROM movements ORDER BY id"), name)
			for _, p := range products {
				found, err := b.Products.ByID(b.ctx, p.ID)
				b.ok(err)
				require.Equal(t, shown(p), found, name)
			}
		}
		b.ok(apply(nil))
		b.ok(apply(moves()))
		for i, p := range products {
			p.Quantity, p.Version, p.UpdatedAt = p.Quantity+2, p.Version+1, later
			found, err := b.Products.ByID(b.ctx, p.ID)
			b.ok(err)
			require.Equal(t, shown(p), found)
			products[i] = p
		}
		_, drifts, err := b.Stock.Drifts(b.ctx)
		b.ok(err)
		require.Empty(t, drifts)
		both, led := moves(), moves()
		for i := range led {
			led[i].ProductVersion, led[i].QuantityAfter, led[i].Delta = led[i].ProductVersion+1, led[i].QuantityAfter-5, -5
		}
		b.ok(apply(append(both, led...)))
		for i, p := range products {
			p.Quantity, p.Version = p.Quantity-3, p.Version+2
			found, err := b.Products.ByID(b.ctx, p.ID)
			b.ok(err)
			require.Equal(t, shown(p), found, "two movements that follow from each other")
			products[i] = p
		}
		_, drifts, err = b.Stock.Drifts(b.ctx)
		b.ok(err)
		require.Empty(t, drifts)
		b.ok(b.Products.Delete(b.ctx, products[1].ID, later))
		b.refuses(apply(moves()), domain.KindConflict, "request")
	})
}
