package httpapi

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/service"
)

type productHandlers struct {
	products *service.Products
	pictures pictureURLs
}

type productBody struct {
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
	Deleted     bool      `json:"deleted,omitempty"`
}

func (base pictureURLs) productBody(p domain.Product) productBody {
	return productBody{
		ID: p.ID, Name: p.Name, Category: p.CategoryName, Quantity: p.Quantity, Description: p.Description, SKU: p.SKU, Reorder: p.ReorderLevel,
		ImageURL: base.url(p.Image), CreatedAt: stamp(p.CreatedAt), UpdatedAt: stamp(p.UpdatedAt), Deleted: p.DeletedAt != nil,
	}
}

func (h productHandlers) write(c *gin.Context, status int, p domain.Product) error {
	writeVersion(c, p.Version)
	writeJSON(c, status, h.pictures.productBody(p))
	return nil
}

func (h productHandlers) list(c *gin.Context) error {
	q, err := newQuery(c)
	if err != nil {
		return err
	}
	f := productFilter(q)
	f.Page = q.page("name", "quantity", "category", "createdAt", "updatedAt")
	products, extent, err := h.products.List(c.Request.Context(), actorOf(c), f, q.faults)
	if err != nil {
		return err
	}
	writeList(c, "products", convert(products, h.pictures.productBody), newPageBody(f.Page, extent))
	return nil
}

func productFilter(q *query) domain.ProductFilter {
	return domain.ProductFilter{Search: q.text("search"), Category: q.text("category"), Low: q.flag("lowStock")}
}

func (h productHandlers) byID(c *gin.Context) error {
	id, err := pathID(c, "item")
	if err != nil {
		return err
	}
	product, err := h.products.ByID(c.Request.Context(), actorOf(c), id)
	if err != nil {
		return err
	}
	if hasAlready(c, product.Version) {
		writeVersion(c, product.Version)
		c.Status(http.StatusNotModified)
		return nil
	}
	return h.write(c, http.StatusOK, product)
}

// productRequest is a product as a form or as JSON.
type productRequest struct {
	Name        string       `json:"name" validate:"required,line,max=200" trim:""`
	Category    string       `json:"category" validate:"required,line,max=100" trim:""`
	Quantity    *int64       `json:"quantity" validate:"omitempty,min=0,max=1000000000"`
	Description string       `json:"description" validate:"text,max=4000"`
	SKU         optionalText `json:"sku" validate:"omitempty,line,max=64" trim:""`
	Reorder     optionalInt  `json:"reorderLevel" validate:"omitempty,min=0,max=1000000000"`
	Image       optionalText `json:"image" validate:"-"`

	file []byte // the picture of a form
}

// bindProduct reads a product and its picture, whichever way they come.
func bindProduct(c *gin.Context) (service.ProductInput, domain.Faults, error) {
	read := bindJSON[productRequest]
	limit := int64(maxProductBody)
	if strings.HasPrefix(strings.ToLower(c.GetHeader("Content-Type")), "multipart/") {
		read, limit = bindForm, maxMultipartBody
	}
	in, faults, err := read(c, limit)
	if err != nil {
		return service.ProductInput{}, nil, err
	}
	product := service.ProductInput{
		Name: in.Name, Category: in.Category, Description: in.Description, Quantity: in.Quantity, Image: in.file,
		SKU: service.Change[string]{Set: in.SKU.Set}, Reorder: service.Change[int64](in.Reorder),
	}
	if in.SKU.Value != "" {
		product.SKU.Value = &in.SKU.Value
	}
	if in.Image.Value != "" && !faults.Has("image") {
		if product.Image, err = decodePicture(in.Image.Value); err != nil {
			faults.Add("image", "The image must be in base64")
		}
	}
	product.DropImage = in.Image.Set && len(product.Image) == 0
	return product, faults, nil
}

// decodePicture takes base64 (RFC 4648 section 4), as it is or as a data URL (RFC 2397).
func decodePicture(text string) ([]byte, error) {
	if strings.HasPrefix(text, "data:") {
		if _, data, ok := strings.Cut(text, ";base64,"); ok {
			text = data
		}
	}
	return base64.StdEncoding.Strict().DecodeString(text)
}

func (h productHandlers) create(c *gin.Context) error {
	in, faults, err := bindProduct(c)
	if err != nil {
		return err
	}
	if in.Quantity == nil && !faults.Has("quantity") {
		faults.Add("quantity", "The quantity is required")
	}
	product, err := h.products.Create(c.Request.Context(), actorOf(c), in, attemptOf(c), faults)
	if err != nil {
		return err
	}
	return h.created(c, product)
}

func (h productHandlers) created(c *gin.Context, product domain.Product) error {
	c.Header("Location", "/products/"+product.ID.String())
	return h.write(c, http.StatusCreated, product)
}

// createdBefore answers a creation whose answer was lost.
func (h productHandlers) createdBefore(c *gin.Context, id uuid.UUID) error {
	product, err := h.products.ByID(c.Request.Context(), actorOf(c), id)
	if err != nil {
		return err
	}
	return h.created(c, product)
}

func (h productHandlers) update(c *gin.Context) error {
	id, err := pathID(c, "item")
	if err != nil {
		return err
	}
	in, faults, err := bindProduct(c)
	if err != nil {
		return err
	}
	product, err := h.products.Update(c.Request.Context(), actorOf(c), id, in, expectation(c), faults)
	if err != nil {
		return err
	}
	return h.write(c, http.StatusOK, product)
}

type adjustRequest struct {
	Quantity *int64 `json:"quantity" validate:"omitempty,min=0,max=1000000000"`
	Delta    *int64 `json:"delta" validate:"omitempty,min=-1000000000,max=1000000000"`
	Note     string `json:"note" validate:"text,max=500"`
}

func (h productHandlers) adjust(c *gin.Context) error {
	id, err := pathID(c, "item")
	if err != nil {
		return err
	}
	in, faults, err := bindJSON[adjustRequest](c, maxJSONBody)
	if err != nil {
		return err
	}
	switch {
	case in.Quantity != nil && in.Delta != nil:
		faults.Add("quantity", "Either the quantity or the delta must be given, not both")
		faults.Add("delta", "Either the quantity or the delta must be given, not both")
	case in.Quantity == nil && in.Delta == nil && !faults.Has("quantity") && !faults.Has("delta"):
		faults.Add("quantity", "The quantity or the delta is required")
	case in.Delta != nil && *in.Delta == 0:
		faults.Add("delta", "The delta must not be 0")
	}
	product, err := h.products.Adjust(c.Request.Context(), actorOf(c), id, service.Adjustment{Quantity: in.Quantity, Delta: in.Delta, Note: in.Note}, expectation(c), faults)
	if err != nil {
		return err
	}
	return h.write(c, http.StatusOK, product)
}

func (h productHandlers) delete(c *gin.Context) error {
	id, err := pathID(c, "item")
	if err != nil {
		return err
	}
	if err := h.products.Delete(c.Request.Context(), actorOf(c), id, expectation(c)); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// actedBody names who did something; null stands for the server itself.
type actedBody struct {
	ID       uuid.UUID `json:"id"`
	Username *string   `json:"username"`
}

func newActedBody(id *uuid.UUID, username *string) *actedBody {
	if id == nil {
		return nil
	}
	return &actedBody{ID: *id, Username: username}
}

type movementBody struct {
	ID            uuid.UUID             `json:"id"`
	Delta         int64                 `json:"delta"`
	QuantityAfter int64                 `json:"quantityAfter"`
	Reason        domain.MovementReason `json:"reason"`
	OrderID       *uuid.UUID            `json:"orderId"`
	User          *actedBody            `json:"user"`
	Note          string                `json:"note"`
	CreatedAt     stamp                 `json:"createdAt"`
}

func newMovementBody(m domain.Movement) movementBody {
	return movementBody{
		ID: m.ID, Delta: m.Delta, QuantityAfter: m.QuantityAfter, Reason: m.Reason, OrderID: m.OrderID,
		User: newActedBody(m.UserID, m.Username), Note: m.Note, CreatedAt: stamp(m.CreatedAt),
	}
}

func (h productHandlers) movements(c *gin.Context) error {
	id, err := pathID(c, "item")
	if err != nil {
		return err
	}
	q, err := newQuery(c)
	if err != nil {
		return err
	}
	page := q.page("createdAt")
	movements, extent, err := h.products.Movements(c.Request.Context(), actorOf(c), id, page, q.faults)
	if err != nil {
		return err
	}
	return writePlainList(c, "movements", convert(movements, newMovementBody), newPageBody(page, extent))
}
