package repository

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"inventoryhub/internal/domain"
)

// Users is the table of the staff. Deleted users are found by no method.
type Users struct{ table }

func userNotFound(id uuid.UUID) error {
	return domain.NotFound("id", "The user with id '%s' does not exist", id)
}

// ByID returns KindNotFound on `id`.
func (t Users) ByID(ctx context.Context, id uuid.UUID) (domain.User, error) {
	return t.take(t.read.WithContext(ctx), userNotFound(id), "id = ?", id)
}

// Lock is ByID for a user who is about to be changed: others who want to change them wait until the transaction ends.
func (t Users) Lock(ctx context.Context, id uuid.UUID) (domain.User, error) {
	return t.take(t.write.WithContext(ctx).Clauses(forUpdate), userNotFound(id), "id = ?", id)
}

// LockByEmail finds a user by email, without regard to case, and returns KindNotFound on `email`.
func (t Users) LockByEmail(ctx context.Context, email string) (domain.User, error) {
	missing := domain.NotFound("email", "The user with email '%s' does not exist", email)
	return t.take(t.write.WithContext(ctx).Clauses(forUpdate), missing, "email_key = ?", domain.Fold(email))
}

// ByEmail finds a user by email, without regard to case, and returns KindNotFound on `email`.
func (t Users) ByEmail(ctx context.Context, email string) (domain.User, error) {
	missing := domain.NotFound("email", "The user with email '%s' does not exist", email)
	return t.take(t.read.WithContext(ctx), missing, "email_key = ?", domain.Fold(email))
}

func (t Users) take(db *gorm.DB, missing error, where string, args ...any) (domain.User, error) {
	var u domain.User
	err := db.Where("deleted_at IS NULL").Where(where, args...).Take(&u).Error
	if isNoRow(err) {
		return domain.User{}, missing
	}
	if err != nil {
		return domain.User{}, fail("load user", err)
	}
	return u, nil
}

// UsernameTaken says whether someone has the username already, without regard to case.
func (t Users) UsernameTaken(ctx context.Context, username string) (bool, error) {
	return t.exists(ctx, "username_key = ?", domain.Fold(username))
}

// HasActiveAdmin says whether anyone can administer.
func (t Users) HasActiveAdmin(ctx context.Context) (bool, error) {
	return t.exists(ctx, "role = ? AND status = ?", domain.RoleAdmin, domain.UserActive)
}

func (t Users) exists(ctx context.Context, where string, args ...any) (bool, error) {
	var n int64
	err := t.write.WithContext(ctx).Model(&domain.User{}).Where("deleted_at IS NULL").Where(where, args...).Limit(1).Count(&n).Error
	if err != nil {
		return false, fail("look for users", err)
	}
	return n > 0, nil
}

var userListing = listing[domain.User]{
	table: "users", id: "id", selection: "*",
	sorts: map[string]sorting[domain.User]{
		"createdAt": {"created_at", func(u domain.User) any { return u.CreatedAt }},
		"username": {"COALESCE(username_key, '')", func(u domain.User) any {
			if u.UsernameKey == nil {
				return ""
			}
			return *u.UsernameKey
		}},
		"firstName": {"first_name_key", func(u domain.User) any { return u.FirstNameKey }},
		"lastName":  {"last_name_key", func(u domain.User) any { return u.LastNameKey }},
		"role":      {"role", func(u domain.User) any { return string(u.Role) }},
	},
	idOf: func(u domain.User) uuid.UUID { return u.ID },
}

// List gives one page of the users whose role is among those given, and how much there is beside it.
func (t Users) List(ctx context.Context, f domain.UserFilter, roles []domain.Role) ([]domain.User, domain.Extent, error) {
	where := newPiece("deleted_at IS NULL AND role IN ?", roles)
	if f.Search != "" {
		like := contains(f.Search)
		where = all(where, newPiece(`(username_key LIKE ? ESCAPE '\' OR first_name_key || ' ' || last_name_key LIKE ? ESCAPE '\' OR email_key LIKE ? ESCAPE '\')`, like, like, like))
	}
	if f.Role != "" {
		where = all(where, newPiece("role = ?", f.Role))
	}
	if f.Status != "" {
		where = all(where, newPiece("status = ?", f.Status))
	}
	page, err := userListing.read(t.read.WithContext(ctx), wanted{Page: f.Page, where: where})
	return page.unless("list users", err)
}

// StockWatchers gives the users who are told of products that become low.
func (t Users) StockWatchers(ctx context.Context) ([]domain.User, error) {
	var users []domain.User
	err := t.write.WithContext(ctx).Where("deleted_at IS NULL AND status = ? AND role IN ?", domain.UserActive, domain.StockWatchers).Order("id").Find(&users).Error
	if err != nil {
		return nil, fail("list stock watchers", err)
	}
	return users, nil
}

// Create stores a new user. It returns KindConflict on `email` if another one has it.
func (t Users) Create(ctx context.Context, u domain.User) error {
	err := t.write.WithContext(ctx).Create(&u).Error
	if isDuplicate(err) {
		return EmailTaken(u.Email)
	}
	if err != nil {
		return fail("create user", err)
	}
	return nil
}

// EmailTaken is the KindConflict of an email that another user has.
func EmailTaken(email string) error {
	return domain.Conflict("email", "The user with email '%s' already exists", email)
}

// SaveDescription writes email, names and role. It returns KindConflict on `email` if another user has it and KindNotFound if the user is gone.
func (t Users) SaveDescription(ctx context.Context, u domain.User) error {
	err := t.update(ctx, u.ID, map[string]any{
		"email": u.Email, "email_key": u.EmailKey, "first_name": u.FirstName, "first_name_key": u.FirstNameKey,
		"last_name": u.LastName, "last_name_key": u.LastNameKey, "role": u.Role, "updated_at": u.UpdatedAt,
	})
	if isDuplicate(err) {
		return EmailTaken(u.Email)
	}
	return err
}

// SaveActivation makes a draft active, with username and password. It returns KindConflict on `username` if another user has it
// and KindNotFound if there is no such draft any more.
func (t Users) SaveActivation(ctx context.Context, u domain.User) error {
	err := t.update(ctx, u.ID, map[string]any{
		"username": u.Username, "username_key": u.UsernameKey, "password_hash": u.PasswordHash, "status": u.Status, "updated_at": u.UpdatedAt,
	}, "status = ?", domain.UserDraft)
	if isDuplicate(err) {
		return UsernameTaken(*u.Username)
	}
	return err
}

// UsernameTaken is the KindConflict of a username that another user has.
func UsernameTaken(username string) error {
	return domain.Conflict("username", "The user with username '%s' already exists", username)
}

// SavePassword writes a new password's hash. It returns KindNotFound if the user is gone.
func (t Users) SavePassword(ctx context.Context, id uuid.UUID, hash string, now time.Time) error {
	return t.update(ctx, id, map[string]any{"password_hash": hash, "updated_at": now})
}

// Delete hides a user and frees email and username. It returns KindNotFound if the user is gone already.
func (t Users) Delete(ctx context.Context, id uuid.UUID, now time.Time) error {
	return t.update(ctx, id, map[string]any{"deleted_at": now, "updated_at": now})
}

func (t Users) update(ctx context.Context, id uuid.UUID, columns map[string]any, where ...any) error {
	q := t.write.WithContext(ctx).Model(&domain.User{}).Where("id = ? AND deleted_at IS NULL", id)
	if len(where) > 0 {
		q = q.Where(where[0], where[1:]...)
	}
	done := q.UpdateColumns(columns)
	t.callersChangedBy(done)
	if done.Error != nil {
		return fail("update user", done.Error)
	}
	if done.RowsAffected == 0 {
		return userNotFound(id)
	}
	return nil
}
