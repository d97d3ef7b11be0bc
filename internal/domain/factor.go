package domain

import (
	"time"

	"github.com/google/uuid"
)

// SecondFactor is a user's authenticator app (TOTP, RFC 6238). It counts once a code of it was shown.
type SecondFactor struct {
	UserID      uuid.UUID `gorm:"primaryKey"`
	Secret      string    // sealed
	CreatedAt   time.Time
	ConfirmedAt *time.Time // nil: begun, and not asked for yet
	LastStep    int64      // of the last code that was taken: a code is taken once (RFC 6238 section 5.2)
}

// RecoveryCode opens an account once, in place of the app. Only its hash is kept.
type RecoveryCode struct {
	Hash      string `gorm:"primaryKey"`
	UserID    uuid.UUID
	CreatedAt time.Time
	UsedAt    *time.Time
}

// RecoveryCodes is how many of them a user gets.
const RecoveryCodes = 10

// FactorState is what a user is told of their second factor.
type FactorState struct {
	Enabled       bool
	Required      bool // by the user's role
	RecoveryCodes int  // how many are left
}
