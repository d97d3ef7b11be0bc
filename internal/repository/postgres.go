package repository

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"inventoryhub/migrations"
)

// postgresConns is the size of the pool. Beyond 8 to 16 connections a server of two cores gains nothing.
const postgresConns = 16

// Bounds that keep one stuck statement from holding up everybody, unless the URL sets its own. Compiling a statement takes longer than any here runs: up
// to 20 ms for a search that takes 10. A search of a million products has 8 MB of ids to compare with.
var postgresSettings = map[string]string{
	"jit":                                 "off",
	"work_mem":                            "16MB",
	"statement_timeout":                   "5s",
	"lock_timeout":                        "2s",
	"idle_in_transaction_session_timeout": "10s",
}

func openPostgres(ctx context.Context, url string, beside Servers, prepare func(*Migrator, context.Context) error) (*Store, error) {
	config, err := postgresConfig(url)
	if err != nil {
		return nil, err
	}
	direct := config
	if beside.Direct == "" {
		boundStatements(config, beside.Patient)
	} else {
		if direct, err = postgresConfig(beside.Direct); err != nil {
			return nil, err
		}
		// A pooler that gives a connection to each transaction knows no statement that was prepared before it, and may refuse settings for a session.
		config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	if err := preparePostgres(ctx, *direct, prepare); err != nil {
		return nil, err
	}
	db, pool, err := postgresConn(*config, postgresConns)
	if err != nil {
		return nil, err
	}
	s := newStore(db, db)
	s.closers = []func() error{pool.Close}
	if len(beside.Replicas) > 0 {
		copies, err := openReplicas(db, beside.Replicas)
		if err != nil {
			return nil, errors.Join(err, pool.Close())
		}
		s = newReplicatedStore(db, db, copies)
		s.closers = []func() error{copies.close, pool.Close}
	}
	s.Products.joined, s.Orders.joined = productsByID.joined(), ordersByID.joined()
	s.readyLists()
	s.listen = func(ctx context.Context, channel string, began, heard func()) error {
		return listen(ctx, *direct, channel, began, heard)
	}
	return s, nil
}

// boundStatements sets the bounds that the URL leaves open.
func boundStatements(config *pgx.ConnConfig, patient bool) {
	for name, value := range postgresSettings {
		if patient && name == "statement_timeout" {
			continue
		}
		if _, set := config.RuntimeParams[name]; !set {
			config.RuntimeParams[name] = value
		}
	}
}

func postgresConfig(url string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the postgres:// database URL cannot be read") // pgx's text may quote the password
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	return config, nil
}

func postgresConn(config pgx.ConnConfig, conns int) (*gorm.DB, *sql.DB, error) {
	pool := sql.OpenDB(connector{stdlib.GetConnector(config, stdlib.OptionAfterConnect(readTimesAsUTC))})
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	pool.SetConnMaxLifetime(30 * time.Minute)
	db, err := gorm.Open(postgres.New(postgres.Config{Conn: pool}), gormConfig())
	if err != nil {
		return nil, nil, errors.Join(fail("open the database", err), pool.Close())
	}
	if err := traceStatements(db); err != nil {
		return nil, nil, errors.Join(err, pool.Close())
	}
	return db, pool, nil
}

// ConnectError is that there is no way into a Postgres.
type ConnectError struct {
	Cause string // without secrets
	err   error
}

// Error says why.
func (e *ConnectError) Error() string { return "connect to the database: " + e.Cause }

// Unwrap gives what the driver said.
func (e *ConnectError) Unwrap() error { return e.err }

// connector says of a connection that could not be made what a person can act on. pgx tries each address with TLS and then without, and its text begins with
// the attempt that counts least: a server without TLS that knows no such database "refused TLS connection" first of all.
type connector struct{ driver.Connector }

// Connect makes a connection.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	return conn, readable(err)
}

func readable(err error) error {
	var failed *pgconn.ConnectError
	if !errors.As(err, &failed) {
		return err
	}
	attempts := []error{errors.Unwrap(failed)}
	var joined interface{ Unwrap() []error }
	if errors.As(failed, &joined) {
		attempts = joined.Unwrap()
	}
	last := attempts[len(attempts)-1]
	for _, attempt := range slices.Backward(attempts) { // what the server itself has said counts most
		var refused *pgconn.PgError
		if errors.As(attempt, &refused) {
			return &ConnectError{refused.Message, err}
		}
	}
	var network *net.OpError
	if errors.As(last, &network) {
		last = network
	}
	return &ConnectError{last.Error(), err}
}

func preparePostgres(ctx context.Context, config pgx.ConnConfig, prepare func(*Migrator, context.Context) error) error {
	m, err := postgresMigrator(config)
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	return prepare(m, ctx)
}

// postgresMigrator uses connections of its own, because a migration may take longer than the timeouts of daily work allow.
func postgresMigrator(config pgx.ConnConfig) (*Migrator, error) {
	db, pool, err := postgresConn(config, 2)
	if err != nil {
		return nil, err
	}
	// The default looks for the lock every 5 s; an instance that waits for another's migration would start that much later.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 600))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the migration lock: %w", err), pool.Close())
	}
	return newMigrator(goose.DialectPostgres, db, migrations.Postgres, "postgres", []func() error{pool.Close}, goose.WithSessionLocker(locker))
}

// readTimesAsUTC makes pgx hand out times in UTC instead of the machine's zone.
func readTimesAsUTC(_ context.Context, conn *pgx.Conn) error {
	conn.TypeMap().RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
	return nil
}

func postgresCode(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// postgresLostRace tells serialization_failure, deadlock_detected and lock_not_available.
func postgresLostRace(err error) bool {
	switch postgresCode(err) {
	case "40001", "40P01", "55P03":
		return true
	}
	return false
}

// postgresUnavailable tells a server that is away, starting, stopping, full, overloaded or read-only, or that lets nobody in.
func postgresUnavailable(err error) bool {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return true // whatever code it bears
	}
	if code := postgresCode(err); code != "" {
		switch code {
		case "25006", "25P03", "57014", "57P01", "57P02", "57P03", "57P05":
			return true
		}
		class := code[:2]
		return postgresLostRace(err) || class == "08" || class == "53" || class == "58"
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), "conn closed")
}
