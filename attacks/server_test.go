package attacks_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/storetest"
	"inventoryhub/internal/testservers"
)

const (
	jwtSecret     = "the-secret-that-signs-the-access-tokens-of-this-test"
	adminEmail    = "admin@example.com"
	adminPassword = "Correct Horse Battery 1"
	goodPassword  = "Tolya123! of the tests"
	appURL        = "https://hub.example.com/app"
	listedOrigin  = "https://app.example.com"
)

// The roles, from the highest.
const (
	admin        = "Admin"
	manager      = "Manager"
	user         = "User"
	readonlyUser = "ReadonlyUser"
)

// server is one process of the program, in a folder of its own.
type server struct {
	url      string
	database string
	dir      string
	logFile  string
	subject  *testservers.Subject
	http     *http.Client

	admin *client
	staff map[string]*client // one for each role, whom cases may use but not change

	numbers atomic.Int64
	mu      sync.Mutex
	secrets map[string]bool // what must not be in the log
	ids     map[string]bool // the request ids that the server gave
	letters map[string]letter
}

var greeting = regexp.MustCompile(`answers at (http://\S+)\n`)

// newServer starts the program and makes one user of each role.
func newServer(t *testing.T, database string, settings ...string) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{
		database: database, dir: dir, logFile: filepath.Join(dir, "log"), staff: map[string]*client{}, secrets: map[string]bool{jwtSecret: true, adminPassword: true}, ids: map[string]bool{},
		letters: map[string]letter{},
		http: &http.Client{
			Timeout:       time.Minute,
			Transport:     &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	cmd := exec.Command(program) //nolint:gosec // built by TestMain
	cmd.Dir = dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HTTP_ADDR=127.0.0.1:0", "METRICS_ADDR=127.0.0.1:0", "DATABASE_URL=" + database, "IMAGES_URL=file://" + filepath.Join(dir, "images"),
		"MAIL_PROVIDER=file", "MAIL_DIR=" + s.mailDir(), "APP_URL=" + appURL, "JWT_SECRET=" + jwtSecret, "ADMIN_EMAIL=" + adminEmail, "ADMIN_PASSWORD=" + adminPassword,
		"LOG_LEVEL=debug", "LOG_FORMAT=json",
		"ACCESS_TOKEN_TTL=12h", // as long as the slowest machine takes for all attacks, with the race detector
	}, settings...)
	var err error
	s.subject, err = testservers.StartSubject(cmd, s.logFile)
	require.NoError(t, err)
	t.Cleanup(s.subject.Kill)
	require.Eventually(t, func() bool {
		found := greeting.FindStringSubmatch(s.log(t))
		if found != nil {
			s.url = found[1]
		}
		return found != nil || s.subject.HasEnded()
	}, time.Minute, 5*time.Millisecond)
	require.NotEmpty(t, s.url, s.log(t))

	s.admin = s.login(t, adminEmail, adminPassword)
	s.staff[admin] = s.admin
	for _, role := range []string{manager, user, readonlyUser} {
		s.staff[role] = s.newUser(t, role)
	}
	return s
}

// beside starts one more server, on a fresh database of the same kind.
func (s *server) beside(t *testing.T, settings ...string) *server {
	t.Helper()
	database := storetest.SQLiteURL
	if strings.HasPrefix(s.database, "postgres") {
		database = storetest.PostgresURL
	}
	return newServer(t, database(t), settings...)
}

func (s *server) mailDir() string { return filepath.Join(s.dir, "mail") }

func (s *server) log(t *testing.T) string {
	t.Helper()
	said, err := os.ReadFile(s.logFile)
	require.NoError(t, err)
	return string(said)
}

func (s *server) note(set map[string]bool, values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, value := range values {
		set[value] = true
	}
}

// unique gives a name that nothing else has.
func (s *server) unique(name string) string { return fmt.Sprintf("%s%d", name, s.numbers.Add(1)) }

// anonymous is somebody without a token.
func (s *server) anonymous() *client { return &client{s: s} }

// login opens a session.
func (s *server) login(t *testing.T, email, password string) *client {
	t.Helper()
	c := s.anonymous().post(t, "/auth/login", j{"email": email, "password": password}).wants(t, http.StatusOK).holder(t, s)
	c.email, c.password = email, password
	me := c.get(t, "/users/me").wants(t, http.StatusOK).json(t)
	c.id, c.role, c.username = me["id"].(string), me["role"].(string), fmt.Sprint(me["username"])
	return c
}

// invite makes a draft and gives the email and the token that was mailed to it.
func (s *server) invite(t *testing.T, role string) (email, token string) {
	t.Helper()
	email = s.unique("draft") + "@example.com"
	s.admin.post(t, "/auth/invite", invitee(email, role)).wants(t, http.StatusCreated)
	return email, s.letter(t, email, 1).token(t)
}

func invitee(email, role string) j {
	return j{"email": email, "firstName": "Jane", "lastName": "Doe", "role": role}
}

// newUser makes somebody with a password.
func (s *server) newUser(t *testing.T, role string) *client {
	t.Helper()
	email, token := s.invite(t, role)
	c := &client{email: email, username: s.unique("name"), password: goodPassword, role: role}
	tokens := s.anonymous().post(t, "/auth/register", j{"token": token, "username": c.username, "password": c.password}).wants(t, http.StatusCreated).holder(t, s)
	c.s, c.access, c.refresh = s, tokens.access, tokens.refresh
	c.id = c.get(t, "/users/me").wants(t, http.StatusOK).text(t, "id")
	return c
}

// idOf gives the id of the one user whose email holds the text.
func (s *server) idOf(t *testing.T, email string) string {
	t.Helper()
	var list struct{ Users []struct{ ID string } }
	require.NoError(t, json.Unmarshal([]byte(s.admin.get(t, "/users?search="+email).wants(t, http.StatusOK).Body), &list))
	require.Len(t, list.Users, 1)
	return list.Users[0].ID
}

// category makes a category and gives its name.
func (s *server) category(t *testing.T) string {
	t.Helper()
	name := s.unique("category")
	s.admin.post(t, "/products/categories", j{"name": name}).wants(t, http.StatusCreated)
	return name
}

// product makes a product and gives its id.
func (s *server) product(t *testing.T, quantity int) string {
	t.Helper()
	return s.admin.post(t, "/products", j{"name": s.unique("product"), "category": s.category(t), "quantity": quantity}).wants(t, http.StatusCreated).text(t, "id")
}

// order makes an order in the state, which may be any.
func (s *server) order(t *testing.T, product string, quantity int, state string) string {
	t.Helper()
	way := map[string][]string{"Draft": nil, "Pending": {"Pending"}, "Ready": {"Pending", "Ready"}, "Completed": {"Pending", "Ready", "Completed"}, "Cancelled": {"Cancelled"}}
	body := j{"itemId": product, "client": "John Doe", "description": "of " + s.unique("order"), "quantity": quantity, "initialState": "Draft"}
	id := s.admin.post(t, "/products/orders", body).wants(t, http.StatusCreated).text(t, "id")
	for _, step := range way[state] {
		s.admin.patch(t, "/products/orders/state/"+id, j{"transition": step}).wants(t, http.StatusOK)
	}
	return id
}

// stock gives a product's quantity, after it was compared with the ledger.
func (s *server) stock(t *testing.T, product string) int {
	t.Helper()
	quantity := int(s.admin.get(t, "/products/"+product).wants(t, http.StatusOK).json(t)["quantity"].(float64))
	require.GreaterOrEqual(t, quantity, 0)
	sum, after, last := 0, 0, 1
	for page := 1; page <= last; page++ {
		var ledger struct {
			Movements  []struct{ Delta, QuantityAfter int }
			TotalPages int
		}
		a := s.admin.get(t, fmt.Sprintf("/products/%s/movements?sort=createdAt&pageSize=100&page=%d", product, page)).wants(t, http.StatusOK)
		require.NoError(t, json.Unmarshal([]byte(a.Body), &ledger))
		last = ledger.TotalPages
		for _, m := range ledger.Movements {
			sum += m.Delta
			require.GreaterOrEqual(t, m.QuantityAfter, 0)
			after = m.QuantityAfter
		}
	}
	require.Equal(t, quantity, sum, "the quantity is the sum of the ledger")
	require.Equal(t, quantity, after, "the ledger ends at the quantity")
	return quantity
}

// lists show what was made last, and how many things there are. Longer pages would cost most of the time of the tests.
var lists = []string{"/users?pageSize=20", "/products/categories", "/products?pageSize=20", "/products/orders?pageSize=20"}

// unchanged makes an attack and sees that the lists, and whatever else can be read at the paths, say the same as before.
func (s *server) unchanged(t *testing.T, attack func(), paths ...string) {
	t.Helper()
	look := func() (seen []string) {
		for _, path := range append(paths, lists...) {
			a := s.admin.get(t, path).wants(t, http.StatusOK)
			seen = append(seen, path+" "+a.Header.Get("ETag")+" "+a.Body)
		}
		return seen
	}
	before := look()
	attack()
	require.Equal(t, before, look(), "the attack changed something")
}

// race makes n calls at once and gives their answers.
func race(n int, call func(i int) answer) []answer {
	answers, start := make([]answer, n), make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			answers[i] = call(i)
		})
	}
	close(start)
	all.Wait()
	return answers
}

// tally counts answers by their status.
func tally(answers []answer) map[int]int {
	counts := map[int]int{}
	for _, a := range answers {
		counts[a.Status]++
	}
	return counts
}
