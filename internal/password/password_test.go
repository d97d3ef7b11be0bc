package password

import (
	"context"
	"encoding/base64"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

func TestHasher_comparesExactly(t *testing.T) {
	t.Parallel()
	h := NewHasher()
	long := strings.Repeat("0123456789", 10)
	for _, c := range []struct {
		name, password string
		others         map[string]string
	}{
		{"a hundred characters", long, map[string]string{
			"first 72": long[:72], "first 99": long[:99], "one more": long + "0", "last one differs": long[:99] + "x", "empty": "",
		}},
		{"letters and blanks", "Pässword with blanks 😀", map[string]string{
			"other case": "pässword with blanks 😀", "trailing blank": "Pässword with blanks 😀 ", "leading blank": " Pässword with blanks 😀",
			"decomposed": "Pa\u0308ssword with blanks 😀", "cut emoji": "Pässword with blanks \xf0\x9f\x98", "NUL": "Pässword with blanks 😀\x00",
		}},
	} {
		hash, err := h.Hash(t.Context(), c.password)
		require.NoError(t, err)
		right, err := h.Verify(t.Context(), c.password, hash)
		require.NoError(t, err)
		require.True(t, right, c.name)
		for name, other := range c.others {
			right, err := h.Verify(t.Context(), other, hash)
			require.NoError(t, err)
			require.False(t, right, "%s: %s", c.name, name)
		}
	}
}

func TestHasher_Hash_isArgon2idWithItsOwnSalt(t *testing.T) {
	t.Parallel()
	h := NewHasher()
	first, err := h.Hash(t.Context(), "Tolya123!")
	require.NoError(t, err)
	second, err := h.Hash(t.Context(), "Tolya123!")
	require.NoError(t, err)
	for _, hash := range []string{first, second} {
		require.Regexp(t, `^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`, hash)
	}
	require.NotEqual(t, strings.Split(first, "$")[4], strings.Split(second, "$")[4], "salt")
	require.NotEqual(t, strings.Split(first, "$")[5], strings.Split(second, "$")[5], "key")
}

// TestHasher_Verify_knownHash reads a hash that the reference implementation made (phc-winner-argon2, test.c, version 0x13).
func TestHasher_Verify_knownHash(t *testing.T) {
	t.Parallel()
	const hash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	right, err := NewHasher().Verify(t.Context(), "password", hash)
	require.NoError(t, err)
	require.True(t, right)
	right, err = NewHasher().Verify(t.Context(), "differentpassword", hash)
	require.NoError(t, err)
	require.False(t, right)
}

func TestHasher_Verify_unreadableHash(t *testing.T) {
	t.Parallel()
	const salt, key = "c29tZXNhbHQ", "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	for name, hash := range map[string]string{
		"empty":                "",
		"plain":                "password",
		"bcrypt":               "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"argon2i":              "$argon2i$v=19$m=256,t=2,p=1$" + salt + "$" + key,
		"other version":        "$argon2id$v=16$m=256,t=2,p=1$" + salt + "$" + key,
		"no version":           "$argon2id$m=256,t=2,p=1$" + salt + "$" + key,
		"too dear":             "$argon2id$v=19$m=131073,t=2,p=1$" + salt + "$" + key,
		"beyond 32 bits":       "$argon2id$v=19$m=4294967296,t=2,p=1$" + salt + "$" + key,
		"negative memory":      "$argon2id$v=19$m=-1,t=2,p=1$" + salt + "$" + key,
		"too many passes":      "$argon2id$v=19$m=256,t=17,p=1$" + salt + "$" + key,
		"no passes":            "$argon2id$v=19$m=256,t=0,p=1$" + salt + "$" + key,
		"no lanes":             "$argon2id$v=19$m=256,t=2,p=0$" + salt + "$" + key,
		"too many lanes":       "$argon2id$v=19$m=256,t=2,p=256$" + salt + "$" + key,
		"no key":               "$argon2id$v=19$m=256,t=2,p=1$" + salt,
		"empty key":            "$argon2id$v=19$m=256,t=2,p=1$" + salt + "$",
		"short key":            "$argon2id$v=19$m=256,t=2,p=1$" + salt + "$" + key[:40],
		"long key":             "$argon2id$v=19$m=256,t=2,p=1$" + salt + "$" + key + "AA",
		"short salt":           "$argon2id$v=19$m=256,t=2,p=1$c2FsdA$" + key,
		"no base64":            "$argon2id$v=19$m=256,t=2,p=1$" + salt + "$" + strings.Repeat("!", 43),
		"something follows":    "$argon2id$v=19$m=256,t=2,p=1$" + salt + "$" + key + "$x",
		"something goes ahead": "x$argon2id$v=19$m=256,t=2,p=1$" + salt + "$" + key,
	} {
		t.Run(name, func(t *testing.T) {
			right, err := NewHasher().Verify(t.Context(), "password", hash)
			require.Equal(t, errHash, err)
			require.False(t, right)
		})
	}
}

// allocated gives how many bytes f allocates. The memory that argon2 fills is most of its work, so this shows without a
// stop-watch whether it ran.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestHasher_VerifyNothing_worksAsHard must run alone: it measures the whole process.
func TestHasher_VerifyNothing_worksAsHard(t *testing.T) {
	h := NewHasher()
	hash, err := h.Hash(t.Context(), "Tolya123!")
	require.NoError(t, err)
	real, err := decode(hash)
	require.NoError(t, err)
	dummy, err := decode(h.dummy)
	require.NoError(t, err)
	require.Equal(t, [5]int{int(real.memoryKiB), int(real.passes), int(real.lanes), len(real.salt), len(real.key)},
		[5]int{int(dummy.memoryKiB), int(dummy.passes), int(dummy.lanes), len(dummy.salt), len(dummy.key)})

	verify := allocated(func() { _, err = h.Verify(t.Context(), "Tolya123?", hash) })
	require.NoError(t, err)
	nothing := allocated(func() { err = h.VerifyNothing(t.Context(), "Tolya123?") })
	require.NoError(t, err)
	require.Greater(t, verify, uint64(memoryKiB<<10))
	require.InEpsilon(t, verify, nothing, 0.05)
}

// TestHasher_VerifyNothing_isNeverTrue tries what the dummy's key would be the hash of, if it were one.
func TestHasher_VerifyNothing_isNeverTrue(t *testing.T) {
	t.Parallel()
	h := NewHasher()
	for _, password := range []string{"", "\x00", strings.Repeat("\x00", keyBytes), base64.RawStdEncoding.EncodeToString(make([]byte, keyBytes))} {
		require.NoError(t, h.VerifyNothing(t.Context(), password))
		right, err := h.Verify(t.Context(), password, h.dummy)
		require.NoError(t, err)
		require.False(t, right)
	}
}

// full takes all permits of a hasher, which shows how many there are.
func full(t *testing.T) (h *Hasher, permits int64) {
	t.Helper()
	h, permits = NewHasher(), int64(max(2, runtime.NumCPU()))
	require.True(t, h.permits.TryAcquire(permits))
	require.False(t, h.permits.TryAcquire(1), "more permits than cores")
	return h, permits
}

// calls are all ways to spend work on a password.
var calls = map[string]func(context.Context, *Hasher) error{
	"Hash":          func(ctx context.Context, h *Hasher) error { _, err := h.Hash(ctx, "Tolya123!"); return err },
	"Verify":        func(ctx context.Context, h *Hasher) error { _, err := h.Verify(ctx, "Tolya123!", h.dummy); return err },
	"VerifyNothing": func(ctx context.Context, h *Hasher) error { return h.VerifyNothing(ctx, "Tolya123!") },
}

func TestHasher_full_waitsForItsTurn(t *testing.T) {
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, _ := full(t)
				done := make(chan error, 1)
				go func() { done <- call(t.Context(), h) }()
				time.Sleep(maxWait - time.Millisecond)
				synctest.Wait()
				require.Empty(t, done)
				h.permits.Release(1)
				require.NoError(t, <-done)
				require.True(t, h.permits.TryAcquire(1), "the permit is given back")
			})
		})
	}
}

func TestHasher_full_givesUp(t *testing.T) {
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, permits := full(t)
				start := time.Now()
				err := call(t.Context(), h)
				require.Equal(t, maxWait, time.Since(start))
				var refused *domain.Error
				require.True(t, errors.As(err, &refused))
				require.Equal(t, domain.KindUnavailable, refused.Kind)
				require.Positive(t, refused.RetryAfter)
				h.permits.Release(permits)
				require.NoError(t, call(t.Context(), h), "afterwards it works again")
			})
		})
	}
}

func TestHasher_full_callerGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := full(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := h.Hash(ctx, "Tolya123!")
		require.Equal(t, time.Second, time.Since(start))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}
