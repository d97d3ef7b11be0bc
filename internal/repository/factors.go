package repository

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm/clause"

	"inventoryhub/internal/domain"
)

// Factors is the table of second factors, and that of the recovery codes beside them.
type Factors struct{ table }

// Begin stores a second factor that still has to be confirmed, in place of one that never was. It returns KindConflict on `request` if the user
// has a confirmed one.
func (t Factors) Begin(ctx context.Context, f domain.SecondFactor) error {
	done := t.write.WithContext(ctx).Clauses(clause.OnConflict{
		Columns:   []clause.Column{{Name: "user_id"}},
		DoUpdates: clause.AssignmentColumns([]string{"secret", "created_at"}),
		Where:     clause.Where{Exprs: []clause.Expression{clause.Expr{SQL: "second_factors.confirmed_at IS NULL"}}},
	}).Create(&f)
	if done.Error != nil {
		return fail("begin second factor", done.Error)
	}
	if done.RowsAffected == 0 {
		return FactorExists()
	}
	return nil
}

// FactorExists is the KindConflict of a second factor that is set up already.
func FactorExists() error {
	return domain.Conflict("request", "A second factor is set up already")
}

// ByUser gives a user's second factor, confirmed or not. It returns KindNotFound on `request` if there is none.
func (t Factors) ByUser(ctx context.Context, user uuid.UUID) (domain.SecondFactor, error) {
	var f domain.SecondFactor
	err := t.read.WithContext(ctx).Where("user_id = ?", user).Take(&f).Error
	if isNoRow(err) {
		return domain.SecondFactor{}, domain.NotFound("request", "There is no second factor")
	}
	if err != nil {
		return domain.SecondFactor{}, fail("load second factor", err)
	}
	return f, nil
}

// Confirm puts a second factor in force by the step of its first code, and says whether this call did.
func (t Factors) Confirm(ctx context.Context, f domain.SecondFactor, step int64, now time.Time) (bool, error) {
	return t.change(ctx, "confirm second factor", map[string]any{"confirmed_at": now, "last_step": step},
		"user_id = ? AND secret = ? AND confirmed_at IS NULL", f.UserID, f.Secret)
}

// Take uses the code of a step up and says whether this call did: false means that it, or a later one, was taken before.
func (t Factors) Take(ctx context.Context, f domain.SecondFactor, step int64) (bool, error) {
	return t.change(ctx, "take code", map[string]any{"last_step": step},
		"user_id = ? AND secret = ? AND confirmed_at IS NOT NULL AND last_step < ?", f.UserID, f.Secret, step)
}

func (t Factors) change(ctx context.Context, what string, columns map[string]any, where string, args ...any) (bool, error) {
	done := t.write.WithContext(ctx).Model(&domain.SecondFactor{}).Where(where, args...).UpdateColumns(columns)
	t.callersChangedBy(done)
	if done.Error != nil {
		return false, fail(what, done.Error)
	}
	return done.RowsAffected == 1, nil
}

// Remove takes a user's second factor away, with all recovery codes. It is fine if there is none.
func (t Factors) Remove(ctx context.Context, user uuid.UUID) error {
	done := t.write.WithContext(ctx).Where("user_id = ?", user).Delete(&domain.SecondFactor{})
	t.callersChangedBy(done)
	if done.Error != nil {
		return fail("remove second factor", done.Error)
	}
	return t.removeCodes(ctx, user)
}

func (t Factors) removeCodes(ctx context.Context, user uuid.UUID) error {
	if err := t.write.WithContext(ctx).Where("user_id = ?", user).Delete(&domain.RecoveryCode{}).Error; err != nil {
		return fail("remove recovery codes", err)
	}
	return nil
}

// ReplaceCodes gives a user new recovery codes, by their hashes, and voids the old ones.
func (t Factors) ReplaceCodes(ctx context.Context, user uuid.UUID, hashes []string, now time.Time) error {
	if err := t.removeCodes(ctx, user); err != nil {
		return err
	}
	codes := make([]domain.RecoveryCode, len(hashes))
	for i, hash := range hashes {
		codes[i] = domain.RecoveryCode{Hash: hash, UserID: user, CreatedAt: now}
	}
	if err := t.write.WithContext(ctx).Create(&codes).Error; err != nil {
		return fail("create recovery codes", err)
	}
	return nil
}

// UseCode uses a recovery code of the user up and says whether this call did.
func (t Factors) UseCode(ctx context.Context, user uuid.UUID, hash string, now time.Time) (bool, error) {
	done := t.write.WithContext(ctx).Model(&domain.RecoveryCode{}).Where("hash = ? AND user_id = ? AND used_at IS NULL", hash, user).UpdateColumn("used_at", now)
	if done.Error != nil {
		return false, fail("use recovery code", done.Error)
	}
	return done.RowsAffected == 1, nil
}

// CodesLeft counts the recovery codes that a user can still use.
func (t Factors) CodesLeft(ctx context.Context, user uuid.UUID) (int, error) {
	var n int64
	if err := t.read.WithContext(ctx).Model(&domain.RecoveryCode{}).Where("user_id = ? AND used_at IS NULL", user).Count(&n).Error; err != nil {
		return 0, fail("count recovery codes", err)
	}
	return int(n), nil
}
