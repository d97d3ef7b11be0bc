package repository

import (
	"context"
	"time"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
)

// Sessions is the table of logins and of the refresh tokens that carry them on.
type Sessions struct{ table }

// Create stores a session together with its first refresh token.
func (t Sessions) Create(ctx context.Context, s domain.Session, first domain.RefreshToken) error {
	if err := t.write.WithContext(ctx).Create(&s).Error; err != nil {
		return fail("create session", err)
	}
	return t.AddRefresh(ctx, first)
}

// AddRefresh stores the next refresh token of a session.
func (t Sessions) AddRefresh(ctx context.Context, r domain.RefreshToken) error {
	if err := t.write.WithContext(ctx).Create(&r).Error; err != nil {
		return fail("create refresh token", err)
	}
	return nil
}

// ByRefresh finds the session that a refresh token belongs to, spent or not, and holds it for this transaction. It returns KindNotFound on `refreshToken`.
func (t Sessions) ByRefresh(ctx context.Context, hash string) (domain.Session, error) {
	var s domain.Session
	err := t.write.WithContext(ctx).Clauses(forUpdate).
		Where("id = (SELECT session_id FROM refresh_tokens WHERE hash = ?)", hash).Take(&s).Error
	if isNoRow(err) {
		return domain.Session{}, domain.NotFound("refreshToken", "The refresh token is not valid")
	}
	if err != nil {
		return domain.Session{}, fail("load session", err)
	}
	return s, nil
}

// Spend uses a refresh token up and says whether this call did: false means that it was spent before.
func (t Sessions) Spend(ctx context.Context, hash string, now time.Time) (bool, error) {
	done := t.write.WithContext(ctx).Model(&domain.RefreshToken{}).Where("hash = ? AND spent_at IS NULL", hash).UpdateColumn("spent_at", now)
	if done.Error != nil {
		return false, fail("spend refresh token", done.Error)
	}
	return done.RowsAffected == 1, nil
}

// Touch writes the session's new idle end.
func (t Sessions) Touch(ctx context.Context, s domain.Session) error {
	err := t.write.WithContext(ctx).Model(&domain.Session{}).Where("id = ?", s.ID).UpdateColumn("idle_until", s.IdleUntil).Error
	if err != nil {
		return fail("touch session", err)
	}
	return nil
}

// Actor finds out who calls: the user of a live session, with the role they have now. It returns KindNotFound on
// `authorization` if the session has ended or the user is gone.
func (t Sessions) Actor(ctx context.Context, session, user uuid.UUID, now time.Time) (Caller, error) {
	var row struct {
		Role      string // GORM scans single values into built-in types alone
		HasFactor bool
		IdleUntil time.Time
	}
	done := t.read.WithContext(ctx).Raw(`SELECT u.role, `+hasFactor+` AS has_factor, s.idle_until FROM sessions s JOIN users u ON u.id = s.user_id
		WHERE s.id = ? AND u.id = ? AND s.ended_at IS NULL AND s.idle_until > ? AND u.status = ? AND u.deleted_at IS NULL`,
		session, user, now, domain.UserActive).Scan(&row)
	if done.Error != nil {
		return Caller{}, fail("load actor", done.Error)
	}
	if done.RowsAffected == 0 {
		return Caller{}, domain.NotFound("authorization", "The session has ended")
	}
	return Caller{Actor: domain.Actor{ID: user, Role: domain.Role(row.Role), SessionID: session, HasFactor: row.HasFactor}, Until: row.IdleUntil}, nil
}

// End ends one session.
func (t Sessions) End(ctx context.Context, id uuid.UUID, now time.Time) error {
	return t.end(ctx, now, "id = ?", id)
}

// EndAll ends all sessions of a user but the one to keep; uuid.Nil keeps none.
func (t Sessions) EndAll(ctx context.Context, user, keep uuid.UUID, now time.Time) error {
	return t.end(ctx, now, "user_id = ? AND id <> ?", user, keep)
}

// EndOldest ends a user's oldest sessions beyond so many of the newest.
func (t Sessions) EndOldest(ctx context.Context, user uuid.UUID, keep int, now time.Time) error {
	newest := t.write.Model(&domain.Session{}).Select("id").Where("user_id = ? AND ended_at IS NULL AND idle_until > ?", user, now).
		Order("created_at DESC, id DESC").Limit(keep)
	return t.end(ctx, now, "user_id = ? AND id NOT IN (?)", user, newest)
}

func (t Sessions) end(ctx context.Context, now time.Time, where string, args ...any) error {
	done := t.write.WithContext(ctx).Model(&domain.Session{}).Where("ended_at IS NULL").Where(where, args...).UpdateColumn("ended_at", now)
	t.callersChangedBy(done)
	if done.Error != nil {
		return fail("end sessions", done.Error)
	}
	return nil
}

// Purge removes the sessions, with their refresh tokens, that ended before the time.
func (t Sessions) Purge(ctx context.Context, before time.Time) error {
	err := t.write.WithContext(ctx).Where("expires_at < ? OR ended_at < ? OR idle_until < ?", before, before, before).Delete(&domain.Session{}).Error
	if err != nil {
		return fail("purge sessions", err)
	}
	return nil
}
