package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/rabbitmq"
	"inventoryhub/internal/storetest"
	"inventoryhub/internal/testservers"
)

const (
	appURL        = "https://hub.example.com"
	adminEmail    = "admin@example.com"
	adminPassword = "correct horse battery"

	// The pauses before a retry are 100, 200 and 400 ms.
	retryDelay    = 100 * time.Millisecond
	retryMaxDelay = 400 * time.Millisecond
)

// node is a RabbitMQ of this package's own: its tests also need what only rabbitmqctl can do to one.
type node struct {
	*testservers.RabbitMQ
	dir string

	mu   sync.Mutex
	made int
	free []string
}

func startNode() (*node, error) {
	dir, err := os.MkdirTemp("", "rabbitmq")
	if err != nil {
		return nil, err
	}
	server, err := testservers.StartRabbitMQ(dir)
	if err != nil {
		return nil, err
	}
	return &node{RabbitMQ: server, dir: dir}, nil
}

// sharedNode is for all tests that do no harm to others: each has a virtual host.
var sharedNode = sync.OnceValues(func() (*node, error) {
	n, err := startNode()
	if err == nil {
		atTheEnd(n.end)
	}
	return n, err
})

func (n *node) end() {
	n.Kill()
	_ = os.RemoveAll(n.dir)
}

// virtualHost gives one that nobody has used. They are made by the dozen, because rabbitmqctl takes a second or two.
func (n *node) virtualHost(t *testing.T) string {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.free) == 0 {
		n.makeVirtualHosts(t, 12)
	}
	name := n.free[0]
	n.free = n.free[1:]
	return name
}

func (n *node) makeVirtualHosts(t *testing.T, dozen int) {
	t.Helper()
	type object map[string]string
	definitions := struct {
		Hosts       []object `json:"vhosts"`
		Permissions []object `json:"permissions"`
	}{}
	for range dozen {
		n.made++
		name := fmt.Sprintf("test-%d", n.made)
		n.free = append(n.free, name)
		definitions.Hosts = append(definitions.Hosts, object{"name": name})
		definitions.Permissions = append(definitions.Permissions, object{"user": "guest", "vhost": name, "configure": ".*", "write": ".*", "read": ".*"})
	}
	encoded, err := json.Marshal(definitions)
	require.NoError(t, err)
	path := filepath.Join(n.dir, "definitions.json")
	require.NoError(t, os.WriteFile(path, encoded, 0o600))
	_, err = n.Ctl("import_definitions", path)
	require.NoError(t, err)
}

// hub is one installation, with all that belongs to it but the programs.
type hub struct {
	t        *testing.T
	database string
	db       *sql.DB
	node     *node
	vhost    string
	broker   string // the broker's URL; empty: the api mails by itself
	queues   *rabbitmq.Publisher
	mails    *mailServer
	settings []string
	client   *http.Client
	access   string // the Admin's token

	mu       sync.Mutex
	accepted map[string]time.Time // whom the api answered 201 for, and when
	refused  []string             // the others
}

// newHub makes an installation on the node, or without a broker for nil. It mails to a server of the test's own.
func newHub(t *testing.T, n *node) *hub {
	t.Helper()
	return newHubOn(t, storetest.PostgresURL(t), n)
}

// newHubOn makes an installation on a database.
func newHubOn(t *testing.T, database string, n *node) *hub {
	t.Helper()
	h := &hub{
		t: t, database: database, node: n, mails: startMailServer(t), accepted: map[string]time.Time{},
		client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 32}},
	}
	t.Cleanup(h.client.CloseIdleConnections)
	driver, source := "pgx", h.database // the repository has brought the drivers
	if path, embedded := strings.CutPrefix(h.database, "sqlite://"); embedded {
		driver, source = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	var err error
	h.db, err = sql.Open(driver, source)
	require.NoError(t, err)
	t.Cleanup(func() { _ = h.db.Close() })
	h.settings = []string{
		"DATABASE_URL=" + h.database, "JWT_SECRET=" + strings.Repeat("k", 32), "ADMIN_PASSWORD=" + adminPassword, "AUTH_RATE_LIMIT=0",
		"APP_URL=" + appURL, "MAIL_PROVIDER=smtp", "SMTP_URL=smtp://" + h.mails.address + "?starttls=off", "LOG_FORMAT=text",
		"MAIL_RETRY_DELAY=" + retryDelay.String(), "MAIL_RETRY_MAX_DELAY=" + retryMaxDelay.String(),
	}
	if n != nil {
		h.joinBroker()
	}
	return h
}

// newSharedHub makes an installation on the shared node.
func newSharedHub(t *testing.T) *hub {
	t.Helper()
	n, err := sharedNode()
	require.NoError(t, err)
	return newHub(t, n)
}

func (h *hub) joinBroker() {
	h.t.Helper()
	h.vhost = h.node.virtualHost(h.t)
	h.broker = h.node.URL() + h.vhost
	h.settings = append(h.settings, "RABBITMQ_URL="+h.broker)
	var err error
	h.queues, err = rabbitmq.NewPublisher(rabbitmq.Config{URL: h.broker, Name: "test", RetryDelay: retryDelay, RetryMaxDelay: retryMaxDelay})
	require.NoError(h.t, err)
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = h.queues.Close(ctx)
	})
	eventually(h.t, "the broker is not there", func() bool { return h.queues.Ready() == nil })
}

// with gives the installation's settings and further ones, which win.
func (h *hub) with(settings ...string) []string {
	return append(append([]string{}, h.settings...), settings...)
}

// startAPI runs a server; the first one that is started logs the Admin in.
func (h *hub) startAPI(settings ...string) *program {
	h.t.Helper()
	p := startAPI(h.t, h.with(settings...))
	if h.access == "" {
		var tokens struct{ AccessToken string }
		h.must(http.StatusOK, p, http.MethodPost, "/auth/login", map[string]string{"email": adminEmail, "password": adminPassword}, &tokens)
		h.access = tokens.AccessToken
	}
	return p
}

func (h *hub) startWorker(settings ...string) *program {
	h.t.Helper()
	return startWorker(h.t, h.with(settings...))
}

// operate runs one of the worker's commands for operators.
func (h *hub) operate(args ...string) string {
	h.t.Helper()
	said, err := operate(h.t, h.settings, args...)
	require.NoError(h.t, err, said)
	return said
}

// send calls a server as the Admin. Without an answer there is an error.
func (h *hub) send(p *program, access, method, path string, body any) (int, []byte, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	r, err := http.NewRequestWithContext(context.Background(), method, p.url+path, bytes.NewReader(encoded))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if access != "" {
		r.Header.Set("Authorization", "Bearer "+access)
	}
	answer, err := h.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, text, err
}

// must calls a server as the Admin, wants that status, and decodes the body unless into is nil.
func (h *hub) must(status int, p *program, method, path string, body, into any) {
	h.t.Helper()
	h.mustAs(h.access, status, p, method, path, body, into)
}

func (h *hub) mustAs(access string, status int, p *program, method, path string, body, into any) {
	h.t.Helper()
	got, text, err := h.send(p, access, method, path, body)
	require.NoError(h.t, err)
	require.Equal(h.t, status, got, "%s %s: %s", method, path, text)
	if into != nil {
		require.NoError(h.t, json.Unmarshal(text, into), "%s", text)
	}
}

// try invites somebody and says whether the server took it. It may be called by several goroutines.
func (h *hub) try(p *program, email string) error {
	status, text, err := h.send(p, h.access, http.MethodPost, "/auth/invite", map[string]string{"email": email, "firstName": "Jane", "lastName": "Doe", "role": "User"})
	at := time.Now()
	if err == nil && status != http.StatusCreated {
		err = fmt.Errorf("status %d: %s", status, text)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.refused = append(h.refused, email)
		return err
	}
	h.accepted[email] = at
	return nil
}

func (h *hub) invite(p *program, emails ...string) {
	h.t.Helper()
	for _, email := range emails {
		require.NoError(h.t, h.try(p, email))
	}
}

// numbered gives so many addresses.
func numbered(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%d@example.com", prefix, i)
	}
	return all
}

func (h *hub) exec(query string, args ...any) {
	h.t.Helper()
	_, err := h.db.ExecContext(context.Background(), query, args...)
	require.NoError(h.t, err)
}

// count counts rows: "outbox WHERE state = 'Dead'".
func (h *hub) count(from string, args ...any) (n int) {
	h.t.Helper()
	require.NoError(h.t, h.db.QueryRowContext(context.Background(), "SELECT count(*) FROM "+from, args...).Scan(&n))
	return n
}

// endLeases lets another program take up at once what a dead one held: no need to wait half a minute for an event, or two for a mail.
func (h *hub) endLeases() {
	h.t.Helper()
	h.exec("UPDATE outbox SET due_at = occurred_at WHERE state = 'Pending'")
	h.exec("UPDATE deliveries SET lease_until = NULL")
}

// shortenLeases makes all leases of this database so short. Nothing may take longer then.
func (h *hub) shortenLeases(to time.Duration) {
	h.t.Helper()
	at := fmt.Sprintf("now() + interval '%d milliseconds'", to.Milliseconds())
	for table, column := range map[string]string{"outbox": "due_at", "deliveries": "lease_until"} {
		h.exec(fmt.Sprintf(`CREATE FUNCTION shorten_%[1]s() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.%[2]s = least(NEW.%[2]s, %[3]s); RETURN NEW; END$$`, table, column, at))
		h.exec(fmt.Sprintf(`CREATE TRIGGER shorten BEFORE INSERT OR UPDATE ON %[1]s FOR EACH ROW WHEN (NEW.%[2]s IS NOT NULL) EXECUTE FUNCTION shorten_%[1]s()`, table, column))
	}
}

// user finds a user's id.
func (h *hub) user(email string) uuid.UUID {
	h.t.Helper()
	var id uuid.UUID
	require.NoError(h.t, h.db.QueryRowContext(context.Background(), "SELECT id FROM users WHERE email = $1 AND deleted_at IS NULL", email).Scan(&id))
	return id
}

// invitation is what an inviter sees.
type invitation struct {
	State     domain.InvitationState
	Attempts  int
	LastError *string
	SentAt    *time.Time
	ExpiresAt *time.Time
}

func (h *hub) invitation(p *program, email string) invitation {
	h.t.Helper()
	var user struct{ Invitation *invitation }
	h.must(http.StatusOK, p, http.MethodGet, "/users/"+h.user(email).String(), nil, &user)
	require.NotNil(h.t, user.Invitation, email)
	return *user.Invitation
}

// settled says what a test expects besides that all accepted invitations were mailed, once each.
type settled struct {
	unsent  []string // were accepted, and rightly not mailed
	twice   []string // may have been mailed once for each attempt
	dead    int      // events put aside
	dropped int      // events whose mail was no longer wanted
}

// requireSettled waits until nothing is under way any more, and checks what must hold after any fault: every accepted invitation was mailed,
// none more often than it may, the records and the api's answers say so, and the next invitation flows.
func (h *hub) requireSettled(api *program, want settled) {
	h.t.Helper()
	h.invite(api, "next-"+uuid.NewString()+"@example.com")
	var expected []string
	unsent := set(want.unsent)
	for email := range h.accepted {
		if !unsent[email] {
			expected = append(expected, email)
		}
	}
	dropped := func() int { return h.count("deliveries WHERE state = 'Dropped'") }
	// The broker does not count what a worker has, and a worker that has not claimed it yet is not seen in the database.
	settles := func() bool { return h.mails.has(expected) && h.idle(want.dead) && dropped() >= want.dropped }
	if !assert.Eventually(h.t, settles, patience, 20*time.Millisecond) {
		h.t.FailNow()
	}
	twice := set(want.twice)
	for _, email := range expected {
		mails, invitation := h.mails.to(email), h.invitation(api, email)
		require.Equal(h.t, domain.InvitationSent, invitation.State, email)
		require.NotNil(h.t, invitation.SentAt, email)
		require.LessOrEqual(h.t, len(mails), invitation.Attempts, email)
		if !twice[email] {
			require.Equal(h.t, 1, len(mails), email) // and not Len, which prints them
		}
		for _, m := range mails {
			require.Equal(h.t, mails[0].id, m.id, "the same mail bears the same id")
		}
	}
	for _, email := range want.unsent {
		require.Empty(h.t, h.mails.to(email), email)
	}
	require.Equal(h.t, want.dropped, dropped())
}

// idle says whether nothing is under way: no event, no mail, no message but the dead ones.
func (h *hub) idle(dead int) bool {
	h.t.Helper()
	if h.count("outbox WHERE state = 'Pending' OR (state = 'Sent' AND data <> '')") > 0 ||
		h.count("deliveries WHERE state NOT IN ('Sent', 'Dropped', 'Failed') OR lease_until IS NOT NULL") > 0 {
		return false
	}
	if h.broker == "" {
		return h.count("outbox WHERE state = 'Dead'") == dead
	}
	depth, err := h.queues.Depth(context.Background())
	return err == nil && depth == rabbitmq.Depth{Dead: dead}
}

func set(of []string) map[string]bool {
	all := map[string]bool{}
	for _, s := range of {
		all[s] = true
	}
	return all
}

// register joins by the token of a mail and gives the access token.
func (h *hub) register(p *program, token, username string) string {
	h.t.Helper()
	var tokens struct{ AccessToken string }
	h.mustAs("", http.StatusCreated, p, http.MethodPost, "/auth/register", map[string]string{"token": token, "username": username, "password": "Tolya123!"}, &tokens)
	return tokens.AccessToken
}

// person is what somebody sees of themselves.
type person struct{ ID, Username, Email, Status string }

func (h *hub) me(p *program, access string) (me person) {
	h.t.Helper()
	h.mustAs(access, http.StatusOK, p, http.MethodGet, "/users/me", nil, &me)
	return me
}

// TestPipeline goes the whole way of each mail: event, broker, worker, SMTP server, link.
func TestPipeline(t *testing.T) {
	t.Parallel()
	h := newSharedHub(t)
	api := h.startAPI()
	worker := h.startWorker()

	h.invite(api, jane)
	invited := h.mails.only(jane)
	require.Equal(t, "You are invited to Inventory Hub", subject(t, invited))
	me := h.me(api, h.register(api, invited.token(t), "jane"))
	require.Equal(t, person{ID: me.ID, Username: "jane", Email: jane, Status: "Active"}, me)
	delete(h.accepted, jane) // is no draft any more

	h.mustAs("", http.StatusAccepted, api, http.MethodPost, "/auth/forgot", map[string]string{"email": jane}, nil)
	eventually(t, "no second mail", func() bool { return len(h.mails.to(jane)) == 2 })
	reset := h.mails.to(jane)[1]
	require.Equal(t, "Reset your Inventory Hub password", subject(t, reset))
	h.mustAs("", http.StatusNoContent, api, http.MethodPost, "/auth/reset", map[string]string{"token": reset.token(t), "password": "Tolya1234!"}, nil)
	h.mustAs("", http.StatusOK, api, http.MethodPost, "/auth/login", map[string]string{"email": jane, "password": "Tolya1234!"}, nil)

	h.must(http.StatusNoContent, api, http.MethodPut, "/users/"+me.ID, map[string]string{"email": "doe@example.com", "firstName": "Jane", "lastName": "Doe", "role": "User"}, nil)
	eventually(t, "no third mail", func() bool { return len(h.mails.to(jane)) == 3 })
	require.Equal(t, "Your Inventory Hub mail address was changed", subject(t, h.mails.to(jane)[2]))

	h.must(http.StatusCreated, api, http.MethodPost, "/products/categories", map[string]string{"name": "Tools"}, nil)
	var product struct{ ID string }
	h.must(http.StatusCreated, api, http.MethodPost, "/products", map[string]any{"name": "Nail", "category": "Tools", "quantity": 9, "sku": "N-1", "reorderLevel": 5}, &product)
	h.must(http.StatusOK, api, http.MethodPatch, "/products/quantity/"+product.ID, map[string]int{"delta": -4}, nil)
	require.Equal(t, "A product is running low", subject(t, h.mails.only(adminEmail)))

	h.requireSettled(api, settled{})
	require.Empty(t, h.mails.to("doe@example.com"))
	require.Equal(t, 1, strings.Count(worker.out.String(), "MAIL_FROM is an address at localhost"), worker.out)
	require.NotContains(t, api.out.String(), "MAIL_FROM", "who does not mail has nothing to warn of")
}

// TestWork_needsBroker shows what a worker says that nobody needs.
func TestWork_needsBroker(t *testing.T) {
	t.Parallel()
	said, err := operate(t, []string{"DATABASE_URL=" + storetest.SQLiteURL(t)}, "work")
	require.Error(t, err)
	require.Equal(t, "emailworker: RABBITMQ_URL must be set; without RabbitMQ the api mails by itself and no worker is needed\n", said)
}
