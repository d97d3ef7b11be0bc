package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/service"
)

type categoryHandlers struct{ categories *service.Categories }

type categoryBody struct {
	ID   uuid.UUID `json:"id"`
	Name string    `json:"name"`
}

type countedCategoryBody struct {
	categoryBody
	ItemQuantity int64 `json:"itemquantity"`
}

func (h categoryHandlers) list(c *gin.Context) error {
	categories, err := h.categories.List(c.Request.Context(), actorOf(c))
	if err != nil {
		return err
	}
	c.PureJSON(http.StatusOK, struct {
		Categories []countedCategoryBody `json:"categories"`
	}{convert(categories, func(g domain.Category) countedCategoryBody {
		return countedCategoryBody{categoryBody{g.ID, g.Name}, g.Products}
	})})
	return nil
}

type categoryRequest struct {
	Name string `json:"name" validate:"required,line,max=100" trim:""`
}

func (h categoryHandlers) create(c *gin.Context) error {
	in, faults, err := bindJSON[categoryRequest](c, maxJSONBody)
	if err != nil {
		return err
	}
	category, err := h.categories.Create(c.Request.Context(), actorOf(c), in.Name, attemptOf(c), faults)
	if err != nil {
		return err
	}
	return h.created(c, category)
}

func (h categoryHandlers) created(c *gin.Context, category domain.Category) error {
	c.PureJSON(http.StatusCreated, categoryBody{category.ID, category.Name})
	return nil
}

// createdBefore answers a creation whose answer was lost.
func (h categoryHandlers) createdBefore(c *gin.Context, id uuid.UUID) error {
	category, err := h.categories.ByID(c.Request.Context(), actorOf(c), id)
	if err != nil {
		return err
	}
	return h.created(c, category)
}

func (h categoryHandlers) delete(c *gin.Context) error {
	name, ok := pathText(c, "name")
	if !ok {
		return domain.NotFound("name", "The category with name '%s' does not exist", domain.Clip(name))
	}
	if err := h.categories.Delete(c.Request.Context(), actorOf(c), name); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
