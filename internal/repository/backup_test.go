package repository_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/storetest"
)

// fresh gives the URL of an empty database of the engine.
var fresh = map[string]func(t testing.TB) string{"sqlite": storetest.SQLiteURL, "postgres": storetest.PostgresURL}

// eachPair runs a test from either engine to either engine.
func eachPair(t *testing.T, test func(t *testing.T, from *base, to string)) {
	t.Helper()
	t.Parallel()
	for source, makeSource := range fresh {
		for target, makeTarget := range fresh {
			t.Run(source+"_to_"+target, func(t *testing.T) {
				t.Parallel()
				test(t, newBase(t, makeSource(t)), makeTarget(t))
			})
		}
	}
}

func (b *base) snapshot() *repository.Snapshot {
	b.t.Helper()
	s, err := repository.OpenSnapshot(b.ctx, b.url)
	b.ok(err)
	b.t.Cleanup(func() { _ = s.Close() })
	return s
}

// dump gives the rows of all tables of a backup.
func (b *base) dump() map[string]string {
	b.t.Helper()
	s := b.snapshot()
	defer func() { b.ok(s.Close()) }()
	all := map[string]string{}
	for _, table := range s.Tables() {
		var rows bytes.Buffer
		n, err := s.Dump(b.ctx, table, &rows)
		b.ok(err)
		require.EqualValues(b.t, bytes.Count(rows.Bytes(), []byte("\n")), n)
		all[table] = rows.String()
	}
	return all
}

// restoration begins to fill the database.
func (b *base) restoration(url string, version int64) *repository.Restoration {
	b.t.Helper()
	r, err := repository.OpenRestoration(b.ctx, url, version)
	b.ok(err)
	b.t.Cleanup(func() { _ = r.Close() })
	return r
}

// load fills a database with what was dumped and gives it.
func (b *base) load(url string, version int64, all map[string]string) *base {
	b.t.Helper()
	r := b.restoration(url, version)
	require.ElementsMatch(b.t, slices.Collect(maps.Keys(all)), r.Tables(), "the schema is not the backup's")
	for _, table := range r.Tables() {
		n, err := r.Load(b.ctx, table, strings.NewReader(all[table]))
		b.ok(err)
		require.EqualValues(b.t, strings.Count(all[table], "\n"), n, table)
	}
	b.ok(r.Commit(b.ctx))
	b.ok(r.Close())
	m, err := repository.OpenMigrator(b.ctx, url, false)
	b.ok(err)
	at, err := m.Version(b.ctx)
	b.ok(err)
	require.Equal(b.t, m.Latest(), at, "the schema was not brought up to date")
	b.ok(m.Close())
	return newBase(b.t, url)
}

// allSorts makes rows in every table, some with what is hard to write down.
func (b *base) allSorts() {
	b.t.Helper()
	u, boss := b.user("jane", domain.RoleUser), b.user("boss", domain.RoleAdmin)
	odd := "O'Brien \"<&>\" \\n \u2028 \U0001f600 ünï %_ \\u0041"
	phones := b.category(odd)
	image := strings.Repeat("ab", 16) + ".png"
	p := domain.NewProduct(odd, odd, phones, &image, now)
	b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
		b.ok(tx.Products.Create(b.ctx, p))
		tx.Audit.Add(domain.NewAuditEntry(domain.Actor{ID: u.ID, Address: "::1"}, domain.AuditProductCreated, domain.AuditTarget{Kind: "product", Name: p.ID.String()},
			domain.AuditDetails{"name": odd}, now))
		_, err := tx.Stock.Apply(b.ctx, domain.NewMovement(p.ID, 1<<53+1, domain.MovementCreated, u.ID, now.Add(time.Millisecond)))
		return err
	}))
	found, err := b.Products.ByID(b.ctx, p.ID)
	b.ok(err)
	for _, state := range []domain.OrderState{domain.OrderDraft, domain.OrderPending, domain.OrderReady, domain.OrderCompleted, domain.OrderCancelled} {
		o := b.order(found, state, u)
		reserved := domain.NewMovement(p.ID, -1, domain.MovementReserved, u.ID, now)
		reserved.OrderID = &o.ID
		b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
			_, err := tx.Stock.Apply(b.ctx, reserved)
			return err
		}))
	}
	b.session(u, "hash")
	_, e := b.token(domain.TokenInvitation, u, now), b.event(now)
	_, _, err = b.Deliveries.Claim(b.ctx, e, now, time.Minute)
	b.ok(err)
	for i := range 250 { // more than one INSERT writes
		b.ok(b.Logins.Failed(b.ctx, fmt.Sprintf("account %d", i), "192.0.2.1", now))
	}
	at := now.Format("2006-01-02 15:04:05.000+00:00")
	b.ok(b.insert("second_factors", row{"user_id": u.ID.String(), "secret": "sealed", "created_at": at, "confirmed_at": at, "last_step": 7}))
	b.ok(b.exec("UPDATE deliveries SET updated_at = '2021-01-01 12:00:00.123456789+00:00'")) // SQLite keeps more than Postgres
	b.ok(b.insert("recovery_codes", row{"hash": "h1", "user_id": u.ID.String(), "created_at": at}))
	b.ok(b.insert("api_keys", row{"id": domain.NewID().String(), "user_id": boss.ID.String(), "name": odd, "hash": "h2", "scope": "read", "created_at": at, "expires_at": at}))
}

// TestSnapshot_everyTable looks into the catalogue: a table is in a backup or left out on purpose, and none stands before one that it refers to.
func TestSnapshot_everyTable(t *testing.T) {
	var all [][]string
	for _, make := range fresh {
		b := newBase(t, make(t))
		query := [2]string{
			`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('goose_db_version', 'sqlite_sequence') AND name NOT LIKE '%\_texts\_%' ESCAPE '\'`,
			`SELECT m.name || ' ' || f."table" FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f`,
		}
		if !b.Embedded() {
			query = [2]string{
				"SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'goose_db_version'",
				"SELECT conrelid::regclass || ' ' || confrelid::regclass FROM pg_constraint WHERE contype = 'f'",
			}
		}
		tables := b.snapshot().Tables()
		require.ElementsMatch(t, b.strings(query[0]), append(repository.LeftOut(), tables...))
		references := b.strings(query[1])
		require.Greater(t, len(references), 10)
		for _, r := range references {
			from, to, _ := strings.Cut(r, " ")
			if slices.Contains(tables, from) {
				require.Less(t, slices.Index(tables, to), slices.Index(tables, from), r)
				require.Contains(t, tables, to, "a table refers to one that is left out")
			}
		}
		all = append(all, tables)
	}
	require.Equal(t, all[0], all[1])
}

// TestRestoration carries every table between the engines, there and in a second dump unchanged.
func TestRestoration(t *testing.T) {
	eachPair(t, func(t *testing.T, from *base, url string) {
		from.allSorts()
		before := from.dump()
		for table, rows := range before {
			require.NotEmpty(t, rows, "the test fills no %s", table)
		}
		to := from.load(url, from.snapshot().SchemaVersion, before)
		require.Equal(t, before, to.dump())
		for _, table := range repository.LeftOut() {
			if !strings.HasSuffix(table, "_counts") && !strings.HasSuffix(table, "_texts") { // which the restored rows have made
				require.Zero(t, to.count(table), table)
			}
		}
		to.countsHold("the restoration")
		require.Equal(t, []int{1, 5}, []int{scan[int](to, "SELECT SUM(n) FROM product_counts"), scan[int](to, "SELECT SUM(n) FROM order_counts")})
		_, fault, err := to.Audit.Verify(to.ctx)
		to.ok(err)
		require.Empty(t, fault)
		products, drifts, err := to.Stock.Drifts(to.ctx)
		to.ok(err)
		require.EqualValues(t, 1, products)
		require.Empty(t, drifts)

		require.ErrorContains(t, to.exec("UPDATE movements SET delta = 0"), "append-only")
		to.ok(to.InTx(to.ctx, func(tx *repository.Store) error { // the log goes on where it ended
			tx.Audit.Add(domain.NewAuditEntry(domain.Stranger("x"), domain.AuditRestored, domain.AuditTarget{Kind: "backup", Name: "x"}, nil, now))
			return nil
		}))
		lines, fault, err := to.Audit.Verify(to.ctx)
		to.ok(err)
		require.Equal(t, []any{int64(2), ""}, []any{lines, fault})
		pages, _, err := to.Users.List(to.ctx, domain.UserFilter{Page: first("createdAt")}, []domain.Role{domain.RoleUser}) // times are as the store writes them
		to.ok(err)
		require.Equal(t, now, pages[0].CreatedAt.UTC())
	})
}

// TestRestoration_olderSchema restores what a program of an older schema wrote: it is brought up to date.
func TestRestoration_olderSchema(t *testing.T) {
	eachPair(t, func(t *testing.T, from *base, url string) {
		from.user("jane", domain.RoleUser)
		m, err := repository.OpenMigrator(from.ctx, from.url, false)
		from.ok(err)
		from.ok(m.To(from.ctx, 2))
		from.ok(m.Close())
		s := from.snapshot()
		require.EqualValues(t, 2, s.SchemaVersion)
		require.NotContains(t, s.Tables(), "api_keys")
		before := from.dump()

		to := from.load(url, 2, before)
		require.Equal(t, before["users"], to.dump()["users"])
		require.Zero(t, to.count("api_keys"))
	})
}

// TestRestoration_refuses leaves a database as it is that is not empty, or whose schema it would not know.
func TestRestoration_refuses(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		m, err := repository.OpenMigrator(b.ctx, b.url, false)
		b.ok(err)
		latest := m.Latest()
		b.ok(m.Close())
		_, err = repository.OpenRestoration(b.ctx, b.url, latest+1)
		b.refuses(err, domain.KindInvalid, "backup")
		b.category("Phones")
		before := b.dump()
		_, err = repository.OpenRestoration(b.ctx, b.url, 1)
		b.refuses(err, domain.KindConflict, "database")
		require.Equal(t, before, b.dump())
		require.EqualValues(t, latest, b.snapshot().SchemaVersion)
	})
}

// TestRestoration_wrongRows loads what no Dump wrote.
func TestRestoration_wrongRows(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		r := b.restoration(b.url, b.snapshot().SchemaVersion)
		good := `{"id":"00000000-0000-4000-8000-000000000001","name":"Phones","name_key":"phones","created_at":"2021-01-01T12:00:00.123Z","deleted_at":null}` + "\n"
		for _, c := range [][2]string{
			{good + good[:50], "unexpected EOF"},
			{good + "[]", "line 2 of categories"},
			{strings.Replace(good, `"name":"Phones",`, "", 1), "the column name is missing"},
			{strings.Replace(good, `{`, `{"more":1,`, 1), "a column that the table has not"},
			{strings.Replace(good, `"Phones"`, "1", 1), "the column name holds what is no text"},
			{strings.Replace(good, `2021-01-01T`, "", 1), "the column created_at holds what is no time"},
			{strings.Replace(good, `"Phones"`, "true", 1), "the column name holds what is no text"},
			{strings.Replace(good, `"Phones"`, `{"a":1}`, 1), "the column name holds what is no text"},
		} {
			_, err := r.Load(b.ctx, "categories", strings.NewReader(c[0]))
			require.ErrorContains(t, err, c[1])
		}
		_, err := r.Load(b.ctx, "sessions", strings.NewReader(""))
		require.ErrorContains(t, err, "no table")
		_, err = r.Load(b.ctx, "categories", strings.NewReader(good))
		b.ok(err)
		n, err := r.Count(b.ctx, "categories")
		b.ok(err)
		require.EqualValues(t, 1, n)
		_, err = r.Load(b.ctx, "categories", strings.NewReader(good))
		require.ErrorContains(t, err, "write categories")
		b.ok(r.Close())
		require.Zero(t, b.count("categories"))
		require.Equal(t, 1, b.count("audit_head"))
	})
}

// TestSnapshot_oneMoment writes while a snapshot is open: neither holds the other up, and it does not see it.
func TestSnapshot_oneMoment(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		b.category("Phones")
		s := b.snapshot()
		b.category("Tables")
		b.user("jane", domain.RoleUser)
		var rows bytes.Buffer
		n, err := s.Dump(b.ctx, "categories", &rows)
		b.ok(err)
		require.EqualValues(t, 1, n)
		n, err = s.Dump(b.ctx, "users", &rows)
		b.ok(err)
		require.Zero(t, n)
		require.Error(t, s.Categories.Create(b.ctx, domain.NewCategory("Chairs", now)), "a snapshot cannot be written to")
	})
}

// TestSnapshot_noDatabase makes nothing where there is nothing.
func TestSnapshot_noDatabase(t *testing.T) {
	t.Parallel()
	missing := t.TempDir() + "/missing.db"
	_, err := repository.OpenSnapshot(t.Context(), "sqlite://"+missing)
	require.ErrorContains(t, err, "there is no database at "+missing)
	require.NoFileExists(t, missing)
	_, err = repository.OpenSnapshot(t.Context(), storetest.EmptyPostgresURL(t))
	require.EqualError(t, err, "the database is empty: start the server, or restore a backup")
}

// TestRestoration_keepsOthersOut has somebody write into the database that is being filled.
func TestRestoration_keepsOthersOut(t *testing.T) {
	onPostgres(t, func(t *testing.T, b *base) {
		b.restoration(b.url, b.snapshot().SchemaVersion)
		err := b.exec("SET lock_timeout = '50ms'; INSERT INTO categories (id, name, name_key, created_at) VALUES (gen_random_uuid(), 'x', 'x', now())")
		require.ErrorContains(t, err, "lock timeout")
	})
}

// TestRestoration_dropPending has no mail go out that may have gone out before.
func TestRestoration_dropPending(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		event := func() domain.Event { // the mail of a token
			token := b.token(domain.TokenInvitation, u, now)
			e := newEvent(now)
			e.ID, e.Subject = token.EventID, u.ID
			b.ok(b.InTx(b.ctx, func(tx *repository.Store) error { return tx.Outbox.Add(b.ctx, e) }))
			return e
		}
		untouched, retrying, sent, dead, mailed := event(), event(), event(), event(), event()
		for _, e := range []domain.Event{retrying, mailed} {
			d, _, err := b.Deliveries.Claim(b.ctx, e, now, time.Minute)
			b.ok(err)
			d.State, d.Attempts, d.LastError = domain.DeliveryRetrying, 3, "busy"
			if e.ID == mailed.ID {
				d.State = domain.DeliverySent // and the process ended before the outbox was told
			}
			b.ok(b.Deliveries.Save(b.ctx, d, d.UpdatedAt))
		}
		b.ok(b.Outbox.Sent(b.ctx, sent.ID, now))
		b.ok(b.Outbox.Dead(b.ctx, dead.ID, "refused"))

		url := fresh["sqlite"](t)
		if !b.Embedded() {
			url = fresh["postgres"](t)
		}
		r := b.restoration(url, b.snapshot().SchemaVersion)
		all := b.dump()
		for _, table := range r.Tables() {
			_, err := r.Load(b.ctx, table, strings.NewReader(all[table]))
			b.ok(err)
		}
		dropped, err := r.DropPending(b.ctx, "restored", now)
		b.ok(err)
		require.Equal(t, 2, dropped)
		b.ok(r.Commit(b.ctx))
		b.ok(r.Close())

		to := newBase(t, url)
		require.Equal(t, 2, to.count("outbox"))
		due, err := to.Outbox.Claim(to.ctx, 10, now.Add(time.Hour), time.Minute)
		to.ok(err)
		require.Empty(t, due)
		for _, c := range []struct {
			event domain.Event
			live  bool
			state domain.DeliveryState
		}{
			{untouched, false, domain.DeliveryDropped}, {retrying, false, domain.DeliveryDropped}, {mailed, true, domain.DeliverySent}, {sent, true, ""}, {dead, true, ""},
		} {
			live, err := to.Tokens.LiveForEvent(to.ctx, c.event.ID, now)
			to.ok(err)
			require.Equal(t, c.live, live)
			d, err := to.Deliveries.ByEvent(to.ctx, c.event.ID)
			if c.state == "" {
				to.refuses(err, domain.KindNotFound, "id")
				continue
			}
			to.ok(err)
			require.Equal(t, c.state, d.State)
			_, claimed, err := to.Deliveries.Claim(to.ctx, c.event, now.Add(time.Hour), time.Minute)
			to.ok(err)
			require.False(t, claimed, "a broker that still has it cannot get it mailed")
		}
	})
}
