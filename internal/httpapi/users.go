package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/service"
)

type userHandlers struct{ users *service.Users }

type userBody struct {
	ID        uuid.UUID         `json:"id"`
	Username  *string           `json:"username"`
	FirstName string            `json:"firstName"`
	LastName  string            `json:"lastName"`
	Role      domain.Role       `json:"role"`
	Status    domain.UserStatus `json:"status"`
	CreatedAt stamp             `json:"createdAt"`
}

type fullUserBody struct {
	userBody
	Email      string          `json:"email"`
	Invitation *invitationBody `json:"invitation,omitempty"`
}

type invitationBody struct {
	State     domain.InvitationState `json:"state"`
	Attempts  int                    `json:"attempts"`
	LastError *string                `json:"lastError"`
	SentAt    *stamp                 `json:"sentAt"`
	ExpiresAt stamp                  `json:"expiresAt"`
}

func newUserBody(u domain.User) userBody {
	return userBody{ID: u.ID, Username: u.Username, FirstName: u.FirstName, LastName: u.LastName, Role: u.Role, Status: u.Status, CreatedAt: stamp(u.CreatedAt)}
}

func newInvitationBody(i *domain.Invitation) *invitationBody {
	if i == nil {
		return nil
	}
	body := invitationBody{State: i.State, Attempts: i.Attempts, SentAt: optionalStamp(i.SentAt), ExpiresAt: stamp(i.ExpiresAt)}
	if i.LastError != "" {
		body.LastError = &i.LastError
	}
	return &body
}

func (h userHandlers) list(c *gin.Context) error {
	q, err := newQuery(c)
	if err != nil {
		return err
	}
	f := domain.UserFilter{
		Page:   q.page("createdAt", "username", "firstName", "lastName", "role"),
		Search: q.text("search"),
		Role:   parse(q, "role", domain.ParseRole),
		Status: parse(q, "status", domain.ParseUserStatus),
	}
	users, extent, err := h.users.List(c.Request.Context(), actorOf(c), f, q.faults)
	if err != nil {
		return err
	}
	return writePlainList(c, "users", convert(users, newUserBody), newPageBody(f.Page, extent))
}

func (h userHandlers) me(c *gin.Context) error {
	user, err := h.users.Me(c.Request.Context(), actorOf(c))
	if err != nil {
		return err
	}
	c.PureJSON(http.StatusOK, fullUserBody{newUserBody(user), user.Email, nil})
	return nil
}

func (h userHandlers) byID(c *gin.Context) error {
	id, err := pathID(c, "user")
	if err != nil {
		return err
	}
	user, err := h.users.ByID(c.Request.Context(), actorOf(c), id)
	if err != nil {
		return err
	}
	invitation, err := h.users.Invitation(c.Request.Context(), actorOf(c), user)
	if err != nil {
		return err
	}
	c.PureJSON(http.StatusOK, fullUserBody{newUserBody(user), user.Email, newInvitationBody(invitation)})
	return nil
}

func (h userHandlers) update(c *gin.Context) error {
	id, err := pathID(c, "user")
	if err != nil {
		return err
	}
	in, faults, err := bindJSON[userRequest](c, maxJSONBody)
	if err != nil {
		return err
	}
	if err := h.users.Update(c.Request.Context(), actorOf(c), id, in.invitee(), faults); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

func (h userHandlers) delete(c *gin.Context) error {
	id, err := pathID(c, "user")
	if err != nil {
		return err
	}
	if err := h.users.Delete(c.Request.Context(), actorOf(c), id); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
