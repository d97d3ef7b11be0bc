package repository_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/storetest"
)

var errBroken = errors.New("broken")

// These make a process of this test another one: it opens the database that they name, and ends or works on it until it is killed.
const (
	openVariable = "REPOSITORY_TEST_OPEN"
	workVariable = "REPOSITORY_TEST_WORK"
)

func TestMain(m *testing.M) {
	for variable, work := range map[string]func(*repository.Store) error{
		openVariable: func(s *repository.Store) error { return s.Ping(context.Background()) },
		workVariable: workForEver,
	} {
		if url := os.Getenv(variable); url != "" {
			store, err := repository.Open(context.Background(), url)
			if err == nil {
				err = work(store)
			}
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// process prepares another process.
func process(t *testing.T, variable, url string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), variable+"="+url)
	return cmd
}

// workForEver moves stock and announces it, and says of each time when it was committed.
func workForEver(s *repository.Store) error {
	ctx := context.Background()
	products, _, err := s.Products.List(ctx, domain.ProductFilter{Page: first("name")})
	for err == nil {
		e := newEvent(now)
		err = s.InTx(ctx, func(tx *repository.Store) error {
			m := domain.NewMovement(products[0].ID, 1, domain.MovementAdjusted, domain.NewID(), now)
			m.UserID = nil
			if _, err := tx.Stock.Apply(ctx, m); err != nil {
				return err
			}
			return tx.Outbox.Add(ctx, e)
		})
		fmt.Println(e.ID)
	}
	return err
}

// TestOpen_manyProcessesAtOnce start on one database that is still empty: one migrates, the others wait for it.
func TestOpen_manyProcessesAtOnce(t *testing.T) {
	t.Parallel()
	for engine, url := range map[string]string{
		"sqlite":   "sqlite://" + filepath.Join(t.TempDir(), "not", "yet", "there.db"),
		"postgres": storetest.EmptyPostgresURL(t),
	} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			processes := make([]*exec.Cmd, 5)
			for i := range processes {
				processes[i] = process(t, openVariable, url)
			}
			for _, said := range together(len(processes), func(i int) string {
				output, err := processes[i].CombinedOutput()
				if err != nil {
					return fmt.Sprint(err, ": ", string(output))
				}
				return ""
			}) {
				require.Empty(t, said)
			}
			b := newBase(t, url)
			require.Equal(t, []string{"0", "1", "2", "3", "4", "5", "6"}, b.strings("SELECT version_id FROM goose_db_version ORDER BY id"))
			b.user("jane", domain.RoleUser)
		})
	}
}

// TestOpen_killedAtIt leaves a database that the next process opens, wherever the first one was.
func TestOpen_killedAtIt(t *testing.T) {
	t.Parallel()
	for engine, fresh := range map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "test.db") },
		"postgres": storetest.EmptyPostgresURL,
	} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			for range 5 {
				url := fresh(t)
				cmd := process(t, openVariable, url)
				require.NoError(t, cmd.Start())
				time.Sleep(time.Duration(20+rand.IntN(150)) * time.Millisecond)
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				b := newBase(t, url)
				b.user("jane", domain.RoleUser)
				require.Equal(t, []string{"0", "1", "2", "3", "4", "5", "6"}, b.strings("SELECT version_id FROM goose_db_version ORDER BY id"))
			}
		})
	}
}

// TestStore_killedAtWork keeps all that was committed and nothing of what was not.
func TestStore_killedAtWork(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		p := b.product("iPhone", b.category("Phones"), 0)
		b.ok(b.Close())
		var committed []string
		for range 3 {
			cmd := process(t, workVariable, b.url)
			said, err := cmd.StdoutPipe()
			b.ok(err)
			b.ok(cmd.Start())
			lines := bufio.NewScanner(said)
			for range 10 + rand.IntN(20) {
				require.True(t, lines.Scan())
				committed = append(committed, lines.Text())
			}
			b.ok(cmd.Process.Kill())
			for lines.Scan() { // what it still said before it died
				committed = append(committed, lines.Text())
			}
			require.Error(t, cmd.Wait())
		}
		if !b.Embedded() { // the server may still be at what it was told last
			const others = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
			require.Eventually(t, func() bool { return b.count(others) == 0 }, 10*time.Second, 10*time.Millisecond)
		}
		kept := b.strings("SELECT id FROM outbox ORDER BY id")
		require.Subset(t, kept, committed)
		require.LessOrEqual(t, len(kept), len(committed)+3, "at most one more for each time it died, of which it could not say so")
		require.Equal(t, len(kept), b.count("movements WHERE delta = 1"))
		require.Equal(t, len(kept), scan[int](b, "SELECT quantity FROM products WHERE id = ?", p.ID.String()))
		if b.Embedded() {
			require.Equal(t, "ok", scan[string](b, "PRAGMA integrity_check"))
		}
	})
}

func TestOpen_oneProcessTwice(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyPostgresURL(t)
	for _, err := range together(5, func(int) error {
		store, err := repository.Open(t.Context(), url)
		if err == nil {
			err = errors.Join(store.Ping(t.Context()), store.Close())
		}
		return err
	}) {
		require.NoError(t, err)
	}
}

func TestOpen_sqliteFile(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plain.db", "with space.db", "per%20cent.db", "question?mark.db", "hash#.db", "ümlaut.db", filepath.Join("made", "on", "the way.db")} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		store := storetest.Open(t, "sqlite://"+path)
		require.True(t, store.Embedded())
		require.NoError(t, store.Ping(t.Context()))
		require.NoError(t, store.Users.Create(t.Context(), newUser("jane", domain.RoleUser)))
		for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
			info, err := os.Stat(path + suffix)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "only the owner may read %s", suffix)
		}
		entries, err := os.ReadDir(filepath.Dir(path))
		require.NoError(t, err)
		require.Len(t, entries, 4, "nothing under another name")
		if filepath.Dir(path) != dir {
			info, err := os.Stat(filepath.Dir(path))
			require.NoError(t, err)
			require.Zero(t, info.Mode().Perm()&0o007, "no others")
		}
	}
}

// TestOpen_sqliteSettings are those that keep what was committed, and keep readers from writing.
func TestOpen_sqliteSettings(t *testing.T) {
	t.Parallel()
	read, write := storetest.Open(t, storetest.SQLiteURL(t)).Handles()
	for pragma, want := range map[string][2]string{
		"journal_mode": {"wal", "wal"}, "synchronous": {"2", "2"}, "foreign_keys": {"1", "1"}, "busy_timeout": {"5000", "5000"}, "query_only": {"1", "0"},
	} {
		var got [2]string
		require.NoError(t, read.Raw("PRAGMA "+pragma).Scan(&got[0]).Error)
		require.NoError(t, write.Raw("PRAGMA "+pragma).Scan(&got[1]).Error)
		require.Equal(t, want, got, pragma)
	}
}

func TestOpen_postgresSettings(t *testing.T) {
	t.Parallel()
	url := storetest.PostgresURL(t)
	for source, want := range map[string][3]string{
		url:                      {"5s", "2s", "10s"},
		url + "&lock_timeout=77": {"5s", "77ms", "10s"},
	} {
		_, write := storetest.Open(t, source).Handles()
		var got [3]string
		for i, name := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} {
			require.NoError(t, write.Raw("SHOW "+name).Scan(&got[i]).Error)
		}
		require.Equal(t, want, got)
	}
}

func TestOpen_badURLs(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "mysql://root:hunter2@localhost/db", "sqlite://", "sqlite:file.db", "postgres://jane:hunter2@localhost:port/db", "postgres://jane:hunter2@[::1/db"} {
		_, err := repository.Open(t.Context(), url)
		require.Error(t, err, url)
		require.NotContains(t, err.Error(), "hunter2")
		require.NotContains(t, err.Error(), "\n")
	}
	_, err := repository.Open(t.Context(), "sqlite://"+t.TempDir())
	require.Error(t, err, "a directory is no database")
	file := filepath.Join(t.TempDir(), "text.db")
	require.NoError(t, os.WriteFile(file, []byte(strings.Repeat("no database ", 100)), 0o600))
	_, err = repository.Open(t.Context(), "sqlite://"+file)
	require.Error(t, err, "another kind of file is none either")
	kept, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("no database ", 100), string(kept), "and is left as it was")
}

// TestOpen_unreachablePostgres: nobody listens, or somebody who never answers.
func TestOpen_unreachablePostgres(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	for name, url := range map[string]string{
		"nobody listens":                "postgres://jane:hunter2@" + closed.Addr().String() + "/db?sslmode=disable",
		"nobody answers":                "postgres://jane:hunter2@" + silent.Addr().String() + "/db?sslmode=disable",
		"nobody answers, for a setting": "postgres://jane:hunter2@" + silent.Addr().String() + "/db?sslmode=disable&connect_timeout=1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, err := repository.Open(t.Context(), url)
			require.True(t, isKind(err, domain.KindUnavailable), err)
			require.Less(t, time.Since(began), 20*time.Second)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

// away makes a Postgres database refuse everybody until back is called.
func (b *base) away() (back func()) {
	b.t.Helper()
	name := scan[string](b, "SELECT current_database()")
	b.ok(b.raw.Close())
	admin := openRaw(b.t, os.Getenv("TEST_DATABASE_URL"))
	exec := func(query string) {
		_, err := admin.ExecContext(b.ctx, query)
		b.ok(err)
	}
	exec(fmt.Sprintf(`ALTER DATABASE %q ALLOW_CONNECTIONS false`, name))
	exec(fmt.Sprintf(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'`, name))
	return func() { exec(fmt.Sprintf(`ALTER DATABASE %q ALLOW_CONNECTIONS true`, name)) }
}

func TestStore_databaseAwayAndBack(t *testing.T) {
	onPostgres(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		calls := map[string]func() error{
			"ping":  func() error { return b.Ping(b.ctx) },
			"read":  func() error { _, err := b.Users.ByID(b.ctx, u.ID); return err },
			"write": func() error { return b.Users.SavePassword(b.ctx, u.ID, "$argon2id$", now) },
			"list": func() error {
				_, _, err := b.Users.List(b.ctx, domain.UserFilter{Page: first("role")}, domain.Roles)
				return err
			},
			"claim": func() error { _, err := b.Outbox.Claim(b.ctx, 5, now, time.Minute); return err },
			"transaction": func() error {
				return b.InTx(b.ctx, func(tx *repository.Store) error { return tx.Outbox.Add(b.ctx, newEvent(now)) })
			},
		}
		for _, call := range calls {
			b.ok(call())
		}
		back := b.away()
		for range 3 {
			for name, call := range calls {
				require.True(t, isKind(call(), domain.KindUnavailable), name)
			}
		}
		back()
		for _, call := range calls {
			b.ok(call())
		}
	})
}

// TestStore_cutInTheMiddle ends the connection under a transaction: nothing of it is kept, and it is not begun again behind the caller's back.
func TestStore_cutInTheMiddle(t *testing.T) {
	onPostgres(t, func(t *testing.T, b *base) {
		tries := 0
		err := b.InTx(b.ctx, func(tx *repository.Store) error {
			tries++
			if err := tx.Users.Create(b.ctx, newUser("jane", domain.RoleUser)); err != nil {
				return err
			}
			b.ok(b.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"))
			return tx.Outbox.Add(b.ctx, newEvent(now))
		})
		require.True(t, isKind(err, domain.KindUnavailable), err)
		require.Equal(t, 1, tries)
		require.Zero(t, b.count("users"))
		b.user("jane", domain.RoleUser) // the next call finds a new connection
	})
}

// TestStore_serverErrors has the server fail in chosen ways: with the code that is the category's name.
func TestStore_serverErrors(t *testing.T) {
	onPostgres(t, func(t *testing.T, b *base) {
		b.ok(b.exec(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = NEW.name; END $$`))
		b.ok(b.exec(`CREATE TRIGGER fail BEFORE INSERT ON categories FOR EACH ROW EXECUTE FUNCTION fail()`))
		for code, want := range map[string]struct {
			tries       int
			unavailable bool
		}{
			"40001": {5, true}, // serialization failure
			"40P01": {5, true}, // deadlock
			"55P03": {5, true}, // lock timeout
			"57014": {1, true}, // statement timeout
			"57P01": {1, true}, // shutdown
			"57P03": {1, true}, // starting
			"53300": {1, true}, // too many connections
			"53100": {1, true}, // disk full
			"25006": {1, true}, // read-only
			"58030": {1, true}, // I/O error
			"08006": {1, true}, // connection lost
			"22012": {1, false},
			"42P01": {1, false},
			"P0001": {1, false},
			"XX000": {1, false},
		} {
			t.Run(code, func(t *testing.T) {
				t.Parallel()
				tries := 0
				err := b.InTx(b.ctx, func(tx *repository.Store) error {
					tries++
					return tx.Categories.Create(b.ctx, domain.NewCategory(code, now))
				})
				require.Error(t, err)
				require.Equal(t, want.unavailable, isKind(err, domain.KindUnavailable), err)
				require.Equal(t, want.tries, tries)
				require.ErrorContains(t, err, code)
			})
		}
	})
}

func TestInTx_keepsAllOrNothing(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleAdmin)
		p := b.product("iPhone", b.category("Phones"), 5)
		o := b.order(p, domain.OrderPending, u)
		before := b.counts()
		work := func(tx *repository.Store) error {
			if err := tx.Users.Create(b.ctx, newUser("john", domain.RoleUser)); err != nil {
				return err
			}
			if _, err := tx.Stock.Apply(b.ctx, domain.NewMovement(p.ID, -2, domain.MovementAdjusted, u.ID, now)); err != nil {
				return err
			}
			moved, from := o, o.State
			if _, err := moved.MoveTo(domain.OrderReady, domain.Actor{ID: u.ID, Role: u.Role}, now); err != nil {
				return err
			}
			if err := tx.Orders.SaveState(b.ctx, moved, domain.NewOrderStep(moved, &from, u.ID, now)); err != nil {
				return err
			}
			return tx.Outbox.Add(b.ctx, newEvent(now))
		}
		unchanged := func() {
			t.Helper()
			require.Equal(t, before, b.counts())
			stored, err := b.Products.ByID(b.ctx, p.ID)
			b.ok(err)
			require.Equal(t, p, stored)
			order, err := b.Orders.ByID(b.ctx, o.ID)
			b.ok(err)
			require.Equal(t, domain.OrderPending, order.State)
		}
		for name, end := range map[string]error{
			"an error":  errBroken,
			"a refusal": domain.Conflict("quantity", "too little"),
		} {
			err := b.InTx(b.ctx, func(tx *repository.Store) error {
				b.ok(work(tx))
				return end
			})
			require.ErrorIs(t, err, end, name)
			unchanged()
		}
		require.PanicsWithValue(t, "lost", func() {
			_ = b.InTx(b.ctx, func(tx *repository.Store) error {
				b.ok(work(tx))
				panic("lost")
			})
		})
		unchanged()
		b.refuses(b.InTx(b.ctx, func(tx *repository.Store) error {
			b.ok(work(tx))
			_, err := tx.Stock.Apply(b.ctx, domain.NewMovement(p.ID, -4, domain.MovementAdjusted, u.ID, now))
			return err
		}), domain.KindConflict, "quantity")
		unchanged()

		b.ok(b.InTx(b.ctx, work))
		for table, n := range map[string]int{"users": 1, "movements": 1, "order_steps": 1, "outbox": 1} {
			before[table] += n
		}
		require.Equal(t, before, b.counts())
	})
}

// counts gives how many rows each table has.
func (b *base) counts() map[string]int {
	b.t.Helper()
	counts := map[string]int{}
	for _, table := range []string{
		"users", "sessions", "refresh_tokens", "one_time_tokens", "login_failures", "categories", "products", "orders", "order_steps", "movements", "outbox", "deliveries",
	} {
		counts[table] = b.count(table)
	}
	return counts
}

// TestInTx_readersGoOn: beside a transaction everybody reads what was there before it.
func TestInTx_readersGoOn(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
			b.ok(tx.Users.Delete(b.ctx, u.ID, now))
			_, err := tx.Users.ByID(b.ctx, u.ID)
			b.refuses(err, domain.KindNotFound, "id") // in the transaction
			b.is(u)                                   // outside
			return nil
		}))
	})
}

// TestInTx_retriesADeadlock has two transactions lock two rows crosswise. The server ends one of them, which is run again.
func TestInTx_retriesADeadlock(t *testing.T) {
	onPostgres(t, func(t *testing.T, b *base) {
		users := []domain.User{b.user("jane", domain.RoleUser), b.user("john", domain.RoleUser)}
		var met sync.WaitGroup
		met.Add(2)
		var tries atomic.Int32
		for _, err := range together(2, func(i int) error {
			again := false
			return b.InTx(b.ctx, func(tx *repository.Store) error {
				tries.Add(1)
				for k := range 2 {
					u, err := tx.Users.Lock(b.ctx, users[(i+k)%2].ID)
					if err != nil {
						return err
					}
					u.Describe(u.Email, u.FirstName+"+", u.LastName, u.Role, now)
					if err := tx.Users.SaveDescription(b.ctx, u); err != nil {
						return err
					}
					if !again {
						again = true
						met.Done()
						met.Wait() // each holds one row now
					}
				}
				return nil
			})
		}) {
			b.ok(err)
		}
		require.EqualValues(t, 3, tries.Load())
		for _, u := range users {
			u.Describe(u.Email, u.FirstName+"++", u.LastName, u.Role, now)
			b.is(u)
		}
	})
}

// TestInTx_givesUp on a row that somebody never lets go.
func TestInTx_givesUp(t *testing.T) {
	t.Parallel()
	b := newBase(t, storetest.PostgresURL(t)+"&lock_timeout=30")
	u := b.user("jane", domain.RoleUser)
	tries, retries := 0, 0
	b.OnRetry(func() { retries++ })
	b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
		_, err := tx.Users.Lock(b.ctx, u.ID)
		b.ok(err)
		err = b.InTx(b.ctx, func(tx *repository.Store) error {
			tries++
			if err := tx.Outbox.Add(b.ctx, newEvent(now)); err != nil {
				return err
			}
			_, err := tx.Users.Lock(b.ctx, u.ID)
			return err
		})
		b.refuses(err, domain.KindUnavailable, "server")
		return nil
	}))
	require.Equal(t, 5, tries)
	require.Equal(t, 4, retries)
	require.Zero(t, b.count("outbox"))
}

// hold takes the file's only right to write, in another process's stead, until release is called.
func (b *base) hold() (release func()) {
	b.t.Helper()
	conn, err := b.raw.Conn(b.ctx)
	b.ok(err)
	_, err = conn.ExecContext(b.ctx, "BEGIN IMMEDIATE")
	b.ok(err)
	return func() {
		_, err := conn.ExecContext(context.Background(), "ROLLBACK")
		b.ok(errors.Join(err, conn.Close()))
	}
}

func TestInTx_busyFile(t *testing.T) {
	t.Parallel()
	b := newBase(t, storetest.SQLiteURL(t))
	_, write := b.Handles()
	add := func(tx *repository.Store) error { return tx.Outbox.Add(b.ctx, newEvent(now)) }

	release := b.hold()
	time.AfterFunc(200*time.Millisecond, release)
	b.ok(b.InTx(b.ctx, add)) // it waits

	b.ok(write.Exec("PRAGMA busy_timeout = 10").Error)
	release = b.hold()
	time.AfterFunc(30*time.Millisecond, release)
	b.ok(b.InTx(b.ctx, add)) // it waits, gives up, and begins again

	release = b.hold()
	b.refuses(b.InTx(b.ctx, add), domain.KindUnavailable, "server") // at last it does so no more
	release()
	require.Equal(t, 2, b.count("outbox"))
}

// TestInTx_busyFileUntilTheDeadline: the wait for the file is shorter than a request may take.
func TestInTx_busyFileUntilTheDeadline(t *testing.T) {
	t.Parallel()
	b := newBase(t, storetest.SQLiteURL(t))
	u := b.user("jane", domain.RoleUser)
	release := b.hold()
	ctx, cancel := context.WithTimeout(b.ctx, 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := b.InTx(ctx, func(*repository.Store) error { return nil })
	require.True(t, isKind(err, domain.KindUnavailable), err)
	require.Less(t, time.Since(began), 8*time.Second)
	b.is(u) // reading goes on
	release()
	b.ok(b.InTx(b.ctx, func(tx *repository.Store) error { return tx.Outbox.Add(b.ctx, newEvent(now)) }))
}

// TestStore_allConnectionsTaken: who comes too late waits until their deadline and no longer.
func TestStore_allConnectionsTaken(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		conns := 16
		if b.Embedded() {
			conns = 1
		}
		var taken, ended sync.WaitGroup
		taken.Add(conns)
		free := make(chan struct{})
		for range conns {
			ended.Go(func() {
				begun := sync.OnceFunc(taken.Done)
				defer begun() // a transaction that was not begun must not keep the test waiting
				assert.NoError(t, b.InTx(b.ctx, func(*repository.Store) error {
					begun()
					<-free
					return nil
				}))
			})
		}
		taken.Wait()
		ctx, cancel := context.WithTimeout(b.ctx, 50*time.Millisecond)
		defer cancel()
		require.True(t, isKind(b.Ping(ctx), domain.KindUnavailable))
		require.True(t, isKind(b.InTx(ctx, func(*repository.Store) error { return nil }), domain.KindUnavailable))
		close(free)
		ended.Wait()
		b.ok(b.Ping(b.ctx))
	})
}

// TestStore_cancelled: a caller who went away leaves nothing behind, and is no fault of the database.
func TestStore_cancelled(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		gone, cancel := context.WithCancel(b.ctx)
		cancel()
		for name, call := range map[string]func() error{
			"ping":  func() error { return b.Ping(gone) },
			"read":  func() error { _, err := b.Users.ByID(gone, u.ID); return err },
			"write": func() error { return b.Users.SavePassword(gone, u.ID, "x", now) },
			"claim": func() error { _, err := b.Outbox.Claim(gone, 1, now, time.Minute); return err },
			"transaction": func() error {
				return b.InTx(gone, func(*repository.Store) error {
					require.Fail(t, "the transaction was begun")
					return nil
				})
			},
		} {
			err := call()
			require.ErrorIs(t, err, context.Canceled, name)
			require.False(t, isKind(err, domain.KindUnavailable), name)
		}

		going, cancel := context.WithCancel(b.ctx)
		err := b.InTx(going, func(tx *repository.Store) error {
			b.ok(tx.Users.Delete(going, u.ID, now))
			cancel()
			return tx.Outbox.Add(going, newEvent(now))
		})
		require.Error(t, err)
		b.is(u)
		going, cancel = context.WithCancel(b.ctx)
		require.Error(t, b.InTx(going, func(tx *repository.Store) error {
			b.ok(tx.Users.Delete(going, u.ID, now))
			cancel()
			return nil
		}), "before the commit")
		b.is(u)
		late, cancel := context.WithDeadline(b.ctx, time.Now())
		defer cancel()
		_, err = b.Users.ByID(late, u.ID)
		require.True(t, isKind(err, domain.KindUnavailable), err)
	})
}

// TestStore_closed is what late callers find while the process stops.
func TestStore_closed(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		b.ok(b.Close())
		require.True(t, isKind(b.Ping(b.ctx), domain.KindUnavailable))
		_, err := b.Users.ByID(b.ctx, domain.NewID())
		require.True(t, isKind(err, domain.KindUnavailable), err)
		require.True(t, isKind(b.InTx(b.ctx, func(*repository.Store) error { return nil }), domain.KindUnavailable))
		b.ok(b.Close())
	})
}

// TestTimes come back as they were stored: in UTC, to the millisecond, equal and in order.
func TestTimes(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		kathmandu := time.FixedZone("Kathmandu", 5*3600+45*60)
		times := []time.Time{
			time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC),
			time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC),
			time.Date(2021, 1, 1, 0, 0, 0, 1_000_000, time.UTC),
			time.Date(2021, 1, 1, 0, 0, 0, 10_000_000, time.UTC),
			time.Date(2021, 1, 1, 0, 0, 0, 90_000_000, time.UTC),
			time.Date(2021, 1, 1, 0, 0, 0, 100_000_000, time.UTC),
			time.Date(2021, 1, 1, 5, 45, 1, 0, kathmandu), // a second after midnight
			time.Date(2021, 1, 1, 23, 59, 59, 999_000_000, time.UTC),
			time.Date(2021, 3, 28, 2, 30, 0, 0, time.UTC), // an hour that some zones skip
			time.Date(9998, 12, 31, 23, 59, 59, 999_000_000, time.UTC),
		}
		want := make([]domain.User, len(times))
		for i, at := range times {
			u := domain.NewDraft(fmt.Sprintf("u%d@example.com", i), "x", "x", domain.RoleUser, at)
			b.ok(b.Users.Create(b.ctx, u))
			u.CreatedAt, u.UpdatedAt = at.UTC(), at.UTC()
			want[i] = u
		}
		listed, _, err := b.Users.List(b.ctx, domain.UserFilter{Page: first("createdAt")}, domain.Roles)
		b.ok(err)
		require.Equal(t, want, listed)

		// Those that statements give back are no different.
		for i, at := range times {
			e := domain.Event{ID: domain.NewID(), Type: "x", Subject: domain.NewID(), At: at, Data: []byte("{}")}
			b.ok(b.Outbox.Add(b.ctx, e))
			claimed, err := b.Outbox.Claim(b.ctx, 1, at, time.Hour)
			b.ok(err)
			require.Len(t, claimed, 1, "due at the very moment %v", at)
			e.At = at.UTC()
			require.Equal(t, repository.QueuedEvent{Event: e, DueAt: at.UTC().Add(time.Hour)}, claimed[0])
			b.ok(b.Outbox.Sent(b.ctx, e.ID, at))

			d, mine, err := b.Deliveries.Claim(b.ctx, e, at, time.Hour)
			b.ok(err)
			require.True(t, mine, i)
			until := at.UTC().Add(time.Hour)
			require.Equal(t, domain.Delivery{
				EventID: e.ID, UserID: e.Subject, Type: "x", State: domain.DeliverySending, LeaseUntil: &until, CreatedAt: at.UTC(), UpdatedAt: at.UTC(),
			}, d)
		}
	})
}

// TestStore_InTx_nested: a transaction within one is taken back alone, and kept only with the one around it.
func TestStore_InTx_nested(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		waken := 0
		b.OnOutbox(func() { waken++ })
		category := func(tx *repository.Store, name string) error {
			return tx.Categories.Create(b.ctx, domain.NewCategory(name, now))
		}
		within := func(outer error) error {
			return b.InTx(b.ctx, func(tx *repository.Store) error {
				b.ok(category(tx, "Outer"))
				require.ErrorIs(t, tx.InTx(b.ctx, func(inner *repository.Store) error {
					b.ok(category(inner, "Taken back"))
					return errBroken
				}), errBroken)
				b.ok(tx.InTx(b.ctx, func(inner *repository.Store) error {
					inner.Audit.Add(domain.NewAuditEntry(domain.Stranger("x"), domain.AuditLoginFailed, domain.AuditTarget{}, nil, now))
					b.ok(category(inner, "Inner"))
					return inner.Outbox.Add(b.ctx, newEvent(now))
				}))
				return outer
			})
		}
		require.ErrorIs(t, within(errBroken), errBroken)
		none, err := b.Categories.List(b.ctx)
		b.ok(err)
		require.Empty(t, none)
		require.Zero(t, waken)

		b.ok(within(nil))
		kept, err := b.Categories.List(b.ctx)
		b.ok(err)
		require.Equal(t, []string{"Inner", "Outer"}, []string{kept[0].Name, kept[1].Name})
		require.Len(t, kept, 2)
		require.Equal(t, 1, waken)
		lines, fault, err := b.Audit.Verify(b.ctx)
		b.ok(err)
		require.Equal(t, []any{int64(1), ""}, []any{lines, fault})
	})
}
