package httpapi_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/httpapi"
	"inventoryhub/internal/imagestore"
	"inventoryhub/internal/password"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/service"
	"inventoryhub/internal/storetest"
	"inventoryhub/internal/token"
)

// goodPassword is the password of every user that a test makes. Hashing is dear, so they share one hash.
const goodPassword = "Tolya123!"

var goodHash = sync.OnceValue(func() string { return hashOf(goodPassword) })

func hashOf(pass string) string {
	hash, err := password.NewHasher().Hash(context.Background(), pass)
	if err != nil {
		panic(err)
	}
	return hash
}

// server is the whole API over a fresh database, with a clock that the test may move.
type server struct {
	t       testing.TB
	url     string // of the database
	side    *sql.DB
	store   *repository.Store
	handler http.Handler
	tokens  *token.Issuer
	vault   *token.Vault
	imgDir  string
	log     *bytes.Buffer
	context context.Context //nolint:containedctx // of the requests, if it is not the test's

	mu    sync.Mutex
	clock time.Duration // how far the clock is ahead
	still time.Time     // where the clock stands, if it does
	users map[domain.Role]*client
}

// setup is what a test may choose.
type setup struct {
	httpapi.Config
	service.AuthSettings
}

type option func(*setup)

// each runs a test on both engines.
func each(t *testing.T, test func(t *testing.T, s *server), options ...option) {
	t.Helper()
	storetest.EachURL(t, func(t *testing.T, url string) {
		t.Parallel()
		s := newServer(t, storetest.Open(t, url), options...)
		s.url = url
		t.Cleanup(func() {
			if s.side != nil {
				_ = s.side.Close()
			}
		})
		test(t, s)
	})
}

func newServer(t testing.TB, store *repository.Store, options ...option) *server {
	t.Helper()
	s := &server{t: t, store: store, imgDir: t.TempDir(), log: &bytes.Buffer{}, users: map[domain.Role]*client{}}
	log := slog.New(slog.NewTextHandler(&lockedWriter{w: s.log}, nil))
	files, err := imagestore.Open(t.Context(), "file://"+s.imgDir)
	require.NoError(t, err)
	s.tokens, err = token.NewIssuer([]byte(strings.Repeat("k", 32)), 15*time.Minute, s.now)
	require.NoError(t, err)
	s.vault, err = token.NewVault([]byte(strings.Repeat("k", 32)))
	require.NoError(t, err)
	pictures := service.NewPictures(store, files, log, s.now)
	config := setup{
		httpapi.Config{Ready: []func(context.Context) error{store.Ping}, Now: s.now, Log: log},
		service.AuthSettings{RefreshTTL: 168 * time.Hour, SessionTTL: 720 * time.Hour, InvitationTTL: 72 * time.Hour, MinPassword: 8},
	}
	for _, o := range options {
		o(&config)
	}
	auth := service.NewAuth(store, s.tokens, s.vault, password.NewHasher(), config.AuthSettings, s.now)
	rememberCallers(t, auth)
	s.handler, err = httpapi.New(httpapi.Services{
		Auth:       auth,
		Users:      service.NewUsers(store, config.InvitationTTL, s.now),
		Categories: service.NewCategories(store, pictures, s.now),
		Products:   service.NewProducts(store, pictures, s.now),
		Pictures:   pictures,
		Orders:     service.NewOrders(store, s.now),
		Attempts:   service.NewAttempts(store, s.now),
		Audit:      service.NewAudit(store, s.now),
	}, config.Config)
	require.NoError(t, err)
	return s
}

// rememberCallers has reads remember who calls, as the program does, until the test ends.
func rememberCallers(t testing.TB, auth *service.Auth) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	hears, ended := make(chan struct{}, 100), make(chan struct{})
	go func() {
		defer close(ended)
		auth.RememberCallers(ctx, func(can bool, _ error) {
			if can {
				hears <- struct{}{}
			}
		})
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	<-hears
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (s *server) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.still.IsZero() {
		return s.still
	}
	return time.Now().Add(s.clock)
}

// stop lets the clock stand at a time.
func (s *server) stop(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.still = at
}

// advance moves the clock.
func (s *server) advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock += d
}

// run runs a case of the test on this server. Cases run one after the other.
func (s *server) run(name string, test func(t *testing.T)) {
	whole := s.t
	whole.(*testing.T).Run(name, func(t *testing.T) {
		s.t = t
		defer func() { s.t = whole }()
		test(t)
	})
}

// client is somebody who calls the API.
type client struct {
	s       *server
	user    domain.User
	access  string // empty: anonymous
	refresh string
	addr    string // the address that they call from, if it matters
}

// anonymous is a caller without a token.
func (s *server) anonymous() *client { return &client{s: s} }

// as gives the user of a role, who is made when first asked for.
func (s *server) as(role domain.Role) *client {
	s.t.Helper()
	if s.users[role] == nil {
		s.users[role] = s.newUser(role)
	}
	return s.users[role]
}

// newUser makes an active user with a session.
func (s *server) newUser(role domain.Role) *client {
	s.t.Helper()
	name := strings.ToLower(string(role)) + "_" + uuid.NewString()[:8]
	now := s.now().UTC().Truncate(time.Millisecond)
	u := domain.NewDraft(name+"@example.com", "Jane", string(role), role, now)
	u.Activate(name, goodHash(), now)
	require.NoError(s.t, s.store.Users.Create(s.t.Context(), u))
	return s.session(u)
}

// session logs a user in without the cost of a password.
func (s *server) session(u domain.User) *client {
	s.t.Helper()
	now := s.now().UTC().Truncate(time.Millisecond)
	row, secret := domain.NewSession(u.ID, 168*time.Hour, 720*time.Hour, now), token.NewSecret()
	require.NoError(s.t, s.store.Sessions.Create(s.t.Context(), row, domain.RefreshToken{Hash: token.Hash(secret), SessionID: row.ID, CreatedAt: now}))
	access, err := s.tokens.Issue(token.Claims{UserID: u.ID, SessionID: row.ID})
	require.NoError(s.t, err)
	return &client{s: s, user: u, access: access, refresh: secret}
}

// answer is what the API said.
type answer struct {
	t      testing.TB
	Status int
	Header http.Header
	Body   string
}

// file is a body of the type text/csv.
type file string

// do sends a request, and holds the answer against the OpenAPI document. A body that is a string or bytes goes as it is; anything else goes as JSON. Headers come in pairs of name and value.
func (c *client) do(method, path string, body any, headers ...string) answer {
	c.s.t.Helper()
	var sent []byte
	contentType := "application/json"
	switch b := body.(type) {
	case nil:
		contentType = ""
	case string:
		sent = []byte(b)
	case file:
		contentType, sent = "text/csv", []byte(b)
	case []byte:
		sent = b
	default:
		var err error
		sent, err = json.Marshal(b)
		require.NoError(c.s.t, err)
	}
	ctx := c.s.context
	if ctx == nil {
		ctx = c.s.t.Context()
	}
	r := httptest.NewRequestWithContext(ctx, method, path, bytes.NewReader(sent))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if c.access != "" {
		r.Header.Set("Authorization", "Bearer "+c.access)
	}
	if c.addr != "" {
		r.RemoteAddr = c.addr
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return c.s.serve(r, sent)
}

func (c *client) get(path string) answer            { return c.do(http.MethodGet, path, nil) }
func (c *client) post(path string, body any) answer { return c.do(http.MethodPost, path, body) }
func (c *client) put(path string, body any) answer  { return c.do(http.MethodPut, path, body) }
func (c *client) patch(path string, body any) answer {
	return c.do(http.MethodPatch, path, body)
}
func (c *client) delete(path string) answer { return c.do(http.MethodDelete, path, nil) }

// part is one part of a form: a file if it has a file's name.
type part struct{ name, value, file string }

// form sends a request whose body is a multipart form.
func (c *client) form(method, path string, parts ...part) answer {
	c.s.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, p := range parts {
		create := func() (io.Writer, error) { return w.CreateFormField(p.name) }
		if p.file != "" {
			create = func() (io.Writer, error) { return w.CreateFormFile(p.name, p.file) }
		}
		field, err := create()
		require.NoError(c.s.t, err)
		_, err = io.WriteString(field, p.value)
		require.NoError(c.s.t, err)
	}
	require.NoError(c.s.t, w.Close())
	return c.do(method, path, body.Bytes(), "Content-Type", w.FormDataContentType())
}

// wants checks the status and gives the answer on.
func (a answer) wants(status int) answer {
	a.t.Helper()
	require.Equal(a.t, status, a.Status, a.Body)
	return a
}

// json decodes the body into generic values.
func (a answer) json() map[string]any {
	a.t.Helper()
	var v map[string]any
	require.NoError(a.t, json.Unmarshal([]byte(a.Body), &v), a.Body)
	return v
}

// parseJSON decodes any JSON, with numbers as they are written.
func parseJSON(t testing.TB, text string) any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var v any
	require.NoError(t, decoder.Decode(&v), text)
	return v
}

// text gives one member of the body as text.
func (a answer) text(member string) string {
	a.t.Helper()
	return fmt.Sprint(a.json()[member])
}

// refuses checks the status, the shape of the error, and that exactly these fields are named.
func (a answer) refuses(status int, fields ...string) map[string][]string {
	a.t.Helper()
	require.Equal(a.t, status, a.Status, a.Body)
	var body struct {
		Errors map[string][]string `json:"errors"`
	}
	decoder := json.NewDecoder(strings.NewReader(a.Body))
	decoder.DisallowUnknownFields()
	require.NoError(a.t, decoder.Decode(&body), a.Body)
	var named []string
	for field, messages := range body.Errors {
		named = append(named, field)
		require.NotEmpty(a.t, messages)
	}
	require.ElementsMatch(a.t, fields, named, a.Body)
	return body.Errors
}

// j is a JSON object.
type j = map[string]any

// category makes a category and gives its name.
func (s *server) category(name string) string {
	s.t.Helper()
	s.as(domain.RoleAdmin).post("/products/categories", j{"name": name}).wants(http.StatusCreated)
	return name
}

// product makes a product, in a category that is made when it is missing, and gives its id.
func (s *server) product(name, category string, quantity int64) string {
	s.t.Helper()
	if _, err := s.store.Categories.ByName(s.t.Context(), category); err != nil {
		s.category(category)
	}
	return s.as(domain.RoleAdmin).post("/products", j{"name": name, "category": category, "quantity": quantity, "description": ""}).wants(http.StatusCreated).text("id")
}

// order makes an order in a state and gives its id.
func (s *server) order(item string, quantity int64, state domain.OrderState) string {
	s.t.Helper()
	admin := s.as(domain.RoleAdmin)
	initial := domain.OrderPending
	if state == domain.OrderDraft {
		initial = domain.OrderDraft
	}
	id := admin.post("/products/orders", j{"itemId": item, "client": "John Doe Enterprises", "description": "", "quantity": quantity, "initialState": initial}).
		wants(http.StatusCreated).text("id")
	path := map[domain.OrderState][]domain.OrderState{
		domain.OrderReady: {domain.OrderReady}, domain.OrderCompleted: {domain.OrderReady, domain.OrderCompleted}, domain.OrderCancelled: {domain.OrderCancelled},
	}[state]
	for _, to := range path {
		admin.patch("/products/orders/state/"+id, j{"transition": to}).wants(http.StatusOK)
	}
	return id
}

// quantity gives what a product has.
func (s *server) quantity(item string) int64 {
	s.t.Helper()
	return int64(s.as(domain.RoleAdmin).get("/products/" + item).wants(http.StatusOK).json()["quantity"].(float64))
}

// mailToken gives the secret of the newest event of a type to an address that still waits in the outbox.
func (s *server) mailToken(kind domain.EventType, email string) string {
	s.t.Helper()
	var secret string
	for _, e := range s.events() {
		var data struct{ Email, Token string }
		require.NoError(s.t, json.Unmarshal(e.Data, &data))
		if e.Type == kind && data.Email == email {
			secret = data.Token
		}
	}
	require.NotEmpty(s.t, secret, "no %s was announced to %s", kind, email)
	return secret
}

// events gives all events in the outbox that were not announced, oldest first. Nothing announces them in these tests.
func (s *server) events() []repository.QueuedEvent {
	s.t.Helper()
	events, err := s.store.Outbox.Claim(s.t.Context(), 1000, s.now().UTC(), 0)
	require.NoError(s.t, err)
	slices.SortFunc(events, func(a, b repository.QueuedEvent) int { return bytes.Compare(a.ID[:], b.ID[:]) }) // ids rise with time
	return events
}

// together makes all calls at the same moment and gives their answers.
func together(calls ...func() answer) []answer {
	answers, start := make([]answer, len(calls)), make(chan struct{})
	var all sync.WaitGroup
	for i, call := range calls {
		all.Go(func() {
			<-start
			answers[i] = call()
		})
	}
	close(start)
	all.Wait()
	return answers
}
