package httpapi

import (
	"encoding/json"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/service"
)

type auditHandlers struct{ audit *service.Audit }

type auditBody struct {
	ID        uuid.UUID          `json:"id"`
	Seq       int64              `json:"seq"`
	User      *actedBody         `json:"user"`
	Action    domain.AuditAction `json:"action"`
	Target    targetBody         `json:"target"`
	Address   string             `json:"address"`
	Details   json.RawMessage    `json:"details"`
	CreatedAt stamp              `json:"createdAt"`
}

type targetBody struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

func newAuditBody(e domain.AuditEntry) auditBody {
	return auditBody{
		ID: e.ID, Seq: e.Seq, User: newActedBody(e.UserID, e.Username), Action: e.Action, Target: targetBody{e.TargetKind, e.Target},
		Address: e.Address, Details: json.RawMessage(e.Details), CreatedAt: stamp(e.CreatedAt),
	}
}

func (h auditHandlers) list(c *gin.Context) error {
	q, err := newQuery(c)
	if err != nil {
		return err
	}
	f := domain.AuditFilter{
		Page:   q.page("createdAt"),
		User:   parse(q, "user", parseUser),
		Action: q.text("action"),
		Target: q.text("target"),
		From:   parse(q, "from", parseTime("from")),
		To:     parse(q, "to", parseTime("to")),
	}
	entries, extent, err := h.audit.List(c.Request.Context(), actorOf(c), f, q.faults)
	if err != nil {
		return err
	}
	return writePlainList(c, "audit", convert(entries, newAuditBody), newPageBody(f.Page, extent))
}

func parseUser(text string) (uuid.UUID, error) {
	id, ok := domain.ParseID(text)
	if !ok {
		return uuid.Nil, domain.Invalid("user", "The user with id '%s' does not exist", domain.Clip(text))
	}
	return id, nil
}

func parseTime(name string) func(string) (*time.Time, error) {
	return func(text string) (*time.Time, error) {
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return nil, domain.Invalid(name, "The %s must be a time such as 2021-01-01T00:00:00.000Z", name)
		}
		t = t.UTC()
		return &t, nil
	}
}
