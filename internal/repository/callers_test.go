package repository_test

import (
	"testing"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
)

// TestSchema_tellsOfCallers: Postgres tells every server what changes who may call, whoever changed it, and nothing else.
func TestSchema_tellsOfCallers(t *testing.T) {
	onPostgres(t, func(t *testing.T, b *base) {
		u := b.user("jane", domain.RoleUser)
		b.session(u, "hash")
		b.ok(b.Factors.Begin(b.ctx, domain.SecondFactor{UserID: u.ID, Secret: "x", CreatedAt: now}))
		b.ok(b.Keys.Create(b.ctx, domain.NewAPIKey(u.ID, "till", "hash", domain.ScopeRead, 1, now)))
		conn, err := b.raw.Conn(b.ctx)
		b.ok(err)
		defer func() { _ = conn.Close() }()
		_, err = conn.ExecContext(b.ctx, "LISTEN callers")
		b.ok(err)
		for statement, tells := range map[string]bool{
			"UPDATE users SET role = 'ReadonlyUser'":                                                    true,
			"UPDATE users SET deleted_at = now()":                                                       true,
			"UPDATE users SET status = 'Draft'":                                                         true,
			"UPDATE users SET first_name = 'Joan', updated_at = now()":                                  false,
			"UPDATE users SET role = 'Admin' WHERE false":                                               false,
			"UPDATE sessions SET ended_at = now()":                                                      true,
			"DELETE FROM sessions":                                                                      true,
			"UPDATE sessions SET idle_until = now()":                                                    false,
			"UPDATE second_factors SET confirmed_at = now()":                                            true,
			"DELETE FROM second_factors":                                                                true,
			"UPDATE second_factors SET last_step = 5":                                                   false,
			"UPDATE api_keys SET revoked_at = now()":                                                    true,
			"UPDATE api_keys SET expires_at = now()":                                                    true,
			"UPDATE api_keys SET scope = 'write'":                                                       true,
			"DELETE FROM api_keys":                                                                      true,
			"UPDATE api_keys SET last_used_at = now()":                                                  false,
			"INSERT INTO sessions SELECT gen_random_uuid(), user_id, now(), now(), now() FROM sessions": false,
		} {
			b.ok(b.exec(statement))
			b.ok(b.exec("SELECT pg_notify('callers', 'that was it')"))
			told := false
			for {
				var payload string
				b.ok(conn.Raw(func(raw any) error {
					n, err := raw.(*stdlib.Conn).Conn().WaitForNotification(b.ctx)
					if err == nil {
						payload = n.Payload
					}
					return err
				}))
				if payload != "" {
					break
				}
				told = true
			}
			require.Equal(t, tells, told, statement)
			if statement[:6] == "DELETE" { // what the others change
				b.session(u, domain.NewID().String())
				_ = b.Factors.Begin(b.ctx, domain.SecondFactor{UserID: u.ID, Secret: "x", CreatedAt: now})
				_ = b.Keys.Create(b.ctx, domain.NewAPIKey(u.ID, "till", domain.NewID().String(), domain.ScopeRead, 1, now))
			}
		}
	})
}

// TestStore_OnCallers tells of what this store does: of a transaction at its end, whether it is kept or not, and of nothing that changed nobody.
func TestStore_OnCallers(t *testing.T) {
	each(t, func(t *testing.T, b *base) {
		told := 0
		b.OnCallers(func() { told++ })
		u := b.user("jane", domain.RoleUser)
		s := b.session(u, "hash")
		b.ok(b.Sessions.EndOldest(b.ctx, u.ID, 5, now))
		b.ok(b.Keys.RevokeAll(b.ctx, u.ID, now))
		b.ok(b.Factors.Remove(b.ctx, u.ID))
		require.Zero(t, told, "nothing was changed")

		b.ok(b.InTx(b.ctx, func(tx *repository.Store) error {
			return tx.InTx(b.ctx, func(inner *repository.Store) error {
				defer func() { require.Zero(t, told, "nothing is committed yet") }()
				return inner.Users.SaveDescription(b.ctx, u)
			})
		}))
		require.Equal(t, 1, told)
		require.ErrorIs(t, b.InTx(b.ctx, func(tx *repository.Store) error {
			b.ok(tx.Sessions.End(b.ctx, s.ID, now))
			return errBroken
		}), errBroken)
		require.Equal(t, 2, told, "nobody knows of a commit whose answer is lost")
		b.ok(b.Sessions.End(b.ctx, s.ID, now))
		require.Equal(t, 3, told)
	})
}
