package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/service"
)

type keyBody struct {
	ID         uuid.UUID       `json:"id"`
	Name       string          `json:"name"`
	Scope      domain.KeyScope `json:"scope"`
	CreatedAt  stamp           `json:"createdAt"`
	ExpiresAt  stamp           `json:"expiresAt"`
	LastUsedAt *stamp          `json:"lastUsedAt"`
}

func newKeyBody(k domain.APIKey) keyBody {
	return keyBody{ID: k.ID, Name: k.Name, Scope: k.Scope, CreatedAt: stamp(k.CreatedAt), ExpiresAt: stamp(k.ExpiresAt), LastUsedAt: optionalStamp(k.LastUsedAt)}
}

func (h authHandlers) keys(c *gin.Context) error {
	keys, err := h.auth.Keys(c.Request.Context(), actorOf(c))
	if err != nil {
		return err
	}
	c.PureJSON(http.StatusOK, struct {
		Keys []keyBody `json:"keys"`
	}{convert(keys, newKeyBody)})
	return nil
}

type keyRequest struct {
	Name            string `json:"name" validate:"required,line,max=100" trim:""`
	Scope           string `json:"scope" validate:"required,scope"`
	ExpiresInDays   *int64 `json:"expiresInDays" validate:"omitempty,min=1,max=366"`
	CurrentPassword string `json:"currentPassword" validate:"required,max=1000"`
}

// newKey is a key as it is shown once, with the text to call with.
type newKey struct {
	keyBody
	Key string `json:"key"`
}

func (h authHandlers) createKey(c *gin.Context) error {
	in, faults, err := bindJSON[keyRequest](c, maxAuthBody)
	if err != nil {
		return err
	}
	asked := service.NewKey{Name: in.Name, Scope: domain.KeyScope(in.Scope), Days: domain.DefaultKeyDays}
	if in.ExpiresInDays != nil {
		asked.Days = *in.ExpiresInDays
	}
	made, text, err := h.auth.CreateKey(c.Request.Context(), actorOf(c), asked, in.CurrentPassword, faults)
	if err != nil {
		return err
	}
	c.PureJSON(http.StatusCreated, newKey{newKeyBody(made), text})
	return nil
}

func (h authHandlers) revokeKey(c *gin.Context) error {
	id, err := pathID(c, "API key")
	if err != nil {
		return err
	}
	if err := h.auth.RevokeKey(c.Request.Context(), actorOf(c), id); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
