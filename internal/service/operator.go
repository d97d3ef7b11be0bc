package service

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/password"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/token"
)

// CommandLine is the operator as an actor, who has an Admin's rights, and no user: the audit log has the address "command line".
func CommandLine() domain.Actor { return domain.Actor{Role: domain.RoleAdmin, Address: "command line"} }

// Operator is whoever can run commands on the server itself. No role stands above them, so that there is a way out when
// the last Admin is gone or an Admin's account was stolen.
type Operator struct {
	store       *repository.Store
	hasher      *password.Hasher
	minPassword int
	clock       clock
}

// generatedLength is how long a password is that is made up: 132 random bits in base64url (ASVS 5.0 11.5.1 asks for 128).
const generatedLength = 22

// NewOperator makes the use cases of the command line.
func NewOperator(store *repository.Store, hasher *password.Hasher, minPassword int, now func() time.Time) *Operator {
	return &Operator{store: store, hasher: hasher, minPassword: minPassword, clock: now}
}

// FirstAdmin makes an Admin if there is no active one, and says whether it did. With an empty password it makes one up, which it
// gives back; it is shown nowhere else. Of several instances that start together one makes it.
func (s *Operator) FirstAdmin(ctx context.Context, email, pass string) (made bool, generated string, err error) {
	has, err := s.store.Users.HasActiveAdmin(ctx)
	if err != nil || has {
		return false, "", err
	}
	generated, err = s.CreateAdmin(ctx, email, pass)
	if isKind(err, domain.KindConflict) {
		if has, again := s.store.Users.HasActiveAdmin(ctx); again == nil && has {
			return false, "", nil // another instance was faster
		}
	}
	return err == nil, generated, err
}

// CreateAdmin makes an active Admin whose username is the part of the email before the @. With an empty password it makes one up,
// which it gives back. It returns KindInvalid on `email` and `password`, and KindConflict if either name is taken.
func (s *Operator) CreateAdmin(ctx context.Context, email, pass string) (generated string, err error) {
	_, generated, err = s.CreateUser(ctx, Invitee{Email: email, FirstName: "Admin", LastName: "Admin", Role: domain.RoleAdmin}, pass)
	return generated, err
}

// CreateUser is [Operator.CreateAdmin] for a user of any role. The names and the role are taken as they are.
func (s *Operator) CreateUser(ctx context.Context, in Invitee, pass string) (user domain.User, generated string, err error) {
	if !domain.IsEmail(in.Email) {
		return domain.User{}, "", domain.Invalid("email", "The email is not valid")
	}
	now := s.clock.now()
	user = domain.NewDraft(in.Email, in.FirstName, in.LastName, in.Role, now)
	pass, generated, err = s.choose(pass, user)
	if err != nil {
		return domain.User{}, "", err
	}
	hash, err := s.hasher.Hash(ctx, pass)
	if err != nil {
		return domain.User{}, "", err
	}
	err = s.store.InTx(ctx, func(tx *repository.Store) error {
		username, err := freeUsername(ctx, tx, in.Email)
		if err != nil {
			return err
		}
		user.Activate(username, hash, now)
		note(tx, CommandLine(), domain.AuditUserCreated, "user", user.ID.String(), domain.AuditDetails{"email": in.Email, "role": user.Role}, now)
		return tx.Users.Create(ctx, user)
	})
	return user, generated, err
}

// freeUsername makes a username from an email: its local part as far as it is allowed in one, with a number if someone has it.
func freeUsername(ctx context.Context, tx *repository.Store, email string) (string, error) {
	local, _, _ := strings.Cut(email, "@")
	if !domain.IsUsername(local) {
		local = "admin"
	}
	name := local
	for {
		taken, err := tx.Users.UsernameTaken(ctx, name)
		if err != nil || !taken {
			return name, err
		}
		name = "admin-" + strings.ToLower(uuid.NewString()[:8])
	}
}

// choose gives the password to set, and the same once more if it was made up here.
func (s *Operator) choose(pass string, user domain.User) (chosen, generated string, err error) {
	if pass == "" {
		generated = (token.NewSecret() + token.NewSecret())[:max(generatedLength, s.minPassword)]
		return generated, generated, nil
	}
	var faults domain.Faults
	for _, f := range domain.PasswordFaults(pass, s.minPassword, user.OwnWords()...) {
		faults.Add("password", "%s", f)
	}
	return pass, "", faults.Err()
}

// ResetPassword sets the password of an active user of any role, ends their sessions and voids their resets. With an empty password it
// makes one up, which it gives back. It returns KindNotFound on `email` and KindInvalid on `password`.
func (s *Operator) ResetPassword(ctx context.Context, email, pass string) (generated string, err error) {
	user, err := s.store.Users.ByEmail(ctx, email)
	if err != nil {
		return "", err
	}
	if user.Status != domain.UserActive {
		return "", domain.Conflict("email", "The user with email '%s' has not registered yet; invite them again", email)
	}
	pass, generated, err = s.choose(pass, user)
	if err != nil {
		return "", err
	}
	hash, err := s.hasher.Hash(ctx, pass)
	if err != nil {
		return "", err
	}
	err = s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		note(tx, CommandLine(), domain.AuditPasswordReset, "user", user.ID.String(), nil, now)
		return savePassword(ctx, tx, user.ID, uuid.Nil, hash, now)
	})
	return generated, err
}

// RemoveFactor takes the second factor of an active user away, for one who lost the app and the recovery codes, and ends their sessions. It returns
// KindNotFound on `email`.
func (s *Operator) RemoveFactor(ctx context.Context, email string) error {
	return s.store.InTx(ctx, func(tx *repository.Store) error {
		user, err := tx.Users.LockByEmail(ctx, email)
		if err != nil {
			return err
		}
		now := s.clock.now()
		note(tx, CommandLine(), domain.AuditFactorDisabled, "user", user.ID.String(), nil, now)
		if err := tx.Factors.Remove(ctx, user.ID); err != nil {
			return err
		}
		return endSessions(ctx, tx, user.ID, uuid.Nil, now)
	})
}

// Remove deletes a user of any role, their sessions and their invitations. It returns KindNotFound on `email`.
func (s *Operator) Remove(ctx context.Context, email string) error {
	return s.store.InTx(ctx, func(tx *repository.Store) error {
		user, err := tx.Users.LockByEmail(ctx, email)
		if err != nil {
			return err
		}
		return remove(ctx, tx, CommandLine(), user, s.clock.now())
	})
}

// CompareStock compares every product with its ledger and gives how many there are and those that differ.
func (s *Operator) CompareStock(ctx context.Context) (products int64, drifts []repository.Drift, err error) {
	return s.store.Stock.Drifts(ctx)
}

// RepairStock has the ledger of a product add up to its quantity again, by one more movement, and gives the difference.
func (s *Operator) RepairStock(ctx context.Context, product uuid.UUID) (delta int64, err error) {
	err = s.store.InTx(ctx, func(tx *repository.Store) error {
		now := s.clock.now()
		if delta, err = tx.Stock.Settle(ctx, product, "reconciled: the ledger did not add up to the quantity", now); err != nil || delta == 0 {
			return err
		}
		note(tx, CommandLine(), domain.AuditStockRepaired, "product", product.String(), domain.AuditDetails{"delta": delta}, now)
		return nil
	})
	return delta, err
}
