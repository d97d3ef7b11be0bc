package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

type factorBody struct {
	Enabled           bool `json:"enabled"`
	Required          bool `json:"required"`
	RecoveryCodesLeft int  `json:"recoveryCodesLeft"`
}

func (h authHandlers) factor(c *gin.Context) error {
	state, err := h.auth.Factor(c.Request.Context(), actorOf(c))
	if err != nil {
		return err
	}
	c.PureJSON(http.StatusOK, factorBody{Enabled: state.Enabled, Required: state.Required, RecoveryCodesLeft: state.RecoveryCodes})
	return nil
}

type ownerRequest struct {
	CurrentPassword string `json:"currentPassword" validate:"required,max=1000"`
}

type factorSecretBody struct {
	Secret string `json:"secret"`
	URI    string `json:"uri"`
}

func (h authHandlers) beginFactor(c *gin.Context) error {
	in, faults, err := bindJSON[ownerRequest](c, maxAuthBody)
	if err != nil {
		return err
	}
	secret, uri, err := h.auth.BeginFactor(c.Request.Context(), actorOf(c), in.CurrentPassword, faults)
	if err != nil {
		return err
	}
	c.PureJSON(http.StatusCreated, factorSecretBody{Secret: secret, URI: uri})
	return nil
}

type codeRequest struct {
	Code string `json:"code" validate:"required,max=100"`
}

type recoveryCodesBody struct {
	RecoveryCodes []string `json:"recoveryCodes"`
}

func (h authHandlers) confirmFactor(c *gin.Context) error {
	in, faults, err := bindJSON[codeRequest](c, maxAuthBody)
	if err != nil {
		return err
	}
	codes, err := h.auth.ConfirmFactor(c.Request.Context(), actorOf(c), in.Code, faults)
	if err != nil {
		return err
	}
	c.PureJSON(http.StatusOK, recoveryCodesBody{codes})
	return nil
}

type factorRequest struct {
	CurrentPassword string `json:"currentPassword" validate:"required,max=1000"`
	Code            string `json:"code" validate:"required,max=100"`
}

func (h authHandlers) renewRecoveryCodes(c *gin.Context) error {
	in, faults, err := bindJSON[factorRequest](c, maxAuthBody)
	if err != nil {
		return err
	}
	codes, err := h.auth.RenewRecoveryCodes(c.Request.Context(), actorOf(c), in.CurrentPassword, in.Code, faults)
	if err != nil {
		return err
	}
	c.PureJSON(http.StatusOK, recoveryCodesBody{codes})
	return nil
}

func (h authHandlers) disableFactor(c *gin.Context) error {
	in, faults, err := bindJSON[factorRequest](c, maxAuthBody)
	if err != nil {
		return err
	}
	if err := h.auth.DisableFactor(c.Request.Context(), actorOf(c), in.CurrentPassword, in.Code, faults); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
