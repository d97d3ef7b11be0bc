package repository

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"inventoryhub/internal/domain"
)

// Keys is the table of API keys.
type Keys struct{ table }

// Create stores a key. The caller holds the owner's row, so that the number of keys stays within [domain.MaxKeys]; beyond it Create returns KindConflict on `request`.
func (t Keys) Create(ctx context.Context, k domain.APIKey) error {
	var n int64
	if err := t.live(t.write.WithContext(ctx), k.UserID, k.CreatedAt).Count(&n).Error; err != nil {
		return fail("count keys", err)
	}
	if n >= domain.MaxKeys {
		return domain.Conflict("request", "You have %d API keys already; revoke one first", n)
	}
	if err := t.write.WithContext(ctx).Create(&k).Error; err != nil {
		return fail("create key", err)
	}
	return nil
}

func (t Keys) live(db *gorm.DB, owner uuid.UUID, now time.Time) *gorm.DB {
	return db.Model(&domain.APIKey{}).Where("user_id = ? AND revoked_at IS NULL AND expires_at > ?", owner, now)
}

// OfUser lists the keys that a user can still call with, the newest first.
func (t Keys) OfUser(ctx context.Context, owner uuid.UUID, now time.Time) ([]domain.APIKey, error) {
	keys := []domain.APIKey{}
	if err := t.live(t.read.WithContext(ctx), owner, now).Order("created_at DESC, id DESC").Find(&keys).Error; err != nil {
		return nil, fail("list keys", err)
	}
	return keys, nil
}

// Actor finds out who calls with a key: its owner, with the role they have now, and the key's scope. It returns KindNotFound on `authorization` if the
// key is unknown, revoked or expired, or its owner is gone.
func (t Keys) Actor(ctx context.Context, hash string, now time.Time) (Caller, error) {
	var row struct {
		ID         uuid.UUID
		UserID     uuid.UUID
		Scope      string // GORM scans single values into built-in types alone
		Role       string
		HasFactor  bool
		LastUsedAt *time.Time
		ExpiresAt  time.Time
	}
	done := t.read.WithContext(ctx).Raw(`SELECT k.id, k.user_id, k.scope, k.last_used_at, k.expires_at, u.role, `+hasFactor+` AS has_factor
		FROM api_keys k JOIN users u ON u.id = k.user_id
		WHERE k.hash = ? AND k.revoked_at IS NULL AND k.expires_at > ? AND u.status = ? AND u.deleted_at IS NULL`, hash, now, domain.UserActive).Scan(&row)
	if done.Error != nil {
		return Caller{}, fail("load actor", done.Error)
	}
	if done.RowsAffected == 0 {
		return Caller{}, domain.NotFound("authorization", "The API key is not valid")
	}
	actor := domain.Actor{ID: row.UserID, Role: domain.Role(row.Role), KeyID: row.ID, Scope: domain.KeyScope(row.Scope), HasFactor: row.HasFactor}
	return Caller{Actor: actor, Until: row.ExpiresAt, UsedAt: row.LastUsedAt}, nil
}

// hasFactor says in SQL whether the user u has a second factor in force.
const hasFactor = "EXISTS (SELECT 1 FROM second_factors f WHERE f.user_id = u.id AND f.confirmed_at IS NOT NULL)"

// Used writes down when a key was used.
func (t Keys) Used(ctx context.Context, id uuid.UUID, now time.Time) error {
	if err := t.write.WithContext(ctx).Model(&domain.APIKey{}).Where("id = ?", id).UpdateColumn("last_used_at", now).Error; err != nil {
		return fail("note key's use", err)
	}
	return nil
}

// Revoke ends a key of the owner. It returns KindNotFound on `id` if they have none such.
func (t Keys) Revoke(ctx context.Context, owner, id uuid.UUID, now time.Time) error {
	done := t.live(t.write.WithContext(ctx), owner, now).Where("id = ?", id).UpdateColumn("revoked_at", now)
	t.callersChangedBy(done)
	if done.Error != nil {
		return fail("revoke key", done.Error)
	}
	if done.RowsAffected == 0 {
		return domain.NotFound("id", "The API key with id '%s' does not exist", id)
	}
	return nil
}

// RevokeAll ends all keys of a user.
func (t Keys) RevokeAll(ctx context.Context, owner uuid.UUID, now time.Time) error {
	done := t.live(t.write.WithContext(ctx), owner, now).UpdateColumn("revoked_at", now)
	t.callersChangedBy(done)
	if done.Error != nil {
		return fail("revoke keys", done.Error)
	}
	return nil
}

// Purge removes the keys that expired or were revoked before the time.
func (t Keys) Purge(ctx context.Context, before time.Time) error {
	if err := t.write.WithContext(ctx).Where("expires_at < ? OR revoked_at < ?", before, before).Delete(&domain.APIKey{}).Error; err != nil {
		return fail("purge keys", err)
	}
	return nil
}
