package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

func TestSession(t *testing.T) {
	user := domain.NewID()
	s := domain.NewSession(user, time.Hour, 90*time.Minute, now)
	require.Equal(t, domain.Session{ID: s.ID, UserID: user, CreatedAt: now, IdleUntil: now.Add(time.Hour), ExpiresAt: now.Add(90 * time.Minute)}, s)
	require.True(t, s.Live(now))
	require.True(t, s.Live(now.Add(time.Hour-1)))
	require.False(t, s.Live(now.Add(time.Hour)), "unused until the idle end")

	s.Touch(time.Hour, now.Add(20*time.Minute))
	require.Equal(t, now.Add(80*time.Minute), s.IdleUntil)
	s.Touch(time.Hour, now.Add(50*time.Minute))
	require.Equal(t, now.Add(90*time.Minute), s.IdleUntil, "never beyond the absolute end")
	require.False(t, s.Live(now.Add(90*time.Minute)))

	s.EndedAt = new(now)
	require.False(t, s.Live(now), "ended")
	require.Equal(t, now.Add(time.Minute), domain.NewSession(user, time.Hour, time.Minute, now).IdleUntil, "a session shorter than the idle time")
}

func TestOneTimeToken_Live(t *testing.T) {
	for name, c := range map[string]struct {
		token domain.OneTimeToken
		live  bool
	}{
		"fresh":               {domain.OneTimeToken{ExpiresAt: now.Add(1)}, true},
		"expires now":         {domain.OneTimeToken{ExpiresAt: now}, false},
		"expired":             {domain.OneTimeToken{ExpiresAt: now.Add(-1)}, false},
		"used":                {domain.OneTimeToken{ExpiresAt: now.Add(1), UsedAt: new(now)}, false},
		"revoked":             {domain.OneTimeToken{ExpiresAt: now.Add(1), RevokedAt: new(now)}, false},
		"revoked in the past": {domain.OneTimeToken{ExpiresAt: now.Add(1), RevokedAt: new(now.Add(-time.Hour))}, false},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.live, c.token.Live(now)) })
	}
}

func TestLoginFailures_LoginWait(t *testing.T) {
	const second, minute, hour = time.Second, time.Minute, time.Hour
	for name, c := range map[string]struct {
		failures int           // from this address
		ago      time.Duration // since the last of them
		known    time.Duration // for how long the address still counts as the owner's
		others   int           // failures from elsewhere
		wait     time.Duration // 0 is none
	}{
		"none":                    {0, 0, 0, 0, 0},
		"nine":                    {9, 0, 0, 0, 0},
		"ten":                     {10, 0, 0, 0, second},
		"ten, partly waited":      {10, 600 * time.Millisecond, 0, 0, 400 * time.Millisecond},
		"ten, waited":             {10, second, 0, 0, 0},
		"eleven":                  {11, 0, 0, 0, 2 * second},
		"fourteen, partly waited": {14, 10 * second, 0, 0, 6 * second},
		"eighteen":                {18, 0, 0, 0, 256 * second},
		"nineteen is the longest": {19, 0, 0, 0, 5 * minute},
		"a shift too far":         {73, 0, 0, 0, 5 * minute},
		"longest, waited":         {73, 5 * minute, 0, 0, 0},
		"just within the window":  {99, hour - 1, 0, 1, 5 * minute},
		"after the window":        {99, hour, 0, 1, 0},
		"99 from everywhere":      {0, 0, 0, 99, 0},
		"100 from elsewhere":      {0, 2 * hour, 0, 100, 5 * minute},
		"100 together":            {1, 0, 0, 99, 5 * minute},
		"100 together, however long ago the own one":   {1, 59 * minute, 0, 99, 5 * minute},
		"known, any number from elsewhere":             {0, 0, hour, 1000, 0},
		"known, nine own ones":                         {9, 0, hour, 1000, 0},
		"known, ten own ones":                          {10, 0, hour, 1000, second},
		"known until now is known no more":             {0, 0, 0, 100, 5 * minute},
		"known for a moment more, before others' wait": {0, 0, 1, 100, 0},
	} {
		t.Run(name, func(t *testing.T) {
			known := now.Add(c.known)
			f := domain.LoginFailures{Account: "a@example.com", Address: "192.0.2.1", Failures: c.failures, LastFailedAt: now.Add(-c.ago), KnownUntil: &known}
			require.Equal(t, c.wait, max(0, f.LoginWait(c.others, now)))
			if c.known == 0 {
				f.KnownUntil = nil
				require.Equal(t, c.wait, max(0, f.LoginWait(c.others, now)), "never known")
			}
		})
	}
}
