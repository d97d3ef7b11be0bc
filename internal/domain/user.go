package domain

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// UserStatus tells an invited user from one who has registered.
type UserStatus string

// The two states of a user.
const (
	UserDraft  UserStatus = "Draft"
	UserActive UserStatus = "Active"
)

// ParseUserStatus takes a status by its exact name. It returns a KindInvalid on `status` for any other text.
func ParseUserStatus(s string) (UserStatus, error) {
	switch status := UserStatus(s); status {
	case UserDraft, UserActive:
		return status, nil
	}
	return "", Invalid("status", "The status '%s' is not valid", Clip(s))
}

// User is a member of the staff. A draft is invited and has neither username nor password yet. A deleted user is
// kept, because the ledger names who did what, but is found by nobody and frees email and username.
type User struct {
	ID           uuid.UUID
	Email        string
	EmailKey     string // folded: unique among those not deleted
	Username     *string
	UsernameKey  *string // folded: unique among those not deleted
	FirstName    string
	FirstNameKey string // folded, for search and order
	LastName     string
	LastNameKey  string // folded, for search and order
	Role         Role
	Status       UserStatus
	PasswordHash *string // argon2id in PHC form
	CreatedAt    time.Time
	UpdatedAt    time.Time
	DeletedAt    *time.Time
}

// NewDraft makes an invited user.
func NewDraft(email, firstName, lastName string, role Role, now time.Time) User {
	u := User{ID: NewID(), Status: UserDraft, CreatedAt: now}
	u.Describe(email, firstName, lastName, role, now)
	return u
}

// Describe sets what others may say about a user.
func (u *User) Describe(email, firstName, lastName string, role Role, now time.Time) {
	u.Email, u.EmailKey = email, Fold(email)
	u.FirstName, u.FirstNameKey = firstName, Fold(firstName)
	u.LastName, u.LastNameKey = lastName, Fold(lastName)
	u.Role = role
	u.UpdatedAt = now
}

// Activate makes a draft a user who can log in.
func (u *User) Activate(username, passwordHash string, now time.Time) {
	key := Fold(username)
	u.Username, u.UsernameKey = &username, &key
	u.PasswordHash = &passwordHash
	u.Status = UserActive
	u.UpdatedAt = now
}

// FullName is the first and the last name.
func (u User) FullName() string { return u.FirstName + " " + u.LastName }

// StockWatchers are the roles that are told of products that become low.
var StockWatchers = []Role{RoleAdmin, RoleManager}

// WatchesStock says whether the user is told of products that become low.
func (u User) WatchesStock() bool {
	return u.Status == UserActive && slices.Contains(StockWatchers, u.Role)
}

// OwnWords lists what the user's password must not be.
func (u User) OwnWords() []string {
	words := []string{u.Email}
	if u.Username != nil {
		words = append(words, *u.Username)
	}
	return words
}

// UserFilter narrows a list of users. Empty fields do not narrow.
type UserFilter struct {
	Page   Page
	Search string // part of username, names or email, without regard to case
	Role   Role
	Status UserStatus
}

// InvitationState says what an inviter may know of the mail to a draft.
type InvitationState string

// The states of an invitation's mail.
const (
	InvitationQueued   InvitationState = "Queued"
	InvitationSent     InvitationState = "Sent"
	InvitationRetrying InvitationState = "Retrying"
	InvitationFailed   InvitationState = "Failed"
)

// Invitation is a draft's last invitation and what became of its mail.
type Invitation struct {
	State     InvitationState
	Attempts  int
	LastError string
	SentAt    *time.Time
	ExpiresAt time.Time
}

// NewInvitation joins a token with the record of its mail, which is nil as long as no worker took it up.
func NewInvitation(t OneTimeToken, d *Delivery) Invitation {
	inv := Invitation{State: InvitationQueued, ExpiresAt: t.ExpiresAt}
	if d == nil {
		return inv
	}
	inv.Attempts, inv.LastError, inv.SentAt = d.Attempts, d.LastError, d.SentAt
	switch d.State {
	case DeliverySent:
		inv.State = InvitationSent
	case DeliveryFailed, DeliveryDropped:
		inv.State = InvitationFailed
	case DeliveryRetrying:
		inv.State = InvitationRetrying
	case DeliverySending, DeliveryAccepted:
		if d.LastError != "" {
			inv.State = InvitationRetrying
		}
	}
	return inv
}
