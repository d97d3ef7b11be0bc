package repository

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"

	"inventoryhub/internal/domain"
)

// leftOut are the tables whose rows no backup holds. A session must not come back to life when an old backup is restored, the answers that
// are kept for repeated requests would speak of what is not there, and counts and what is searched are made anew by the rows that are restored.
var leftOut = []string{"attempts", "order_counts", "order_texts", "product_counts", "product_texts", "refresh_tokens", "sessions", "text_changes"}

// filledBySchema is the only table that has a row in an empty database: the end of the audit log.
const filledBySchema = "audit_head"

// loadBatch is how many rows one INSERT writes. SQLite takes 32,766 values in one, which is far more than these have.
const loadBatch = 100

// Snapshot is a whole database as it was at one moment, while others go on writing. Its Store reads that moment alone, and cannot write.
type Snapshot struct {
	*Store
	Engine        string // sqlite or postgres
	SchemaVersion int64
	tables        []catalogueTable
}

// OpenSnapshot begins a transaction that sees one moment of a database, whose schema it leaves as it is. On Postgres that is REPEATABLE READ; on
// SQLite every transaction that reads is of that kind.
func OpenSnapshot(ctx context.Context, url string) (*Snapshot, error) {
	if err := RequireFile(url); err != nil {
		return nil, err
	}
	s := &Snapshot{Engine: "postgres"}
	var db *gorm.DB
	var pool *sql.DB
	if path, embedded := strings.CutPrefix(url, "sqlite://"); embedded {
		s.Engine = sqliteName
		var err error
		if db, err = sqliteConn(path, "deferred", 1); err != nil {
			return nil, err
		}
		if pool, err = db.DB(); err != nil {
			return nil, err
		}
	} else {
		config, err := postgresConfig(url)
		if err != nil {
			return nil, err
		}
		if db, pool, err = postgresConn(*config, 1); err != nil {
			return nil, err
		}
	}
	tx := db.WithContext(ctx).Begin(&sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if tx.Error != nil {
		return nil, errors.Join(fail("open the database", tx.Error), pool.Close())
	}
	s.Store = newStore(tx, tx)
	s.closers = []func() error{func() error { return tx.Rollback().Error }, pool.Close}
	if err := s.look(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// look reads what the database is. On SQLite the moment is that of the first statement, which is this one.
func (s *Snapshot) look(ctx context.Context) error {
	var err error
	if s.SchemaVersion, err = schemaVersion(ctx, s.read); err != nil {
		return err
	}
	all, err := catalogue(ctx, s.read)
	if err != nil {
		return err
	}
	s.tables = backedUp(all)
	return nil
}

func backedUp(all []catalogueTable) []catalogueTable {
	return slices.DeleteFunc(slices.Clone(all), func(t catalogueTable) bool { return slices.Contains(leftOut, t.name) })
}

// Tables lists those that belong into a backup, each after those that it refers to.
func (s *Snapshot) Tables() []string { return tableNames(s.tables) }

func tableNames(tables []catalogueTable) []string {
	all := make([]string, len(tables))
	for i, t := range tables {
		all[i] = t.name
	}
	return all
}

func tableByName(tables []catalogueTable, name string) (catalogueTable, error) {
	i := slices.IndexFunc(tables, func(t catalogueTable) bool { return t.name == name })
	if i < 0 {
		return catalogueTable{}, fmt.Errorf("there is no table %q", name)
	}
	return tables[i], nil
}

// Images lists the pictures that products show.
func (s *Snapshot) Images(ctx context.Context) ([]string, error) {
	var names []string
	err := s.read.WithContext(ctx).Model(&domain.Product{}).Where("image IS NOT NULL").Distinct().Order("image").Pluck("image", &names).Error
	if err != nil {
		return nil, fail("list pictures", err)
	}
	return names, nil
}

// Dump writes the rows of a table, one JSON object a line, in the order of the primary key, and says how many there were. The engines write
// the same: texts, whole numbers, true and false, and times as RFC 3339 in UTC, cut to the microseconds that Postgres keeps.
func (s *Snapshot) Dump(ctx context.Context, table string, w io.Writer) (lines int64, err error) {
	t, err := tableByName(s.tables, table)
	if err != nil {
		return 0, err
	}
	rows, err := s.read.WithContext(ctx).Raw("SELECT " + t.quotedColumns() + " FROM " + quoted(t.name) + " ORDER BY " + quoted(t.key...)).Rows()
	if err != nil {
		return 0, fail("read "+table, err)
	}
	defer func() { _ = rows.Close() }()
	values, places := make([]any, len(t.columns)), make([]any, len(t.columns))
	for i := range values {
		places[i] = &values[i]
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return lines, fail("read "+table, err)
		}
		line := make(map[string]any, len(t.columns))
		for i, c := range t.columns {
			if line[c.name], err = c.neutral(values[i]); err != nil {
				return lines, fmt.Errorf("read %s: %w", table, err)
			}
		}
		if err := encoder.Encode(line); err != nil {
			return lines, err
		}
		lines++
	}
	if err := rows.Err(); err != nil {
		return lines, fail("read "+table, err)
	}
	return lines, nil
}

// neutral gives a value as it stands in a backup.
func (c catalogueColumn) neutral(value any) (any, error) {
	if bytes, ok := value.([]byte); ok {
		value = string(bytes)
	}
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		if c.kind == kindText && utf8.ValidString(v) {
			return v, nil
		}
	case int64:
		switch c.kind {
		case kindInteger:
			return v, nil
		case kindBoolean: // SQLite has no type of its own for it
			return v != 0, nil
		}
	case bool:
		if c.kind == kindBoolean {
			return v, nil
		}
	case time.Time:
		if c.kind == kindTime {
			return v.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano), nil
		}
	}
	return nil, fmt.Errorf("the column %s holds what is no %s", c.name, c.kind)
}

// native gives a value of a backup as the database takes it.
func (c catalogueColumn) native(value any) (any, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		switch c.kind {
		case kindText:
			return v, nil
		case kindTime:
			if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
				return t.UTC(), nil
			}
		}
	case json.Number:
		if n, err := v.Int64(); err == nil && c.kind == kindInteger {
			return n, nil
		}
	case bool:
		if c.kind == kindBoolean {
			return v, nil
		}
	}
	return nil, fmt.Errorf("the column %s holds what is no %s", c.name, c.kind)
}

func (t catalogueTable) quotedColumns() string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return quoted(names...)
}

// quoted writes names that come from the catalogue.
func quoted(names ...string) string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = `"` + strings.ReplaceAll(n, `"`, `""`) + `"`
	}
	return strings.Join(all, ", ")
}

// Restoration fills an empty database, in one transaction: all of it is there after [Restoration.Commit], or nothing. Its Store sees what was loaded.
type Restoration struct {
	*Store
	migrator *Migrator
	tx       *gorm.DB
	tables   []catalogueTable
}

// OpenRestoration brings the schema of an empty database, which is made if it is an SQLite file that is missing, to a version and holds it. It returns
// KindConflict on `database` if that is not empty, and KindInvalid on `backup` if this program does not know the version.
func OpenRestoration(ctx context.Context, url string, schemaVersion int64) (*Restoration, error) {
	m, err := OpenMigrator(ctx, url, true)
	if err != nil {
		return nil, err
	}
	r := &Restoration{migrator: m}
	if err := r.begin(ctx, schemaVersion); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Restoration) begin(ctx context.Context, schemaVersion int64) error {
	m := r.migrator
	if schemaVersion > m.Latest() {
		return domain.Invalid("backup", "The backup was made by a newer program: its schema has the version %d, and this program knows them up to %d",
			schemaVersion, m.Latest())
	}
	all, err := catalogue(ctx, m.db)
	if err != nil {
		return err
	}
	if err := requireEmpty(ctx, m.db, all); err != nil { // before the schema is touched
		return err
	}
	if err := m.To(ctx, schemaVersion); err != nil {
		return err
	}
	tx := m.db.WithContext(ctx).Begin()
	if tx.Error != nil {
		return fail("open the database", tx.Error)
	}
	r.tx, r.Store = tx, newStore(tx, tx)
	if all, err = catalogue(ctx, tx); err != nil {
		return err
	}
	if tx.Name() != sqliteName { // where this transaction is the only one that writes
		if err := tx.Exec("LOCK TABLE " + quoted(tableNames(all)...) + " IN SHARE ROW EXCLUSIVE MODE").Error; err != nil {
			return fail("lock the database", err)
		}
	}
	if err := requireEmpty(ctx, tx, all); err != nil { // a server may have started
		return err
	}
	r.tables = backedUp(all)
	if err := tx.Exec("DELETE FROM " + filledBySchema).Error; err != nil {
		return fail("empty the database", err)
	}
	return nil
}

// RequireEmpty returns KindConflict on `database` if there is a row in any table.
func (s *Store) RequireEmpty(ctx context.Context) error {
	all, err := catalogue(ctx, s.write)
	if err != nil {
		return err
	}
	return requireEmpty(ctx, s.write, all)
}

func requireEmpty(ctx context.Context, db *gorm.DB, all []catalogueTable) error {
	for _, t := range all {
		rows := "SELECT 1 FROM " + quoted(t.name)
		if t.name == filledBySchema {
			rows += " WHERE seq > 0"
		}
		var found bool
		if err := db.WithContext(ctx).Raw("SELECT EXISTS (" + rows + ")").Scan(&found).Error; err != nil {
			return fail("look into the database", err)
		}
		if found {
			wayOut := "Name a new one in DATABASE_URL"
			if db.Name() == sqliteName {
				wayOut += ", or stop the server and move the file away, with those of its name that end in -wal and -shm"
			}
			return domain.Conflict("database", "The database is not empty, and only an empty one can be filled: a server has started on it before, or it was filled. %s", wayOut)
		}
	}
	return nil
}

// Tables lists those that must be loaded, each after those that it refers to.
func (r *Restoration) Tables() []string { return tableNames(r.tables) }

// Load reads the rows of a table as [Snapshot.Dump] wrote them, and says how many there were.
func (r *Restoration) Load(ctx context.Context, table string, from io.Reader) (lines int64, err error) {
	t, err := tableByName(r.tables, table)
	if err != nil {
		return 0, err
	}
	decoder := json.NewDecoder(from)
	decoder.UseNumber()
	var batch []any
	for {
		var line map[string]any
		err := decoder.Decode(&line)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return lines, fmt.Errorf("line %d of %s: %w", lines+1, table, err)
		}
		if batch, err = t.add(batch, line); err != nil {
			return lines, fmt.Errorf("line %d of %s: %w", lines+1, table, err)
		}
		lines++
		if len(batch) == loadBatch*len(t.columns) {
			if err := r.insert(ctx, t, batch); err != nil {
				return lines, err
			}
			batch = batch[:0]
		}
	}
	return lines, r.insert(ctx, t, batch)
}

func (t catalogueTable) add(batch []any, line map[string]any) ([]any, error) {
	for _, c := range t.columns {
		value, there := line[c.name]
		if !there {
			return nil, fmt.Errorf("the column %s is missing", c.name)
		}
		value, err := c.native(value)
		if err != nil {
			return nil, err
		}
		batch = append(batch, value)
	}
	if len(line) != len(t.columns) {
		return nil, errors.New("it has a column that the table has not")
	}
	return batch, nil
}

func (r *Restoration) insert(ctx context.Context, t catalogueTable, batch []any) error {
	if len(batch) == 0 {
		return nil
	}
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(t.columns)), ", ") + ")"
	places := strings.TrimSuffix(strings.Repeat(row+", ", len(batch)/len(t.columns)), ", ")
	if err := r.tx.WithContext(ctx).Exec("INSERT INTO "+quoted(t.name)+" ("+t.quotedColumns()+") VALUES "+places, batch...).Error; err != nil {
		return fail("write "+t.name, err)
	}
	return nil
}

// Count counts the rows of a table.
func (r *Restoration) Count(ctx context.Context, table string) (rows int64, err error) {
	t, err := tableByName(r.tables, table)
	if err != nil {
		return 0, err
	}
	if err := r.tx.WithContext(ctx).Raw("SELECT COUNT(*) FROM " + quoted(t.name)).Scan(&rows).Error; err != nil {
		return 0, fail("count "+table, err)
	}
	return rows, nil
}

// DropPending keeps the mails that waited when the backup was made from being sent, since they may have been sent after it, and says how many there
// were. The tokens in them open nothing any more; their deliveries are dropped, so that not even a broker that still has them gets them mailed.
func (r *Restoration) DropPending(ctx context.Context, reason string, now time.Time) (dropped int, err error) {
	tx := r.tx.WithContext(ctx)
	var rows []outboxRow // without those that were mailed already, of which only the outbox had not been told
	err = tx.Select("id", "subject", "type").
		Where("state = ? AND id NOT IN (SELECT event_id FROM deliveries WHERE state = ?)", outboxPending, domain.DeliverySent).Find(&rows).Error
	if err != nil {
		return 0, fail("list outbox", err)
	}
	for _, row := range rows {
		err := tx.Model(&domain.OneTimeToken{}).Where("event_id = ? AND used_at IS NULL AND revoked_at IS NULL", row.ID).UpdateColumn("revoked_at", now).Error
		if err != nil {
			return 0, fail("revoke token", err)
		}
		err = tx.Exec(`INSERT INTO deliveries (event_id, user_id, type, state, attempts, last_error, polls, created_at, updated_at) VALUES (?, ?, ?, ?, 0, ?, 0, ?, ?)
			ON CONFLICT (event_id) DO UPDATE SET state = excluded.state, last_error = excluded.last_error, lease_until = NULL, updated_at = excluded.updated_at`,
			row.ID, row.Subject, row.Type, domain.DeliveryDropped, reason, now, now).Error
		if err != nil {
			return 0, fail("drop delivery", err)
		}
	}
	if err := tx.Where("state = ?", outboxPending).Delete(&outboxRow{}).Error; err != nil {
		return 0, fail("drop events", err)
	}
	return len(rows), nil
}

// ForgetImages has no product show these pictures, which are not there.
func (r *Restoration) ForgetImages(ctx context.Context, names []string) error {
	for chunk := range slices.Chunk(names, loadBatch) {
		if err := r.tx.WithContext(ctx).Model(&domain.Product{}).Where("image IN ?", chunk).UpdateColumn("image", nil).Error; err != nil {
			return fail("forget pictures", err)
		}
	}
	return nil
}

// Commit keeps what was loaded, and brings the schema up to date.
func (r *Restoration) Commit(ctx context.Context) error {
	if err := r.Audit.flush(ctx); err != nil {
		return err
	}
	tx := r.tx
	r.tx = nil
	if err := tx.Commit().Error; err != nil {
		return fail("commit", err)
	}
	if _, err := r.migrator.Up(ctx); err != nil {
		return fmt.Errorf("everything was restored, but the schema could not be brought up to date: %w", err)
	}
	return nil
}

// Close gives up what was not committed, and gives the connections back.
func (r *Restoration) Close() error {
	var err error
	if r.tx != nil {
		if err = r.tx.Rollback().Error; errors.Is(err, sql.ErrTxDone) { // the context ended, and the transaction with it
			err = nil
		}
		r.tx = nil
	}
	return errors.Join(err, r.migrator.Close())
}
