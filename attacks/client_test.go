package attacks_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// j is a JSON object.
type j map[string]any

// client is somebody who calls the server.
type client struct {
	s               *server
	access, refresh string
	patient         bool // a 503 is no surprise here

	id, email, username, password, role string
}

// with is the same caller with another access token.
func (c *client) with(access string) *client {
	other := *c
	other.access = access
	return &other
}

// crowded is the same caller at a moment when the server may be too busy to answer.
func (c *client) crowded() *client {
	other := *c
	other.patient = true
	return &other
}

func (c *client) get(t *testing.T, path string, headers ...string) answer {
	t.Helper()
	return c.do(t, http.MethodGet, path, nil, headers...)
}

func (c *client) post(t *testing.T, path string, body any, headers ...string) answer {
	t.Helper()
	return c.do(t, http.MethodPost, path, body, headers...)
}

func (c *client) put(t *testing.T, path string, body any, headers ...string) answer {
	t.Helper()
	return c.do(t, http.MethodPut, path, body, headers...)
}

func (c *client) patch(t *testing.T, path string, body any, headers ...string) answer {
	t.Helper()
	return c.do(t, http.MethodPatch, path, body, headers...)
}

func (c *client) delete(t *testing.T, path string, headers ...string) answer {
	t.Helper()
	return c.do(t, http.MethodDelete, path, nil, headers...)
}

// refreshed asks for the next pair of tokens.
func (c *client) refreshed(t *testing.T) answer {
	t.Helper()
	return c.post(t, "/auth/refresh", j{"refreshToken": c.refresh})
}

// alive wants the caller to have a session still.
func (c *client) alive(t *testing.T) {
	t.Helper()
	c.get(t, "/users/me").wants(t, http.StatusOK)
}

// dead wants neither of the caller's tokens to open anything.
func (c *client) dead(t *testing.T) {
	t.Helper()
	c.get(t, "/users/me").refuses(t, http.StatusUnauthorized, "authorization")
	require.Equal(t, http.StatusUnauthorized, c.refreshed(t).Status)
}

// do sends a request. A body that is a text or bytes goes as it is, any other as JSON. Headers are names and values in turn; a
// Content-Type without value sends none. It may be called by several goroutines at once.
func (c *client) do(t *testing.T, method, path string, body any, headers ...string) answer {
	t.Helper()
	var content []byte
	switch b := body.(type) {
	case nil:
	case string:
		content = []byte(b)
	case []byte:
		content = b
	default:
		c.noteSecrets(body)
		var err error
		content, err = json.Marshal(body)
		assert.NoError(t, err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, c.s.url+path, bytes.NewReader(content))
	if !assert.NoError(t, err) {
		return answer{}
	}
	if c.access != "" {
		r.Header.Set("Authorization", "Bearer "+c.access)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		switch name, value := headers[i], headers[i+1]; {
		case name == "Host":
			r.Host = value
		case name == "Content-Type" && value == "":
			r.Header.Del(name)
		case name == "Content-Type":
			r.Header.Set(name, value)
		default:
			r.Header.Add(name, value)
		}
	}
	response, err := c.s.http.Do(r)
	if !assert.NoError(t, err, "%s %s", method, path) {
		return answer{}
	}
	return c.s.read(t, response, method+" "+path, c.patient)
}

// noteSecrets remembers what the log must not hold.
func (c *client) noteSecrets(body any) {
	members, ok := body.(j)
	if !ok {
		return
	}
	for _, name := range []string{"password", "currentPassword", "newPassword", "token", "refreshToken"} {
		if text, ok := members[name].(string); ok && len(text) > 7 {
			c.s.note(c.s.secrets, text)
		}
	}
}

// read takes an answer and holds it to the rules.
func (s *server) read(t *testing.T, response *http.Response, call string, patient bool) answer {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	assert.NoError(t, err, call)
	a := answer{Status: response.StatusCode, Header: response.Header, Body: string(body), proto: response.Proto}
	s.note(s.ids, response.Header.Get("X-Request-Id"))
	var tokens struct{ AccessToken, RefreshToken string }
	if json.Unmarshal(body, &tokens) == nil && tokens.AccessToken != "" {
		s.note(s.secrets, tokens.AccessToken, tokens.RefreshToken)
	}
	a.check(t, call, patient)
	return a
}

// answer is what the server said.
type answer struct {
	Status int
	Header http.Header
	Body   string
	proto  string
}

// leaks are traces of what is inside: SQL, paths, stacks, hashes.
var leaks = regexp.MustCompile(`(?i)SQLSTATE|sqlite|pgconn|pgx|gorm|goroutine \d|\.go:\d|panic|runtime error|syntax error|no such (table|column)|violates|constraint|/tmp/|argon2|inventoryhub/internal`)

var errorKey = regexp.MustCompile(`^[a-z][A-Za-z]*$`)

// check holds an answer to what is promised for all of them. What net/http says by itself of broken HTTP has its own form.
func (a answer) check(t *testing.T, call string, patient bool) {
	t.Helper()
	if a.ofNetHTTP() {
		return
	}
	if patient && a.Status == http.StatusServiceUnavailable {
		assert.NotEmpty(t, a.Header.Get("Retry-After"), call)
	} else {
		assert.Less(t, a.Status, 500, "%s: %s", call, a.Body)
	}
	assert.Len(t, a.Header.Values("X-Request-Id"), 1, call)
	assert.Regexp(t, `^[A-Za-z0-9._-]{1,64}$`, a.Header.Get("X-Request-Id"), call)
	assert.Equal(t, []string{"nosniff"}, a.Header.Values("X-Content-Type-Options"), call)
	assert.Contains(t, a.Header.Get("Content-Security-Policy"), "default-src 'none'", call)
	assert.Equal(t, "no-referrer", a.Header.Get("Referrer-Policy"), call)
	assert.NotEmpty(t, a.Header.Get("Cross-Origin-Resource-Policy"), call)
	for _, name := range []string{"Server", "X-Powered-By", "Set-Cookie", "Access-Control-Allow-Credentials"} {
		assert.Empty(t, a.Header.Values(name), "%s: %s", call, name)
	}
	if !strings.HasPrefix(a.Header.Get("Content-Type"), "image/") && a.Status != http.StatusNotModified {
		assert.Equal(t, "no-store", a.Header.Get("Cache-Control"), call)
	}
	if a.Status >= http.StatusBadRequest { // the random letters of a token may well be those of a word
		assert.NotRegexp(t, leaks, a.Body, call)
	}
	switch a.Status {
	case http.StatusUnauthorized:
		assert.Equal(t, "Bearer", a.Header.Get("WWW-Authenticate"), call)
	case http.StatusMethodNotAllowed:
		assert.NotEmpty(t, a.Header.Get("Allow"), call)
	case http.StatusTooManyRequests:
		seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
		assert.NoError(t, err, call)
		assert.Positive(t, seconds, call)
	}
	if a.Status >= 400 && !strings.HasPrefix(call, http.MethodHead) {
		assert.Equal(t, "application/json; charset=utf-8", a.Header.Get("Content-Type"), call)
		a.checkErrors(t, call)
	}
	if a.Status >= 300 && a.Status < 400 {
		assert.Equal(t, http.StatusNotModified, a.Status, "%s: the server never sends anyone elsewhere", call)
	}
}

// checkErrors wants exactly {"errors": {"field": ["A sentence"]}}.
func (a answer) checkErrors(t *testing.T, call string) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(a.Body))
	dec.DisallowUnknownFields()
	var body struct {
		Errors map[string][]string `json:"errors"`
	}
	if !assert.NoError(t, dec.Decode(&body), "%s: %s", call, a.Body) || !assert.NotEmpty(t, body.Errors, call) {
		return
	}
	for field, messages := range body.Errors {
		assert.Regexp(t, errorKey, field, call)
		assert.NotEmpty(t, messages, call)
		for _, message := range messages {
			assert.Regexp(t, `^[A-Z].`, message, call)
			assert.Less(t, len(message), 1000, call)
			assert.NotRegexp(t, `[\x00-\x1f\x7f]`, message, call)
		}
	}
}

// ofNetHTTP says whether net/http refused a broken request before the server saw it.
func (a answer) ofNetHTTP() bool {
	refusals := []int{http.StatusBadRequest, http.StatusRequestHeaderFieldsTooLarge, http.StatusNotImplemented, http.StatusHTTPVersionNotSupported, http.StatusExpectationFailed}
	return slices.Contains(refusals, a.Status) && a.Header.Get("X-Request-Id") == "" && (strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") || a.Body == "")
}

// wants stops the test unless the answer has the status.
func (a answer) wants(t *testing.T, status int) answer {
	t.Helper()
	require.Equal(t, status, a.Status, a.Body)
	return a
}

// refuses stops the test unless the answer has the status and finds fault with exactly the fields.
func (a answer) refuses(t *testing.T, status int, fields ...string) answer {
	t.Helper()
	a.wants(t, status)
	require.ElementsMatch(t, fields, a.faults(), a.Body)
	return a
}

// faults gives the fields that an answer finds fault with.
func (a answer) faults() []string {
	var body struct{ Errors map[string][]string }
	_ = json.Unmarshal([]byte(a.Body), &body) // another form has none
	return slices.Sorted(maps.Keys(body.Errors))
}

func (a answer) json(t *testing.T) j {
	t.Helper()
	var body j
	require.NoError(t, json.Unmarshal([]byte(a.Body), &body), a.Body)
	return body
}

func (a answer) text(t *testing.T, key string) string {
	t.Helper()
	text, ok := a.json(t)[key].(string)
	require.True(t, ok, "%s in %s", key, a.Body)
	return text
}

// holder is who got a pair of tokens.
func (a answer) holder(t *testing.T, s *server) *client {
	t.Helper()
	return &client{s: s, access: a.text(t, "accessToken"), refresh: a.text(t, "refreshToken")}
}
