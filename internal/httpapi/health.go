package httpapi

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"inventoryhub/internal/domain"
)

type healthHandlers struct {
	checks []func(context.Context) error
}

type healthBody struct {
	Status string `json:"status"`
}

// alive answers as long as the process does.
func (h healthHandlers) alive(c *gin.Context) error {
	c.PureJSON(http.StatusOK, healthBody{"ok"})
	return nil
}

// ready answers 200 when all parts behind the server can be reached, and 503 otherwise.
func (h healthHandlers) ready(c *gin.Context) error {
	for _, check := range h.checks {
		if err := check(c.Request.Context()); err != nil {
			return domain.Unavailable(err)
		}
	}
	c.PureJSON(http.StatusOK, healthBody{"ready"})
	return nil
}
