package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/service"
)

type orderHandlers struct {
	orders   *service.Orders
	pictures pictureURLs
}

// orderBody is an order; I is the form of its item.
type orderBody[I appender] struct {
	ID          uuid.UUID         `json:"id"`
	Client      string            `json:"client"`
	Description string            `json:"description"`
	Quantity    int64             `json:"quantity"`
	State       domain.OrderState `json:"state"`
	CreatedAt   stamp             `json:"createdAt"`
	UpdatedAt   stamp             `json:"updatedAt"`
	Item        I                 `json:"item"`
}

// itemBody is what a list of orders shows of an item.
type itemBody struct {
	ID       uuid.UUID `json:"id"`
	Name     string    `json:"name"`
	Category string    `json:"category"`
	Quantity int64     `json:"quantity"`
	ImageURL *string   `json:"imageUrl"`
	Deleted  bool      `json:"deleted,omitempty"`
}

func (base pictureURLs) itemBody(p domain.Product) itemBody {
	return itemBody{ID: p.ID, Name: p.Name, Category: p.CategoryName, Quantity: p.Quantity, ImageURL: base.url(p.Image), Deleted: p.DeletedAt != nil}
}

func newOrderBody[I appender](o domain.Order, item func(domain.Product) I) orderBody[I] {
	return orderBody[I]{
		ID: o.ID, Client: o.Client, Description: o.Description, Quantity: o.Quantity, State: o.State,
		CreatedAt: stamp(o.CreatedAt), UpdatedAt: stamp(o.UpdatedAt), Item: item(o.Item),
	}
}

func (h orderHandlers) write(c *gin.Context, status int, o domain.Order) error {
	writeVersion(c, o.Version)
	writeJSON(c, status, newOrderBody(o, h.pictures.productBody))
	return nil
}

func (h orderHandlers) list(c *gin.Context) error {
	q, err := newQuery(c)
	if err != nil {
		return err
	}
	f := orderFilter(q)
	f.Page = q.page("createdAt", "updatedAt", "client", "quantity", "state")
	orders, extent, err := h.orders.List(c.Request.Context(), actorOf(c), f, q.faults)
	if err != nil {
		return err
	}
	bodies := convert(orders, func(o domain.Order) orderBody[itemBody] { return newOrderBody(o, h.pictures.itemBody) })
	writeList(c, "orders", bodies, newPageBody(f.Page, extent))
	return nil
}

func orderFilter(q *query) domain.OrderFilter {
	return domain.OrderFilter{
		Search: q.text("search"), Category: q.text("category"),
		State: parse(q, "state", func(s string) (domain.OrderState, error) { return domain.ParseOrderState("state", s) }),
	}
}

type placeRequest struct {
	ItemID       string `json:"itemId" validate:"required"`
	Client       string `json:"client" validate:"required,line,max=200" trim:""`
	Description  string `json:"description" validate:"text,max=2000"`
	Quantity     *int64 `json:"quantity" validate:"required,min=1,max=1000000000"`
	InitialState string `json:"initialState" validate:"omitempty,initial"`
}

func (h orderHandlers) place(c *gin.Context) error {
	in, faults, err := bindJSON[placeRequest](c, maxJSONBody)
	if err != nil {
		return err
	}
	item, ok := domain.ParseID(in.ItemID)
	if !ok && !faults.Has("itemId") {
		faults.Add("itemId", "The item with id '%s' does not exist", domain.Clip(in.ItemID))
	}
	order := service.NewOrder{ItemID: item, Client: in.Client, Description: in.Description, State: domain.OrderPending}
	if in.InitialState != "" {
		order.State = domain.OrderState(in.InitialState)
	}
	if in.Quantity != nil {
		order.Quantity = *in.Quantity
	}
	placed, err := h.orders.Place(c.Request.Context(), actorOf(c), order, attemptOf(c), faults)
	if err != nil {
		return err
	}
	return h.placed(c, placed)
}

func (h orderHandlers) placed(c *gin.Context, order domain.Order) error {
	c.Header("Location", "/products/orders/"+order.ID.String())
	return h.write(c, http.StatusCreated, order)
}

// placedBefore answers an order whose answer was lost.
func (h orderHandlers) placedBefore(c *gin.Context, id uuid.UUID) error {
	order, err := h.orders.ByID(c.Request.Context(), actorOf(c), id)
	if err != nil {
		return err
	}
	return h.placed(c, order)
}

func (h orderHandlers) byID(c *gin.Context) error {
	id, err := pathID(c, "transaction")
	if err != nil {
		return err
	}
	order, err := h.orders.ByID(c.Request.Context(), actorOf(c), id)
	if err != nil {
		return err
	}
	return h.write(c, http.StatusOK, order)
}

type editRequest struct {
	Client      string `json:"client" validate:"required,line,max=200" trim:""`
	Description string `json:"description" validate:"text,max=2000"`
	Quantity    *int64 `json:"quantity" validate:"required,min=1,max=1000000000"`
}

func (h orderHandlers) edit(c *gin.Context) error {
	id, err := pathID(c, "transaction")
	if err != nil {
		return err
	}
	in, faults, err := bindJSON[editRequest](c, maxJSONBody)
	if err != nil {
		return err
	}
	text := service.OrderText{Client: in.Client, Description: in.Description}
	if in.Quantity != nil {
		text.Quantity = *in.Quantity
	}
	order, err := h.orders.Edit(c.Request.Context(), actorOf(c), id, text, expectation(c), faults)
	if err != nil {
		return err
	}
	return h.write(c, http.StatusOK, order)
}

type moveRequest struct {
	Transition string `json:"transition" validate:"required,state"`
}

func (h orderHandlers) move(c *gin.Context) error {
	id, err := pathID(c, "transaction")
	if err != nil {
		return err
	}
	in, faults, err := bindJSON[moveRequest](c, maxJSONBody)
	if err != nil {
		return err
	}
	order, err := h.orders.Move(c.Request.Context(), actorOf(c), id, domain.OrderState(in.Transition), expectation(c), faults)
	if err != nil {
		return err
	}
	return h.write(c, http.StatusOK, order)
}

func (h orderHandlers) delete(c *gin.Context) error {
	id, err := pathID(c, "transaction")
	if err != nil {
		return err
	}
	if err := h.orders.Delete(c.Request.Context(), actorOf(c), id, expectation(c)); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

type stepBody struct {
	ID        uuid.UUID          `json:"id"`
	From      *domain.OrderState `json:"from"`
	To        domain.OrderState  `json:"to"`
	User      *actedBody         `json:"user"`
	CreatedAt stamp              `json:"createdAt"`
}

func (h orderHandlers) history(c *gin.Context) error {
	id, err := pathID(c, "transaction")
	if err != nil {
		return err
	}
	steps, err := h.orders.History(c.Request.Context(), actorOf(c), id)
	if err != nil {
		return err
	}
	c.PureJSON(http.StatusOK, struct {
		History []stepBody `json:"history"`
	}{convert(steps, func(s domain.OrderStep) stepBody {
		return stepBody{ID: s.ID, From: s.FromState, To: s.ToState, User: newActedBody(s.UserID, s.Username), CreatedAt: stamp(s.CreatedAt)}
	})})
	return nil
}
