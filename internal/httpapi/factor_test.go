package httpapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/password"
	"inventoryhub/internal/service"
	"inventoryhub/internal/token"
)

// app is a user's authenticator app, with the recovery codes that the user wrote down.
type app struct {
	c      *client
	secret string
	codes  []string
}

// begin sets an app up for the user, as far as its first code.
func (c *client) begin() *app {
	c.s.t.Helper()
	if c.access == "" {
		return &app{c: c, secret: "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", codes: []string{"x"}} // a stranger has none
	}
	secret, _, err := token.NewFactor(c.user.Email) // without the cost of a password
	require.NoError(c.s.t, err)
	sealed := c.s.vault.Seal(secret, c.user.ID.String())
	require.NoError(c.s.t, c.s.store.Factors.Begin(c.s.t.Context(), domain.SecondFactor{UserID: c.user.ID, Secret: sealed, CreatedAt: c.s.now()}))
	return &app{c: c, secret: secret}
}

// protect gives the user a second factor.
func (c *client) protect() *app {
	c.s.t.Helper()
	p := c.begin()
	if c.access == "" {
		return p
	}
	p.confirmed(c.post("/auth/2fa/confirm", j{"code": p.code()}))
	return p
}

func (p *app) confirmed(a answer) {
	p.c.s.t.Helper()
	p.codes = nil
	for _, code := range a.wants(http.StatusOK).json()["recoveryCodes"].([]any) {
		require.Regexp(p.c.s.t, `^[a-z2-7]{6}(-[a-z2-7]{6}){3}$`, code)
		p.codes = append(p.codes, code.(string))
	}
	require.Len(p.c.s.t, p.codes, 10)
}

// codeAt is what the app shows so far from now.
func (p *app) codeAt(d time.Duration) string {
	p.c.s.t.Helper()
	code, err := totp.GenerateCodeCustom(p.secret, p.c.s.now().Add(d), totp.ValidateOpts{Period: 30, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
	require.NoError(p.c.s.t, err)
	return code
}

func (p *app) code() string { return p.codeAt(0) }

func (p *app) login(code string) answer {
	return p.c.s.at(home).post("/auth/login", j{"email": p.c.user.Email, "password": goodPassword, "code": code})
}

// midnight stops the clock at the beginning of a time step, so that codes are those of whole steps away.
func (s *server) midnight() { s.stop(time.Date(2031, 2, 3, 0, 0, 0, 0, time.UTC)) }

// wrong is a code that the app does not show now.
func (p *app) wrong() string {
	for i := range 10 {
		code := fmt.Sprintf("%06d", i)
		if code != p.codeAt(-30*time.Second) && code != p.code() && code != p.codeAt(30*time.Second) {
			return code
		}
	}
	panic("unreachable")
}

func TestFactor_login(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.midnight()
		c := s.newUser(domain.RoleUser)
		require.Equal(t, map[string]any{"enabled": false, "required": false, "recoveryCodesLeft": 0.0}, c.get("/auth/2fa").wants(http.StatusOK).json())
		other := s.session(c.user)

		begun := c.post("/auth/2fa", j{"currentPassword": goodPassword}).wants(http.StatusCreated)
		secret := begun.text("secret")
		require.Regexp(t, `^[A-Z2-7]{32}$`, secret)
		uri, err := url.Parse(begun.text("uri"))
		require.NoError(t, err)
		require.Equal(t, "otpauth://totp", uri.Scheme+"://"+uri.Host)
		require.Equal(t, "/Inventory Hub:"+c.user.Email, uri.Path)
		require.Equal(t, secret, uri.Query().Get("secret"))
		require.Equal(t, "Inventory Hub", uri.Query().Get("issuer"))

		p := &app{c: c, secret: secret}
		p.login("").wants(http.StatusOK) // begun alone asks for nothing
		c.post("/auth/2fa/confirm", j{"code": p.wrong()}).refuses(http.StatusBadRequest, "code")
		again := &app{c: c, secret: c.begin().secret}
		require.NotEqual(t, secret, again.secret)
		c.post("/auth/2fa/confirm", j{"code": p.code()}).refuses(http.StatusBadRequest, "code") // the first app was replaced
		again.confirmed(c.post("/auth/2fa/confirm", j{"code": again.code()}))
		p = again
		c.live()
		other.ended()
		require.Equal(t, map[string]any{"enabled": true, "required": false, "recoveryCodesLeft": 10.0}, c.get("/auth/2fa").wants(http.StatusOK).json())
		c.post("/auth/2fa", j{"currentPassword": goodPassword}).refuses(http.StatusConflict, "request")
		c.post("/auth/2fa/confirm", j{"code": p.codeAt(30 * time.Second)}).refuses(http.StatusConflict, "request")

		require.Equal(t, []string{"A code of your authenticator app is required"}, p.login("").refuses(http.StatusUnauthorized, "code")["code"])
		p.login(p.code()).refuses(http.StatusUnauthorized, "code") // the one that confirmed
		p.login(p.codeAt(-30*time.Second)).refuses(http.StatusUnauthorized, "code")
		p.login(p.codeAt(60*time.Second)).refuses(http.StatusUnauthorized, "code")
		p.login(p.wrong()).refuses(http.StatusUnauthorized, "code")
		in := s.holder(p.login(p.codeAt(30 * time.Second)).wants(http.StatusOK)) // an app that is half a minute ahead
		in.live()
		p.login(p.codeAt(30*time.Second)).refuses(http.StatusUnauthorized, "code")
		s.stop(s.now().Add(time.Minute))
		p.login(" "+p.code()[:3]+" "+p.code()[3:]).refuses(http.StatusUnauthorized, "code") // longer than a code is written
		p.login(p.code()[:3] + " " + p.code()[3:]).wants(http.StatusOK)
		s.at(home).post("/auth/login", j{"email": c.user.Email, "password": "wrong", "code": p.codeAt(30 * time.Second)}).refuses(http.StatusUnauthorized, "credentials")
		for _, code := range []any{123456, nil, true, []string{}, j{}} {
			a := s.at(home).post("/auth/login", j{"email": c.user.Email, "password": goodPassword, "code": code})
			if code == nil {
				a.refuses(http.StatusUnauthorized, "code")
			} else {
				a.refuses(http.StatusBadRequest, "code")
			}
		}
		for _, code := range []string{"12345", "1234567", "abcdef", "١٢٣٤٥٦", strings.Repeat("1", 100), "' OR 1=1"} {
			p.login(code).refuses(http.StatusUnauthorized, "code")
			s.stop(s.now().Add(time.Hour)) // past the throttle
		}
		p.login(strings.Repeat("1", 101)).refuses(http.StatusBadRequest, "code")
	})
}

func TestFactor_recoveryCodes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.midnight()
		p := s.newUser(domain.RoleManager).protect()
		p.login(p.codes[0]).wants(http.StatusOK)
		p.login(p.codes[0]).refuses(http.StatusUnauthorized, "code")
		p.login(strings.ToUpper(strings.ReplaceAll(p.codes[1], "-", ""))).wants(http.StatusOK)
		p.login(strings.ReplaceAll(p.codes[2], "-", " ")).wants(http.StatusOK)
		require.EqualValues(t, 7, p.c.get("/auth/2fa").wants(http.StatusOK).json()["recoveryCodesLeft"])
		stranger := s.newUser(domain.RoleManager).protect()
		p.login(stranger.codes[0]).refuses(http.StatusUnauthorized, "code")

		renew := func(password, code string) answer {
			return p.c.post("/auth/2fa/recovery-codes", j{"currentPassword": password, "code": code})
		}
		renew("wrong", p.codeAt(30*time.Second)).refuses(http.StatusBadRequest, "currentPassword")
		renew(goodPassword, p.wrong()).refuses(http.StatusBadRequest, "code")
		old := p.codes
		p.confirmed(renew(goodPassword, p.codeAt(30*time.Second))) // the code was not spent by the wrong password
		p.login(old[5]).refuses(http.StatusUnauthorized, "code")
		p.login(p.codes[5]).wants(http.StatusOK)
	})
}

func TestFactor_disable(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		s.midnight()
		p := s.newUser(domain.RoleUser).protect()
		disable := func(password, code string) answer {
			return p.c.post("/auth/2fa/disable", j{"currentPassword": password, "code": code})
		}
		disable("", "").refuses(http.StatusBadRequest, "currentPassword", "code")
		disable("wrong", p.codes[0]).refuses(http.StatusBadRequest, "currentPassword")
		disable(goodPassword, p.wrong()).refuses(http.StatusBadRequest, "code")
		p.login("").refuses(http.StatusUnauthorized, "code")
		disable(goodPassword, p.codes[0]).wants(http.StatusNoContent)
		disable(goodPassword, p.codes[1]).refuses(http.StatusConflict, "request")
		p.c.post("/auth/2fa/recovery-codes", j{"currentPassword": goodPassword, "code": p.codes[1]}).refuses(http.StatusConflict, "request")
		p.login("").wants(http.StatusOK)
		p.c.protect().login("").refuses(http.StatusUnauthorized, "code")
	})
}

// TestFactor_required: until there is a second factor, a role that needs one opens nothing but the way to it.
func TestFactor_required(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.midnight()
		param := regexp.MustCompile(`:\w+`)
		for _, role := range []domain.Role{domain.RoleAdmin, domain.RoleManager} {
			c := s.newUser(role)
			key := c.key("write")
			for _, g := range grants {
				method, route, _ := strings.Cut(g.route, " ")
				if slices.Contains(g.may, "") || strings.HasPrefix(route, "/users/me") || strings.HasPrefix(route, "/auth/") && route != "/auth/invite" {
					continue
				}
				for _, who := range []*client{c, key} {
					before := s.dump()
					who.do(method, param.ReplaceAllString(route, unknownID), nil).refuses(http.StatusForbidden, "authorization")
					after := s.dump()
					delete(before, "api_keys") // its use is noted
					delete(after, "api_keys")
					require.Equal(t, before, after, g.route)
				}
			}
			c.live()
			require.Equal(t, true, c.get("/auth/2fa").wants(http.StatusOK).json()["required"])
			p := c.protect()
			c.get("/products").wants(http.StatusOK)
			key.get("/products").wants(http.StatusOK)
			c.post("/auth/2fa/disable", j{"currentPassword": goodPassword, "code": p.codes[0]}).refuses(http.StatusForbidden, "authorization")
			p.login("").refuses(http.StatusUnauthorized, "code")
		}
		user := s.newUser(domain.RoleUser)
		user.get("/products").wants(http.StatusOK)
		admin := s.newUser(domain.RoleAdmin)
		admin.protect()
		admin.put("/users/"+user.user.ID.String(), invitee(user.user.Email, domain.RoleManager)).wants(http.StatusNoContent)
		user.get("/products").refuses(http.StatusForbidden, "authorization") // from the next request on
	}, func(c *setup) { c.RequireFactor = []domain.Role{domain.RoleAdmin, domain.RoleManager} })
}

// TestFactor_guessing: wrong codes slow down as wrong passwords do, at the login and in a session, and a right password between them helps nothing.
func TestFactor_guessing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.midnight()
		p := s.newUser(domain.RoleUser).protect()
		for i := range 10 {
			p.login([]string{"", p.wrong()}[i%2]).refuses(http.StatusUnauthorized, "code")
		}
		a := p.login(p.codes[0])
		a.refuses(http.StatusTooManyRequests, "request")
		require.Equal(t, "1", a.Header.Get("Retry-After"))
		s.stop(s.now().Add(time.Hour))
		p.login(p.codes[0]).wants(http.StatusOK)

		p.c.access, p.c.addr = s.session(p.c.user).access, home
		for range 10 {
			p.c.post("/auth/2fa/disable", j{"currentPassword": goodPassword, "code": p.wrong()}).refuses(http.StatusBadRequest, "code")
		}
		p.c.post("/auth/2fa/disable", j{"currentPassword": goodPassword, "code": p.codes[1]}).refuses(http.StatusTooManyRequests, "request")

		begun := s.newUser(domain.RoleUser)
		q := begun.begin()
		for range 10 {
			begun.post("/auth/2fa/confirm", j{"code": q.wrong()}).refuses(http.StatusBadRequest, "code")
		}
		begun.post("/auth/2fa/confirm", j{"code": q.code()}).refuses(http.StatusTooManyRequests, "request")
	})
}

// TestFactor_atOnce shows one code to two instances at the same moment, many times.
func TestFactor_atOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.midnight()
		p := s.newUser(domain.RoleUser).protect()
		twin := s.twin()
		for name, code := range map[string]string{"app": p.codeAt(30 * time.Second), "recovery": p.codes[0]} {
			answers := atOnce(8, func(i int) answer {
				for {
					a := []*server{s, twin}[i%2].at(fmt.Sprintf("192.0.2.%d:1", i)).post("/auth/login", j{"email": p.c.user.Email, "password": goodPassword, "code": code})
					if a.Status != http.StatusServiceUnavailable { // no core was free for the password
						return a
					}
				}
			})
			require.Equal(t, map[int]int{http.StatusOK: 1, http.StatusUnauthorized: 7}, tally(answers), name)
		}
		c := s.newUser(domain.RoleUser)
		q := c.begin()
		require.Equal(t, 1, tally(atOnce(8, func(int) answer { return c.post("/auth/2fa/confirm", j{"code": q.code()}) }))[http.StatusOK])
	})
}

// TestFactor_reset: whoever reads the mailbox does not get past the second factor by a new password.
func TestFactor_reset(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.midnight()
		p := s.newUser(domain.RoleUser).protect()
		s.anonymous().post("/auth/reset", j{"token": s.resetToken(p.c.user), "password": "correct horse battery"}).wants(http.StatusNoContent)
		body := j{"email": p.c.user.Email, "password": "correct horse battery"}
		s.at(home).post("/auth/login", body).refuses(http.StatusUnauthorized, "code")
		require.NoError(t, s.operator().RemoveFactor(t.Context(), p.c.user.Email))
		s.holder(s.at(home).post("/auth/login", body).wants(http.StatusOK)).live()
	})
}

// TestFactor_kept looks at what the database holds: nothing that a thief of it could use.
func TestFactor_kept(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.midnight()
		p := s.newUser(domain.RoleUser).protect()
		key := p.c.key("read")
		all := fmt.Sprint(s.dump())
		require.Contains(t, all, p.c.user.Email)
		for _, secret := range append(p.codes, strings.ReplaceAll(p.codes[0], "-", ""), p.secret, key.access, strings.TrimPrefix(key.access, domain.KeyPrefix)) {
			require.NotContains(t, all, secret)
		}
		admin := s.as(domain.RoleAdmin)
		admin.delete("/users/" + p.c.user.ID.String()).wants(http.StatusNoContent)
		require.Empty(t, s.rows("SELECT * FROM second_factors"))
		require.Empty(t, s.rows("SELECT * FROM recovery_codes"))
	})
}

// TestFactor_otherSecret: with another JWT_SECRET the app's codes cannot be checked, which is an operator's fault and said in the log; recovery codes still work.
func TestFactor_otherSecret(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.midnight()
		p := s.newUser(domain.RoleUser).protect()
		s.exec("UPDATE second_factors SET secret = 'bm90aGluZyBvZiBvdXJzIGlzIGhlcmUuLi4uLi4u'")
		p.login(p.codeAt(30*time.Second)).refuses(http.StatusServiceUnavailable, "server")
		require.Contains(t, s.log.String(), "was JWT_SECRET changed?")
		p.login(p.codes[0]).wants(http.StatusOK)
	})
}

// operator is whoever can run commands on the server itself.
func (s *server) operator() *service.Operator {
	return service.NewOperator(s.store, password.NewHasher(), 8, s.now)
}
