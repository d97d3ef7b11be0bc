package repository

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/tracing"
)

// Outbox is the table of events that must still be announced. A row is written by the transaction that made the
// event happen, so that neither can be without the other.
type Outbox struct {
	table
	added bool
}

// Outbox row states.
const (
	outboxPending = "Pending"
	outboxSent    = "Sent"
	outboxDead    = "Dead"
)

// QueuedEvent is an event on its way.
type QueuedEvent struct {
	domain.Event
	Retries   int // how many of its retries are spent
	DueAt     time.Time
	LastError string
}

type outboxRow struct {
	ID         uuid.UUID
	Type       domain.EventType
	Subject    uuid.UUID
	Data       string
	OccurredAt time.Time
	State      string
	Retries    int
	DueAt      time.Time
	LastError  string
	SentAt     *time.Time
	// TraceParent joins what is done about the event later to the trace that wrote it down.
	TraceParent string
}

// TableName is the table's name for GORM.
func (outboxRow) TableName() string { return "outbox" }

func (r outboxRow) event() QueuedEvent {
	return QueuedEvent{
		Event:   domain.Event{ID: r.ID, Type: r.Type, Subject: r.Subject, At: r.OccurredAt, Data: json.RawMessage(r.Data), TraceParent: r.TraceParent},
		Retries: r.Retries, DueAt: r.DueAt, LastError: r.LastError,
	}
}

// Add writes an event down, to be announced after the transaction. Its trace is the one of ctx.
func (t *Outbox) Add(ctx context.Context, e domain.Event) error {
	row := outboxRow{
		ID: e.ID, Type: e.Type, Subject: e.Subject, Data: string(e.Data), OccurredAt: e.At, State: outboxPending, DueAt: e.At, TraceParent: tracing.Parent(ctx),
	}
	if err := t.write.WithContext(ctx).Create(&row).Error; err != nil {
		return fail("write outbox", err)
	}
	t.added = true
	return nil
}

// Claim takes up to n due events for this caller: nobody else is given them until the lease ends. Rows are chosen by their
// state, never by an id above the last one seen, which would miss those of slower transactions.
func (t *Outbox) Claim(ctx context.Context, n int, now time.Time, lease time.Duration) ([]QueuedEvent, error) {
	var rows []outboxRow
	// MATERIALIZED, because Postgres may run a subquery of the UPDATE once for each row, each time with a limit of its own.
	err := t.write.WithContext(ctx).Raw(`WITH due AS MATERIALIZED (
			SELECT id FROM outbox WHERE state = ? AND due_at <= ? ORDER BY due_at, id LIMIT ?`+rowLock(t.write, forNobodyElse)+`)
		UPDATE outbox SET due_at = ? WHERE id IN (SELECT id FROM due) RETURNING *`, outboxPending, now, n, now.Add(lease)).Scan(&rows).Error
	if err != nil {
		return nil, fail("claim outbox", err)
	}
	events := make([]QueuedEvent, len(rows))
	for i, r := range rows {
		events[i] = r.event()
	}
	return events, nil
}

// ReleaseAll ends all leases. It is for the start of a process that is the only one at work on the database.
func (t *Outbox) ReleaseAll(ctx context.Context, now time.Time) error {
	err := t.write.WithContext(ctx).Model(&outboxRow{}).Where("state = ? AND due_at > ? AND retries = 0", outboxPending, now).UpdateColumn("due_at", now).Error
	if err != nil {
		return fail("release outbox", err)
	}
	return nil
}

// Sent marks an event as announced and forgets what it said, which may hold a token.
func (t *Outbox) Sent(ctx context.Context, id uuid.UUID, now time.Time) error {
	return t.update(ctx, id, outboxPending, map[string]any{"state": outboxSent, "data": "", "sent_at": now, "last_error": ""})
}

// Retry puts an event off.
func (t *Outbox) Retry(ctx context.Context, id uuid.UUID, retries int, due time.Time, reason string) error {
	return t.update(ctx, id, outboxPending, map[string]any{"retries": retries, "due_at": due, "last_error": reason})
}

// Dead puts an event aside for an operator.
func (t *Outbox) Dead(ctx context.Context, id uuid.UUID, reason string) error {
	return t.update(ctx, id, outboxPending, map[string]any{"state": outboxDead, "last_error": reason})
}

// ListDead gives the events that were put aside, oldest first, at most 1,000.
func (t *Outbox) ListDead(ctx context.Context) ([]QueuedEvent, error) {
	var rows []outboxRow
	if err := t.read.WithContext(ctx).Where("state = ?", outboxDead).Order("occurred_at, id").Limit(1000).Find(&rows).Error; err != nil {
		return nil, fail("list dead events", err)
	}
	events := make([]QueuedEvent, len(rows))
	for i, r := range rows {
		events[i] = r.event()
	}
	return events, nil
}

// Backlog is what the outbox still holds.
type Backlog struct {
	Pending int64
	Dead    int64
	Oldest  *time.Time // when the oldest pending event happened; nil if none is pending
}

// Backlog counts what the outbox still holds.
func (t *Outbox) Backlog(ctx context.Context) (Backlog, error) {
	var b Backlog
	for state, n := range map[string]*int64{outboxPending: &b.Pending, outboxDead: &b.Dead} {
		if err := t.read.WithContext(ctx).Model(&outboxRow{}).Where("state = ?", state).Count(n).Error; err != nil {
			return Backlog{}, fail("count outbox", err)
		}
	}
	var oldest []time.Time
	err := t.read.WithContext(ctx).Model(&outboxRow{}).Where("state = ?", outboxPending).Order("occurred_at").Limit(1).Pluck("occurred_at", &oldest).Error
	if err != nil {
		return Backlog{}, fail("find the oldest event", err)
	}
	if len(oldest) > 0 {
		b.Oldest = &oldest[0]
	}
	return b, nil
}

// Requeue gives a dead event, or all of them for uuid.Nil, all its tries again and says how many there were.
func (t *Outbox) Requeue(ctx context.Context, id uuid.UUID, now time.Time) (int64, error) {
	q := t.write.WithContext(ctx).Model(&outboxRow{}).Where("state = ?", outboxDead)
	if id != uuid.Nil {
		q = q.Where("id = ?", id)
	}
	done := q.UpdateColumns(map[string]any{"state": outboxPending, "retries": 0, "due_at": now})
	if done.Error != nil {
		return 0, fail("requeue events", done.Error)
	}
	t.added = done.RowsAffected > 0
	return done.RowsAffected, nil
}

// Drop forgets a dead event and says how many there were of it.
func (t *Outbox) Drop(ctx context.Context, id uuid.UUID) (int64, error) {
	done := t.write.WithContext(ctx).Where("id = ? AND state = ?", id, outboxDead).Delete(&outboxRow{})
	if done.Error != nil {
		return 0, fail("drop event", done.Error)
	}
	return done.RowsAffected, nil
}

// Clear forgets all events that still wait to be announced.
func (t *Outbox) Clear(ctx context.Context) error {
	if err := t.write.WithContext(ctx).Where("state = ?", outboxPending).Delete(&outboxRow{}).Error; err != nil {
		return fail("clear outbox", err)
	}
	return nil
}

// Purge removes the rows of events that were announced before the time.
func (t *Outbox) Purge(ctx context.Context, before time.Time) error {
	if err := t.write.WithContext(ctx).Where("state = ? AND sent_at < ?", outboxSent, before).Delete(&outboxRow{}).Error; err != nil {
		return fail("purge outbox", err)
	}
	return nil
}

func (t *Outbox) update(ctx context.Context, id uuid.UUID, state string, columns map[string]any) error {
	done := t.write.WithContext(ctx).Model(&outboxRow{}).Where("id = ? AND state = ?", id, state).UpdateColumns(columns)
	if done.Error != nil {
		return fail("update outbox", done.Error)
	}
	if done.RowsAffected == 0 {
		return domain.NotFound("id", "The event with id '%s' does not exist", id)
	}
	return nil
}
