// Package password hashes passwords and compares them, with argon2id (RFC 9106). It is a tool: it does not know whose
// password it is, and bounds how much memory and how many cores are spent at once.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/sync/semaphore"

	"inventoryhub/internal/domain"
)

// The cost of a hash: 19 MiB, two passes, one lane (OWASP Password Storage Cheat Sheet, the smallest setting it advises).
const (
	memoryKiB = 19 * 1024
	passes    = 2
	lanes     = 1
	saltBytes = 16
	keyBytes  = 32
	// maxMemoryKiB is the dearest stored hash that is still computed.
	maxMemoryKiB = 128 * 1024
	// maxWait is how long a caller waits for a free core before it is told to come back.
	maxWait = 5 * time.Second
)

// Hasher hashes at most as many passwords at once as there are cores (two at least), so that logins starve
// neither memory nor other requests.
type Hasher struct {
	permits *semaphore.Weighted
	dummy   string
}

// NewHasher makes a hasher.
func NewHasher() *Hasher {
	h := &Hasher{permits: semaphore.NewWeighted(int64(max(2, runtime.NumCPU())))}
	h.dummy = encode(newSalt(), make([]byte, keyBytes))
	return h
}

// Hash gives the PHC form of a password's hash. It returns KindUnavailable when too many are waiting.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	salt := newSalt()
	key, err := h.key(ctx, password, params{memoryKiB, passes, lanes, salt, nil})
	if err != nil {
		return "", err
	}
	return encode(salt, key), nil
}

// Verify says whether the password is the one that was hashed. It returns KindUnavailable when too many are waiting.
func (h *Hasher) Verify(ctx context.Context, password, hash string) (bool, error) {
	p, err := decode(hash)
	if err != nil {
		return false, err
	}
	key, err := h.key(ctx, password, p)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(key, p.key) == 1, nil
}

// VerifyNothing takes as long as Verify and is never true: for an account that does not exist.
func (h *Hasher) VerifyNothing(ctx context.Context, password string) error {
	_, err := h.Verify(ctx, password, h.dummy)
	return err
}

func (h *Hasher) key(ctx context.Context, password string, p params) ([]byte, error) {
	waiting, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	if err := h.permits.Acquire(waiting, 1); err != nil {
		return nil, domain.Unavailable(fmt.Errorf("wait to hash a password: %w", err))
	}
	defer h.permits.Release(1)
	return argon2.IDKey([]byte(password), p.salt, p.passes, p.memoryKiB, p.lanes, keyBytes), nil
}

type params struct {
	memoryKiB uint32
	passes    uint32
	lanes     uint8
	salt, key []byte
}

func newSalt() []byte {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails: crypto/rand ends the process instead
	return salt
}

func encode(salt, key []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memoryKiB, passes, lanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

var errHash = errors.New("a stored password hash cannot be read")

func decode(hash string) (params, error) {
	var p params
	var version int
	var rest string
	n, err := fmt.Sscanf(hash, "$argon2id$v=%d$m=%d,t=%d,p=%d$%s", &version, &p.memoryKiB, &p.passes, &p.lanes, &rest)
	if err != nil || n != 5 || version != argon2.Version || p.memoryKiB > maxMemoryKiB || p.passes == 0 || p.passes > 16 || p.lanes == 0 {
		return params{}, errHash
	}
	salt, key, _ := strings.Cut(rest, "$")
	if p.salt, err = base64.RawStdEncoding.DecodeString(salt); err != nil || len(p.salt) < 8 {
		return params{}, errHash
	}
	if p.key, err = base64.RawStdEncoding.DecodeString(key); err != nil || len(p.key) != keyBytes {
		return params{}, errHash
	}
	return p, nil
}
