package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/rs/cors"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/service"
	"inventoryhub/internal/tracing"
)

// Services are the use cases that the routes call.
type Services struct {
	Auth       *service.Auth
	Users      *service.Users
	Categories *service.Categories
	Products   *service.Products
	Pictures   *service.Pictures
	Orders     *service.Orders
	Attempts   *service.Attempts
	Audit      *service.Audit
}

// Config is what the edge needs beside the use cases.
type Config struct {
	ImagesBaseURL  string   // put before a picture's name, for a CDN; may be empty
	CORSOrigins    []string // origins of browser applications, to the letter; none: no other origin may read
	TrustedProxies []string // whose X-Forwarded-For is believed
	AuthRateLimit  int      // tries a minute from one address on the anonymous /auth routes; 0 is off
	UserRateLimit  int      // requests a minute of one signed-in user, with all sessions and API keys; 0 is off
	Ready          []func(context.Context) error
	// Observe is told of every request, by the pattern of its route; it may be nil.
	Observe func(Observed)
	Tracer  *tracing.Tracer // begins a trace with each request; nil is off
	Now     func() time.Time
	Log     *slog.Logger
}

// Observed is what is told of a request when it is done.
type Observed struct {
	Method  string // as the caller sent it; it may be any text when there is no Route
	Route   string // the pattern, such as /users/:id; empty for a path that no route has
	Status  int    // 499 for a caller who did not wait
	Took    time.Duration
	Refused domain.Fields // what an answer of 4xx or 5xx said, by the field; nil for all others
}

// api is what all routes share. Each group of handlers holds the one service that it calls.
type api struct {
	Config
	Services
	throttle *throttle // by address
	share    *throttle // by user
	lanes    lanes
	log      *slog.Logger
}

// route is one line of the route table. A route that is not open and names no permission is closed to everyone.
type route struct {
	method, path string
	need         domain.Permission
	open         bool  // no access token needed
	throttled    bool  // counted against the tries of the caller's address
	upload       bool  // may carry a picture, and take longer
	bulk         bool  // carries all there is, and takes much longer
	always       bool  // answers however busy the server is
	lane         *lane // shared with the requests that ask as much of the database; nil for those that ask little
	handle       func(*gin.Context) error
	// again answers a request that was carried out under an Idempotency-Key but whose answer was lost. A route without it takes no such key.
	again func(c *gin.Context, result uuid.UUID) error
}

func (a *api) routes() []route {
	auth := authHandlers{a.Auth}
	users := userHandlers{a.Users}
	categories := categoryHandlers{a.Categories}
	products := productHandlers{a.Products, pictureURLs(a.ImagesBaseURL)}
	orders := orderHandlers{a.Orders, pictureURLs(a.ImagesBaseURL)}
	images := imageHandlers{a.Pictures}
	audit := auditHandlers{a.Audit}
	health := healthHandlers{a.Ready}
	docs := docsHandlers{}
	return []route{
		{method: http.MethodPost, path: "/auth/login", open: true, throttled: true, handle: auth.login},
		{method: http.MethodPost, path: "/auth/register", open: true, throttled: true, handle: auth.register},
		{method: http.MethodPost, path: "/auth/refresh", open: true, throttled: true, handle: auth.refresh},
		{method: http.MethodPost, path: "/auth/forgot", open: true, throttled: true, handle: auth.forgot},
		{method: http.MethodPost, path: "/auth/reset", open: true, throttled: true, handle: auth.reset},
		{method: http.MethodPost, path: "/auth/invite", need: domain.InviteUsers, handle: auth.invite, again: auth.invited},
		{method: http.MethodPost, path: "/auth/logout", need: domain.OwnAccount, handle: auth.logout},
		{method: http.MethodPut, path: "/auth/password", need: domain.OwnAccount, handle: auth.changePassword},
		{method: http.MethodGet, path: "/auth/2fa", need: domain.OwnAccount, handle: auth.factor},
		{method: http.MethodPost, path: "/auth/2fa", need: domain.OwnAccount, handle: auth.beginFactor},
		{method: http.MethodPost, path: "/auth/2fa/confirm", need: domain.OwnAccount, handle: auth.confirmFactor},
		{method: http.MethodPost, path: "/auth/2fa/recovery-codes", need: domain.OwnAccount, handle: auth.renewRecoveryCodes},
		{method: http.MethodPost, path: "/auth/2fa/disable", need: domain.OwnAccount, handle: auth.disableFactor},

		{method: http.MethodGet, path: "/users", need: domain.ReadUsers, lane: a.lanes.lists, handle: users.list},
		{method: http.MethodGet, path: "/users/me", need: domain.SeeOneself, handle: users.me},
		{method: http.MethodGet, path: "/users/me/keys", need: domain.OwnAccount, handle: auth.keys},
		{method: http.MethodPost, path: "/users/me/keys", need: domain.OwnAccount, handle: auth.createKey},
		{method: http.MethodDelete, path: "/users/me/keys/:id", need: domain.OwnAccount, handle: auth.revokeKey},
		{method: http.MethodGet, path: "/users/:id", need: domain.ReadUsers, handle: users.byID},
		{method: http.MethodPut, path: "/users/:id", need: domain.ManageUsers, handle: users.update},
		{method: http.MethodDelete, path: "/users/:id", need: domain.ManageUsers, handle: users.delete},

		{method: http.MethodGet, path: "/products/categories", need: domain.ReadCatalogue, handle: categories.list},
		{method: http.MethodPost, path: "/products/categories", need: domain.ManageCategories, handle: categories.create, again: categories.createdBefore},
		{method: http.MethodDelete, path: "/products/categories/:name", need: domain.ManageCategories, handle: categories.delete},

		{method: http.MethodGet, path: "/products", need: domain.ReadCatalogue, lane: a.lanes.lists, handle: products.list},
		{method: http.MethodPost, path: "/products", need: domain.WriteProducts, upload: true, handle: products.create, again: products.createdBefore},
		{method: http.MethodGet, path: "/products/export", need: domain.ReadCatalogue, bulk: true, lane: a.lanes.exports, handle: products.export},
		{method: http.MethodPost, path: "/products/import", need: domain.ImportProducts, bulk: true, lane: a.lanes.imports, handle: products.importFile},
		{method: http.MethodGet, path: "/products/:id", need: domain.ReadCatalogue, handle: products.byID},
		{method: http.MethodPut, path: "/products/:id", need: domain.WriteProducts, upload: true, handle: products.update},
		{method: http.MethodDelete, path: "/products/:id", need: domain.DeleteProducts, handle: products.delete},
		{method: http.MethodPatch, path: "/products/quantity/:id", need: domain.WriteProducts, handle: products.adjust},
		{method: http.MethodGet, path: "/products/:id/movements", need: domain.ReadCatalogue, lane: a.lanes.lists, handle: products.movements},

		{method: http.MethodGet, path: "/products/orders", need: domain.ListOrders, lane: a.lanes.lists, handle: orders.list},
		{method: http.MethodGet, path: "/products/orders/export", need: domain.ListOrders, bulk: true, lane: a.lanes.exports, handle: orders.export},
		{method: http.MethodPost, path: "/products/orders", need: domain.PlaceOrders, handle: orders.place, again: orders.placedBefore},
		{method: http.MethodGet, path: "/products/orders/:id", need: domain.ReadOrders, handle: orders.byID},
		{method: http.MethodPut, path: "/products/orders/:id", need: domain.EditOrders, handle: orders.edit},
		{method: http.MethodDelete, path: "/products/orders/:id", need: domain.DeleteOrders, handle: orders.delete},
		{method: http.MethodGet, path: "/products/orders/:id/history", need: domain.ReadOrders, handle: orders.history},
		{method: http.MethodPatch, path: "/products/orders/state/:id", need: domain.MoveOrders, handle: orders.move},

		{method: http.MethodGet, path: "/audit", need: domain.ReadAudit, lane: a.lanes.lists, handle: audit.list},

		{method: http.MethodGet, path: "/images/:name", open: true, upload: true, handle: images.get},
		{method: http.MethodGet, path: "/healthz", open: true, always: true, handle: health.alive},
		{method: http.MethodGet, path: "/readyz", open: true, always: true, handle: health.ready},
		{method: http.MethodGet, path: "/openapi.json", open: true, always: true, handle: docs.openAPI},
		{method: http.MethodGet, path: "/docs", open: true, always: true, handle: docs.page},
		{method: http.MethodGet, path: "/docs/assets/:name", open: true, always: true, handle: docs.asset},
	}
}

// New builds the handler of the whole API.
func New(s Services, c Config) (http.Handler, error) {
	a := &api{Config: c, Services: s, throttle: newThrottle(c.AuthRateLimit, c.Now), share: newThrottle(c.UserRateLimit, c.Now), lanes: newLanes(), log: c.Log}
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.RedirectTrailingSlash = false
	e.RedirectFixedPath = false
	e.UseEscapedPath, e.UnescapePathValues = true, false // so that a name may hold a slash; see pathText
	e.RemoteIPHeaders = []string{"X-Forwarded-For"}
	if err := e.SetTrustedProxies(c.TrustedProxies); err != nil {
		return nil, err
	}
	e.Use(a.traceRequest, a.logRequest, a.recoverPanic)
	routes := a.routes()
	astray := a.handle(func(c *gin.Context) error { return lost(c, routes) })
	e.NoRoute(astray)
	fixed := map[string][]string{} // the methods of the paths without parameters
	for _, r := range routes {
		chain := a.chain(r)
		for _, method := range r.methods() {
			e.Handle(method, r.path, chain...)
		}
		if !strings.Contains(r.path, ":") {
			fixed[r.path] = append(fixed[r.path], r.methods()...)
		}
	}
	// PUT /users/me is a wrong method and not a user with the id 'me'.
	for path, own := range fixed {
		for _, method := range methods {
			if !slices.Contains(own, method) {
				e.Handle(method, path, astray)
			}
		}
	}
	if len(c.CORSOrigins) == 0 {
		return harden(e), nil
	}
	return harden(cors.New(cors.Options{
		AllowedOrigins: c.CORSOrigins,
		AllowedMethods: []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		AllowedHeaders: []string{"Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", headerRequestID},
		ExposedHeaders: []string{"Content-Disposition", "ETag", "Idempotent-Replayed", "Location", "Retry-After", headerRequestID},
		MaxAge:         600,
	}).Handler(e)), nil
}

// methods are all that a route can have.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// methods gives those that the route answers.
func (r route) methods() []string {
	if r.method == http.MethodGet {
		return []string{http.MethodGet, http.MethodHead}
	}
	return []string{r.method}
}

// fits says whether the route is of the path, which is still percent-encoded.
func (r route) fits(path string) bool {
	pattern, parts := strings.Split(r.path, "/"), strings.Split(path, "/")
	return slices.EqualFunc(pattern, parts, func(want, part string) bool {
		return want == part || strings.HasPrefix(want, ":") && part != ""
	})
}

// lost answers a request that no route took: 405 with the methods of the path, 404 if it has none. gin's own answer mixes the
// methods of different paths up.
func lost(c *gin.Context, routes []route) error {
	path := c.Request.URL.EscapedPath()
	var exact, fitting []string
	for _, r := range routes {
		if r.path == path {
			exact = append(exact, r.methods()...)
		} else if r.fits(path) {
			fitting = append(fitting, r.methods()...)
		}
	}
	if len(exact) > 0 {
		fitting = exact
	}
	if len(fitting) == 0 {
		return refuse(http.StatusNotFound, "request", "There is no such route")
	}
	c.Header("Allow", strings.Join(fitting, ", "))
	return refuse(http.StatusMethodNotAllowed, "request", "The method '"+domain.Clip(c.Request.Method)+"' is not allowed here")
}

// chain is what happens to a request of the route, in this order.
func (a *api) chain(r route) []gin.HandlerFunc {
	timeout := requestTimeout
	switch {
	case r.upload:
		timeout = uploadTimeout
	case r.bulk:
		timeout = bulkTimeout
	}
	chain := []gin.HandlerFunc{limitTime(timeout)}
	if !r.always {
		chain = append(chain, a.enter(a.lanes.all))
	}
	if r.throttled {
		chain = append(chain, a.slowDown)
	}
	if !r.open {
		chain = append(chain, a.authenticate, a.slowUserDown, a.require(r.need))
	}
	if r.lane != nil {
		chain = append(chain, a.enter(r.lane))
	}
	if r.again != nil {
		chain = append(chain, a.once(r.again))
	}
	return append(chain, a.handle(r.handle))
}

// handle gives an error on to the one place that renders it.
func (a *api) handle(h func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := h(c); err != nil {
			a.writeError(c, err)
		}
	}
}

func (a *api) observe(o Observed) {
	if a.Observe != nil {
		a.Observe(o)
	}
}
