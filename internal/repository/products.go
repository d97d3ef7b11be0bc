package repository

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"inventoryhub/internal/domain"
)

// Products is the table of products. Deleted ones are found by no method; orders still show them.
type Products struct {
	table
	joined *joined[uuid.UUID, *domain.Product]                   // nil on SQLite and in transactions
	lists  *joined[domain.ProductFilter, pageOf[domain.Product]] // nil in transactions
	totals *totals                                               // of searches; nil in transactions
}

// ProductNotFound is the KindNotFound of a product that does not exist.
func ProductNotFound(id uuid.UUID) error {
	return domain.NotFound("id", "The item with id '%s' does not exist", id)
}

const selectProduct = "p.*, c.name AS category_name"

// shownProduct are the columns that scanProduct reads: those that are shown; the folded keys are for finding and changing.
const shownProduct = "p.id, p.name, c.name, p.quantity, p.description, p.sku, p.reorder_level, p.image, p.version, p.created_at, p.updated_at, p.deleted_at"

func scanProduct(p *domain.Product, r row) error {
	return r.Scan(&p.ID, &p.Name, &p.CategoryName, &p.Quantity, &p.Description, &p.SKU, &p.ReorderLevel, &p.Image, &p.Version, &p.CreatedAt, &p.UpdatedAt,
		&p.DeletedAt)
}

// listedProduct are the columns that scanListedProduct reads: those that a list shows.
const listedProduct = "p.id, p.name, c.name, p.quantity, p.description, p.sku, p.reorder_level, p.image, p.created_at, p.updated_at"

// listedOfOneCategory is listedProduct for products of the one category c.
var listedOfOneCategory = strings.Replace(listedProduct, "c.name", "(SELECT name FROM c)", 1)

func scanListedProduct(p *domain.Product, r row) error {
	return r.Scan(&p.ID, &p.Name, &p.CategoryName, &p.Quantity, &p.Description, &p.SKU, &p.ReorderLevel, &p.Image, &p.CreatedAt, &p.UpdatedAt)
}

var productsByID = lookup[domain.Product]{
	query: "SELECT " + shownProduct + " FROM products p JOIN categories c ON c.id = p.category_id WHERE p.deleted_at IS NULL",
	id:    "p.id", scan: scanProduct, idOf: func(p *domain.Product) uuid.UUID { return p.ID },
}

// ByID gives a product to show, without its folded keys. It returns KindNotFound on `id`.
func (t Products) ByID(ctx context.Context, id uuid.UUID) (domain.Product, error) {
	p, err := t.joined.or(productsByID.one)(t.reader(ctx), id)
	if err != nil {
		return domain.Product{}, fail("load product", err)
	}
	if p == nil {
		return domain.Product{}, ProductNotFound(id)
	}
	return *p, nil
}

// Lock is ByID for a product that is about to be changed: others who want to change it wait until the transaction ends.
func (t Products) Lock(ctx context.Context, id uuid.UUID) (domain.Product, error) {
	return theOne(id)(t.LockAll(ctx, []uuid.UUID{id}))
}

// Hold is ByID for a product that is about to get an order: nobody deletes it until the transaction ends.
func (t Products) Hold(ctx context.Context, id uuid.UUID) (domain.Product, error) {
	return theOne(id)(t.HoldAll(ctx, []uuid.UUID{id}))
}

func theOne(id uuid.UUID) func([]domain.Product, error) (domain.Product, error) {
	return func(found []domain.Product, err error) (domain.Product, error) {
		if err != nil {
			return domain.Product{}, err
		}
		if len(found) == 0 {
			return domain.Product{}, ProductNotFound(id)
		}
		return found[0], nil
	}
}

// LockAll is [Products.Lock] for those of several products that there are, in the order of their ids, so that two who lock several never wait for each
// other.
func (t Products) LockAll(ctx context.Context, ids []uuid.UUID) ([]domain.Product, error) {
	return t.locked(ctx, ids, forUpdate)
}

// HoldAll is LockAll for [Products.Hold].
func (t Products) HoldAll(ctx context.Context, ids []uuid.UUID) ([]domain.Product, error) {
	return t.locked(ctx, ids, forShare)
}

func (t Products) locked(ctx context.Context, ids []uuid.UUID, locking clause.Locking) ([]domain.Product, error) {
	var products []domain.Product
	if len(ids) == 0 {
		return nil, nil
	}
	where, arg := oneOf(t.write, "p.id", ids)
	// The name is looked up for each row as it is once it is locked; see rowLock.
	err := t.write.WithContext(ctx).Raw(`SELECT p.*, (SELECT c.name FROM categories c WHERE c.id = p.category_id) AS category_name FROM products p
		WHERE `+where+` AND p.deleted_at IS NULL ORDER BY p.id`+rowLock(t.write, locking), arg).Scan(&products).Error
	if err != nil {
		return nil, fail("lock products", err)
	}
	for i := range products {
		// A category that was made while the statement waited is none that it knows of.
		if p := &products[i]; p.CategoryName == "" {
			if err := t.write.WithContext(ctx).Raw("SELECT name FROM categories WHERE id = ?", p.CategoryID).Scan(&p.CategoryName).Error; err != nil {
				return nil, fail("load category", err)
			}
		}
	}
	return products, nil
}

// Shown gives products as orders show them: deleted ones too.
func (t Products) Shown(ctx context.Context, ids []uuid.UUID) ([]domain.Product, error) {
	var products []domain.Product
	if len(ids) == 0 {
		return nil, nil
	}
	where, arg := oneOf(t.write, "p.id", ids)
	err := t.write.WithContext(ctx).Raw("SELECT "+selectProduct+" FROM products p JOIN categories c ON c.id = p.category_id WHERE "+where, arg).Scan(&products).Error
	if err != nil {
		return nil, fail("load products", err)
	}
	return products, nil
}

func byProductID(db *gorm.DB, id uuid.UUID) (domain.Product, error) {
	var p domain.Product
	done := db.Raw(`SELECT `+selectProduct+` FROM products p JOIN categories c ON c.id = p.category_id
		WHERE p.id = ? AND p.deleted_at IS NULL`, id).Scan(&p)
	if done.Error != nil {
		return domain.Product{}, fail("load product", done.Error)
	}
	if done.RowsAffected == 0 {
		return domain.Product{}, ProductNotFound(id)
	}
	return p, nil
}

var productListing = listing[domain.Product]{
	table: "products p", id: "p.id", joins: " JOIN categories c ON c.id = p.category_id", selection: listedProduct, scan: scanListedProduct,
	sorts: map[string]sorting[domain.Product]{
		"name":      {"p.name_key", func(p domain.Product) any { return domain.Fold(p.Name) }},
		"quantity":  {"p.quantity", func(p domain.Product) any { return p.Quantity }},
		"category":  {"c.name_key", func(p domain.Product) any { return domain.Fold(p.CategoryName) }},
		"createdAt": {"p.created_at", func(p domain.Product) any { return p.CreatedAt }},
		"updatedAt": {"p.updated_at", func(p domain.Product) any { return p.UpdatedAt }},
	},
	idOf: func(p domain.Product) uuid.UUID { return p.ID },
}

// List gives one page of products, of each what a list shows, and how much there is beside it.
func (t Products) List(ctx context.Context, f domain.ProductFilter) ([]domain.Product, domain.Extent, error) {
	page, err := t.lists.or(t.list)(t.reader(ctx), f)
	return page.unless("list products", err)
}

func (t Products) list(db *gorm.DB, f domain.ProductFilter) (pageOf[domain.Product], error) {
	w := wanted{Page: f.Page, where: all(newPiece("p.deleted_at IS NULL"), productsOf(f), textOf(f))}
	switch {
	case f.Search == "" && f.Low == nil:
		w.total = keptProducts(f.Category)
		switch f.Page.Sort.Field {
		case "category":
			return t.byCategory(db, w, f.Category)
		case "createdAt":
			if f.Category != "" {
				w.within = "p.category_id"
				w.where = all(newPiece("p.deleted_at IS NULL"), one(db, w.within, categoryNamed, domain.Fold(f.Category)))
				if db.Name() != sqliteName { // which would be a sixth slower by it
					w.common = ofOneCategory(db, f.Category)
				}
			}
		default: // have no index within a category
			if f.Category != "" {
				w.few, w.valued = productsBy(w, productListing.table, productListing.id)
			}
		}
	case f.Search == "", f.Low != nil && *f.Low:
		w.few, w.valued = productsBy(w, productListing.table, productListing.id)
	default:
		var err error
		if w.few, w.valued, err = t.found(db, f, w); err != nil {
			return pageOf[domain.Product]{}, err
		}
		if f.Low == nil {
			w.search, w.texts = search{text: domain.Fold(f.Search), category: domain.Fold(f.Category)}, productTexts
		}
	}
	l := productListing
	l.totals = t.totals
	return l.read(db, w)
}

// ofOneCategory has the category of a page of products looked up once. To look it up for the page, for its total and for each row takes Postgres a fifth of
// the page's time.
func ofOneCategory(db *gorm.DB, name string) common {
	return common{
		with:      newPiece("WITH c AS MATERIALIZED (SELECT id, name FROM categories WHERE name_key = ? AND deleted_at IS NULL) ", domain.Fold(name)),
		where:     all(newPiece("p.deleted_at IS NULL"), one(db, "p.category_id", "(SELECT id FROM c)")),
		total:     newPiece("SELECT COALESCE((SELECT n FROM product_counts WHERE category_id = (SELECT id FROM c)), 0)"),
		selection: listedOfOneCategory,
	}
}

// productsBy selects what matches from products p, and what stands beside it.
func productsBy(w wanted, from, id string) (few piece, valued bool) {
	s := productListing.sorts[w.Sort.Field]
	if s.column == "" || s.column == "c.name_key" {
		return newPiece("SELECT "+id+" AS id FROM "+from+" WHERE "+w.where.sql, w.where.args...), false
	}
	return newPiece("SELECT "+id+" AS id, "+s.column+" AS v FROM "+from+" WHERE "+w.where.sql, w.where.args...), true
}

// productTexts selects how the texts of products stand.
var productTexts = newPiece("SELECT COALESCE((SELECT n FROM text_changes WHERE texts = 'products'), 0) AS changed, " +
	"(SELECT CAST(COALESCE(SUM(n), 0) AS bigint) FROM product_counts) AS listed")

// keptProducts selects how many products there are, in a category or in all.
func keptProducts(category string) piece {
	var where piece
	if category != "" {
		where = inCategory("category_id", category)
	}
	// SUM of bigint is numeric, which Postgres reads more slowly.
	return newPiece("SELECT CAST(COALESCE(SUM(n), 0) AS bigint) FROM product_counts"+where.clause(), where.args...)
}

// found selects the products that have the text: by the index of its pieces if that helps, unless there are many in all and the category has few.
func (t Products) found(db *gorm.DB, f domain.ProductFilter, w wanted) (few piece, valued bool, err error) {
	indexed, err := hasPieces(db, domain.Fold(f.Search))
	if err != nil || !indexed {
		few, valued = productsBy(w, productListing.table, productListing.id)
		return few, valued, err
	}
	if db.Name() == sqliteName {
		few, valued = productsBy(w, "product_texts(?) s CROSS JOIN products p ON p.rowid = s.rowid", "p.id")
		few.args = slices.Concat([]any{matching(f.Search)}, few.args)
		return few, valued, nil
	}
	where := all(hasText("s.text", f.Search), newPiece("NOT s.deleted"))
	few = newPiece("SELECT s.product_id AS id, s.created_at AS v FROM product_texts s WHERE "+where.sql, where.args...)
	valued = f.Page.Sort.Field == "createdAt"
	filter := productsOf(f)
	if filter.sql == "" {
		return few, valued, nil
	}
	if f.Category != "" {
		counted, err := asked(db, keptProducts(f.Category))
		if err != nil {
			return piece{}, false, err
		}
		many := false
		if counted <= kept {
			many, err = plenty(db, few)
		}
		if err != nil {
			return piece{}, false, err
		}
		if many {
			few, valued = productsBy(w, productListing.table, productListing.id)
			return few, valued, nil
		}
	}
	return newPiece(few.sql+" AND (SELECT "+filter.sql+" FROM products p WHERE p.id = s.product_id)", slices.Concat(few.args, filter.args)...), valued, nil
}

// byCategory lists by the categories' names, each with its products by id: which categories a page begins and ends in is known from their counts.
func (t Products) byCategory(db *gorm.DB, w wanted, category string) (pageOf[domain.Product], error) {
	s, after := productListing.sorts["category"], w.After
	where := newPiece("k.n > 0 AND c.deleted_at IS NULL")
	if category != "" {
		where = all(where, newPiece("c.name_key = ?", domain.Fold(category)))
	}
	var shelves []struct {
		ID      uuid.UUID
		NameKey string
		N       int64
	}
	direction, comes := "ASC", ">"
	if w.Sort.Desc {
		direction, comes = "DESC", "<"
	}
	if after != nil {
		if _, isText := after.Value.(string); !isText {
			return pageOf[domain.Product]{}, notACursor()
		}
		where = all(where, newPiece("c.name_key "+comes+"= ?", after.Value))
	}
	err := db.Raw("SELECT c.id, c.name_key, k.n FROM product_counts k JOIN categories c ON c.id = k.category_id WHERE "+where.sql+" ORDER BY c.name_key "+direction, where.args...).
		Scan(&shelves).Error
	if err != nil {
		return pageOf[domain.Product]{}, err
	}
	var ids []uuid.UUID
	skip := int64(w.offset())
	for _, shelf := range shelves {
		if skip >= shelf.N {
			skip -= shelf.N
			continue
		}
		where := newPiece("p.deleted_at IS NULL AND p.category_id = ?", shelf.ID)
		if after != nil && shelf.NameKey == after.Value {
			where = all(where, newPiece("p.id "+comes+" ?", after.ID))
		}
		part := limit(w.Size+1-len(ids), int(skip))
		found, err := productListing.ids(db, newPiece("SELECT p.id FROM products p WHERE "+where.sql+" ORDER BY p.id "+direction+part.sql, append(where.args, part.args...)...))
		if err != nil {
			return pageOf[domain.Product]{}, err
		}
		if ids, skip = append(ids, found...), 0; len(ids) > w.Size {
			break
		}
	}
	total, err := asked(db, w.total)
	if err != nil {
		return pageOf[domain.Product]{}, err
	}
	return productListing.named(db, s, w, domain.Extent{Total: total}, ids)
}

// productsOf is what a filter asks of a product p, but for the text.
func productsOf(f domain.ProductFilter) piece {
	var conditions []piece
	if f.Category != "" {
		conditions = append(conditions, inCategory("p.category_id", f.Category))
	}
	switch {
	case f.Low == nil:
	case *f.Low:
		conditions = append(conditions, newPiece("p.quantity <= p.reorder_level"))
	default:
		conditions = append(conditions, newPiece("(p.reorder_level IS NULL OR p.quantity > p.reorder_level)"))
	}
	return all(conditions...)
}

func textOf(f domain.ProductFilter) piece {
	if f.Search == "" {
		return piece{}
	}
	return newPiece("p.search_key LIKE "+untold+` ESCAPE '\'`, contains(f.Search))
}

// categoryNamed selects the id of a category by its folded name.
const categoryNamed = "(SELECT id FROM categories WHERE name_key = ? AND deleted_at IS NULL)"

func inCategory(column, name string) piece {
	return newPiece(column+" = "+categoryNamed, domain.Fold(name))
}

// After gives up to n of the products that the filter leaves, by id, beginning behind the one named; uuid.Nil is before all. What it costs does not
// rise with what came before.
func (t Products) After(ctx context.Context, f domain.ProductFilter, last uuid.UUID, n int) ([]domain.Product, error) {
	var products []domain.Product
	db := t.reader(ctx)
	where := all(newPiece("p.deleted_at IS NULL"), productsOf(domain.ProductFilter{Low: f.Low}), textOf(f))
	if f.Category != "" {
		where = all(where, inCategory(byIDAlone(db, "p.category_id"), f.Category))
	}
	err := db.Raw("SELECT "+selectProduct+" FROM products p JOIN categories c ON c.id = p.category_id WHERE "+where.sql+" AND p.id > ? ORDER BY p.id LIMIT ?",
		append(where.args, last, n)...).Scan(&products).Error
	if err != nil {
		return nil, fail("read products", err)
	}
	return products, nil
}

// Create stores a product, whose stock must still be empty. It returns KindConflict on `sku` if another product has it.
func (t Products) Create(ctx context.Context, p domain.Product) error {
	return savedProduct("create product", p, t.write.WithContext(ctx).Create(&p).Error)
}

// CreateAll is Create for several products. It returns KindConflict on `request` if one of the SKUs is taken.
func (t Products) CreateAll(ctx context.Context, products []domain.Product) error {
	if len(products) == 0 {
		return nil
	}
	return severalSaved("create products", len(products), t.write.WithContext(ctx).Create(&products))
}

// SaveDescriptions is [Products.SaveDescription] for several products, but for their pictures, which stay. It returns KindConflict on `request` if
// one of them is no longer in the version that it bears, or if one of the SKUs is taken.
func (t Products) SaveDescriptions(ctx context.Context, products []domain.Product) error {
	if len(products) == 0 {
		return nil
	}
	columns := clause.AssignmentColumns([]string{"name", "name_key", "category_id", "description", "sku", "sku_key", "reorder_level", "search_key", "updated_at"})
	// An INSERT that never inserts is the one way to change many rows to different values in one statement that both engines know.
	done := t.write.WithContext(ctx).Clauses(clause.OnConflict{
		Columns:   []clause.Column{{Name: "id"}},
		Where:     clause.Where{Exprs: []clause.Expression{gorm.Expr("products.version = excluded.version AND products.deleted_at IS NULL")}},
		DoUpdates: append(columns, clause.Assignment{Column: clause.Column{Name: "version"}, Value: gorm.Expr("products.version + 1")}),
	}).Create(&products)
	return severalSaved("update products", len(products), done)
}

func severalSaved(what string, n int, done *gorm.DB) error {
	switch {
	case isDuplicate(done.Error), done.Error == nil && done.RowsAffected != int64(n):
		return domain.Conflict("request", "The items were changed by someone else meanwhile")
	case done.Error != nil:
		return fail(what, done.Error)
	}
	return nil
}

// Named gives the products that have one of the ids or one of the folded SKUs, some of them twice.
func (t Products) Named(ctx context.Context, ids []uuid.UUID, skuKeys []string) ([]domain.Product, error) {
	var all []domain.Product
	for where, names := range map[string]any{"p.id IN ?": ids, "p.sku_key IN ?": skuKeys} {
		var found []domain.Product
		err := t.read.WithContext(ctx).Table("products p").Joins("JOIN categories c ON c.id = p.category_id").Where("p.deleted_at IS NULL").
			Where(where, names).Select(selectProduct).Scan(&found).Error
		if err != nil {
			return nil, fail("load products", err)
		}
		all = append(all, found...)
	}
	return all, nil
}

func savedProduct(what string, p domain.Product, err error) error {
	switch {
	case isDuplicate(err) && p.SKU != nil:
		return domain.SKUTaken(*p.SKU)
	case err != nil:
		return fail(what, err)
	}
	return nil
}

// SaveDescription writes everything but the quantity and raises the version, which it gives back. It returns KindConflict on `sku`
// if another product has it, and KindNotFound on `id` if the product is gone.
func (t Products) SaveDescription(ctx context.Context, p domain.Product) (int64, error) {
	var version int64
	done := t.write.WithContext(ctx).Raw(`UPDATE products SET name = ?, name_key = ?, category_id = ?, description = ?, sku = ?, sku_key = ?, reorder_level = ?,
		search_key = ?, image = ?, updated_at = ?, version = version + 1 WHERE id = ? AND deleted_at IS NULL RETURNING version`,
		p.Name, p.NameKey, p.CategoryID, p.Description, p.SKU, p.SKUKey, p.ReorderLevel, p.SearchKey, p.Image, p.UpdatedAt, p.ID).Scan(&version)
	if err := savedProduct("update product", p, done.Error); err != nil {
		return 0, err
	}
	if done.RowsAffected == 0 {
		return 0, ProductNotFound(p.ID)
	}
	return version, nil
}

// Delete hides a product and forgets its picture. It returns KindNotFound on `id` if it is gone already.
func (t Products) Delete(ctx context.Context, id uuid.UUID, now time.Time) error {
	done := t.write.WithContext(ctx).Model(&domain.Product{}).Where("id = ? AND deleted_at IS NULL", id).
		UpdateColumns(map[string]any{"deleted_at": now, "image": nil})
	if done.Error != nil {
		return fail("delete product", done.Error)
	}
	if done.RowsAffected == 0 {
		return ProductNotFound(id)
	}
	return nil
}

// LockAllIn gives all products of a category in the order of their ids and locks them, so that two who lock several never wait for each other.
func (t Products) LockAllIn(ctx context.Context, category uuid.UUID) ([]domain.Product, error) {
	var products []domain.Product
	err := t.write.WithContext(ctx).Clauses(forUpdate).Where("category_id = ? AND deleted_at IS NULL", category).Order("id").Find(&products).Error
	if err != nil {
		return nil, fail("lock products", err)
	}
	return products, nil
}

// DeleteAllIn hides all products of a category and forgets their pictures.
func (t Products) DeleteAllIn(ctx context.Context, category uuid.UUID, now time.Time) error {
	err := t.write.WithContext(ctx).Model(&domain.Product{}).Where("category_id = ? AND deleted_at IS NULL", category).
		UpdateColumns(map[string]any{"deleted_at": now, "image": nil}).Error
	if err != nil {
		return fail("delete products", err)
	}
	return nil
}

// UsedImages gives those of the pictures that a product shows.
func (t Products) UsedImages(ctx context.Context, names []string) ([]string, error) {
	var used []string
	err := t.write.WithContext(ctx).Model(&domain.Product{}).Where("image IN ?", names).Pluck("image", &used).Error
	if err != nil {
		return nil, fail("list pictures", err)
	}
	return used, nil
}
