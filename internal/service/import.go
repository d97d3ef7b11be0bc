package service

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
)

// ImportRow is one row of a file of products.
type ImportRow struct {
	Number      int       // as a spreadsheet counts: the names of the columns stand in row 1
	ID          uuid.UUID // uuid.Nil for none
	SKU         Change[string]
	Name        string // empty keeps the name of a product that exists
	Category    string // empty keeps the category of a product that exists
	Quantity    *int64 // nil keeps the quantity of a product that exists
	Reorder     Change[int64]
	Description *string             // nil keeps the one of a product that exists
	Faults      []domain.SheetFault // what is wrong with its cells
}

func (r ImportRow) faulty(column string) bool {
	for _, f := range r.Faults {
		if f.Column == column {
			return true
		}
	}
	return false
}

// Sheet gives the rows of a file to yield until that returns an error, which it passes on. It begins from the first row each time. Faults that belong
// to no row come in a row of the number 0.
type Sheet func(yield func(ImportRow) error) error

// ImportReport counts what an import did, or would do.
type ImportReport struct{ Created, Updated, Unchanged int }

const (
	// importBatch is how many rows are looked up and written by one statement. SQLite takes 32,766 parameters.
	importBatch = 500
	// importTries bounds how often an import is begun that others have got in the way of.
	importTries = 3
	// importNote is what the ledger says of a quantity that a file has set.
	importNote = "import"
)

// Import creates and changes products by the rows of a file, all or, if anything is wrong, none. A row is of the product with its id or else with its
// SKU; one with a SKU that no product has makes one. A row that changes nothing writes nothing. A dry run writes nothing at all. It returns
// KindForbidden, KindInvalid on `file` for all faults of all rows beside those that the edge has found, and KindConflict on `request` if others kept
// changing the same products.
func (s *Products) Import(ctx context.Context, actor domain.Actor, sheet Sheet, dryRun bool, faults domain.Faults) (ImportReport, error) {
	if err := actor.Require(domain.ImportProducts); err != nil {
		return ImportReport{}, err
	}
	// Looked at as a whole before anything is held, so that most faults cost nobody a wait.
	check := newImporting(s.store, actor, s.clock.now(), false)
	if err := check.run(ctx, sheet); err != nil {
		return ImportReport{}, err
	}
	if err := check.faults.Err("file", faults); err != nil || dryRun || check.report.Created+check.report.Updated == 0 {
		return check.report, err
	}
	var report ImportReport
	var err error
	for range importTries {
		err = s.store.InTx(ctx, func(tx *repository.Store) error {
			if err := tx.Bulk(ctx); err != nil {
				return err
			}
			do := newImporting(tx, actor, s.clock.now(), true)
			if err := do.run(ctx, sheet); err != nil {
				return err
			}
			if err := do.faults.Err("file", nil); err != nil {
				return err
			}
			report = do.report
			details := domain.AuditDetails{"created": report.Created, "updated": report.Updated, "unchanged": report.Unchanged}
			note(tx, actor, domain.AuditProductsImported, "import", "products", details, do.now)
			return nil
		})
		if !isKind(err, domain.KindConflict) {
			break
		}
	}
	if err != nil {
		return ImportReport{}, err
	}
	return report, nil
}

// importing is one pass through a file.
type importing struct {
	store *repository.Store
	actor domain.Actor
	now   time.Time
	write bool // otherwise it only looks

	rows     []ImportRow
	products map[uuid.UUID]int // the row of each product so far
	skus     map[string]int    // the row of each SKU so far, folded
	faults   domain.SheetFaults
	report   ImportReport
}

func newImporting(store *repository.Store, actor domain.Actor, now time.Time, write bool) *importing {
	return &importing{store: store, actor: actor, now: now, write: write, products: map[uuid.UUID]int{}, skus: map[string]int{}}
}

func (m *importing) run(ctx context.Context, sheet Sheet) error {
	err := sheet(func(row ImportRow) error {
		if m.rows = append(m.rows, row); len(m.rows) < importBatch {
			return nil
		}
		return m.batch(ctx)
	})
	if err != nil {
		return err
	}
	return m.batch(ctx)
}

// known is what the database has of the things that a batch of rows names.
type known struct {
	byID       map[uuid.UUID]domain.Product
	bySKU      map[string]domain.Product  // folded
	categories map[string]domain.Category // folded
}

// batch works off the rows that were gathered.
func (m *importing) batch(ctx context.Context) error {
	if len(m.rows) == 0 {
		return nil
	}
	have, err := m.lookUp(ctx)
	if err != nil {
		return err
	}
	var plan changeList
	for _, row := range m.rows {
		m.judge(row, have, &plan)
	}
	clear(m.rows)
	m.rows = m.rows[:0]
	if !m.write || m.faults.Any() {
		return nil
	}
	return plan.write(ctx, m.store, m.actor, m.now)
}

func (m *importing) lookUp(ctx context.Context) (known, error) {
	have := known{map[uuid.UUID]domain.Product{}, map[string]domain.Product{}, map[string]domain.Category{}}
	var ids []uuid.UUID
	var skus, categories []string
	for _, row := range m.rows {
		if row.ID != uuid.Nil {
			ids = append(ids, row.ID)
		}
		if row.SKU.Value != nil {
			skus = append(skus, domain.Fold(*row.SKU.Value))
		}
		if row.Category != "" {
			categories = append(categories, domain.Fold(row.Category))
		}
	}
	products, err := m.store.Products.Named(ctx, ids, skus)
	if err != nil {
		return known{}, err
	}
	for _, p := range products {
		have.byID[p.ID] = p
		if p.SKUKey != nil {
			have.bySKU[*p.SKUKey] = p
		}
	}
	found, err := m.store.Categories.HoldAll(ctx, categories)
	if err != nil {
		return known{}, err
	}
	for _, c := range found {
		have.categories[c.NameKey] = c
	}
	return have, nil
}

// judge finds the faults of a row, or else what it changes.
func (m *importing) judge(row ImportRow, have known, plan *changeList) {
	before := m.faults.Count()
	m.faults.Add(row.Number, row.Faults...)
	if row.Number == 0 {
		return
	}
	product, exists := m.identify(row, have)
	fault := func(column, format string, args ...any) {
		m.faults.Add(row.Number, domain.SheetFault{Column: column, Text: fmt.Sprintf(format, args...)})
	}
	category, has := have.categories[domain.Fold(row.Category)]
	if row.Category != "" && !has {
		fault("category", "the category with name '%s' does not exist", domain.Clip(row.Category))
	}
	if row.Quantity != nil && *row.Quantity > domain.MaxQuantity && (!exists || *row.Quantity != product.Quantity) {
		fault("quantity", "expected a whole number from 0 to %d, found '%d'", domain.MaxQuantity, *row.Quantity)
	}
	if !exists && row.ID == uuid.Nil && row.SKU.Value != nil {
		for _, need := range []struct {
			column  string
			missing bool
		}{{"name", row.Name == ""}, {"category", row.Category == ""}, {"quantity", row.Quantity == nil}} {
			if need.missing && !row.faulty(need.column) {
				fault(need.column, "required for a new item")
			}
		}
	}
	switch {
	case m.faults.Count() > before:
	case !exists:
		m.report.Created++
		plan.create(row, category, m.actor, m.now)
	case plan.change(row, product, category, m.actor, m.now):
		m.report.Updated++
	default:
		m.report.Unchanged++
	}
}

// identify finds the product of a row, and the faults of its id and SKU.
func (m *importing) identify(row ImportRow, have known) (domain.Product, bool) {
	fault := func(column, format string, args ...any) {
		m.faults.Add(row.Number, domain.SheetFault{Column: column, Text: fmt.Sprintf(format, args...)})
	}
	key := ""
	if row.SKU.Value != nil {
		key = domain.Fold(*row.SKU.Value)
	}
	holder, taken := have.bySKU[key]
	product, exists := holder, taken
	if row.ID != uuid.Nil {
		product, exists = have.byID[row.ID]
	}
	switch {
	case row.ID != uuid.Nil && !exists:
		fault("id", "the item with id '%s' does not exist", row.ID)
		return product, false
	case row.ID == uuid.Nil && key == "":
		if !row.faulty("id") && !row.faulty("sku") {
			fault("", "it has neither an id nor a sku")
		}
		return product, false
	}
	if exists {
		if first := m.products[product.ID]; first > 0 {
			column := "id"
			if row.ID == uuid.Nil {
				column = "sku"
			}
			fault(column, "the item stands in row %d already", first)
			return product, true
		}
		m.products[product.ID] = row.Number
	}
	if key == "" {
		return product, exists
	}
	if first := m.skus[key]; first > 0 {
		fault("sku", "'%s' stands in row %d already", domain.Clip(*row.SKU.Value), first)
		return product, exists
	}
	m.skus[strings.Clone(key)] = row.Number // the key may be a part of the whole row
	if taken && holder.ID != product.ID {
		fault("sku", "the item with SKU '%s' already exists", domain.Clip(*row.SKU.Value))
	}
	return product, exists
}

// changeList is what a batch of rows writes.
type changeList struct {
	created   []domain.Product
	described []domain.Product
	movements []domain.Movement
	notes     []func(tx *repository.Store)
}

func (l *changeList) create(row ImportRow, category domain.Category, actor domain.Actor, now time.Time) {
	description := ""
	if row.Description != nil {
		description = *row.Description
	}
	p := domain.NewProduct(row.Name, description, category, nil, now)
	p.Label(row.SKU.Value, row.Reorder.Value)
	l.created = append(l.created, p)
	l.move(p, *row.Quantity, domain.MovementCreated, actor, now)
}

// change says whether the row differs from the product.
func (l *changeList) change(row ImportRow, before domain.Product, category domain.Category, actor domain.Actor, now time.Time) bool {
	after, name, description := before, before.Name, before.Description
	if row.Name != "" {
		name = row.Name
	}
	if row.Category == "" {
		category = domain.Category{ID: before.CategoryID, Name: before.CategoryName}
	}
	if row.Description != nil {
		description = *row.Description
	}
	after.Describe(name, description, category, now)
	after.Label(row.SKU.or(before.SKU), row.Reorder.or(before.ReorderLevel))
	details := changes(before, after)
	if len(details) > 0 {
		l.described = append(l.described, after)
		after.Version++
	}
	if row.Quantity != nil && *row.Quantity != before.Quantity {
		details["quantity"] = []int64{before.Quantity, *row.Quantity}
		l.move(after, *row.Quantity, domain.MovementAdjusted, actor, now)
	}
	if len(details) == 0 {
		return false
	}
	l.notes = append(l.notes, func(tx *repository.Store) {
		note(tx, actor, domain.AuditProductUpdated, "product", before.ID.String(), details, now)
	})
	return true
}

// move takes a product from the quantity and the version that it has to another quantity.
func (l *changeList) move(p domain.Product, quantity int64, reason domain.MovementReason, actor domain.Actor, now time.Time) {
	m := domain.NewMovement(p.ID, quantity-p.Quantity, reason, actor.ID, now)
	m.QuantityAfter, m.ProductVersion, m.Note = quantity, p.Version+1, importNote
	l.movements = append(l.movements, m)
}

func (l *changeList) write(ctx context.Context, tx *repository.Store, actor domain.Actor, now time.Time) error {
	if err := tx.Products.CreateAll(ctx, l.created); err != nil {
		return err
	}
	if err := tx.Products.SaveDescriptions(ctx, l.described); err != nil {
		return err
	}
	if err := tx.Stock.ApplyAll(ctx, l.movements); err != nil {
		return err
	}
	for _, tell := range l.notes {
		tell(tx)
	}
	return nil
}
