// Package repository keeps the domain's entities in a database: the embedded SQLite or PostgreSQL, behind the same
// methods. It knows SQL and hides GORM and the drivers; it knows nothing of who may do what, and never begins a
// transaction by itself: [Store.InTx] is the caller's.
//
// Every method returns an error of kind KindUnavailable when the database cannot be reached or is too busy, beside the
// kinds it names; any other error is a defect.
package repository

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/tracing"
)

// Store gives access to all tables, one field each.
type Store struct {
	Users      Users
	Sessions   Sessions
	Tokens     Tokens
	Logins     Logins
	Categories Categories
	Products   Products
	Stock      Stock
	Orders     Orders
	Outbox     Outbox
	Deliveries Deliveries
	Attempts   Attempts
	Audit      Audit
	Factors    Factors
	Keys       Keys

	read, write *gorm.DB
	replicas    *replicas // of the database; nil for none
	closers     []func() error
	wake        func() // tells whoever relays the outbox that a row was committed
	retried     func() // tells whoever counts them that a transaction is run again
	onCallers   []func()
	listen      func(ctx context.Context, channel string, began, heard func()) error // nil on SQLite
}

// table is what every part of a Store works on. Inside a transaction both are the transaction. Outside they differ
// on SQLite, where one connection writes and the others read.
type table struct {
	read, write    *gorm.DB
	replicas       *replicas // for some reads outside of transactions; nil for none
	callersChanged func()
}

// newStore builds the parts over the two handles.
func newStore(read, write *gorm.DB) *Store { return newReplicatedStore(read, write, nil) }

func newReplicatedStore(read, write *gorm.DB, copies *replicas) *Store {
	s := &Store{}
	t := table{read: read, write: write, replicas: copies, callersChanged: s.callersChanged}
	*s = Store{
		Users: Users{t}, Sessions: Sessions{t}, Tokens: Tokens{t}, Logins: Logins{t}, Categories: Categories{t},
		Products: Products{table: t}, Stock: Stock{t}, Orders: Orders{table: t}, Outbox: Outbox{table: t}, Deliveries: Deliveries{t}, Attempts: Attempts{t}, Audit: Audit{table: t},
		Factors: Factors{t}, Keys: Keys{t},
		read: read, write: write, replicas: copies,
	}
	return s
}

// readyLists readies the large lists for many callers.
func (s *Store) readyLists() {
	s.Products.totals, s.Orders.totals = newTotals(), newTotals()
	s.Products.lists, s.Orders.lists = newJoined(s.Products.list, nil), newJoined(s.Orders.list, nil)
}

// Servers says how a store is to use its Postgres, and which others are beside it.
type Servers struct {
	Direct   string   // the URL for what needs a session of its own, when the store's leads to a pooler; may be empty
	Replicas []string // the URLs of replicas, for reads that may be a moment late
	Patient  bool     // lets a statement take as long as it needs, for an operator who goes through everything
}

// Open connects to `sqlite://PATH` or `postgres://...`, brings the schema up to date (one process at a time, others
// wait) and gives the store. The errors name no password.
func Open(ctx context.Context, url string) (*Store, error) { return OpenAmong(ctx, url, Servers{}) }

// OpenAmong is [Open] for a Postgres that others stand beside.
func OpenAmong(ctx context.Context, url string, beside Servers) (*Store, error) {
	return open(ctx, url, beside, (*Migrator).bringUp)
}

// OpenExisting is [OpenAmong] for who works beside the server: it makes no database and leaves the schema as it is. A database that is missing or empty,
// or whose schema is not the one that this program knows, is an error that says what to do.
func OpenExisting(ctx context.Context, url string, beside Servers) (*Store, error) {
	if err := RequireFile(url); err != nil {
		return nil, err
	}
	return open(ctx, url, beside, (*Migrator).requireLatest)
}

// RequireFile keeps a mistyped path, or the wrong folder, from becoming an empty database: it returns an error if url names an SQLite file that is missing.
func RequireFile(url string) error {
	path, embedded := strings.CutPrefix(url, "sqlite://")
	if !embedded {
		return nil
	}
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no database at %s (DATABASE_URL): run this in the server's folder", path)
	}
	if err != nil {
		return fmt.Errorf("open the database file: %w", err)
	}
	return nil
}

// open sees to the schema by prepare before it opens the store.
func open(ctx context.Context, url string, beside Servers, prepare func(*Migrator, context.Context) error) (*Store, error) {
	switch scheme, rest, _ := strings.Cut(url, "://"); scheme {
	case "sqlite":
		return openSQLite(ctx, rest, prepare)
	case "postgres", "postgresql":
		return openPostgres(ctx, url, beside, prepare)
	}
	return nil, errWhichEngine
}

// Close gives the connections back.
func (s *Store) Close() error {
	var errs []error
	for _, c := range s.closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// Embedded says whether the database lives in this process, so that no other instance can be at work on it.
func (s *Store) Embedded() bool { return s.write.Name() == sqliteName }

// Ping asks the database for a sign of life. It returns KindUnavailable when there is none.
func (s *Store) Ping(ctx context.Context) error {
	for _, db := range []*gorm.DB{s.read, s.write} {
		if err := db.WithContext(ctx).Exec("SELECT 1").Error; err != nil {
			return fail("ping the database", err)
		}
	}
	return nil
}

// maxTries bounds how often a transaction that lost to another one is begun.
const maxTries = 5

// InTx runs f in one transaction: all of it is kept, or nothing if f returns an error. Everything f does must go through
// tx, since on SQLite the outer store waits for the transaction to end. A transaction that lost to another
// one (deadlock, serialization, lock timeout) is run again from the start, so f must not act on anything but tx and variables that it
// sets anew. On a tx it makes a savepoint: what f did is kept if the transaction around it is. It returns what f returned, or KindUnavailable when the database would not take it.
func (s *Store) InTx(ctx context.Context, f func(tx *Store) error) error {
	tries := 0
	_, span := tracing.Begin(ctx, "transaction")
	defer func() {
		span.Set("tries", tries)
		span.End()
	}()
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 10*time.Millisecond, 200*time.Millisecond
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		tries++
		_, err := s.inTxOnce(ctx, f)
		if err != nil && !lostRace(err) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(pause), backoff.WithMaxTries(maxTries), backoff.WithNotify(func(error, time.Duration) {
		if s.retried != nil {
			s.retried()
		}
	}))
	if err != nil {
		return fail("transaction", err)
	}
	return nil
}

// Bulk readies a transaction for making many rows; it is its first step. Postgres would go on by plans that it made when there were few, and read
// whole tables for each statement.
func (s *Store) Bulk(ctx context.Context) error {
	if s.Embedded() {
		return nil
	}
	if err := s.write.WithContext(ctx).Exec("SET LOCAL plan_cache_mode = force_custom_plan").Error; err != nil {
		return fail("ready the transaction", err)
	}
	return nil
}

// briefly is how long [Store.TryInTx] waits for a lock. Those who commit many at once hold theirs for some 10 ms.
const briefly = 500 * time.Millisecond

// TryInTx is [Store.InTx] for work that can be done in other ways too: it is tried once, and waits for each lock only briefly. With an error it says
// whether it may be done again: nothing of it was kept. Otherwise nobody knows, because the COMMIT was not answered.
func (s *Store) TryInTx(ctx context.Context, f func(tx *Store) error) (again bool, err error) {
	_, span := tracing.Begin(ctx, "transaction")
	defer span.End()
	committing, err := s.inTxOnce(ctx, func(tx *Store) error {
		if !tx.Embedded() {
			// Postgres would plan a statement with arrays each time anew, for as many rows as they have, which would change nothing.
			settings := fmt.Sprintf("SET LOCAL lock_timeout = %d; SET LOCAL plan_cache_mode = force_generic_plan", briefly.Milliseconds())
			if err := tx.write.WithContext(ctx).Exec(settings).Error; err != nil {
				return err
			}
		}
		return f(tx)
	})
	if err == nil {
		return false, nil
	}
	if lostRace(err) && s.retried != nil {
		s.retried()
	}
	return !committing || lostRace(err), fail("transaction", err)
}

// inTxOnce says with an error whether it is the COMMIT that failed.
func (s *Store) inTxOnce(ctx context.Context, f func(tx *Store) error) (committing bool, err error) {
	announced, callers := false, false
	err = s.write.WithContext(ctx).Transaction(func(db *gorm.DB) error {
		tx := newStore(db, db)
		tx.wake = func() { announced = true } // by a transaction within this one
		tx.OnCallers(func() { callers = true })
		if err := f(tx); err != nil {
			return err
		}
		announced = announced || tx.Outbox.added
		if err := tx.Audit.flush(ctx); err != nil {
			return err
		}
		committing = true
		return nil
	})
	if err == nil {
		s.replicas.noteWrite(ctx)
	}
	if err == nil && announced && s.wake != nil {
		s.wake()
	}
	if callers {
		s.callersChanged()
	}
	return committing, err
}

// OnOutbox registers what is called after a transaction that added to the outbox was committed. It must not block. To be
// called before the store is used.
func (s *Store) OnOutbox(wake func()) { s.wake = wake }

// OnRetry registers what is called before a transaction that lost to another one is run again. To be called before the store is used.
func (s *Store) OnRetry(retried func()) { s.retried = retried }

// Pools gives the pools of connections by their names, for those who watch how full they are: "postgres" and "postgres_replica_1" and so on, or
// "sqlite_read" and "sqlite_write". Statements go through the store.
func (s *Store) Pools() (map[string]*sql.DB, error) {
	handles := map[string]*gorm.DB{"postgres": s.write}
	if s.Embedded() {
		handles = map[string]*gorm.DB{"sqlite_read": s.read, "sqlite_write": s.write}
	}
	if s.replicas != nil {
		for i, r := range s.replicas.all {
			handles[fmt.Sprintf("postgres_replica_%d", i+1)] = r.db
		}
	}
	pools := map[string]*sql.DB{}
	for name, db := range handles {
		var err error
		if pools[name], err = db.DB(); err != nil {
			return nil, fmt.Errorf("the pool of connections: %w", err)
		}
	}
	return pools, nil
}

// gormConfig is shared by both engines. PrepareStmt stays off: pgx caches statements by itself, and inside transactions
// database/sql would prepare each one anew.
func gormConfig() *gorm.Config {
	return &gorm.Config{SkipDefaultTransaction: true, TranslateError: true, Logger: logger.Discard, DisableAutomaticPing: true}
}

// fail names the step that failed. A fault of the database that is expected to pass becomes KindUnavailable.
func fail(what string, err error) error {
	var refused *domain.Error
	switch {
	case errors.As(err, &refused):
		return err
	case unavailable(err):
		return domain.Unavailable(fmt.Errorf("%s: %w", what, err))
	}
	return fmt.Errorf("%s: %w", what, err)
}

// unavailable tells the faults that pass by themselves, or by an operator's hand, from our own defects.
func unavailable(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, sql.ErrTxDone) ||
		strings.Contains(err.Error(), "sql: database is closed") || // database/sql does not export it; the process is stopping
		postgresUnavailable(err) || sqliteUnavailable(err)
}

// lostRace tells a transaction that another one made impossible and that may succeed when run again.
func lostRace(err error) bool { return postgresLostRace(err) || sqliteBusy(err) }

// isDuplicate tells a value that is taken. GORM does not translate what a statement with RETURNING is refused.
func isDuplicate(err error) bool {
	const uniqueViolation = "23505"
	return errors.Is(sqliteDialector{}.Translate(err), gorm.ErrDuplicatedKey) || postgresCode(err) == uniqueViolation
}

func isNoRow(err error) bool { return errors.Is(err, gorm.ErrRecordNotFound) }

// forUpdate makes a row wait for other writers until this transaction ends. It is a courtesy, so that the loser of a
// race is judged by what the winner left; what protects is the condition of each UPDATE. SQLite has one writer and ignores it.
//
// It is the lock that an UPDATE takes, and not FOR UPDATE, which keeps rows that refer to the locked one from being written: whoever holds the
// end of the audit log refers to the user who acts, and would wait for another transaction of that user, which waits for the end of the audit log.
var forUpdate = clause.Locking{Strength: "NO KEY UPDATE"}

// forShare keeps a row as it is until this transaction ends.
var forShare = clause.Locking{Strength: clause.LockingStrengthShare}

// forNobodyElse makes a row one's own, and leaves out those that are somebody else's.
var forNobodyElse = clause.Locking{Strength: clause.LockingStrengthUpdate, Options: clause.LockingOptionsSkipLocked}

// rowLock ends a statement that reads rows and locks them. SQLite does not know it and, having one writer, does not need it.
//
// Such a statement joins nothing to the rows. Postgres gives a statement that had to wait for a row that row as it is now, but the rows that are joined
// to it as they were before: a product that was moved to another category meanwhile would fit none and seem not to exist.
func rowLock(db *gorm.DB, locking clause.Locking) string {
	if db.Name() == sqliteName {
		return ""
	}
	return strings.TrimRight(" FOR "+locking.Strength+" "+locking.Options, " ")
}

// byIDAlone names a column such that SQLite does not look for an index on it: it knows no statistics, and would read and sort all that has the
// column's value for each of many batches by id.
func byIDAlone(db *gorm.DB, column string) string {
	if db.Name() == sqliteName {
		return "+" + column
	}
	return column
}

// contains makes the LIKE pattern that finds the folded text anywhere, with % and _ as plain characters.
func contains(search string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(domain.Fold(search)) + "%"
}
