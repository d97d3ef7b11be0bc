package service

import (
	"context"
	"time"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/imagestore"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/tracing"
)

// Products is about what is in stock, and how much of it.
type Products struct {
	store    *repository.Store
	pictures *Pictures
	clock    clock
	adjusts  together[adjusting]
}

// NewProducts makes the use cases of /products. Whoever only imports and exports needs no pictures.
func NewProducts(store *repository.Store, pictures *Pictures, now func() time.Time) *Products {
	s := &Products{store: store, pictures: pictures, clock: now}
	s.adjusts = together[adjusting]{store: store, carryOut: s.adjust}
	return s
}

// ProductInput is what a caller says of a product.
type ProductInput struct {
	Name        string
	Category    string // its name
	Description string
	SKU         Change[string]
	Reorder     Change[int64] // the level
	Quantity    *int64        // nil keeps the quantity of a product that exists
	Image       []byte        // a new picture as it was sent, or nothing
	DropImage   bool          // remove the picture that there is
}

// Change is a new value for something that need not have one and that may be left as it is.
type Change[T any] struct {
	Set   bool // otherwise it stays as it is
	Value *T   // nil removes it
}

// or gives what holds after the change.
func (c Change[T]) or(before *T) *T {
	if c.Set {
		return c.Value
	}
	return before
}

// List gives one page of products and how much there is beside it. It returns KindInvalid for faults, an unknown category among them.
func (s *Products) List(ctx context.Context, actor domain.Actor, f domain.ProductFilter, faults domain.Faults) ([]domain.Product, domain.Extent, error) {
	if err := actor.Require(domain.ReadCatalogue); err != nil {
		return nil, domain.Extent{}, err
	}
	return filtered(ctx, s.store, f.Category, faults, func() ([]domain.Product, domain.Extent, error) { return s.store.Products.List(ctx, f) })
}

func (s *Products) mayList(ctx context.Context, actor domain.Actor, f domain.ProductFilter, faults domain.Faults) error {
	if err := actor.Require(domain.ReadCatalogue); err != nil {
		return err
	}
	return checkFilter(ctx, s.store, f.Category, faults)
}

// Export gives all products that the filter leaves to write, by id and in batches, at least one, which may be empty. What is changed meanwhile may be
// in it or not. It returns KindInvalid for faults, an unknown category among them, and what write returns.
func (s *Products) Export(ctx context.Context, actor domain.Actor, f domain.ProductFilter, faults domain.Faults, write func([]domain.Product) error) error {
	if err := s.mayList(ctx, actor, f, faults); err != nil {
		return err
	}
	return export(func(last uuid.UUID) ([]domain.Product, error) {
		return s.store.Products.After(ctx, f, last, exportBatch)
	},
		func(p domain.Product) uuid.UUID { return p.ID }, write)
}

// ExportMovements gives the whole ledger, of deleted products too, to write as [Products.Export] does.
func (s *Products) ExportMovements(ctx context.Context, actor domain.Actor, write func([]domain.Movement) error) error {
	if err := actor.Require(domain.ReadCatalogue); err != nil {
		return err
	}
	return export(func(last uuid.UUID) ([]domain.Movement, error) { return s.store.Stock.After(ctx, last, exportBatch) },
		func(m domain.Movement) uuid.UUID { return m.ID }, write)
}

// exportBatch is how many things are held at a time. A product has at most 16 KB of text.
const exportBatch = 500

func export[T any](after func(uuid.UUID) ([]T, error), id func(T) uuid.UUID, write func([]T) error) error {
	var last uuid.UUID
	for {
		batch, err := after(last)
		if err != nil {
			return err
		}
		if err := write(batch); err != nil {
			return err
		}
		if len(batch) < exportBatch {
			return nil
		}
		last = id(batch[len(batch)-1])
	}
}

// ByID returns KindNotFound on `id`.
func (s *Products) ByID(ctx context.Context, actor domain.Actor, id uuid.UUID) (domain.Product, error) {
	if err := actor.Require(domain.ReadCatalogue); err != nil {
		return domain.Product{}, err
	}
	return s.store.Products.ByID(ctx, id)
}

// Create makes a product with its first stock. It returns KindForbidden, KindInvalid for faults, an unknown category and a bad picture among them, and
// KindConflict on `sku` if another product has it.
func (s *Products) Create(ctx context.Context, actor domain.Actor, in ProductInput, attempt *domain.Attempt, faults domain.Faults) (domain.Product, error) {
	if err := actor.Require(domain.WriteProducts); err != nil {
		return domain.Product{}, err
	}
	picture, err := s.check(ctx, in, &faults)
	if err != nil {
		return domain.Product{}, err
	}
	image, err := s.pictures.keep(ctx, picture)
	if err != nil {
		return domain.Product{}, err
	}
	var product domain.Product
	err = s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		category, err := holdCategory(ctx, tx, in.Category)
		if err != nil {
			return err
		}
		product = domain.NewProduct(in.Name, in.Description, category, image, now)
		product.Label(in.SKU.Value, in.Reorder.Value)
		if err := tx.Products.Create(ctx, product); err != nil {
			return err
		}
		note(tx, actor, domain.AuditProductCreated, "product", product.ID.String(), domain.AuditDetails{"name": in.Name, "quantity": *in.Quantity}, now)
		if err := tx.Attempts.Made(ctx, attempt, product.ID); err != nil {
			return err
		}
		return move(ctx, tx, &product, domain.NewMovement(product.ID, *in.Quantity, domain.MovementCreated, actor.ID, now))
	})
	if err != nil {
		s.pictures.undo(ctx, image, err)
		return domain.Product{}, err
	}
	return product, nil
}

// check finds every fault of the input, so that all are told at once, and gives the picture ready to be kept.
func (s *Products) check(ctx context.Context, in ProductInput, faults *domain.Faults) (*imagestore.Picture, error) {
	if _, err := checkCategory(ctx, s.store.Categories.ByName, in.Category, faults); err != nil {
		return nil, err
	}
	picture, err := s.pictures.clean(ctx, in.Image, faults)
	if err != nil {
		return nil, err
	}
	return picture, faults.Err()
}

// holdCategory is the last word on a category that was seen before the transaction.
func holdCategory(ctx context.Context, tx *repository.Store, name string) (domain.Category, error) {
	var faults domain.Faults
	category, err := checkCategory(ctx, tx.Categories.Hold, name, &faults)
	if err != nil {
		return domain.Category{}, err
	}
	return category, faults.Err()
}

// move applies a movement and brings the product's figures up to it.
func move(ctx context.Context, tx *repository.Store, p *domain.Product, m domain.Movement) error {
	done, err := tx.Stock.Apply(ctx, m)
	if err != nil {
		return err
	}
	p.Quantity, p.Version, p.UpdatedAt, p.ReorderLevel = done.QuantityAfter, done.ProductVersion, done.CreatedAt, done.ReorderLevel
	return nil
}

// products finds products by their ids.
type products map[uuid.UUID]*domain.Product

func byID(all []domain.Product, err error) (products, error) {
	found := make(products, len(all))
	for i := range all {
		found[all[i].ID] = &all[i]
	}
	return found, err
}

// warn announces a product that has become low to everybody who watches the stock. It must have been held since it was before.
func warn(ctx context.Context, tx *repository.Store, before, after domain.Product, now time.Time) error {
	if before.Low() || !after.Low() {
		return nil
	}
	watchers, err := tx.Users.StockWatchers(ctx)
	if err != nil {
		return err
	}
	for _, u := range watchers {
		event, err := domain.NewStockLow(u, after, now)
		if err != nil {
			return err
		}
		if err := tx.Outbox.Add(ctx, event); err != nil {
			return err
		}
	}
	return nil
}

// Update changes a product. Without a quantity the stock stays as it is; without a picture the picture stays. It returns
// KindForbidden, KindNotFound on `id`, KindInvalid for faults, an unknown category and a bad picture among them, and KindConflict on `sku` if another
// product has it.
func (s *Products) Update(ctx context.Context, actor domain.Actor, id uuid.UUID, in ProductInput, expected domain.Expectation, faults domain.Faults) (domain.Product, error) {
	if err := actor.Require(domain.WriteProducts); err != nil {
		return domain.Product{}, err
	}
	_, missing := s.store.Products.ByID(ctx, id)
	if missing != nil && !isKind(missing, domain.KindNotFound) {
		return domain.Product{}, missing
	}
	picture, err := s.check(ctx, in, &faults)
	if missing != nil {
		return domain.Product{}, faults.Beside(missing)
	}
	if err != nil {
		return domain.Product{}, err
	}
	image, err := s.pictures.keep(ctx, picture)
	if err != nil {
		return domain.Product{}, err
	}
	var before, product domain.Product
	err = s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		category, err := holdCategory(ctx, tx, in.Category)
		if err != nil {
			return err
		}
		if before, err = lockProduct(ctx, tx, id, expected); err != nil {
			return err
		}
		product = before
		product.Describe(in.Name, in.Description, category, now)
		product.Label(in.SKU.or(before.SKU), in.Reorder.or(before.ReorderLevel))
		if image != nil || in.DropImage {
			product.Image = image
		}
		if product.Version, err = tx.Products.SaveDescription(ctx, product); err != nil {
			return err
		}
		details, moved := changes(before, product), in.Quantity != nil && *in.Quantity != product.Quantity
		if moved {
			details["quantity"] = []int64{product.Quantity, *in.Quantity}
		}
		note(tx, actor, domain.AuditProductUpdated, "product", id.String(), details, now)
		if moved {
			m := domain.NewMovement(id, *in.Quantity-product.Quantity, domain.MovementAdjusted, actor.ID, now)
			if err := move(ctx, tx, &product, m); err != nil {
				return err
			}
		}
		return warn(ctx, tx, before, product, now)
	})
	if err != nil {
		s.pictures.undo(ctx, image, err)
		return domain.Product{}, err
	}
	if before.Image != nil && (product.Image == nil || *product.Image != *before.Image) {
		s.pictures.forget(ctx, before.Image)
	}
	return product, nil
}

// changes tells which fields of a product have other values now; those that are short with both.
func changes(before, after domain.Product) domain.AuditDetails {
	details := domain.AuditDetails{}
	if before.Name != after.Name {
		details["name"] = []string{before.Name, after.Name}
	}
	if before.CategoryName != after.CategoryName {
		details["category"] = []string{before.CategoryName, after.CategoryName}
	}
	if before.Description != after.Description {
		details["description"] = "changed"
	}
	if differ(before.SKU, after.SKU) {
		details["sku"] = []*string{before.SKU, after.SKU}
	}
	if differ(before.ReorderLevel, after.ReorderLevel) {
		details["reorderLevel"] = []*int64{before.ReorderLevel, after.ReorderLevel}
	}
	if differ(before.Image, after.Image) {
		details["image"] = "changed"
	}
	return details
}

// differ says whether one of two is missing or they have different values.
func differ[T comparable](a, b *T) bool { return (a == nil) != (b == nil) || (a != nil && *a != *b) }

// Adjustment is a change of stock by hand: either the count that there is, or the difference.
type Adjustment struct {
	Quantity *int64
	Delta    *int64
	Note     string
}

// adjusting is a call of [Products.Adjust].
type adjusting struct {
	actor    domain.Actor
	id       uuid.UUID
	in       Adjustment
	expected domain.Expectation
	faults   domain.Faults
	product  domain.Product // the result
}

// Adjust changes a product's stock by hand. It returns KindForbidden, KindNotFound on `id`, KindInvalid for faults, and KindConflict on
// `delta` if the product has too little or would have too much.
func (s *Products) Adjust(ctx context.Context, actor domain.Actor, id uuid.UUID, in Adjustment, expected domain.Expectation, faults domain.Faults) (domain.Product, error) {
	if err := actor.Require(domain.WriteProducts); err != nil {
		return domain.Product{}, err
	}
	adjusted, err := s.adjusts.do(ctx, adjusting{actor: actor, id: id, in: in, expected: expected, faults: faults})
	if err != nil {
		return domain.Product{}, err
	}
	return adjusted.product, nil
}

func (s *Products) adjust(ctx context.Context, tx *repository.Store, batch []*call[adjusting]) error {
	now := s.clock.now()
	ids := make([]uuid.UUID, len(batch))
	for i, c := range batch {
		ids[i] = c.in.id
	}
	held, err := byID(tx.Products.LockAll(ctx, ids))
	if err != nil {
		return err
	}
	var movements []domain.Movement
	for _, c := range batch {
		a := &c.in
		var m domain.Movement
		if m, c.refused = a.decide(held, now); c.refused != nil {
			continue
		}
		product := held[a.id]
		before := *product
		if c.refused = product.Move(&m); c.refused != nil {
			continue
		}
		a.product, movements = *product, append(movements, m)
		note(tx, a.actor, domain.AuditProductAdjusted, "product", a.id.String(), domain.AuditDetails{"delta": m.Delta}, now)
		if err := warn(tracing.Within(ctx, c.ctx), tx, before, *product, now); err != nil {
			return err
		}
	}
	return tx.Stock.ApplyAll(ctx, movements)
}

func (a *adjusting) decide(held products, now time.Time) (domain.Movement, error) {
	product, exists := held[a.id]
	if !exists {
		return domain.Movement{}, a.faults.Beside(repository.ProductNotFound(a.id))
	}
	if err := a.expected.Check(product.Version); err != nil {
		return domain.Movement{}, err
	}
	if err := a.faults.Err(); err != nil {
		return domain.Movement{}, err
	}
	delta, err := a.in.delta(*product)
	if err != nil {
		return domain.Movement{}, err
	}
	m := domain.NewMovement(a.id, delta, domain.MovementAdjusted, a.actor.ID, now)
	m.Note = a.in.Note
	return m, nil
}

// delta gives the difference from what the product has. A count that finds what was expected is a movement too, of nothing.
func (in Adjustment) delta(p domain.Product) (int64, error) {
	switch {
	case in.Quantity != nil:
		return *in.Quantity - p.Quantity, nil
	case p.Quantity+*in.Delta < 0:
		return 0, domain.TooLittleStock("delta", *in.Delta, p)
	case *in.Delta > 0 && p.Quantity+*in.Delta > domain.MaxQuantity:
		return 0, domain.Conflict("delta", "The item '%s' has %d unit(s); with the delta %d it would have more than %d", p.Name, p.Quantity, *in.Delta, domain.MaxQuantity)
	}
	return *in.Delta, nil
}

// lockProduct holds a product that is about to be changed. It returns KindNotFound on `id`, and KindPrecondition if the product is not in
// the version that was expected.
func lockProduct(ctx context.Context, tx *repository.Store, id uuid.UUID, expected domain.Expectation) (domain.Product, error) {
	product, err := tx.Products.Lock(ctx, id)
	if err != nil {
		return domain.Product{}, err
	}
	return product, expected.Check(product.Version)
}

// Delete removes a product and its picture. It returns KindForbidden, KindNotFound on `id`, KindConflict on `id` while it has an open
// order, and KindPrecondition if it is not in the version that was expected.
func (s *Products) Delete(ctx context.Context, actor domain.Actor, id uuid.UUID, expected domain.Expectation) error {
	if err := actor.Require(domain.DeleteProducts); err != nil {
		return err
	}
	var product domain.Product
	err := s.store.InTx(ctx, func(tx *repository.Store) error {
		var err error
		if product, err = lockProduct(ctx, tx, id, expected); err != nil {
			return err
		}
		// Counted after the lock is held: an order that was being placed is seen now, and no other can begin.
		open, err := tx.Orders.CountOpen(ctx, id)
		if err != nil {
			return err
		}
		if open > 0 {
			return domain.Conflict("id", "The item '%s' has %d open transaction(s)", product.Name, open)
		}
		now := s.clock.now()
		note(tx, actor, domain.AuditProductDeleted, "product", id.String(), domain.AuditDetails{"name": product.Name, "quantity": product.Quantity}, now)
		return tx.Products.Delete(ctx, id, now)
	})
	if err != nil {
		return err
	}
	s.pictures.forget(ctx, product.Image)
	return nil
}

// Movements gives one page of a product's stock ledger and how much there is beside it. It returns KindNotFound on `id`.
func (s *Products) Movements(ctx context.Context, actor domain.Actor, id uuid.UUID, page domain.Page, faults domain.Faults) ([]domain.Movement, domain.Extent, error) {
	if err := actor.Require(domain.ReadCatalogue); err != nil {
		return nil, domain.Extent{}, err
	}
	if _, err := s.store.Products.ByID(ctx, id); err != nil {
		return nil, domain.Extent{}, faults.Beside(err)
	}
	if err := faults.Err(); err != nil {
		return nil, domain.Extent{}, err
	}
	return s.store.Stock.List(ctx, id, page)
}
