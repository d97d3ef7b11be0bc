package main

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/rabbitmq"
	"inventoryhub/internal/storetest"
)

// secrets are all that a run has used and that may be found nowhere, by their values; each with its kind.
type secrets map[string]string

// shapes are what secrets look like, whether or not we know of them.
var shapes = map[string]*regexp.Regexp{
	"the shape of a JWT":              regexp.MustCompile(`eyJ[\w-]*\.[\w-]+`),
	"the shape of an API key":         regexp.MustCompile(`ihk_[\w-]{43}`),
	"the shape of a recovery code":    regexp.MustCompile(`\b[a-z2-7]{6}(-[a-z2-7]{6}){3}\b`),
	"the shape of an app's secret":    regexp.MustCompile(`otpauth:`),
	"the shape of a header of access": regexp.MustCompile(`(?i)\b(bearer|basic) [\w.~+/-]{20}`),
}

// forms gives the ways to write a secret in logs, rows and messages.
func forms(secret string) []string {
	quoted, _ := json.Marshal(secret) // cannot fail for a string
	all := []string{
		secret, string(quoted[1 : len(quoted)-1]), strings.Trim(strconv.Quote(secret), `"`), url.QueryEscape(secret), url.PathEscape(secret),
		hex.EncodeToString([]byte(secret)), strings.ReplaceAll(secret, "-", ""),
		base64.RawStdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
	}
	if key, err := base32.StdEncoding.DecodeString(secret); err == nil { // of an authenticator app
		all = append(all, string(key), hex.EncodeToString(key), base64.RawStdEncoding.EncodeToString(key), base64.RawURLEncoding.EncodeToString(key))
	}
	return all
}

// in gives the kinds of all secrets that a text holds.
func (s secrets) in(text string) []string {
	found := map[string]bool{}
	for secret, kind := range s {
		if slices.ContainsFunc(forms(secret), func(form string) bool { return strings.Contains(text, form) }) {
			found[kind] = true
		}
	}
	for kind, shape := range shapes {
		if shape.MatchString(text) {
			found[kind] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// audited is an installation whose every secret is known.
type audited struct {
	*hub
	api      *program
	worker   *program // nil: the api mails by itself
	embedded bool
	secrets  secrets
	admin    string // the Admin's access token
}

// object is a JSON object.
type object = map[string]any

// fresh makes a secret that can be mistaken for nothing else.
func (a *audited) fresh(kind, pattern string) string {
	secret := fmt.Sprintf(pattern, rand.Text())
	a.secrets[secret] = kind
	return secret
}

// password makes one with characters that are written differently here and there.
func (a *audited) password() string { return a.fresh("password", `Tolya & "%s" é`) }

// learn notes the secrets in an answer.
func (a *audited) learn(answer string) {
	for _, found := range regexp.MustCompile(`"(accessToken|refreshToken|key|secret)":"([^"]{20,})"`).FindAllStringSubmatch(answer, -1) {
		a.secrets[found[2]] = found[1]
	}
	for _, code := range regexp.MustCompile(`[a-z2-7]{6}(-[a-z2-7]{6}){3}`).FindAllString(answer, -1) {
		a.secrets[code] = "recovery code"
	}
}

// call sends a request with a JSON body, or one that is a string as it is. Headers come in pairs of name and value.
func (a *audited) call(access, method, path string, body any, headers ...string) (int, string) {
	a.t.Helper()
	text, raw := body.(string)
	if !raw {
		encoded, err := json.Marshal(body)
		require.NoError(a.t, err)
		text = string(encoded)
	}
	r, err := http.NewRequestWithContext(a.t.Context(), method, a.api.url+path, strings.NewReader(text))
	require.NoError(a.t, err)
	r.Header.Set("Content-Type", "application/json")
	if access != "" {
		r.Header.Set("Authorization", "Bearer "+access)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := a.client.Do(r)
	require.NoError(a.t, err)
	defer func() { _ = answer.Body.Close() }()
	said, err := io.ReadAll(answer.Body)
	require.NoError(a.t, err)
	a.learn(string(said))
	return answer.StatusCode, string(said)
}

// must is call for an answer of a known status, of which it gives the members.
func (a *audited) must(status int, access, method, path string, body any, headers ...string) (members map[string]any) {
	a.t.Helper()
	got, said := a.call(access, method, path, body, headers...)
	require.Equal(a.t, status, got, "%s %s: %s", method, path, said)
	if said != "" {
		require.NoError(a.t, json.Unmarshal([]byte(said), &members), said)
	}
	return members
}

// login gives the two tokens.
func (a *audited) login(email, password string, code any) (access, refresh string) {
	a.t.Helper()
	tokens := a.must(http.StatusOK, "", http.MethodPost, "/auth/login", object{"email": email, "password": password, "code": code})
	return tokens["accessToken"].(string), tokens["refreshToken"].(string)
}

// mailed waits for the newest of so many mails to somebody, and gives the token in it.
func (a *audited) mailed(email string, nth int) string {
	a.t.Helper()
	eventually(a.t, "no mail to "+email, func() bool { return len(a.mails.to(email)) >= nth })
	token := a.mails.to(email)[nth-1].token(a.t)
	a.secrets[token] = "token of a mail"
	return token
}

func (a *audited) invited(email, role string) {
	a.t.Helper()
	a.must(http.StatusCreated, a.admin, http.MethodPost, "/auth/invite", object{"email": email, "firstName": "Jane", "lastName": "Doe", "role": role})
}

// member is somebody who has joined.
type member struct{ email, password, access, refresh, id string }

// join invites somebody, who registers after one try with a password that is too common.
func (a *audited) join(name, role string) (m member) {
	a.t.Helper()
	m.email, m.password = name+"@example.com", a.password()
	a.invited(m.email, role)
	token := a.mailed(m.email, 1)
	a.must(http.StatusBadRequest, "", http.MethodPost, "/auth/register", object{"token": token, "username": name, "password": "password1"})
	tokens := a.must(http.StatusCreated, "", http.MethodPost, "/auth/register", object{"token": token, "username": name, "password": m.password})
	m.access, m.refresh = tokens["accessToken"].(string), tokens["refreshToken"].(string)
	m.id = a.must(http.StatusOK, m.access, http.MethodGet, "/users/me", nil)["id"].(string)
	return m
}

// code is what an authenticator app shows so far from now.
func (a *audited) code(secret any, ahead time.Duration) string {
	a.t.Helper()
	code, err := totp.GenerateCode(secret.(string), time.Now().Add(ahead))
	require.NoError(a.t, err)
	return code
}

// accounts goes all ways in and out, right and wrong.
func (a *audited) accounts() {
	a.t.Helper()
	wrong := a.fresh("password", "Wr0ng%s!")
	m := a.join("jane", "Manager")
	a.must(http.StatusUnauthorized, "", http.MethodPost, "/auth/login", object{"email": m.email, "password": wrong})
	a.must(http.StatusUnauthorized, "", http.MethodPost, "/auth/login", object{"email": "nobody@example.com", "password": wrong})
	access, refresh := a.login(m.email, m.password, "")
	a.must(http.StatusUnauthorized, m.access, http.MethodPost, "/auth/refresh", object{"refreshToken": refresh}) // of another session
	tokens := a.must(http.StatusOK, access, http.MethodPost, "/auth/refresh", object{"refreshToken": refresh})
	a.must(http.StatusUnauthorized, access, http.MethodPost, "/auth/refresh", object{"refreshToken": refresh}) // shown twice
	a.must(http.StatusUnauthorized, tokens["accessToken"].(string), http.MethodGet, "/users/me", nil)

	a.must(http.StatusBadRequest, m.access, http.MethodPut, "/auth/password", object{"currentPassword": wrong, "newPassword": a.password()})
	next := a.password()
	a.must(http.StatusNoContent, m.access, http.MethodPut, "/auth/password", object{"currentPassword": m.password, "newPassword": next})
	a.must(http.StatusAccepted, "", http.MethodPost, "/auth/forgot", object{"email": m.email})
	a.must(http.StatusAccepted, "", http.MethodPost, "/auth/forgot", object{"email": "nobody@example.com"})
	a.must(http.StatusBadRequest, "", http.MethodPost, "/auth/reset", object{"token": a.fresh("token of a mail", "%s"), "password": a.password()})
	reset := a.mailed(m.email, 2)
	m.password = a.password()
	a.must(http.StatusNoContent, "", http.MethodPost, "/auth/reset", object{"token": reset, "password": m.password})
	a.must(http.StatusBadRequest, "", http.MethodPost, "/auth/reset", object{"token": reset, "password": a.password()})
	m.access, _ = a.login(m.email, m.password, "")

	a.must(http.StatusBadRequest, m.access, http.MethodPost, "/auth/2fa", object{"currentPassword": wrong})
	app := a.must(http.StatusCreated, m.access, http.MethodPost, "/auth/2fa", object{"currentPassword": m.password})["secret"]
	a.must(http.StatusBadRequest, m.access, http.MethodPost, "/auth/2fa/confirm", object{"code": "abcdef"})
	codes := a.must(http.StatusOK, m.access, http.MethodPost, "/auth/2fa/confirm", object{"code": a.code(app, 0)})["recoveryCodes"].([]any)
	a.must(http.StatusUnauthorized, "", http.MethodPost, "/auth/login", object{"email": m.email, "password": m.password})
	a.must(http.StatusUnauthorized, "", http.MethodPost, "/auth/login", object{"email": m.email, "password": m.password, "code": app})
	a.login(m.email, m.password, a.code(app, 30*time.Second))
	a.login(m.email, m.password, codes[0])
	a.must(http.StatusUnauthorized, "", http.MethodPost, "/auth/login", object{"email": m.email, "password": m.password, "code": codes[0]})
	a.must(http.StatusOK, m.access, http.MethodGet, "/auth/2fa", nil)
	renewed := a.must(http.StatusOK, m.access, http.MethodPost, "/auth/2fa/recovery-codes", object{"currentPassword": m.password, "code": codes[1]})["recoveryCodes"].([]any)
	a.must(http.StatusNoContent, m.access, http.MethodPost, "/auth/2fa/disable", object{"currentPassword": m.password, "code": renewed[0]})
	kept := a.join("john", "User") // has a second factor when the tables are read
	app = a.must(http.StatusCreated, kept.access, http.MethodPost, "/auth/2fa", object{"currentPassword": kept.password})["secret"]
	a.must(http.StatusOK, kept.access, http.MethodPost, "/auth/2fa/confirm", object{"code": a.code(app, 0)})

	for _, scope := range []string{"read", "write"} {
		key := a.must(http.StatusCreated, m.access, http.MethodPost, "/users/me/keys", object{"name": "till", "scope": scope, "currentPassword": m.password})
		a.must(http.StatusOK, key["key"].(string), http.MethodGet, "/products", nil)
		a.must(http.StatusForbidden, key["key"].(string), http.MethodPut, "/auth/password", object{"currentPassword": m.password, "newPassword": next})
		a.must(http.StatusOK, m.access, http.MethodGet, "/users/me/keys", nil)
		if scope == "read" {
			a.must(http.StatusNoContent, m.access, http.MethodDelete, "/users/me/keys/"+key["id"].(string), nil)
			a.must(http.StatusUnauthorized, key["key"].(string), http.MethodGet, "/products", nil)
		}
	}
	a.must(http.StatusNoContent, m.access, http.MethodPost, "/auth/logout", nil)
	a.must(http.StatusUnauthorized, m.access, http.MethodGet, "/users/me", nil)

	a.must(http.StatusOK, a.admin, http.MethodGet, "/users", nil)
	a.must(http.StatusOK, a.admin, http.MethodGet, "/users/"+m.id, nil)
	a.must(http.StatusNoContent, a.admin, http.MethodPut, "/users/"+m.id, object{"email": "doe@example.com", "firstName": "Jane", "lastName": "Doe", "role": "User"})
	a.must(http.StatusNoContent, a.admin, http.MethodDelete, "/users/"+m.id, nil)
}

// goods calls all routes that have to do with no account.
func (a *audited) goods() {
	a.t.Helper()
	const picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
	as := func(status int, method, path string, body any) map[string]any {
		a.t.Helper()
		return a.must(status, a.admin, method, path, body)
	}
	as(http.StatusCreated, http.MethodPost, "/products/categories", object{"name": "Electronics"})
	product := object{"name": "iPhone 12", "category": "Electronics", "quantity": 10, "description": "", "image": picture}
	item := as(http.StatusCreated, http.MethodPost, "/products", product)
	id := item["id"].(string)
	status, _ := a.call("", http.MethodGet, "/images/"+item["imageUrl"].(string)[strings.LastIndex(item["imageUrl"].(string), "/")+1:], nil)
	require.Equal(a.t, http.StatusOK, status)
	as(http.StatusOK, http.MethodPut, "/products/"+id, product)
	as(http.StatusOK, http.MethodPatch, "/products/quantity/"+id, object{"delta": 1})
	order := as(http.StatusCreated, http.MethodPost, "/products/orders", object{"itemId": id, "client": "John", "description": "", "quantity": 2})["id"].(string)
	as(http.StatusOK, http.MethodPut, "/products/orders/"+order, object{"client": "John", "description": "", "quantity": 3})
	as(http.StatusOK, http.MethodPatch, "/products/orders/state/"+order, object{"transition": "Ready"})
	for _, path := range []string{
		"/products", "/products/" + id, "/products/" + id + "/movements", "/products/categories", "/products/orders", "/products/orders/" + order,
		"/products/orders/" + order + "/history", "/audit", "/healthz", "/readyz",
	} {
		as(http.StatusOK, http.MethodGet, path, nil)
	}
	for _, path := range []string{"/openapi.json", "/docs", "/docs/assets/page.css", "/products/export", "/products/orders/export"} { // not all of it is JSON
		status, said := a.call(a.admin, http.MethodGet, path, nil)
		require.Equal(a.t, http.StatusOK, status, said)
	}
	status, said := a.call(a.admin, http.MethodPost, "/products/import", "sku,name,category,quantity\nx,x,Electronics,1\n", "Content-Type", "text/csv")
	require.Equal(a.t, http.StatusOK, status, said)
	as(http.StatusNoContent, http.MethodDelete, "/products/orders/"+order, nil)
	as(http.StatusNoContent, http.MethodDelete, "/products/"+id, nil)
	as(http.StatusNoContent, http.MethodDelete, "/products/categories/Electronics", nil)
}

// astray puts secrets where they do not belong. None of it may be accepted.
func (a *audited) astray() {
	a.t.Helper()
	m := a.join("astray", "User")
	key := a.must(http.StatusCreated, m.access, http.MethodPost, "/users/me/keys", object{"name": "till", "scope": "read", "currentPassword": m.password})["key"].(string)
	basic := base64.StdEncoding.EncodeToString([]byte(m.email + ":" + m.password))
	a.secrets[basic] = "password"
	refused := func(access, method, path string, body any, headers ...string) {
		a.t.Helper()
		status, said := a.call(access, method, path, body, headers...)
		require.GreaterOrEqual(a.t, status, 400, "%s %s: %s", method, path, said)
		require.Less(a.t, status, 500, "%s %s: %s", method, path, said)
	}
	for _, secret := range []string{m.password, m.access, m.refresh, key} {
		in := url.QueryEscape(secret)
		for _, access := range []string{"", m.access} {
			refused(access, http.MethodGet, "/users/"+url.PathEscape(secret), nil)
			refused(access, http.MethodGet, "/images/"+url.PathEscape(secret), nil)
			refused(access, http.MethodGet, "/nowhere/"+url.PathEscape(secret), nil)
			refused(access, http.MethodDelete, "/products/categories/"+url.PathEscape(secret), nil)
			refused(access, http.MethodDelete, "/users/me/keys/"+url.PathEscape(secret), nil)
			refused(access, http.MethodGet, "/users?page="+in+"&sort="+in+"&token="+in, nil)
			refused(access, http.MethodGet, "/audit?action="+in+"&target="+in, nil)
			refused(access, http.MethodGet, "/auth/login?password="+in, nil)
			refused(access, http.MethodPost, "/products/orders", object{"itemId": secret, "client": secret, "quantity": secret})
			refused(access, http.MethodPatch, "/products/orders/state/"+m.id, object{"transition": secret})
			refused(access, http.MethodPost, "/products", object{"name": secret, "category": secret, "image": secret})
			refused(access, http.MethodPost, "/products", "--x\r\nContent-Disposition: form-data; name=\""+in+"\"\r\n\r\n"+secret+"\r\n--x--\r\n", "Content-Type", "multipart/form-data; boundary=x")
		}
		refused("", http.MethodGet, "/users/me", nil, "Authorization", secret)
		refused("", http.MethodGet, "/users/me", nil, "Authorization", "Bearer "+secret+"x")
		refused("", http.MethodGet, "/users/me", nil, "Authorization", "Basic "+basic, "Cookie", "token="+in, "User-Agent", in, "Referer", "https://hub.example.com/?token="+in)
		refused("", http.MethodPost, "/auth/login?password="+in, object{"email": secret, "password": secret})
		refused("", http.MethodPost, "/auth/login", object{"email": "nobody@example.com", "password": secret, "code": "1"}, "X-Forwarded-For", in, "X-Request-Id", secret+" x")
		refused("", http.MethodPost, "/auth/login", object{secret: secret})
		refused("", http.MethodPost, "/auth/login", []string{secret})
		refused("", http.MethodPost, "/auth/login", `{"email": "jane@example.com", "password": "`+secret)
		refused("", http.MethodPost, "/auth/login", `{"password": "`+in+`", "password": "`+in+`"}`)
		refused("", http.MethodPost, "/auth/login", "{\"password\": \""+in+"\xff\"}")
		refused("", http.MethodPost, "/auth/login", object{"email": m.email, "password": secret}, "Content-Type", "text/"+in)
		refused("", http.MethodPost, "/auth/login", object{"email": m.email, "password": secret}, "Content-Encoding", in)
		refused("", http.MethodPost, "/auth/register", object{"token": secret, "username": secret, "password": secret})
		refused("", http.MethodPost, "/auth/refresh", object{"refreshToken": secret}, "Authorization", "Bearer "+m.refresh)
		refused("", http.MethodPost, "/auth/forgot", object{"email": secret})
		refused("", http.MethodPost, "/auth/reset", object{"token": secret, "password": "short"})
		refused(a.admin, http.MethodPost, "/auth/invite", object{"email": secret, "firstName": secret, "lastName": secret, "role": secret})
		refused(a.admin, http.MethodPut, "/users/"+m.id, object{"email": secret, "firstName": secret, "lastName": secret, "role": secret}, "If-Match", in)
		refused(m.access, http.MethodPost, "/auth/2fa/confirm", object{"code": secret})
		refused(m.access, http.MethodPut, "/auth/password", object{"currentPassword": in, "newPassword": secret})
		if !strings.ContainsAny(secret, `"& `) {
			refused("", secret, "/auth/login", nil) // as a method
		}
		for _, request := range []string{
			secret + "\r\n\r\n",
			"GET /users?token=" + in + " HTTP/9.9\r\nHost: x\r\n\r\n",
			"GET /%zz" + in + " HTTP/1.1\r\nHost: x\r\n\r\n",
			"GET /users/me HTTP/1.1\r\nHost: x\r\nAuthorization Bearer " + secret + "\r\n\r\n",
			"GET /users/me HTTP/1.1\r\nHost: " + in + " " + in + "\r\n\r\n",
			"GET /users/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + strings.Repeat(secret, 1000) + "\r\n\r\n",
			"POST /auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + in + "\r\n\r\n",
			"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: " + in + "\r\n\r\n",
		} {
			require.Regexp(a.t, `^HTTP/1\.. [45]`, a.raw(request))
		}
	}
}

// raw sends bytes as they are and gives what comes back.
func (a *audited) raw(request string) string {
	a.t.Helper()
	conn, err := new(net.Dialer).DialContext(a.t.Context(), "tcp", strings.TrimPrefix(a.api.url, "http://"))
	require.NoError(a.t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(a.t, conn.SetDeadline(time.Now().Add(patience)))
	_, _ = io.WriteString(conn, request) // the server may hang up before it has read all
	answer := make([]byte, 100)
	n, _ := io.ReadAtLeast(conn, answer, len("HTTP/1.1 400"))
	return string(answer[:n])
}

// failing has the database refuse to insert into one table after the other, while secrets are on their way there: what the server then says of its own
// fault must not quote them.
func (a *audited) failing() {
	a.t.Helper()
	m := a.join("failing", "User")
	a.invited("late@example.com", "User")
	invitation := a.mailed("late@example.com", 1)
	a.must(http.StatusAccepted, "", http.MethodPost, "/auth/forgot", object{"email": m.email})
	reset := a.mailed(m.email, 2)
	app := a.must(http.StatusCreated, m.access, http.MethodPost, "/auth/2fa", object{"currentPassword": m.password})["secret"]
	login := func() (int, string) {
		return a.call("", http.MethodPost, "/auth/login", object{"email": m.email, "password": m.password})
	}
	for table, calls := range map[string][]func() (int, string){
		"refresh_tokens": {login, func() (int, string) {
			return a.call(m.access, http.MethodPost, "/auth/refresh", object{"refreshToken": m.refresh})
		}, func() (int, string) {
			return a.call("", http.MethodPost, "/auth/register", object{"token": invitation, "username": "late", "password": a.password()})
		}},
		"sessions": {login},
		"outbox": {func() (int, string) {
			return a.call("", http.MethodPost, "/auth/forgot", object{"email": m.email})
		}, func() (int, string) {
			return a.call(a.admin, http.MethodPost, "/auth/invite", object{"email": "never@example.com", "firstName": "Jane", "lastName": "Doe", "role": "User"})
		}},
		"one_time_tokens": {func() (int, string) {
			return a.call("", http.MethodPost, "/auth/forgot", object{"email": m.email})
		}},
		"recovery_codes": {func() (int, string) {
			return a.call(m.access, http.MethodPost, "/auth/2fa/confirm", object{"code": a.code(app, 0)})
		}},
		"api_keys": {func() (int, string) {
			return a.call(m.access, http.MethodPost, "/users/me/keys", object{"name": "till", "scope": "read", "currentPassword": m.password})
		}},
		"audit_log": {func() (int, string) {
			return a.call(m.access, http.MethodPut, "/auth/password", object{"currentPassword": m.password, "newPassword": a.password()})
		}, func() (int, string) {
			return a.call("", http.MethodPost, "/auth/reset", object{"token": reset, "password": a.password()})
		}},
	} {
		mend := "DROP TRIGGER sabotage"
		if a.embedded {
			a.exec(`CREATE TRIGGER sabotage BEFORE INSERT ON ` + table + ` BEGIN SELECT RAISE(ABORT, 'sabotaged'); END`)
		} else {
			a.exec(`CREATE FUNCTION sabotage() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'sabotaged'; END $$`)
			a.exec(`CREATE TRIGGER sabotage BEFORE INSERT ON ` + table + ` FOR EACH ROW EXECUTE FUNCTION sabotage()`)
			mend = "DROP FUNCTION sabotage CASCADE"
		}
		for _, call := range calls {
			status, said := call()
			require.Equal(a.t, http.StatusInternalServerError, status, "%s: %s", table, said)
		}
		a.exec(mend)
	}
	require.Contains(a.t, a.api.out.String(), "sabotaged", "the faults are not in the log")
}

// places gives everything that the installation keeps and tells, by its name.
func (a *audited) places() map[string]string {
	a.t.Helper()
	marker := rand.Text() // when its line is there, so are all before it
	a.must(http.StatusOK, "", http.MethodGet, "/healthz", nil, "X-Request-Id", marker)
	eventually(a.t, "the log ends early", func() bool { return strings.Contains(a.api.out.String(), marker) })
	places := map[string]string{"the api's log": a.api.out.String()}
	if a.worker != nil {
		places["the worker's log"] = a.worker.out.String()
	}
	for page := 1; ; page++ {
		status, said := a.call(a.admin, http.MethodGet, fmt.Sprintf("/audit?pageSize=100&page=%d", page), nil)
		require.Equal(a.t, http.StatusOK, status, said)
		places["the audit log by the API"] += said
		if strings.Contains(said, `"audit":[]`) {
			break
		}
	}
	list := "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
	if a.embedded {
		list = "SELECT name FROM sqlite_master WHERE type = 'table'"
	}
	for _, table := range a.rows(list) {
		for _, row := range a.rows("SELECT * FROM " + table) {
			if table == "outbox" {
				row = a.withoutItsToken(row)
			}
			places["table "+table] += row + "\n"
		}
	}
	return places
}

var eventToken = regexp.MustCompile(`"token":\s*"([^"]+)"`)

// withoutItsToken takes the token out of an event that waits to be mailed: there, and once, it has to stand.
func (a *audited) withoutItsToken(event string) string {
	found := eventToken.FindStringSubmatchIndex(event)
	if found == nil {
		return event
	}
	a.secrets[event[found[2]:found[3]]] = "token of a mail"
	return event[:found[2]] + event[found[3]:]
}

// rows gives the rows of a query as text. Bytes are given in hexadecimal too.
func (a *audited) rows(query string) (all []string) {
	a.t.Helper()
	rows, err := a.db.QueryContext(context.Background(), query)
	require.NoError(a.t, err)
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	require.NoError(a.t, err)
	for rows.Next() {
		row := make([]any, len(columns))
		for i := range row {
			row[i] = new(any)
		}
		require.NoError(a.t, rows.Scan(row...))
		var text []string
		for _, field := range row {
			value := *field.(*any)
			if b, binary := value.([]byte); binary {
				value = string(b) + " " + hex.EncodeToString(b)
			}
			text = append(text, fmt.Sprint(value))
		}
		all = append(all, strings.Join(text, " | "))
	}
	require.NoError(a.t, rows.Err())
	return all
}

// requireClean looks for every secret everywhere.
func (a *audited) requireClean(messages ...rabbitmq.Message) {
	a.t.Helper()
	places := a.places()
	for _, m := range messages {
		places["message "+m.Type] += a.withoutItsToken(string(m.Body)) + fmt.Sprint(m.ID, m.Type, m.ContentType, m.Reason)
	}
	for place, text := range places {
		require.Empty(a.t, a.secrets.in(text), place)
	}
}

// queued takes all messages that wait for a worker, when there is none.
func (a *audited) queued(n int) (taken []rabbitmq.Message) {
	a.t.Helper()
	var mu sync.Mutex
	consumer, err := rabbitmq.NewConsumer(a.brokerConfig(), func(_ context.Context, m rabbitmq.Message) rabbitmq.Decision {
		mu.Lock()
		defer mu.Unlock()
		taken = append(taken, m)
		return rabbitmq.Ack{}
	})
	require.NoError(a.t, err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = consumer.Run(ctx) })
	eventually(a.t, "the messages did not come", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(taken) == n
	})
	stop()
	running.Wait()
	return taken
}

func (a *audited) dead() []rabbitmq.Message {
	a.t.Helper()
	letters, err := rabbitmq.NewDeadLetters(a.brokerConfig())
	require.NoError(a.t, err)
	all, err := letters.List(a.t.Context(), 100)
	require.NoError(a.t, err)
	return all
}

func (a *audited) brokerConfig() rabbitmq.Config {
	return rabbitmq.Config{URL: a.broker, RetryDelay: retryDelay, RetryMaxDelay: retryMaxDelay}
}

// routesOf reads the route table of the server.
func routesOf(t *testing.T) (routes []string) {
	t.Helper()
	source, err := os.ReadFile("../../internal/httpapi/router.go")
	require.NoError(t, err)
	for _, found := range regexp.MustCompile(`\{method: http\.Method(\w+), path: "([^"]+)"`).FindAllStringSubmatch(string(source), -1) {
		routes = append(routes, strings.ToUpper(found[1])+" "+found[2])
	}
	require.Greater(t, len(routes), 40, "the route table was not read")
	return routes
}

// succeeded gives the routes that the log says were called with success.
func (a *audited) succeeded() (routes []string) {
	for line := range strings.Lines(a.api.out.String()) {
		var request struct {
			Msg, Method, Route string
			Status             int
		}
		if json.Unmarshal([]byte(line), &request) == nil && request.Msg == "request" && request.Status < 300 {
			routes = append(routes, request.Method+" "+request.Route)
		}
	}
	return routes
}

// TestSecrets_areNowhere has real processes do all they can, right and wrong, while they tell as much as they ever do. Then it looks for everything
// secret in their logs, in every table, in the audit log and in the broker's messages.
func TestSecrets_areNowhere(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); testSecrets(t, newHubOn(t, storetest.SQLiteURL(t), nil)) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); testSecrets(t, newHub(t, nil)) })
	t.Run("broker", func(t *testing.T) { t.Parallel(); testSecrets(t, newSharedHub(t)) })
}

func testSecrets(t *testing.T, h *hub) {
	a := &audited{hub: h, embedded: strings.HasPrefix(h.database, "sqlite:"), secrets: secrets{}}
	admin := a.password()
	settings := []string{"LOG_LEVEL=debug", "LOG_FORMAT=json", "ADMIN_PASSWORD=" + admin, "JWT_SECRET=" + a.fresh("JWT_SECRET", "%s%[1]s")}
	a.api = startAPI(t, h.with(settings...))
	if h.broker != "" {
		a.worker = h.startWorker(settings...)
	}
	a.admin, _ = a.login(adminEmail, admin, "")
	a.accounts()
	a.goods()
	for _, route := range routesOf(t) {
		eventually(t, "no success of "+route+" is in the log", func() bool { return slices.Contains(a.succeeded(), route) })
	}
	a.astray()
	a.failing()

	// When all mails have left but one that nobody takes, its token is in that event alone.
	h.mails.on("lost@example.com", refuses(550))
	a.invited("lost@example.com", "User")
	eventually(t, "some mails did not leave", func() bool { return h.idle(1) })
	if a.worker == nil {
		a.requireClean()
	} else {
		letters := a.dead()
		require.Len(t, letters, 1)
		a.requireClean(letters...)
	}

	// While mails wait, each token is in its own event.
	waiting := []string{"waiting0@example.com", "waiting1@example.com"}
	known := len(a.secrets)
	if a.worker == nil {
		for _, email := range waiting {
			h.mails.on(email, slices.Repeat([]reaction{refuses(451)}, 1000)...)
			a.invited(email, "User")
			eventually(t, "nobody tried to mail", func() bool { return h.mails.triesFor(email) > 0 })
		}
		a.requireClean()
	} else {
		a.worker.stop()
		for _, email := range waiting {
			a.invited(email, "User")
		}
		a.requireClean(a.queued(len(waiting))...)
	}
	require.GreaterOrEqual(t, len(a.secrets), known+len(waiting), "no tokens waited")

	a.proveEyes()
}

// proveEyes plants a secret of each kind in each kind of place, by the API or beside it, and has it found.
func (a *audited) proveEyes() {
	a.t.Helper()
	kinds := map[string]string{}
	for secret, kind := range a.secrets {
		kinds[kind] = secret
	}
	require.ElementsMatch(a.t, []string{"password", "accessToken", "refreshToken", "key", "secret", "recovery code", "token of a mail", "JWT_SECRET"}, slices.Collect(maps.Keys(kinds)))
	for kind, secret := range kinds {
		for _, form := range forms(secret) {
			require.Contains(a.t, a.secrets.in(`{"msg":"x`+form+`y"}`), kind, form)
		}
		if len(secret) <= 100 {
			a.must(http.StatusCreated, a.admin, http.MethodPost, "/products/categories", object{"name": secret})
			for _, place := range []string{"the audit log by the API", "table audit_log", "table categories"} {
				require.Contains(a.t, a.secrets.in(a.places()[place]), kind, place)
			}
		}
	}
	a.call("", http.MethodGet, "/healthz", nil, "X-Request-Id", kinds["key"]) // the one thing that a caller can have written into the log
	require.Contains(a.t, a.secrets.in(a.places()["the api's log"]), "key")
	for kind, shape := range shapes {
		require.Contains(a.t, secrets{}.in("x "+map[string]string{
			"the shape of a JWT": kinds["accessToken"], "the shape of an API key": kinds["key"], "the shape of a recovery code": kinds["recovery code"],
			"the shape of an app's secret": "otpauth://totp/x", "the shape of a header of access": "Bearer " + kinds["refreshToken"],
		}[kind]+" y"), kind, shape)
	}
	token := kinds["token of a mail"]
	require.Empty(a.t, a.secrets.in(a.withoutItsToken(`{"token":"`+token+`"}`)))
	require.NotEmpty(a.t, a.secrets.in(a.withoutItsToken(`{"token":"`+token+`"} | `+token)), "a token that stands twice")
}
