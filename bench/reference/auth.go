package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"golang.org/x/crypto/argon2"
)

type claims struct {
	jwt.RegisteredClaims
	SessionID string `json:"sid"`
}

type callerKey struct{}

// caller is who calls, and from where.
type caller struct {
	id      uuid.UUID
	address string
}

func callerOf(ctx context.Context) caller { return ctx.Value(callerKey{}).(caller) }

// signedIn lets nobody pass without a token that was signed here, for here, and that is still in force.
func (s *server) signedIn(next func(http.ResponseWriter, *http.Request) error) func(http.ResponseWriter, *http.Request) error {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuer("inventoryhub"), jwt.WithAudience("inventoryhub"),
		jwt.WithExpirationRequired())
	key := func(*jwt.Token) (any, error) { return s.secret, nil }
	return func(w http.ResponseWriter, r *http.Request) error {
		refused := refusal{http.StatusUnauthorized, "authorization", "The access token is not valid"}
		raw, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			return refused
		}
		var c claims
		if _, err := parser.ParseWithClaims(raw, &c, key); err != nil {
			return refused
		}
		id, err := uuid.Parse(c.Subject)
		if err != nil {
			return refused
		}
		return next(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller{id, address(r)})))
	}
}

func address(r *http.Request) string {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return host
}

// hashesAtOnce is how many passwords are hashed at a time: as many as the server that is measured hashes on two cores.
const hashesAtOnce = 2

const (
	accessTTL  = 15 * time.Minute
	refreshTTL = 7 * 24 * time.Hour
	sessionTTL = 30 * 24 * time.Hour
	knownTTL   = 30 * 24 * time.Hour
)

// openSession opens a session, ends the oldest ones beyond a hundred, remembers the address and writes the audit log.
const openSession = `
WITH done AS (
	INSERT INTO sessions (id, user_id, created_at, idle_until, expires_at) VALUES ($10, $3, $2, $11, $12) RETURNING id
), ended AS (
	UPDATE sessions SET ended_at = $2 WHERE user_id = $3 AND ended_at IS NULL AND id NOT IN (
		SELECT id FROM sessions WHERE user_id = $3 AND ended_at IS NULL AND idle_until > $2 ORDER BY created_at DESC, id DESC LIMIT 99)
), known AS (
	INSERT INTO login_failures (account, address, failures, last_failed_at, known_until) VALUES ($14, $7, 0, $2, $15)
	ON CONFLICT (account, address) DO UPDATE SET failures = 0, known_until = excluded.known_until
), carried AS (
	INSERT INTO refresh_tokens (hash, session_id, created_at) SELECT $13::text, id, $2::timestamptz FROM done
), ` + auditTail + `
SELECT FROM head`

func (s *server) login(w http.ResponseWriter, r *http.Request) error {
	var in struct{ Email, Password string }
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	refused := refusal{http.StatusUnauthorized, "credentials", "The email or the password is wrong"}
	var user uuid.UUID
	var hash string
	err := s.db.QueryRow(r.Context(), "SELECT id, password_hash FROM users WHERE email_key = $1 AND deleted_at IS NULL AND status = 'Active'",
		strings.ToLower(in.Email)).Scan(&user, &hash)
	if isNoRow(err) {
		return refused
	}
	if err != nil {
		return err
	}
	s.hashing <- struct{}{}
	right := verify(in.Password, hash)
	<-s.hashing
	if !right {
		return refused
	}
	at, session, secret := now(), uuid.Must(uuid.NewV7()), make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	refresh := base64.RawURLEncoding.EncodeToString(secret)
	sum := sha256.Sum256([]byte(refresh))
	entry := newEntry(caller{user, address(r)}, at, "session.started", "user", user, struct{}{})
	_, err = s.db.Exec(r.Context(), openSession, entry.before(session, at.Add(refreshTTL), at.Add(sessionTTL), hex.EncodeToString(sum[:]),
		strings.ToLower(in.Email), at.Add(knownTTL))...)
	if err != nil {
		return err
	}
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{SessionID: session.String(), RegisteredClaims: jwt.RegisteredClaims{
		Issuer: "inventoryhub", Audience: jwt.ClaimStrings{"inventoryhub"}, Subject: user.String(), ID: uuid.NewString(),
		IssuedAt: jwt.NewNumericDate(at), NotBefore: jwt.NewNumericDate(at), ExpiresAt: jwt.NewNumericDate(at.Add(accessTTL)),
	}})
	token.Header["typ"] = "at+jwt"
	access, err := token.SignedString(s.secret)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]string{"accessToken": access, "refreshToken": refresh})
}

// verify compares a password with its argon2id hash in PHC form.
func verify(password, hash string) bool {
	var version int
	var memory, passes uint32
	var lanes uint8
	parts := strings.Split(hash, "$")
	if len(parts) != 6 {
		return false
	}
	_, errVersion := fmt.Sscanf(parts[2], "v=%d", &version)
	_, errCost := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes)
	salt, errSalt := base64.RawStdEncoding.DecodeString(parts[4])
	key, errKey := base64.RawStdEncoding.DecodeString(parts[5])
	if errVersion != nil || errCost != nil || errSalt != nil || errKey != nil {
		return false
	}
	return subtle.ConstantTimeCompare(argon2.IDKey([]byte(password), salt, passes, memory, lanes, uint32(len(key))), key) == 1
}

// entry is a line of the audit log before it has its place in the chain.
type entry struct {
	id      uuid.UUID
	at      time.Time
	user    uuid.UUID
	action  string
	kind    string
	target  string
	address string
	details string
	rest    string // what follows the place in the text that is hashed
}

func newEntry(by caller, at time.Time, action, kind string, target uuid.UUID, details any) entry {
	encoded, _ := json.Marshal(details) // plain values alone
	e := entry{uuid.Must(uuid.NewV7()), at, by.id, action, kind, target.String(), by.address, string(encoded), ""}
	rest, _ := json.Marshal([]any{e.id, at.UnixMilli(), e.user, action, kind, e.target, e.address, e.details})
	e.rest = "," + string(rest[1:])
	return e
}

// before gives the parameters of a statement that ends with [auditTail]: the entry's, and those of the statement itself, which begin at $10.
func (e entry) before(args ...any) []any {
	return append([]any{e.id, e.at, e.user, e.action, e.kind, e.target, e.address, e.details, e.rest}, args...)
}

// auditTail writes an entry behind the last one for the row of "done", if there is one. The hash is made where the last one is known.
const auditTail = `head AS (
	UPDATE audit_head SET seq = seq + 1, hash = encode(sha256(convert_to('["' || hash || '",' || seq + 1 || $9::text, 'UTF8')), 'hex')
	FROM done WHERE audit_head.id = 1 RETURNING seq, hash
), logged AS (
	INSERT INTO audit_log (seq, id, created_at, user_id, action, target_kind, target, address, details, hash)
	SELECT seq, $1::uuid, $2::timestamptz, $3::uuid, $4::text, $5::text, $6::text, $7::text, $8::text, hash FROM head
)`
