package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/service"
)

type authHandlers struct{ auth *service.Auth }

type tokensBody struct {
	AccessToken  string `json:"accessToken"`
	RefreshToken string `json:"refreshToken"`
}

func writeTokens(c *gin.Context, status int, t service.Tokens) error {
	c.PureJSON(status, tokensBody{AccessToken: t.Access, RefreshToken: t.Refresh})
	return nil
}

// Passwords and tokens are bounded in characters so that nothing endless is hashed; what a password must be is the domain's to say.
type loginRequest struct {
	Email    string `json:"email" validate:"required,mail"`
	Password string `json:"password" validate:"required,max=1000"`
	Code     string `json:"code" validate:"max=100"`
}

func (h authHandlers) login(c *gin.Context) error {
	in, faults, err := bindJSON[loginRequest](c, maxAuthBody)
	if err != nil {
		return err
	}
	tokens, err := h.auth.Login(c.Request.Context(), stranger(c), in.Email, in.Password, in.Code, faults)
	if err != nil {
		return err
	}
	return writeTokens(c, http.StatusOK, tokens)
}

type registerRequest struct {
	Token    string `json:"token" validate:"required,max=200"`
	Username string `json:"username" validate:"required,username"`
	Password string `json:"password" validate:"required,max=1000"`
}

func (h authHandlers) register(c *gin.Context) error {
	in, faults, err := bindJSON[registerRequest](c, maxAuthBody)
	if err != nil {
		return err
	}
	tokens, err := h.auth.Register(c.Request.Context(), stranger(c), in.Token, in.Username, in.Password, faults)
	if err != nil {
		return err
	}
	return writeTokens(c, http.StatusCreated, tokens)
}

type refreshRequest struct {
	RefreshToken string `json:"refreshToken" validate:"required,max=200"`
}

func (h authHandlers) refresh(c *gin.Context) error {
	in, faults, err := bindJSON[refreshRequest](c, maxAuthBody)
	if err != nil {
		return err
	}
	access, err := bearer(c)
	if err != nil {
		return err
	}
	tokens, err := h.auth.Refresh(c.Request.Context(), stranger(c), access, in.RefreshToken, faults)
	if err != nil {
		return err
	}
	return writeTokens(c, http.StatusOK, tokens)
}

func (h authHandlers) logout(c *gin.Context) error {
	if err := h.auth.Logout(c.Request.Context(), actorOf(c)); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

type passwordRequest struct {
	CurrentPassword string `json:"currentPassword" validate:"required,max=1000"`
	NewPassword     string `json:"newPassword" validate:"required,max=1000"`
}

func (h authHandlers) changePassword(c *gin.Context) error {
	in, faults, err := bindJSON[passwordRequest](c, maxAuthBody)
	if err != nil {
		return err
	}
	if err := h.auth.ChangePassword(c.Request.Context(), actorOf(c), in.CurrentPassword, in.NewPassword, faults); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

type forgotRequest struct {
	Email string `json:"email" validate:"required,mail"`
}

func (h authHandlers) forgot(c *gin.Context) error {
	in, faults, err := bindJSON[forgotRequest](c, maxAuthBody)
	if err != nil {
		return err
	}
	if err := h.auth.Forgot(c.Request.Context(), stranger(c), in.Email, faults); err != nil {
		return err
	}
	c.Status(http.StatusAccepted)
	return nil
}

type resetRequest struct {
	Token    string `json:"token" validate:"required,max=200"`
	Password string `json:"password" validate:"required,max=1000"`
}

func (h authHandlers) reset(c *gin.Context) error {
	in, faults, err := bindJSON[resetRequest](c, maxAuthBody)
	if err != nil {
		return err
	}
	if err := h.auth.Reset(c.Request.Context(), stranger(c), in.Token, in.Password, faults); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// userRequest is the body of an invitation and of a user's update.
type userRequest struct {
	Email     string `json:"email" validate:"required,mail"`
	FirstName string `json:"firstName" validate:"required,line,max=100" trim:""`
	LastName  string `json:"lastName" validate:"required,line,max=100" trim:""`
	Role      string `json:"role" validate:"required,role"`
}

func (r userRequest) invitee() service.Invitee {
	return service.Invitee{Email: r.Email, FirstName: r.FirstName, LastName: r.LastName, Role: domain.Role(r.Role)}
}

func (h authHandlers) invite(c *gin.Context) error {
	in, faults, err := bindJSON[userRequest](c, maxAuthBody)
	if err != nil {
		return err
	}
	if err := h.auth.Invite(c.Request.Context(), actorOf(c), in.invitee(), attemptOf(c), faults); err != nil {
		return err
	}
	return h.invited(c, uuid.Nil)
}

// invited answers an invitation; there is nothing to tell of it.
func (h authHandlers) invited(c *gin.Context, _ uuid.UUID) error {
	c.Status(http.StatusCreated)
	return nil
}
