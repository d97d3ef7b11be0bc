package domain

import (
	"time"

	"github.com/google/uuid"
)

// How long an attempt is kept, and how long one that does not answer keeps others from trying: a process that died answers never.
const (
	AttemptTTL   = 24 * time.Hour
	AttemptLease = 60 * time.Second
)

// Attempt is one request under an Idempotency-Key. The same caller's same key gives the first answer again and does nothing twice.
type Attempt struct {
	UserID      uuid.UUID `gorm:"primaryKey"`
	Key         string    `gorm:"primaryKey"`
	Fingerprint string    // of the request: the same key with another one is a mistake
	ClaimID     uuid.UUID // who is at work on it, until LeaseUntil
	LeaseUntil  time.Time
	ResultID    *uuid.UUID // what it made; written together with that
	Status      *int       // the answer's, once it is known
	Headers     string     // the answer's, as JSON
	Body        string     // the answer's, without secrets
	CreatedAt   time.Time
}

// NewAttempt makes a claim on a key.
func NewAttempt(user uuid.UUID, key, fingerprint string, now time.Time) Attempt {
	return Attempt{UserID: user, Key: key, Fingerprint: fingerprint, ClaimID: NewID(), LeaseUntil: now.Add(AttemptLease), Headers: "{}", CreatedAt: now}
}
