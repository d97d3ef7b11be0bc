package repository

import (
	"context"
	"time"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
)

// Tokens is the table of invitations and password resets.
type Tokens struct{ table }

// Create stores a token.
func (t Tokens) Create(ctx context.Context, token domain.OneTimeToken) error {
	if err := t.write.WithContext(ctx).Create(&token).Error; err != nil {
		return fail("create token", err)
	}
	return nil
}

// ByHash finds a token of the kind, live or not. It returns KindNotFound on `token`.
func (t Tokens) ByHash(ctx context.Context, kind domain.TokenKind, hash string) (domain.OneTimeToken, error) {
	var token domain.OneTimeToken
	err := t.write.WithContext(ctx).Where("kind = ? AND token_hash = ?", kind, hash).Take(&token).Error
	if isNoRow(err) {
		return domain.OneTimeToken{}, domain.NotFound("token", "The token does not exist")
	}
	if err != nil {
		return domain.OneTimeToken{}, fail("load token", err)
	}
	return token, nil
}

// Use uses a live token up and says whether this call did.
func (t Tokens) Use(ctx context.Context, id uuid.UUID, now time.Time) (bool, error) {
	done := t.write.WithContext(ctx).Model(&domain.OneTimeToken{}).
		Where("id = ? AND used_at IS NULL AND revoked_at IS NULL AND expires_at > ?", id, now).UpdateColumn("used_at", now)
	if done.Error != nil {
		return false, fail("use token", done.Error)
	}
	return done.RowsAffected == 1, nil
}

// Revoke makes all unused tokens of the kinds worthless for a user.
func (t Tokens) Revoke(ctx context.Context, user uuid.UUID, now time.Time, kinds ...domain.TokenKind) error {
	err := t.write.WithContext(ctx).Model(&domain.OneTimeToken{}).
		Where("user_id = ? AND kind IN ? AND used_at IS NULL AND revoked_at IS NULL", user, kinds).UpdateColumn("revoked_at", now).Error
	if err != nil {
		return fail("revoke tokens", err)
	}
	return nil
}

// CountSince counts a user's tokens of the kind that were made after the time.
func (t Tokens) CountSince(ctx context.Context, user uuid.UUID, kind domain.TokenKind, since time.Time) (int64, error) {
	var n int64
	err := t.write.WithContext(ctx).Model(&domain.OneTimeToken{}).Where("user_id = ? AND kind = ? AND created_at > ?", user, kind, since).Count(&n).Error
	if err != nil {
		return 0, fail("count tokens", err)
	}
	return n, nil
}

// Nth gives when the user's nth newest token of the kind was made, and false if there are fewer.
func (t Tokens) Nth(ctx context.Context, user uuid.UUID, kind domain.TokenKind, n int) (time.Time, bool, error) {
	var made []time.Time
	err := t.write.WithContext(ctx).Model(&domain.OneTimeToken{}).Where("user_id = ? AND kind = ?", user, kind).
		Order("created_at DESC, id DESC").Offset(n-1).Limit(1).Pluck("created_at", &made).Error
	if err != nil {
		return time.Time{}, false, fail("look at tokens", err)
	}
	if len(made) == 0 {
		return time.Time{}, false, nil
	}
	return made[0], true, nil
}

// LiveForEvent says whether the token that the event's mail carries still opens something.
func (t Tokens) LiveForEvent(ctx context.Context, event uuid.UUID, now time.Time) (bool, error) {
	var token domain.OneTimeToken
	err := t.read.WithContext(ctx).Where("event_id = ?", event).Take(&token).Error
	if isNoRow(err) {
		return false, nil
	}
	if err != nil {
		return false, fail("load token", err)
	}
	return token.Live(now), nil
}

// LastInvitation gives a draft's newest invitation with the record of its mail. It returns KindNotFound on `id`.
func (t Tokens) LastInvitation(ctx context.Context, user uuid.UUID) (domain.Invitation, error) {
	var token domain.OneTimeToken
	err := t.read.WithContext(ctx).Where("user_id = ? AND kind = ?", user, domain.TokenInvitation).Order("created_at DESC, id DESC").Take(&token).Error
	if isNoRow(err) {
		return domain.Invitation{}, domain.NotFound("id", "The user with id '%s' has no invitation", user)
	}
	if err != nil {
		return domain.Invitation{}, fail("load invitation", err)
	}
	var delivery *domain.Delivery
	if err := t.read.WithContext(ctx).Where("event_id = ?", token.EventID).Limit(1).Find(&delivery).Error; err != nil {
		return domain.Invitation{}, fail("load delivery", err)
	}
	return domain.NewInvitation(token, delivery), nil
}

// Purge removes the tokens that expired before the time.
func (t Tokens) Purge(ctx context.Context, before time.Time) error {
	if err := t.write.WithContext(ctx).Where("expires_at < ?", before).Delete(&domain.OneTimeToken{}).Error; err != nil {
		return fail("purge tokens", err)
	}
	return nil
}
