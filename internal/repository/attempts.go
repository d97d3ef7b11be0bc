package repository

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"inventoryhub/internal/domain"
)

// Attempts is the table of requests under an Idempotency-Key.
type Attempts struct{ table }

// Claim takes a key for this caller, if it is new or if whoever was at work on the same request let its lease end. It says whether it did, and
// gives what is known of the key.
func (t Attempts) Claim(ctx context.Context, a domain.Attempt, now time.Time) (domain.Attempt, bool, error) {
	over := now.Add(-domain.AttemptTTL)
	if err := t.write.WithContext(ctx).Where("user_id = ? AND key = ? AND created_at <= ?", a.UserID, a.Key, over).Delete(&domain.Attempt{}).Error; err != nil {
		return domain.Attempt{}, false, fail("forget attempt", err)
	}
	var held domain.Attempt
	done := t.write.WithContext(ctx).Raw(`INSERT INTO attempts (user_id, key, fingerprint, claim_id, lease_until, headers, body, created_at)
		VALUES (?, ?, ?, ?, ?, '{}', '', ?)
		ON CONFLICT (user_id, key) DO UPDATE SET claim_id = excluded.claim_id, lease_until = excluded.lease_until
		WHERE attempts.status IS NULL AND attempts.lease_until <= ? AND attempts.fingerprint = excluded.fingerprint
		RETURNING *`, a.UserID, a.Key, a.Fingerprint, a.ClaimID, a.LeaseUntil, a.CreatedAt, now).Scan(&held)
	if done.Error != nil {
		return domain.Attempt{}, false, fail("claim attempt", done.Error)
	}
	if done.RowsAffected == 1 {
		return held, true, nil
	}
	if err := t.write.WithContext(ctx).Where("user_id = ? AND key = ?", a.UserID, a.Key).Take(&held).Error; err != nil {
		return domain.Attempt{}, false, fail("load attempt", err)
	}
	return held, false, nil
}

// Made notes what an attempt made, in the transaction that makes it. No attempt is fine. It returns KindConflict on `request` if another one has
// taken the key over.
func (t Attempts) Made(ctx context.Context, a *domain.Attempt, result uuid.UUID) error {
	if a == nil {
		return nil
	}
	done := t.mine(ctx, *a).Where("result_id IS NULL").UpdateColumn("result_id", result)
	if done.Error != nil {
		return fail("note attempt", done.Error)
	}
	if done.RowsAffected == 0 {
		return AttemptRunning()
	}
	return nil
}

// AttemptRunning is the KindConflict of a key that another request is at work on.
func AttemptRunning() error {
	return domain.Conflict("request", "A request with this Idempotency-Key is still running")
}

// Answered keeps the answer of an attempt.
func (t Attempts) Answered(ctx context.Context, a domain.Attempt) error {
	err := t.mine(ctx, a).UpdateColumns(map[string]any{"status": a.Status, "headers": a.Headers, "body": a.Body}).Error
	if err != nil {
		return fail("keep answer", err)
	}
	return nil
}

// Abandon frees the key of an attempt that has no answer to keep. What it made already stays noted.
func (t Attempts) Abandon(ctx context.Context, a domain.Attempt, now time.Time) error {
	if err := t.mine(ctx, a).UpdateColumn("lease_until", now).Error; err != nil {
		return fail("abandon attempt", err)
	}
	return nil
}

func (t Attempts) mine(ctx context.Context, a domain.Attempt) *gorm.DB {
	return t.write.WithContext(ctx).Model(&domain.Attempt{}).Where("user_id = ? AND key = ? AND claim_id = ?", a.UserID, a.Key, a.ClaimID)
}

// Purge removes the attempts that were begun before the time.
func (t Attempts) Purge(ctx context.Context, before time.Time) error {
	if err := t.write.WithContext(ctx).Where("created_at < ?", before).Delete(&domain.Attempt{}).Error; err != nil {
		return fail("purge attempts", err)
	}
	return nil
}
