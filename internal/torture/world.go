package torture

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the checks' own connection to Postgres
	_ "modernc.org/sqlite"             // and to SQLite

	"inventoryhub/internal/domain"
	"inventoryhub/internal/password"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/testservers"
)

// world is all that runs: a database, API processes on it, and the way between them.
type world struct {
	config    Config
	tally     *tally
	journal   *journal
	dir       string
	api       string  // the program
	direct    string  // the database's URL, past the proxy
	db        *sql.DB // for the checks
	postgres  *testservers.Postgres
	proxy     *proxy     // nil on SQLite
	checking  sync.Mutex // held by a check, and by what would take the database away from it
	instances []*instance
}

// newWorld builds the API, starts the database and the instances on it, and makes the users.
func newWorld(ctx context.Context, c Config, t *tally) (*world, error) {
	dir, err := os.MkdirTemp("", "torture-")
	if err != nil {
		return nil, err
	}
	w := &world{config: c, tally: t, journal: newJournal(t), dir: dir, api: filepath.Join(dir, "api")}
	if err := w.build(ctx); err != nil {
		w.close(false)
		return nil, err
	}
	return w, nil
}

func (w *world) build(ctx context.Context) error {
	// As it is shipped, whatever flags the tests themselves are built with.
	compile := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", w.api, "inventoryhub/cmd/api")
	compile.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0")
	if said, err := compile.CombinedOutput(); err != nil {
		return fmt.Errorf("build the api: %w\n%s", err, said)
	}
	open := map[string]func() (string, error){Postgres: w.openPostgres, SQLite: w.openSQLite}[w.config.Engine]
	url, err := open()
	if err != nil {
		return err
	}
	if err := w.makeUsers(ctx); err != nil {
		return err
	}
	for n := range w.config.Instances {
		i := &instance{name: fmt.Sprintf("api-%d", n+1), api: w.api, dir: w.dir, env: w.environ(url), tally: w.tally}
		w.instances = append(w.instances, i)
		if err := i.ensure(ctx); err != nil {
			return err
		}
	}
	return nil
}

// openPostgres starts a server and the proxy before it, and gives the URL for the instances.
func (w *world) openPostgres() (url string, err error) {
	data := filepath.Join(w.dir, "postgres")
	if err := os.Mkdir(data, 0o700); err != nil {
		return "", err
	}
	if w.postgres, err = testservers.StartPostgres(data); err != nil {
		return "", err
	}
	w.direct = w.postgres.URL()
	if w.proxy, url, err = newProxy(w.direct); err != nil {
		return "", err
	}
	if w.db, err = sql.Open("pgx", w.direct); err != nil {
		return "", err
	}
	w.db.SetMaxIdleConns(0) // a connection that is kept does not outlive the server
	return url, nil
}

func (w *world) openSQLite() (url string, err error) {
	file := filepath.Join(w.dir, "inventoryhub.db")
	w.direct = "sqlite://" + file
	w.db, err = sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
	return w.direct, err
}

// environ are the settings of an instance.
func (w *world) environ(url string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HTTP_ADDR=127.0.0.1:0", "DATABASE_URL=" + url, "JWT_SECRET=" + strings.Repeat("torture.", 4),
		"IMAGES_URL=file://" + filepath.Join(w.dir, "images"), "MAIL_DIR=" + filepath.Join(w.dir, "mail"),
		"ACCESS_TOKEN_TTL=100h", "REFRESH_TOKEN_TTL=200h", "AUTH_RATE_LIMIT=0", "LOG_LEVEL=error", "LOG_FORMAT=json",
	}
}

const (
	usersPassword = "correct horse battery"
	emailDomain   = "@torture.example.com"
)

// makeUsers makes the schema and an active user of each role, as which the clients call.
func (w *world) makeUsers(ctx context.Context) error {
	store, err := repository.Open(ctx, w.direct)
	if err != nil {
		return err
	}
	defer store.Close()
	hash, err := password.NewHasher().Hash(ctx, usersPassword)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	for _, role := range domain.Roles {
		u := domain.NewDraft(string(role)+emailDomain, "Torture", string(role), role, now)
		u.Activate(string(role), hash, now)
		if err := store.Users.Create(ctx, u); err != nil {
			return err
		}
	}
	return nil
}

// endLeases lets the keys of requests that were killed be tried again at once, as if a minute had passed.
func (w *world) endLeases(ctx context.Context) error {
	_, err := w.db.ExecContext(ctx, "UPDATE attempts SET lease_until = created_at WHERE status IS NULL")
	return err
}

// close ends everything, and keeps the files if something is to be looked at.
func (w *world) close(keep bool) {
	for _, i := range w.instances {
		if i.running() {
			i.program.Kill()
		}
	}
	if w.db != nil {
		w.db.Close()
	}
	if w.proxy != nil {
		w.proxy.close()
	}
	if w.postgres != nil {
		w.postgres.Stop()
	}
	if keep {
		w.tally.say("torture: logs and data are kept in %s", w.dir)
		return
	}
	os.RemoveAll(w.dir)
}
