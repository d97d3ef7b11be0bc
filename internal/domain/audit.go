package domain

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// AuditAction names what somebody did.
type AuditAction string

// The actions. Everything that changes something has one, and so has what was refused.
const (
	AuditLoggedIn         AuditAction = "session.started"
	AuditLoginFailed      AuditAction = "session.refused"
	AuditRefreshed        AuditAction = "session.refreshed"
	AuditTokenReused      AuditAction = "session.token-reused"
	AuditLoggedOut        AuditAction = "session.ended"
	AuditTokenRefused     AuditAction = "token.refused"
	AuditPasswordChanged  AuditAction = "password.changed"
	AuditPasswordRefused  AuditAction = "password.refused"
	AuditResetRequested   AuditAction = "password.reset-requested"
	AuditPasswordReset    AuditAction = "password.reset"
	AuditUserInvited      AuditAction = "user.invited"
	AuditUserRegistered   AuditAction = "user.registered"
	AuditUserUpdated      AuditAction = "user.updated"
	AuditUserDeleted      AuditAction = "user.deleted"
	AuditUserCreated      AuditAction = "user.created"
	AuditCategoryCreated  AuditAction = "category.created"
	AuditCategoryDeleted  AuditAction = "category.deleted"
	AuditProductCreated   AuditAction = "product.created"
	AuditProductUpdated   AuditAction = "product.updated"
	AuditProductAdjusted  AuditAction = "product.adjusted"
	AuditProductDeleted   AuditAction = "product.deleted"
	AuditProductsImported AuditAction = "products.imported"
	AuditOrderPlaced      AuditAction = "order.placed"
	AuditOrderEdited      AuditAction = "order.edited"
	AuditOrderMoved       AuditAction = "order.moved"
	AuditOrderDeleted     AuditAction = "order.deleted"
	AuditAccessRefused    AuditAction = "access.refused"
	AuditThrottled        AuditAction = "access.throttled"
	AuditStockRepaired    AuditAction = "stock.repaired"
	AuditRestored         AuditAction = "database.restored"
	AuditFactorBegun      AuditAction = "second-factor.begun"
	AuditFactorEnabled    AuditAction = "second-factor.enabled"
	AuditFactorDisabled   AuditAction = "second-factor.disabled"
	AuditCodesMade        AuditAction = "second-factor.codes-made"
	AuditCodeRefused      AuditAction = "second-factor.refused"
	AuditKeyCreated       AuditAction = "key.created"
	AuditKeyRevoked       AuditAction = "key.revoked"
)

// AuditTarget is what something was done to.
type AuditTarget struct {
	Kind string // user, category, product, order, key, import, account (an email that was tried), token (of which nothing is known but its kind), route, backup
	Name string // its id; for an account the email, for a token its kind, for a route its pattern, for a backup when it was taken
}

// AuditDetails says more about an entry, in few words and without secrets.
type AuditDetails map[string]any

// AuditEntry is one line of the audit log. Each is chained to the one before by its hash, so that a line that was changed or taken
// out shows.
type AuditEntry struct {
	Seq        int64 `gorm:"primaryKey;autoIncrement:false"`
	ID         uuid.UUID
	CreatedAt  time.Time
	UserID     *uuid.UUID // nil for a stranger and for the command line
	Username   *string    `gorm:"->"`
	Action     AuditAction
	TargetKind string
	Target     string
	Address    string // where the caller was
	Details    string // JSON
	Hash       string
}

// NewAuditEntry makes an entry that still has no place in the chain.
func NewAuditEntry(actor Actor, action AuditAction, target AuditTarget, details AuditDetails, now time.Time) AuditEntry {
	if details == nil {
		details = AuditDetails{}
	}
	if actor.KeyID != uuid.Nil {
		details["apiKey"] = actor.KeyID
	}
	encoded, _ := json.Marshal(details) // names and plain values alone
	e := AuditEntry{ID: NewID(), CreatedAt: now, Action: action, TargetKind: target.Kind, Target: target.Name, Address: actor.Address, Details: string(encoded)}
	if actor.ID != uuid.Nil {
		e.UserID = &actor.ID
	}
	return e
}

// Follow gives the entry its place behind the one with the hash.
func (e *AuditEntry) Follow(seq int64, hash string) {
	e.Seq = seq
	e.Hash = e.chainHash(hash)
}

// Follows says whether the entry is as it was written, behind the one with the hash.
func (e AuditEntry) Follows(hash string) bool { return e.Hash == e.chainHash(hash) }

// chainHash covers every field and the hash before, as one unambiguous JSON array.
func (e AuditEntry) chainHash(before string) string {
	user := ""
	if e.UserID != nil {
		user = e.UserID.String()
	}
	line, _ := json.Marshal([]any{before, e.Seq, e.ID, e.CreatedAt.UTC().UnixMilli(), user, e.Action, e.TargetKind, e.Target, e.Address, e.Details})
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// AuditFilter narrows the audit log. Empty fields do not narrow.
type AuditFilter struct {
	Page   Page
	User   uuid.UUID
	Action string
	Target string
	From   *time.Time // not before
	To     *time.Time // before
}
