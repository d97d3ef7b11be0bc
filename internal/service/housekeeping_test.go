package service_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/service"
)

// old fills every table that is kept in order: with what is due, a moment old enough, and with what is not yet.
func (w *world) old() (due, kept map[string][]string) {
	w.t.Helper()
	const day = 24 * time.Hour
	now, u := w.now(), w.user(domain.RoleUser)
	due, kept = map[string][]string{}, map[string][]string{}
	note := func(table, key string, isDue bool) {
		if isDue {
			due[table] = append(due[table], key)
		} else {
			kept[table] = append(kept[table], key)
		}
	}
	for _, isDue := range []bool{true, false} {
		// at gives a time so long ago, and a millisecond more or less.
		at := func(ago time.Duration) time.Time {
			if isDue {
				return now.Add(-ago - time.Millisecond)
			}
			return now.Add(-ago)
		}
		session := func(s domain.Session) {
			s.ID, s.UserID, s.CreatedAt = domain.NewID(), u.ID, now.Add(-400*day)
			w.ok(w.store.Sessions.Create(w.ctx, s, domain.RefreshToken{Hash: s.ID.String(), SessionID: s.ID, CreatedAt: s.CreatedAt}))
			note("sessions id", s.ID.String(), isDue)
			note("refresh_tokens hash", s.ID.String(), isDue)
		}
		session(domain.Session{IdleUntil: at(30 * day), ExpiresAt: now.Add(day)})
		session(domain.Session{IdleUntil: at(30 * day), ExpiresAt: at(30 * day)})
		session(domain.Session{IdleUntil: now, ExpiresAt: now, EndedAt: new(at(30 * day))})

		for _, kind := range []domain.TokenKind{domain.TokenInvitation, domain.TokenPasswordReset} {
			id := domain.NewID()
			w.ok(w.store.Tokens.Create(w.ctx, domain.OneTimeToken{ID: id, Kind: kind, UserID: u.ID, TokenHash: id.String(), EventID: domain.NewID(), CreatedAt: now.Add(-400 * day), ExpiresAt: at(30 * day)}))
			note("one_time_tokens id", id.String(), isDue)
		}

		for _, k := range []domain.APIKey{{ExpiresAt: at(30 * day)}, {ExpiresAt: now.Add(day), RevokedAt: new(at(30 * day))}} {
			k.ID, k.UserID, k.Scope, k.CreatedAt = domain.NewID(), u.ID, domain.ScopeRead, now.Add(-400*day)
			k.Hash = k.ID.String()
			w.ok(w.store.Keys.Create(w.ctx, k))
			note("api_keys id", k.ID.String(), isDue)
		}

		account := uuid.NewString()
		w.ok(w.store.Logins.Failed(w.ctx, account, address, at(time.Hour)))
		note("login_failures account", account, isDue)

		e, err := domain.NewEvent(domain.EventUserInvited, u.ID, now.Add(-400*day), domain.UserInvited{})
		w.ok(err)
		w.ok(w.store.InTx(w.ctx, func(tx *repository.Store) error { return tx.Outbox.Add(w.ctx, e) }))
		w.ok(w.store.Outbox.Sent(w.ctx, e.ID, at(7*day)))
		note("outbox id", e.ID.String(), isDue)

		_, _, err = w.store.Deliveries.Claim(w.ctx, e, at(90*day), time.Minute)
		w.ok(err)
		note("deliveries event_id", e.ID.String(), isDue)

		name := fmt.Sprintf("%032x.png", len(kept))
		w.ok(os.WriteFile(filepath.Join(w.dir, name), nil, 0o600))
		if isDue {
			w.ok(os.Chtimes(filepath.Join(w.dir, name), at(time.Hour), at(time.Hour)))
		}
		note("pictures", name, isDue)
	}
	// However old: what waits, what an operator must see, and what is still good.
	for i := range 2 {
		e, err := domain.NewEvent(domain.EventUserInvited, u.ID, now.Add(-400*day), domain.UserInvited{})
		w.ok(err)
		w.ok(w.store.InTx(w.ctx, func(tx *repository.Store) error { return tx.Outbox.Add(w.ctx, e) }))
		if i == 0 {
			w.ok(w.store.Outbox.Dead(w.ctx, e.ID, "malformed"))
		}
		note("outbox id", e.ID.String(), false)
	}
	known := uuid.NewString()
	w.ok(w.store.Logins.Succeeded(w.ctx, known, address, now.Add(-20*day)))
	note("login_failures account", known, false)
	return due, kept
}

// keys gives what a map of [world.old] names and what of it is still there.
func (w *world) keys(of map[string][]string) map[string][]string {
	w.t.Helper()
	left := map[string][]string{}
	for place, keys := range of {
		table, column, _ := strings.Cut(place, " ")
		for _, key := range keys {
			there := false
			if column == "" {
				_, err := os.Stat(filepath.Join(w.dir, key))
				there = err == nil
			} else {
				var n int
				w.ok(w.raw.QueryRowContext(w.ctx, fmt.Sprintf("SELECT COUNT(*) FROM %s WHERE %s = '%s'", table, column, key)).Scan(&n))
				there = n > 0
			}
			if there {
				left[place] = append(left[place], key)
			}
		}
	}
	return left
}

func TestHousekeeping(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.product(w.category(), 1, picture(1))
		w.order(p, 1, domain.OrderReady)
		w.draft(domain.RoleUser)
		live := w.as(domain.RoleUser)
		due, kept := w.old()
		require.Equal(t, due, w.keys(due))
		before := w.dump()

		w.ok(w.housekeeping.Run(w.ctx))
		require.Empty(t, w.keys(due))
		require.Equal(t, kept, w.keys(kept))
		require.True(t, w.live(live))
		after := w.dump()
		require.Equal(t, []string{"api_keys", "deliveries", "login_failures", "one_time_tokens", "outbox", "pictures", "refresh_tokens", "sessions"}, changed(before, after))
		for table, rows := range after {
			lost := 0
			for place, keys := range due {
				if name, _, _ := strings.Cut(place, " "); name == table {
					lost += len(keys)
				}
			}
			require.Len(t, rows, len(before[table])-lost, table)
		}
		w.ok(w.housekeeping.Run(w.ctx))
		require.Equal(t, after, w.dump())
	})
}

// TestHousekeeping_panic: a defect in it is told, and does not end the process.
func TestHousekeeping_panic(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		require.ErrorContains(t, service.NewHousekeeping(w.store, nil, w.now).Run(w.ctx), "panic: ")
	})
}

// TestHousekeeping_oneFaultIsNotAll: what can be done is done.
func TestHousekeeping_oneFaultIsNotAll(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		due, kept := w.old()
		allow := w.forbid("sessions", "DELETE")
		require.ErrorContains(t, w.housekeeping.Run(w.ctx), "forbidden by the test")
		require.Equal(t, map[string][]string{"sessions id": due["sessions id"], "refresh_tokens hash": due["refresh_tokens hash"]}, w.keys(due))
		allow()
		w.ok(w.housekeeping.Run(w.ctx))
		require.Empty(t, w.keys(due))
		require.Equal(t, kept, w.keys(kept))
	})
}
