package httpapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/token"
)

// key gives whoever calls with a new API key of the user, without the cost of a password.
func (c *client) key(scope domain.KeyScope) *client {
	c.s.t.Helper()
	text := token.NewKey()
	made := domain.NewAPIKey(c.user.ID, "till", token.Hash(text), scope, domain.DefaultKeyDays, c.s.now().UTC().Truncate(time.Millisecond))
	require.NoError(c.s.t, c.s.store.Keys.Create(c.s.t.Context(), made))
	return &client{s: c.s, user: c.user, access: text, addr: c.addr}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC))
		c := s.newUser(domain.RoleUser)
		require.Equal(t, map[string]any{"keys": []any{}}, c.get("/users/me/keys").wants(http.StatusOK).json())
		made := c.post("/users/me/keys", j{"name": "  Till 1 ", "scope": "read", "expiresInDays": 1, "currentPassword": goodPassword}).wants(http.StatusCreated).json()
		require.Regexp(t, `^ihk_[A-Za-z0-9_-]{43}$`, made["key"])
		text := made["key"].(string)
		delete(made, "key")
		require.Equal(t, map[string]any{
			"id": made["id"], "name": "Till 1", "scope": "read", "createdAt": "2031-02-03T04:05:06.000Z", "expiresAt": "2031-02-04T04:05:06.000Z", "lastUsedAt": nil,
		}, made)
		s.stop(s.now().Add(time.Second))
		c.key("write")
		keys := c.get("/users/me/keys").wants(http.StatusOK).json()["keys"].([]any)
		require.Len(t, keys, 2)
		require.Equal(t, made, keys[1])
		require.Equal(t, "2031-05-04T04:05:07.000Z", keys[0].(j)["expiresAt"], "90 days")

		till := &client{s: s, user: c.user, access: text}
		require.Equal(t, c.user.Email, till.get("/users/me").wants(http.StatusOK).text("email"))
		used := func() any {
			return c.get("/users/me/keys").wants(http.StatusOK).json()["keys"].([]any)[1].(j)["lastUsedAt"]
		}
		require.Equal(t, "2031-02-03T04:05:07.000Z", used())
		s.stop(s.now().Add(59 * time.Second))
		till.get("/users/me").wants(http.StatusOK)
		require.Equal(t, "2031-02-03T04:05:07.000Z", used(), "to the minute")
		s.stop(s.now().Add(time.Second))
		till.get("/users/me").wants(http.StatusOK)
		require.Equal(t, "2031-02-03T04:06:07.000Z", used())

		for _, wrong := range []string{text + "x", text[:len(text)-1], strings.ToUpper(text), domain.KeyPrefix, domain.KeyPrefix + strings.Repeat("A", 43), domain.KeyPrefix + strings.Repeat("A", 10000)} {
			(&client{s: s, access: wrong}).get("/users/me").refuses(http.StatusUnauthorized, "authorization")
		}
		(&client{s: s, access: text, refresh: c.refresh}).refreshed().refuses(http.StatusUnauthorized, "authorization")
		s.stop(s.now().Add(24 * time.Hour))
		till.get("/users/me").refuses(http.StatusUnauthorized, "authorization")
		require.Len(t, s.session(c.user).get("/users/me/keys").wants(http.StatusOK).json()["keys"], 1)
	})
}

func TestKeys_invalid(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		c := s.newUser(domain.RoleReadonlyUser)
		good := func(with ...any) j {
			body := j{"name": "till", "scope": "read", "currentPassword": goodPassword}
			for i := 0; i < len(with); i += 2 {
				body[with[i].(string)] = with[i+1]
			}
			return body
		}
		c.post("/users/me/keys", j{}).refuses(http.StatusBadRequest, "name", "scope", "currentPassword")
		for _, body := range []j{good("name", ""), good("name", "a\nb"), good("name", strings.Repeat("x", 101)), good("name", 1)} {
			c.post("/users/me/keys", body).refuses(http.StatusBadRequest, "name")
		}
		for _, scope := range []any{"Read", "admin", "read,write", 1, nil} {
			c.post("/users/me/keys", good("scope", scope)).refuses(http.StatusBadRequest, "scope")
		}
		for _, days := range []any{0, -1, 367, 1.5, "1"} {
			c.post("/users/me/keys", good("expiresInDays", days)).refuses(http.StatusBadRequest, "expiresInDays")
		}
		c.post("/users/me/keys", good("expiresInDays", 366, "currentPassword", "wrong")).refuses(http.StatusBadRequest, "currentPassword")
		c.post("/users/me/keys", good("expiresInDays", 366)).wants(http.StatusCreated)
		for _, id := range []string{unknownID, "x", "%00"} {
			c.delete("/users/me/keys/"+id).refuses(http.StatusNotFound, "id")
		}
	})
}

// TestKeys_scopes calls every route with a key of either scope: nothing is open that its owner may not do, and a little less than that.
func TestKeys_scopes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		for _, g := range grants {
			method, route, _ := strings.Cut(g.route, " ")
			if slices.Contains(g.may, "") {
				continue // open to anyone
			}
			account := strings.HasPrefix(route, "/auth/") || strings.HasPrefix(route, "/users/me/keys") || strings.HasPrefix(route, "/users") && method != http.MethodGet
			for _, role := range g.may {
				for _, scope := range []domain.KeyScope{domain.ScopeRead, domain.ScopeWrite} {
					s.run(fmt.Sprint(route, " ", method, " ", roleName(role), " ", scope), func(t *testing.T) {
						owner := s.newUser(role)
						path, body := g.request(s, owner)
						key := owner.key(scope)
						before := s.dump()
						a := key.do(method, path, body)
						if account || method != http.MethodGet && scope == domain.ScopeRead {
							a.refuses(http.StatusForbidden, "authorization")
							after := s.dump()
							delete(before, "api_keys") // its use is noted
							delete(after, "api_keys")
							require.Equal(t, before, after)
						} else {
							a.wants(g.status)
						}
					})
				}
			}
		}
		for _, role := range domain.Roles[1:] {
			s.newUser(role).key("write").get("/audit").refuses(http.StatusForbidden, "authorization")
		}
	})
}

// TestKeys_end lists what ends a key at once.
func TestKeys_end(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin := s.as(domain.RoleAdmin)
		for name, end := range map[string]func(owner *client, id string){
			"revoked": func(owner *client, id string) {
				owner.delete("/users/me/keys/" + id).wants(http.StatusNoContent)
				owner.delete("/users/me/keys/"+id).refuses(http.StatusNotFound, "id")
			},
			"owner deleted": func(owner *client, _ string) {
				admin.delete("/users/" + owner.user.ID.String()).wants(http.StatusNoContent)
			},
			"email changed": func(owner *client, _ string) {
				admin.put("/users/"+owner.user.ID.String(), invitee(unique("moved")+"@example.com", domain.RoleUser)).wants(http.StatusNoContent)
			},
			"password reset": func(owner *client, _ string) {
				s.anonymous().post("/auth/reset", j{"token": s.resetToken(owner.user), "password": "correct horse battery"}).wants(http.StatusNoContent)
			},
			"password reset by the operator": func(owner *client, _ string) {
				_, err := s.operator().ResetPassword(t.Context(), owner.user.Email, "")
				require.NoError(t, err)
			},
		} {
			s.run(name, func(*testing.T) {
				owner := s.newUser(domain.RoleUser)
				key, other := owner.key("write"), s.newUser(domain.RoleUser).key("read")
				id := owner.get("/users/me/keys").wants(http.StatusOK).json()["keys"].([]any)[0].(j)["id"].(string)
				key.live()
				s.newUser(domain.RoleAdmin).delete("/users/me/keys/"+id).refuses(http.StatusNotFound, "id") // nobody else's affair
				end(owner, id)
				key.get("/users/me").refuses(http.StatusUnauthorized, "authorization")
				other.live()
			})
		}
		owner := s.newUser(domain.RoleUser)
		key := owner.key("write")
		owner.put("/auth/password", j{"currentPassword": goodPassword, "newPassword": "correct horse battery"}).wants(http.StatusNoContent)
		key.live() // a program goes on when its owner changes the password as a matter of routine
		admin.put("/users/"+owner.user.ID.String(), invitee(owner.user.Email, domain.RoleReadonlyUser)).wants(http.StatusNoContent)
		key.post("/products/orders", j{}).refuses(http.StatusForbidden, "authorization") // never above the owner's present role
	})
}

func TestKeys_twentyAtMost(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c := s.newUser(domain.RoleUser)
		for range 15 {
			c.key("read")
		}
		answers := atOnce(8, func(i int) answer {
			return c.post("/users/me/keys", j{"name": fmt.Sprint(i), "scope": "read", "currentPassword": goodPassword})
		})
		got := tally(answers)
		require.LessOrEqual(t, got[http.StatusCreated], 5)
		require.Len(t, c.get("/users/me/keys").wants(http.StatusOK).json()["keys"], 15+got[http.StatusCreated])
		for range 5 - got[http.StatusCreated] {
			c.key("read")
		}
		c.post("/users/me/keys", j{"name": "x", "scope": "read", "currentPassword": goodPassword}).refuses(http.StatusConflict, "request")
		s.advance(91 * 24 * time.Hour)
		s.session(c.user).key("read")
	})
}

// TestKeys_audit: what was done by a key says so.
func TestKeys_audit(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		manager := s.newUser(domain.RoleManager)
		key := manager.key("write")
		id := manager.get("/users/me/keys").wants(http.StatusOK).json()["keys"].([]any)[0].(j)["id"].(string)
		told := len(s.entries(0))
		key.post("/products/categories", j{"name": "Electronics"}).wants(http.StatusCreated)
		key.post("/auth/invite", invitee("x@example.com", domain.RoleUser)).refuses(http.StatusForbidden, "authorization")
		lines := s.entries(told)
		require.Len(t, lines, 2)
		require.JSONEq(t, `{"name":"Electronics","apiKey":"`+id+`"}`, lines[0].details)
		require.JSONEq(t, `{"apiKey":"`+id+`"}`, lines[1].details)
		require.Equal(t, manager.user.ID.String(), lines[0].user)
		s.unbroken()
	})
}

// TestUserRateLimit: a user's sessions and keys share what the user has a minute; others have their own.
func TestUserRateLimit(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(s.now())
		c, other := s.newUser(domain.RoleUser), s.newUser(domain.RoleUser)
		second := s.session(c.user)
		for i := range 30 {
			[]*client{c, second}[i%2].get("/users/me").wants(http.StatusOK)
		}
		a := c.get("/users/me")
		a.refuses(http.StatusTooManyRequests, "request")
		require.Equal(t, "2", a.Header.Get("Retry-After"))
		second.get("/products").refuses(http.StatusTooManyRequests, "request")
		other.get("/users/me").wants(http.StatusOK)
		s.anonymous().get("/healthz").wants(http.StatusOK)
		s.stop(s.now().Add(2 * time.Second))
		second.get("/users/me").wants(http.StatusOK)
	}, func(c *setup) { c.UserRateLimit = 30 })
}

// TestInvite_twentyADay: nobody's mailbox is filled by inviting them over and over.
func TestInvite_twentyADay(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(s.now().UTC().Truncate(time.Second))
		email := unique("draft") + "@example.com"
		invite := func() answer {
			return s.session(s.as(domain.RoleManager).user).post("/auth/invite", invitee(email, domain.RoleUser))
		}
		for range domain.MaxInvitationsPerDay {
			invite().wants(http.StatusCreated)
			s.stop(s.now().Add(time.Minute))
		}
		before := s.dump()
		a := invite()
		a.refuses(http.StatusTooManyRequests, "request")
		require.Equal(t, fmt.Sprint((24*60-domain.MaxInvitationsPerDay)*60), a.Header.Get("Retry-After"))
		after := s.dump()
		for _, state := range []map[string][]string{before, after} {
			delete(state, "sessions")
			delete(state, "refresh_tokens")
		}
		require.Equal(t, before, after)
		s.stop(s.now().Add(24*time.Hour - domain.MaxInvitationsPerDay*time.Minute))
		invite().wants(http.StatusCreated)
		invite().refuses(http.StatusTooManyRequests, "request")
	})
}

// TestSessions_hundredAtMost: the login beyond ends the oldest.
func TestSessions_hundredAtMost(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		s.stop(s.now())
		u := s.newUser(domain.RoleUser)
		s.stop(s.now().Add(time.Second))
		second := s.session(u.user)
		s.stop(s.now().Add(time.Second))
		for range domain.MaxSessions - 2 {
			s.session(u.user)
		}
		u.live()
		s.stop(s.now().Add(time.Second))
		last := s.holder(s.at(home).login(u.user.Email, goodPassword).wants(http.StatusOK))
		u.ended()
		second.live()
		last.live()
	})
}
