package domain

import (
	"time"

	"github.com/google/uuid"
)

// KeyScope is what an API key may do of what its owner may.
type KeyScope string

// The scopes. A key that may write may read too.
const (
	ScopeRead  KeyScope = "read"
	ScopeWrite KeyScope = "write"
)

// ParseKeyScope takes a scope's exact name. It returns a KindInvalid on `scope` for any other text.
func ParseKeyScope(s string) (KeyScope, error) {
	if scope := KeyScope(s); scope == ScopeRead || scope == ScopeWrite {
		return scope, nil
	}
	return "", Invalid("scope", "The scope '%s' is not valid", Clip(s))
}

// Bounds of API keys.
const (
	MaxKeys        = 20 // that one user can have at a time
	DefaultKeyDays = 90
	MaxKeyDays     = 366
	// KeyPrefix begins every key, so that people and secret scanners know one when they see it.
	KeyPrefix = "ihk_"
	// KeyUseInterval is how exactly the last use of a key is known.
	KeyUseInterval = time.Minute
)

// APIKey lets a program call in the name of its owner, with the owner's present role and no more than its scope. Only its hash is kept.
type APIKey struct {
	ID         uuid.UUID
	UserID     uuid.UUID
	Name       string
	Hash       string
	Scope      KeyScope
	CreatedAt  time.Time
	ExpiresAt  time.Time
	LastUsedAt *time.Time // to the minute
	RevokedAt  *time.Time
}

// TableName keeps the initials together.
func (APIKey) TableName() string { return "api_keys" }

// NewAPIKey makes a key that lives for so many days.
func NewAPIKey(owner uuid.UUID, name, hash string, scope KeyScope, days int64, now time.Time) APIKey {
	return APIKey{ID: NewID(), UserID: owner, Name: name, Hash: hash, Scope: scope, CreatedAt: now, ExpiresAt: now.AddDate(0, 0, int(days))}
}
