package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

const azureKey = "c2VjcmV0IGtleSBvZiB0aGUgcmVzb3VyY2U="

// azure is Azure Communication Services Email as far as it is documented: it checks each signature, takes a mail as an operation and answers
// questions about that. A test may tell it what to do with the next sends to a recipient, and with the next questions.
type azure struct {
	t      *testing.T
	server *httptest.Server

	mu         sync.Mutex
	sends      map[string][]http.HandlerFunc // by recipient: instead of accepting
	statuses   map[string][]string           // by recipient: before Succeeded
	operations map[string]*operation         // by Operation-Id
	posted     map[string][]time.Time        // by recipient: when somebody began to send
	asked      map[string]int
}

// operation is a mail that was accepted.
type operation struct{ to, text string }

func startAzure(t *testing.T) *azure {
	t.Helper()
	a := &azure{
		t: t, sends: map[string][]http.HandlerFunc{}, statuses: map[string][]string{}, operations: map[string]*operation{},
		posted: map[string][]time.Time{}, asked: map[string]int{},
	}
	a.server = httptest.NewServer(a)
	t.Cleanup(a.server.Close)
	return a
}

// settings make a worker mail through it.
func (a *azure) settings() []string {
	return []string{"MAIL_PROVIDER=azure", "AZURE_COMMUNICATION_CONNECTION_STRING=endpoint=" + a.server.URL + "/;accesskey=" + azureKey}
}

// ServeHTTP handles one request at a time.
func (a *azure) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil || !signed(r, body) {
		assert.Fail(a.t, "the signature is wrong", r.URL)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if id, question := strings.CutPrefix(r.URL.Path, "/emails/operations/"); question {
		a.answer(w, id)
		return
	}
	assert.Equal(a.t, "POST /emails:send?api-version=2025-09-01", r.Method+" "+r.RequestURI)
	var m struct {
		Content    struct{ PlainText string }
		Recipients struct{ To []struct{ Address string } }
	}
	assert.NoError(a.t, json.Unmarshal(body, &m))
	to := m.Recipients.To[0].Address
	a.posted[to] = append(a.posted[to], time.Now())
	if next := a.sends[to]; len(next) > 0 {
		a.sends[to] = next[1:]
		next[0](w, r)
		return
	}
	id := r.Header.Get("Operation-Id")
	a.operations[id] = &operation{to, m.Content.PlainText}
	w.Header().Set("Operation-Location", a.server.URL+"/emails/operations/"+id)
	w.WriteHeader(http.StatusAccepted)
	_, _ = fmt.Fprintf(w, `{"id":%q,"status":"Running","error":null}`, id)
}

// answer tells the status of an operation.
func (a *azure) answer(w http.ResponseWriter, id string) {
	o, known := a.operations[id]
	if !known {
		problem(http.StatusNotFound, "OperationNotFound")(w, nil)
		return
	}
	a.asked[o.to]++
	status := "Succeeded"
	if next := a.statuses[o.to]; len(next) > 0 {
		status, a.statuses[o.to] = next[0], next[1:]
	}
	switch status {
	case "429":
		w.Header().Set("Retry-After", "1")
		problem(http.StatusTooManyRequests, "TooManyRequests")(w, nil)
	case "Failed", "Canceled":
		_, _ = fmt.Fprintf(w, `{"id":%q,"status":%q,"error":{"code":"EmailDropped","message":"all recipients are suppressed"}}`, id, status)
	default:
		_, _ = fmt.Fprintf(w, `{"id":%q,"status":%q,"error":null}`, id, status)
	}
}

// signed checks the signature as Microsoft documents it ("Sign an HTTP request").
func signed(r *http.Request, body []byte) bool {
	sum := sha256.Sum256(body)
	hash, date := base64.StdEncoding.EncodeToString(sum[:]), r.Header.Get("x-ms-date")
	at, err := http.ParseTime(date)
	if err != nil || time.Since(at).Abs() > time.Minute || r.Header.Get("x-ms-content-sha256") != hash {
		return false
	}
	key, _ := base64.StdEncoding.DecodeString(azureKey)
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s\n%s\n%s;%s;%s", r.Method, r.RequestURI, date, r.Host, hash)
	return r.Header.Get("Authorization") ==
		"HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature="+base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// problem answers with an error.
func problem(code int, name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, `{"error":{"code":%q,"message":"as it was told to"}}`, name)
	}
}

// throttled answers that it takes no mail for a second.
func throttled(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "1")
	problem(http.StatusTooManyRequests, "TooManyRequests")(w, r)
}

// seen gives the tries to send to a recipient, the mails that were accepted, and how often somebody asked about them.
func (a *azure) seen(to string) (posted []time.Time, accepted []*operation, asked int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.operations {
		if o.to == to {
			accepted = append(accepted, o)
		}
	}
	return a.posted[to], accepted, a.asked[to]
}

// tell says what comes before the recipient's mail is accepted, and before that is delivered.
func (a *azure) tell(to string, sends []http.HandlerFunc, statuses []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sends[to], a.statuses[to] = sends, statuses
}

// TestAzure meets what the service may do. Between two questions lie 30 s, since it allows two a mail.
func TestAzure(t *testing.T) {
	t.Parallel()
	a, h := startAzure(t), newSharedHub(t)
	api := h.startAPI()
	h.startWorker(append(a.settings(), "MAIL_MAX_RETRIES=2")...)
	cut := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	taken := func(_ http.ResponseWriter, r *http.Request) {
		a.operations[r.Header.Get("Operation-Id")] = &operation{to: "taken@example.com"}
		cut(nil, r)
	}
	denied := problem(http.StatusUnauthorized, "Denied")
	cases := map[string]struct {
		sends         []http.HandlerFunc
		statuses      []string
		state         domain.InvitationState
		posted, asked int
		reason        string
	}{
		"jane":         {statuses: []string{"Running"}, state: domain.InvitationSent, posted: 1, asked: 2},
		"throttled":    {sends: slices.Repeat([]http.HandlerFunc{throttled}, 4), state: domain.InvitationSent, posted: 5, asked: 1}, // costs no retry
		"unauthorized": {sends: []http.HandlerFunc{denied, denied}, state: domain.InvitationSent, posted: 3, asked: 1},
		"locked":       {sends: []http.HandlerFunc{denied, denied, denied}, state: domain.InvitationFailed, posted: 3, reason: "gave up after 2 retries: Azure answered 401: Denied"},
		"unavailable":  {sends: []http.HandlerFunc{problem(500, "InternalError"), problem(503, "Unavailable")}, state: domain.InvitationSent, posted: 3, asked: 1},
		"refused":      {sends: []http.HandlerFunc{problem(400, "InvalidRecipient")}, state: domain.InvitationFailed, posted: 1, reason: "Azure answered 400: InvalidRecipient"},
		"lost":         {sends: []http.HandlerFunc{cut}, state: domain.InvitationSent, posted: 2, asked: 1},
		"taken":        {sends: []http.HandlerFunc{taken}, state: domain.InvitationSent, posted: 1, asked: 1},
		"failed":       {statuses: []string{"Failed"}, state: domain.InvitationFailed, posted: 1, asked: 1, reason: "Failed: EmailDropped"},
		"canceled":     {statuses: []string{"Running", "Canceled"}, state: domain.InvitationFailed, posted: 1, asked: 2, reason: "Canceled: EmailDropped"},
		"silent":       {statuses: []string{"429"}, state: domain.InvitationSent, posted: 1, asked: 2},
		"endless":      {statuses: slices.Repeat([]string{"Running"}, 9), state: domain.InvitationSent, posted: 1, asked: 3}, // is not asked about for ever
	}
	for name, c := range cases {
		a.tell(name+"@example.com", c.sends, c.statuses)
		h.invite(api, name+"@example.com")
	}

	var mails []*operation
	eventually(t, "jane has no mail", func() bool { _, mails, _ = a.seen(jane); return len(mails) == 1 })
	require.Equal(t, domain.InvitationQueued, h.invitation(api, jane).State, "Azure has not said yet that it is sent")
	require.Equal(t, "jane", h.me(api, h.register(api, tokenOf(t, linkIn(t, mails[0].text)), "jane")).Username)

	// Three questions, 30 s apart, and the time that everything else takes.
	require.Eventually(t, func() bool { return h.idle(4) }, patience+90*time.Second, 20*time.Millisecond, "something is under way for ever")
	for name, c := range cases {
		posted, accepted, asked := a.seen(name + "@example.com")
		assert.Len(t, posted, c.posted, name)
		assert.Equal(t, c.asked, asked, name)
		if name == "throttled" {
			for i := range len(posted) - 1 {
				assert.GreaterOrEqual(t, posted[i+1].Sub(posted[i]), time.Second, "Retry-After was not obeyed")
			}
		}
		if c.state == domain.InvitationSent {
			assert.Len(t, accepted, 1, name)
		}
		if name == "jane" {
			continue // has joined
		}
		seen := h.invitation(api, name+"@example.com")
		assert.Equal(t, c.state, seen.State, name)
		if c.reason != "" {
			assert.Contains(t, *seen.LastError, c.reason)
		}
	}
	require.Equal(t, 5, strings.Count(h.operate("dead", "list"), "\n"))
}
