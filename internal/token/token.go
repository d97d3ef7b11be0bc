// Package token issues and verifies the signed access tokens (JWT) and makes the opaque secrets that open sessions and
// accounts. It is a tool: it stores nothing and does not know what a session may do.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"inventoryhub/internal/domain"
)

const (
	issuer   = "inventoryhub"
	audience = "inventoryhub"
	// mediaType tells an access token from any other JWT (RFC 9068 section 2.1; RFC 8725 section 3.11).
	mediaType = "at+jwt"
	// leeway is how far apart the clocks of two instances may be.
	leeway = 30 * time.Second
	// maxLength bounds what is parsed at all, in bytes. Ours are about 400.
	maxLength = 4096
)

// MinSecret is the shortest key for signing, in bytes: that of the hash (RFC 7518 section 3.2).
const MinSecret = 32

// Claims is what an access token says: which user, by which session. The role is not in it, since it may have changed.
type Claims struct {
	UserID    uuid.UUID
	SessionID uuid.UUID
	ExpiresAt time.Time // to the second; set by the issuer
}

// Issuer issues and verifies access tokens.
type Issuer struct {
	secret []byte
	ttl    time.Duration
	now    func() time.Time
	parser *jwt.Parser
}

// NewIssuer makes an issuer whose tokens live for ttl. The secret must have [MinSecret] bytes.
func NewIssuer(secret []byte, ttl time.Duration, now func() time.Time) (*Issuer, error) {
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("the secret for signing has %d bytes, but needs %d", len(secret), MinSecret)
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	return &Issuer{secret: secret, ttl: ttl, now: now, parser: parser}, nil
}

type claims struct {
	jwt.RegisteredClaims
	SessionID string `json:"sid"`
}

// Issue signs a token for a user's session.
func (i *Issuer) Issue(c Claims) (string, error) {
	now := i.now()
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: c.UserID.String(), ID: uuid.NewString(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(i.ttl)),
		},
		SessionID: c.SessionID.String(),
	})
	t.Header["typ"] = mediaType
	signed, err := t.SignedString(i.secret)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return signed, nil
}

// Verify checks a token wholly. It returns KindUnauthenticated on `authorization` for any that is not one of ours or not in force.
func (i *Issuer) Verify(raw string) (Claims, error) { return i.verify(raw, false) }

// VerifyExpired is Verify for a refresh: the token may have expired, and nothing else may be wrong with it.
func (i *Issuer) VerifyExpired(raw string) (Claims, error) { return i.verify(raw, true) }

func (i *Issuer) verify(raw string, expired bool) (Claims, error) {
	invalid := domain.Unauthenticated("authorization", "The access token is not valid")
	if len(raw) > maxLength || strings.ContainsAny(raw, "\r\n") { // encoding/base64 would skip line breaks, even when strict
		return Claims{}, invalid
	}
	var c claims
	t, err := i.parser.ParseWithClaims(raw, &c, func(*jwt.Token) (any, error) { return i.secret, nil })
	if err != nil || t.Header["typ"] != mediaType || c.ID == "" || c.ExpiresAt == nil || c.IssuedAt == nil || c.NotBefore == nil {
		return Claims{}, invalid
	}
	at := i.now()
	if expired && at.After(c.ExpiresAt.Time) {
		at = c.ExpiresAt.Time
	}
	err = jwt.NewValidator(jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(leeway), jwt.WithTimeFunc(func() time.Time { return at })).Validate(c)
	if err != nil {
		return Claims{}, invalid
	}
	user, errUser := uuid.Parse(c.Subject)
	session, errSession := uuid.Parse(c.SessionID)
	if errUser != nil || errSession != nil {
		return Claims{}, invalid
	}
	return Claims{UserID: user, SessionID: session, ExpiresAt: c.ExpiresAt.UTC()}, nil
}

// NewSecret makes an opaque secret of 256 random bits, in base64url: for refresh tokens, invitations and resets.
func NewSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return base64.RawURLEncoding.EncodeToString(b)
}

// Hash gives the form in which an opaque secret is kept. A plain SHA-256 does, because nobody can guess 256 random bits.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
