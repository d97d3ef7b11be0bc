package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"inventoryhub/internal/domain"
)

// errorBody is the one shape of every error.
type errorBody struct {
	Errors domain.Fields `json:"errors"`
}

// requestError is a refusal that only HTTP knows: a body that is too large, of the wrong type, an unknown route.
type requestError struct {
	status  int
	field   string
	message string
}

// Error gives the message.
func (e *requestError) Error() string { return e.message }

func refuse(status int, field, message string) *requestError {
	return &requestError{status: status, field: field, message: message}
}

// statuses is the one table from kinds to status codes.
var statuses = map[domain.Kind]int{
	domain.KindInvalid:         http.StatusBadRequest,
	domain.KindUnauthenticated: http.StatusUnauthorized,
	domain.KindForbidden:       http.StatusForbidden,
	domain.KindNotFound:        http.StatusNotFound,
	domain.KindConflict:        http.StatusConflict,
	domain.KindPrecondition:    http.StatusPreconditionFailed,
	domain.KindReused:          http.StatusUnprocessableEntity,
	domain.KindThrottled:       http.StatusTooManyRequests,
	domain.KindUnavailable:     http.StatusServiceUnavailable,
}

// statusCallerLeft stands in the log and the metrics for a caller who did not wait for the answer. Nobody is sent it.
const statusCallerLeft = 499

// maxMessages bounds how many faults one answer tells, so that a small request cannot ask for a large answer.
const maxMessages = 20

// writeError is the only place that turns an error into an answer. It looks through wrapped errors; what is none of ours is a defect, whose text
// the caller does not see. Answers of 5xx are logged here, and nowhere else.
func (a *api) writeError(c *gin.Context, err error) {
	if errors.Is(err, context.Canceled) && errors.Is(c.Request.Context().Err(), context.Canceled) {
		c.AbortWithStatus(statusCallerLeft)
		return
	}
	status, body := http.StatusInternalServerError, errorBody{domain.Fields{"server": {"The server has failed"}}}
	var refused *domain.Error
	var request *requestError
	switch {
	case errors.As(err, &request):
		status, body.Errors = request.status, domain.Fields{request.field: {request.message}}
	case errors.As(err, &refused):
		status, body.Errors = statuses[refused.Kind], refused.Fields
		if !refused.Whole {
			body.Errors = cut(refused.Fields)
		}
		if refused.RetryAfter > 0 {
			c.Header("Retry-After", retryAfter(refused.RetryAfter))
		}
	}
	if status == http.StatusUnauthorized {
		c.Header("WWW-Authenticate", "Bearer")
	}
	a.noteRefusal(c, status)
	c.Set(keyRefused, body.Errors)
	if status >= http.StatusInternalServerError {
		a.log.LogAttrs(c.Request.Context(), slog.LevelError, "request failed", slog.String("method", loggedMethod(c)), slog.String("route", c.FullPath()),
			slog.Int("status", status), slog.String("requestId", requestID(c)), slog.Any("error", err))
	}
	if c.Writer.Written() {
		panic(http.ErrAbortHandler) // the answer had begun: cut off, it does not pass for a whole one
	}
	c.Header("Cache-Control", "no-store")
	c.Writer.Header().Del("Content-Length") // of an answer that was not sent
	c.Abort()
	c.PureJSON(status, body)
}

// noteRefusal has the audit log tell who was kept from what. Throttling is told once a minute for an address, or it would be a way to fill the log.
func (a *api) noteRefusal(c *gin.Context, status int) {
	actor, known := c.Get(keyActor)
	var err error
	switch {
	case status == http.StatusForbidden && known:
		err = a.Audit.Refused(c.Request.Context(), actor.(domain.Actor), domain.AuditAccessRefused, c.Request.Method+" "+c.FullPath())
	case status == http.StatusTooManyRequests && a.throttle.tellOnce(address(c)):
		err = a.Audit.Refused(c.Request.Context(), stranger(c), domain.AuditThrottled, c.Request.Method+" "+c.FullPath())
	}
	if err != nil {
		a.log.ErrorContext(c.Request.Context(), "a refusal is missing in the audit log", "requestId", requestID(c), "error", err)
	}
}

// retryAfter gives whole seconds, rounded up.
func retryAfter(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }

func cut(fields domain.Fields) domain.Fields {
	n := 0
	for _, messages := range fields {
		n += len(messages)
	}
	if n <= maxMessages {
		return fields
	}
	short := domain.Fields{}
	for field, messages := range fields {
		if len(short) == maxMessages {
			break
		}
		short[field] = messages[:1]
	}
	return short
}
