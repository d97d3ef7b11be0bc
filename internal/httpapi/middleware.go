package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/tracing"
)

const (
	headerRequestID = "X-Request-Id"
	keyActor        = "actor"
	keyRefused      = "refused"
)

var saneRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// harden goes before everything else: it gives every answer the request's id, the caller's own if it cannot forge a log line, and the
// headers that keep a browser from making anything but data of an answer.
func harden(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(headerRequestID)
		if !saneRequestID.MatchString(id) {
			id = uuid.NewString()
		}
		h := w.Header()
		h.Set(headerRequestID, id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if len(r.TransferEncoding) > 0 {
			// The request may have borne a Content-Length too, which net/http takes away. Whoever passed it on may have read its end by that
			// one, so that nothing that follows on the connection can be trusted (RFC 9112 section 6.1).
			h.Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

func requestID(c *gin.Context) string { return c.Writer.Header().Get(headerRequestID) }

// traceRequest begins a trace with each request, and believes nobody's traceparent: a stranger could join traces of others, or have every
// request recorded that the operator chose to leave out. Those who ask for the server's health come too often to be worth one.
func (a *api) traceRequest(c *gin.Context) {
	if a.Tracer == nil || c.FullPath() == "/healthz" || c.FullPath() == "/readyz" {
		return
	}
	name := loggedMethod(c)
	if c.FullPath() != "" {
		name += " " + c.FullPath()
	}
	ctx, span := a.Tracer.Begin(c.Request.Context(), tracing.Server, name)
	defer span.End()
	c.Request = c.Request.WithContext(ctx)
	c.Next()
	status := c.Writer.Status()
	span.Set("http.request.method", loggedMethod(c))
	span.Set("http.route", c.FullPath())
	span.Set("http.response.status_code", status)
	span.Set("request.id", requestID(c))
	if status >= http.StatusInternalServerError {
		span.Fail("server error")
	}
}

// logRequest writes one line for each request, when it is done.
func (a *api) logRequest(c *gin.Context) {
	start := time.Now()
	c.Next()
	attrs := []slog.Attr{
		slog.String("method", loggedMethod(c)), slog.String("route", c.FullPath()), slog.Int("status", c.Writer.Status()),
		slog.Duration("duration", time.Since(start)), slog.String("requestId", requestID(c)),
	}
	if actor, ok := c.Get(keyActor); ok {
		attrs = append(attrs, slog.String("userId", actor.(domain.Actor).ID.String()))
	}
	if trace := tracing.ID(c.Request.Context()); trace != "" {
		attrs = append(attrs, slog.String("traceId", trace))
	}
	a.log.LogAttrs(c.Request.Context(), slog.LevelInfo, "request", attrs...)
	refused, _ := c.Value(keyRefused).(domain.Fields)
	a.observe(Observed{Method: c.Request.Method, Route: c.FullPath(), Status: c.Writer.Status(), Took: time.Since(start), Refused: refused})
}

// loggedMethod gives the method of a request, unless the caller made it up: then it may be any text, a misplaced token too. The word for those is
// that of OpenTelemetry (semantic conventions for HTTP, http.request.method).
func loggedMethod(c *gin.Context) string {
	if slices.Contains(methods, c.Request.Method) {
		return c.Request.Method
	}
	return "_OTHER"
}

// recoverPanic turns a defect of a handler into a 500; the process lives on.
func (a *api) recoverPanic(c *gin.Context) {
	defer func() {
		fault := recover()
		if fault == nil {
			return
		}
		if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(fault) // net/http's own way to drop a connection
		}
		a.writeError(c, fmt.Errorf("panic: %v\n%s", fault, debug.Stack()))
	}()
	c.Next()
}

// Requests end after this time, whatever they wait for.
const (
	requestTimeout = 10 * time.Second
	uploadTimeout  = 60 * time.Second
	bulkTimeout    = 5 * time.Minute
)

// limitTime puts an end to everything the request waits for. An upload may take longer than the server otherwise lets a body take.
func limitTime(d time.Duration) gin.HandlerFunc {
	return func(c *gin.Context) {
		ctx, cancel := context.WithTimeout(c.Request.Context(), d)
		defer cancel()
		if d > requestTimeout {
			// Not every writer has deadlines (a test's recorder has none); then there is no shorter one to lift either.
			control := http.NewResponseController(c.Writer)
			_ = control.SetReadDeadline(time.Now().Add(d))
			_ = control.SetWriteDeadline(time.Now().Add(d))
		}
		c.Request = c.Request.WithContext(ctx)
		c.Next()
	}
}

// authenticate finds out who calls.
func (a *api) authenticate(c *gin.Context) {
	access, err := bearer(c)
	if err == nil {
		find := a.Auth.Authenticate
		if c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead {
			find = a.Auth.Recognize
		}
		var actor domain.Actor
		if actor, err = find(c.Request.Context(), access, address(c)); err == nil {
			c.Set(keyActor, actor)
			// What decides about a change is read where it is true.
			mayLag := c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead
			c.Request = c.Request.WithContext(a.Auth.OnBehalf(c.Request.Context(), actor, mayLag))
			return
		}
	}
	a.writeError(c, err)
}

// bearer gives the access token of the authorization header, unchecked.
func bearer(c *gin.Context) (string, error) {
	given := c.Request.Header.Values("Authorization")
	if len(given) == 0 {
		return "", domain.Unauthenticated("authorization", "An access token is required")
	}
	scheme, access, ok := strings.Cut(given[0], " ")
	if len(given) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", domain.Unauthenticated("authorization", "The authorization header must be 'Bearer' and an access token")
	}
	return access, nil
}

// require refuses a role that is too low before a body is read. The use case decides again: this only spares the work.
func (a *api) require(p domain.Permission) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := actorOf(c).Require(p); err != nil {
			a.writeError(c, err)
		}
	}
}

// stranger is a caller who has not shown who they are.
func stranger(c *gin.Context) domain.Actor { return domain.Stranger(address(c)) }

func actorOf(c *gin.Context) domain.Actor { return c.MustGet(keyActor).(domain.Actor) }

// address names the caller for throttling: one IPv4 address, or the /64 network that one IPv6 customer has.
func address(c *gin.Context) string {
	ip, err := netip.ParseAddr(c.ClientIP())
	if err != nil {
		return c.ClientIP()
	}
	if ip = ip.Unmap(); ip.Is6() {
		network, _ := ip.Prefix(64) // fails for an invalid length alone
		return network.String()
	}
	return ip.String()
}
