package repository

import (
	"context"
	"time"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
)

// Deliveries is the table of mails, one row an event. It is what makes an event that is delivered twice be mailed once.
type Deliveries struct{ table }

// Claim takes an event's mail for this caller until the lease ends, and gives its record. It says false if the mail is
// finished ([domain.DeliverySent], [domain.DeliveryDropped]) or if another caller holds it until LeaseUntil. A claimed record is in
// the state Sending, unless the provider has accepted the mail already: then it stays Accepted.
func (t Deliveries) Claim(ctx context.Context, e domain.Event, now time.Time, lease time.Duration) (domain.Delivery, bool, error) {
	var d domain.Delivery
	until := now.Add(lease)
	done := t.write.WithContext(ctx).Raw(`INSERT INTO deliveries (event_id, user_id, type, state, attempts, last_error, polls, lease_until, created_at, updated_at)
		VALUES (?, ?, ?, ?, 0, '', 0, ?, ?, ?)
		ON CONFLICT (event_id) DO UPDATE SET state = CASE WHEN deliveries.state = ? THEN deliveries.state ELSE excluded.state END,
			lease_until = excluded.lease_until, updated_at = excluded.updated_at
		WHERE deliveries.state NOT IN (?, ?) AND (deliveries.lease_until IS NULL OR deliveries.lease_until <= ?)
		RETURNING *`,
		e.ID, e.Subject, e.Type, domain.DeliverySending, until, now, now, domain.DeliveryAccepted, domain.DeliverySent, domain.DeliveryDropped, now).Scan(&d)
	if done.Error != nil {
		return domain.Delivery{}, false, fail("claim delivery", done.Error)
	}
	if done.RowsAffected == 1 {
		return d, true, nil
	}
	d, err := t.ByEvent(ctx, e.ID)
	return d, false, err
}

// ByEvent gives an event's record. It returns KindNotFound on `id` if there is none yet.
func (t Deliveries) ByEvent(ctx context.Context, event uuid.UUID) (domain.Delivery, error) {
	var d domain.Delivery
	err := t.write.WithContext(ctx).Where("event_id = ?", event).Take(&d).Error
	if isNoRow(err) {
		return domain.Delivery{}, domain.NotFound("id", "The event with id '%s' has no delivery", event)
	}
	if err != nil {
		return domain.Delivery{}, fail("load delivery", err)
	}
	return d, nil
}

// Count tells how many mails are in each state; a state that none is in is missing.
func (t Deliveries) Count(ctx context.Context) (map[domain.DeliveryState]int64, error) {
	var rows []struct {
		State domain.DeliveryState
		N     int64
	}
	if err := t.read.WithContext(ctx).Model(&domain.Delivery{}).Select("state, COUNT(*) AS n").Group("state").Scan(&rows).Error; err != nil {
		return nil, fail("count deliveries", err)
	}
	counts := map[domain.DeliveryState]int64{}
	for _, r := range rows {
		counts[r.State] = r.N
	}
	return counts, nil
}

// Save writes what became of a mail that the caller had claimed, over the record that was seen last: the UpdatedAt that Claim gave, or the last Save was
// given. It returns KindConflict on `id` if the record is another one by now, since the lease has ended and somebody else has claimed the mail, or since a Save
// was carried out whose answer was lost.
func (t Deliveries) Save(ctx context.Context, d domain.Delivery, seen time.Time) error {
	done := t.write.WithContext(ctx).Model(&domain.Delivery{}).Where("event_id = ? AND updated_at = ?", d.EventID, seen).UpdateColumns(map[string]any{
		"state": d.State, "attempts": d.Attempts, "last_error": d.LastError, "operation_id": d.OperationID, "polls": d.Polls,
		"lease_until": d.LeaseUntil, "updated_at": d.UpdatedAt, "sent_at": d.SentAt,
	})
	if done.Error != nil {
		return fail("save delivery", done.Error)
	}
	if done.RowsAffected == 0 {
		return domain.Conflict("id", "The delivery of the event with id '%s' is in other hands", d.EventID)
	}
	return nil
}

// ReleaseAll ends all leases. It is for the start of a process that is the only one at work on the database.
func (t Deliveries) ReleaseAll(ctx context.Context) error {
	err := t.write.WithContext(ctx).Model(&domain.Delivery{}).Where("lease_until IS NOT NULL").UpdateColumn("lease_until", nil).Error
	if err != nil {
		return fail("release deliveries", err)
	}
	return nil
}

// Purge removes the records of mails that were begun before the time.
func (t Deliveries) Purge(ctx context.Context, before time.Time) error {
	if err := t.write.WithContext(ctx).Where("created_at < ?", before).Delete(&domain.Delivery{}).Error; err != nil {
		return fail("purge deliveries", err)
	}
	return nil
}
