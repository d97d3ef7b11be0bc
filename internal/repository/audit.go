package repository

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
)

// Audit is the audit log. Rows are only ever added; the database refuses anything else.
type Audit struct {
	table
	pending []domain.AuditEntry
}

// auditBatch is how many entries one statement writes. SQLite takes 32,766 parameters.
const auditBatch = 1000

// auditRow names the table, which GORM would call otherwise.
type auditRow struct{ domain.AuditEntry }

// TableName is the table's name for GORM.
func (auditRow) TableName() string { return "audit_log" }

// Add has an entry written at the end of the transaction. It must be called inside [Store.InTx].
func (t *Audit) Add(e domain.AuditEntry) { t.pending = append(t.pending, e) }

// flush writes the entries. It is the last step before the commit, since from here on every other transaction waits for this one: the end of
// the chain has one holder.
func (t *Audit) flush(ctx context.Context) error {
	if len(t.pending) == 0 {
		return nil
	}
	var head struct {
		Seq  int64
		Hash string
	}
	err := t.write.WithContext(ctx).Raw("SELECT seq, hash FROM audit_head WHERE id = 1" + rowLock(t.write, forUpdate)).Scan(&head).Error
	if err != nil {
		return fail("hold audit log", err)
	}
	for entries := range slices.Chunk(t.pending, auditBatch) {
		for i := range entries {
			head.Seq++
			entries[i].Follow(head.Seq, head.Hash)
			head.Hash = entries[i].Hash
		}
		err := auditColumns.write(ctx, t.write, entries, "UPDATE audit_head SET seq = ?, hash = ? WHERE id = 1 RETURNING id", []any{head.Seq, head.Hash},
			auditColumns.insert("audit_log"), "").Error
		if err != nil {
			return fail("write audit log", err)
		}
	}
	return nil
}

var auditColumns = columns[domain.AuditEntry]{
	col("seq", "bigint", func(e domain.AuditEntry) int64 { return e.Seq }),
	col("id", "uuid", func(e domain.AuditEntry) uuid.UUID { return e.ID }),
	col("created_at", "timestamptz", func(e domain.AuditEntry) time.Time { return e.CreatedAt }),
	col("user_id", "uuid", func(e domain.AuditEntry) *uuid.UUID { return e.UserID }),
	col("action", "text", func(e domain.AuditEntry) string { return string(e.Action) }),
	col("target_kind", "text", func(e domain.AuditEntry) string { return e.TargetKind }),
	col("target", "text", func(e domain.AuditEntry) string { return e.Target }),
	col("address", "text", func(e domain.AuditEntry) string { return e.Address }),
	col("details", "text", func(e domain.AuditEntry) string { return e.Details }),
	col("hash", "text", func(e domain.AuditEntry) string { return e.Hash }),
}

var auditListing = listing[domain.AuditEntry]{
	table: "audit_log a", id: "a.id", joins: " LEFT JOIN users u ON u.id = a.user_id", selection: "a.*, u.username",
	sorts: map[string]sorting[domain.AuditEntry]{"createdAt": {"a.seq", func(e domain.AuditEntry) any { return e.Seq }}},
	idOf:  func(e domain.AuditEntry) uuid.UUID { return e.ID },
}

// List gives one page of the log and how much the filter leaves beside it.
func (t *Audit) List(ctx context.Context, f domain.AuditFilter) ([]domain.AuditEntry, domain.Extent, error) {
	where := newPiece("1 = 1")
	if f.User != (domain.AuditFilter{}).User {
		where = all(where, newPiece("a.user_id = ?", f.User))
	}
	if f.Action != "" {
		where = all(where, newPiece("a.action = ?", f.Action))
	}
	if f.Target != "" {
		where = all(where, newPiece("a.target = ?", f.Target))
	}
	if f.From != nil {
		where = all(where, newPiece("a.created_at >= ?", *f.From))
	}
	if f.To != nil {
		where = all(where, newPiece("a.created_at < ?", *f.To))
	}
	page, err := auditListing.read(t.reader(ctx), wanted{Page: f.Page, where: where})
	return page.unless("list audit log", err)
}

// verifyBatch is how many lines are read at once.
const verifyBatch = 1000

// Verify reads the whole log and says how many lines it has and what is wrong with the chain: an empty text for nothing.
func (t *Audit) Verify(ctx context.Context) (lines int64, fault string, err error) {
	var head struct {
		Seq  int64
		Hash string
	}
	done := t.read.WithContext(ctx).Raw("SELECT seq, hash FROM audit_head WHERE id = 1").Scan(&head)
	if done.Error != nil {
		return 0, "", fail("read audit log", done.Error)
	}
	if done.RowsAffected == 0 {
		return 0, "its end is not known", nil
	}
	hash := ""
	for lines < head.Seq { // what is added meanwhile is not looked at
		var rows []auditRow
		if err := t.read.WithContext(ctx).Where("seq > ? AND seq <= ?", lines, head.Seq).Order("seq").Limit(verifyBatch).Find(&rows).Error; err != nil {
			return lines, "", fail("read audit log", err)
		}
		if len(rows) == 0 {
			return lines, fmt.Sprintf("the lines after %d are missing; there should be %d", lines, head.Seq), nil
		}
		for _, r := range rows {
			if r.Seq != lines+1 {
				return lines, fmt.Sprintf("line %d is missing", lines+1), nil
			}
			if !r.Follows(hash) {
				return lines, fmt.Sprintf("line %d was changed", r.Seq), nil
			}
			lines, hash = r.Seq, r.Hash
		}
	}
	if hash != head.Hash {
		return lines, "the end of the log does not fit its last line", nil
	}
	var outside int64 // counted in one statement, since others write meanwhile
	done = t.read.WithContext(ctx).Raw("SELECT COUNT(*) FROM audit_log WHERE seq < 1 OR seq > (SELECT seq FROM audit_head WHERE id = 1)").Scan(&outside)
	if done.Error != nil {
		return lines, "", fail("read audit log", done.Error)
	}
	if outside > 0 {
		return lines, fmt.Sprintf("%d line(s) stand outside the chain", outside), nil
	}
	return lines, "", nil
}
