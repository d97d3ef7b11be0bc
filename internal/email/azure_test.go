package email

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const azureKey = "c2VjcmV0IGtleSBvZiB0aGUgcmVzb3VyY2U="

// fakeAzure is Azure Communication Services Email as far as it is documented. It checks each request, keeps what it
// accepted by operation id, and answers by the next handler of a list, or as the real one would.
type fakeAzure struct {
	t      *testing.T
	server *httptest.Server

	mu       sync.Mutex
	next     []http.HandlerFunc
	requests []string
	mails    map[string]azureMail // by operation id
	status   string               // of every operation
}

func startFakeAzure(t *testing.T, next ...http.HandlerFunc) (*fakeAzure, *AzureSender) {
	t.Helper()
	f := &fakeAzure{t: t, next: next, mails: map[string]azureMail{}, status: "Running"}
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	s, err := NewAzureSender("endpoint="+f.server.URL+"/;accesskey="+azureKey, from)
	require.NoError(t, err)
	return f, s
}

func (f *fakeAzure) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	if !f.signed(r, body) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	assert.Equal(f.t, "2025-09-01", r.URL.Query().Get("api-version"))
	f.requests = append(f.requests, r.Method+" "+r.URL.Path)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	if len(f.next) > 0 {
		handler := f.next[0]
		f.next = f.next[1:]
		handler(w, r)
		return
	}
	f.answer(w, r)
}

// signed checks the signature as the documentation describes it, written a second time on purpose.
func (f *fakeAzure) signed(r *http.Request, body []byte) bool {
	sum := sha256.Sum256(body)
	hash := base64.StdEncoding.EncodeToString(sum[:])
	date := r.Header.Get("x-ms-date")
	at, err := http.ParseTime(date)
	if err != nil || time.Since(at).Abs() > time.Minute || r.Header.Get("x-ms-content-sha256") != hash {
		return false
	}
	key, _ := base64.StdEncoding.DecodeString(azureKey)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s\n%s\n%s;%s;%s", r.Method, r.RequestURI, date, r.Host, hash)
	return r.Header.Get("Authorization") ==
		"HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature="+base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (f *fakeAzure) answer(w http.ResponseWriter, r *http.Request) {
	id, asked := strings.CutPrefix(r.URL.Path, "/emails/operations/")
	if asked {
		if _, ok := f.mails[id]; !ok {
			reply(404, nil, `{"error":{"code":"OperationNotFound","message":"no such operation"}}`)(w, r)
			return
		}
		reply(200, nil, fmt.Sprintf(`{"id":%q,"status":%q,"error":null}`, id, f.status))(w, r)
		return
	}
	f.accept(r)
	reply(202, map[string]string{"Operation-Location": f.server.URL + "/emails/operations/x", "Retry-After": "100"},
		fmt.Sprintf(`{"id":%q,"status":"Running","error":null}`, r.Header.Get("Operation-Id")))(w, r)
}

func (f *fakeAzure) accept(r *http.Request) {
	assert.Equal(f.t, "POST /emails:send", r.Method+" "+r.URL.Path)
	assert.Equal(f.t, "application/json", r.Header.Get("Content-Type"))
	var m azureMail
	assert.NoError(f.t, json.NewDecoder(r.Body).Decode(&m))
	f.mails[r.Header.Get("Operation-Id")] = m
}

// lose takes the mail but not the trouble to say so.
func (f *fakeAzure) lose(_ http.ResponseWriter, r *http.Request) {
	f.accept(r)
	panic(http.ErrAbortHandler)
}

func (f *fakeAzure) got() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	got := f.requests
	f.requests = nil
	return got
}

func reply(code int, header map[string]string, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

const (
	post = "POST /emails:send"
	get  = "GET /emails/operations/01890a5d-0000-7000-8000-000000000001"
)

func TestAzureSender_accepted_then_asked(t *testing.T) {
	f, s := startFakeAzure(t)
	m := newMail(t)
	receipt, err := s.Send(t.Context(), m)
	require.NoError(t, err)
	assert.Equal(t, Receipt{OperationID: m.OperationID, AskAfter: 100 * time.Second}, receipt)
	assert.Equal(t, azureMail{
		SenderAddress: "hub@mail.example.com", NoTracking: true, Headers: map[string]string{"Message-ID": m.MessageID},
		Content:    azureContent{Subject: m.Subject, PlainText: m.Text, HTML: m.HTML},
		Recipients: azureRecipients{To: []azureAddress{{Address: "ada@example.com", DisplayName: "Ada Lovelace"}}},
	}, f.mails[m.OperationID.String()])

	m.Resume, m.Accepted = true, true
	receipt, err = s.Send(t.Context(), m)
	require.NoError(t, err)
	assert.Equal(t, Receipt{OperationID: m.OperationID, AskAfter: azureAskAfter}, receipt, "still running")

	f.status = "Succeeded"
	receipt, err = s.Send(t.Context(), m)
	require.NoError(t, err)
	assert.Equal(t, Receipt{Sent: true}, receipt)
	assert.Equal(t, []string{post, get, get}, f.got())
}

// The names of the body's fields are the service's, so they are checked as text too.
func TestAzureSender_body(t *testing.T) {
	var body map[string]any
	_, s := startFakeAzure(t, func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&body))
		reply(202, nil, `{"status":"NotStarted"}`)(w, r)
	})
	m := newMail(t)
	m.Text, m.HTML = "text", "<p>html</p>"
	_, err := s.Send(t.Context(), m)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{
		"senderAddress":                  "hub@mail.example.com",
		"headers":                        map[string]any{"Message-ID": m.MessageID},
		"content":                        map[string]any{"subject": m.Subject, "plainText": "text", "html": "<p>html</p>"},
		"recipients":                     map[string]any{"to": []any{map[string]any{"address": "ada@example.com", "displayName": "Ada Lovelace"}}},
		"userEngagementTrackingDisabled": true,
	}, body)
}

func TestAzureSender_wrong_key(t *testing.T) {
	f, _ := startFakeAzure(t)
	s, err := NewAzureSender("endpoint="+f.server.URL+"/;accesskey=b3RoZXI=", from)
	require.NoError(t, err)
	_, err = s.Send(t.Context(), newMail(t))
	failure := requireSendError(t, err)
	assert.Equal(t, SendError{NotSent: true, Reason: "Azure answered 401"}, *failure)
}

func TestAzureSender_answers_to_a_send(t *testing.T) {
	failed := `{"id":"x","status":"Failed","error":{"code":"EmailDropped","message":"The link ` + token + ` is spam\nreally"}}`
	cases := map[string]struct {
		handler http.HandlerFunc
		want    SendError
	}{
		"400":                     {reply(400, nil, `{"error":{"code":"InvalidEmail","message":"no"}}`), SendError{Permanent: true, NotSent: true, Reason: "Azure answered 400: InvalidEmail: no"}},
		"400, code in the header": {reply(400, map[string]string{"x-ms-error-code": "InvalidEmail"}, `<html>`), SendError{Permanent: true, NotSent: true, Reason: "Azure answered 400: InvalidEmail"}},
		"401":                     {reply(401, nil, `{"error":{"code":"Denied","message":"time drift"}}`), SendError{NotSent: true, Reason: "Azure answered 401: Denied: time drift"}},
		"403":                     {reply(403, nil, ``), SendError{NotSent: true, Reason: "Azure answered 403"}},
		"404":                     {reply(404, nil, ``), SendError{Permanent: true, NotSent: true, Reason: "Azure answered 404"}},
		"409":                     {reply(409, nil, ``), SendError{Reason: "Azure answered 409"}},
		"413":                     {reply(413, nil, ``), SendError{Permanent: true, NotSent: true, Reason: "Azure answered 413"}},
		"429, seconds":            {reply(429, map[string]string{"Retry-After": "17"}, ``), SendError{Throttled: true, NotSent: true, RetryAfter: 17 * time.Second, Reason: "Azure answered 429"}},
		"429, no word":            {reply(429, nil, ``), SendError{Throttled: true, NotSent: true, RetryAfter: time.Minute, Reason: "Azure answered 429"}},
		"429, nonsense":           {reply(429, map[string]string{"Retry-After": "-3"}, ``), SendError{Throttled: true, NotSent: true, RetryAfter: time.Minute, Reason: "Azure answered 429"}},
		"429, for ever":           {reply(429, map[string]string{"Retry-After": "2000000000"}, ``), SendError{Throttled: true, NotSent: true, RetryAfter: time.Hour, Reason: "Azure answered 429"}},
		"429, a date gone by":     {reply(429, map[string]string{"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, ``), SendError{Throttled: true, NotSent: true, Reason: "Azure answered 429"}},
		"500":                     {reply(500, nil, `boom`), SendError{Reason: "Azure answered 500"}},
		"503":                     {reply(503, map[string]string{"Retry-After": "5"}, ``), SendError{RetryAfter: 5 * time.Second, Reason: "Azure answered 503"}},
		"200":                     {reply(200, nil, `{"status":"Succeeded"}`), SendError{Reason: "Azure answered 200: Succeeded"}},
		"202, failed at once":     {reply(202, nil, failed), SendError{Permanent: true, NotSent: true, Reason: "Azure answered 202: Failed: EmailDropped: The link [token] is spam really"}},
		"202, canceled":           {reply(202, nil, `{"status":"Canceled"}`), SendError{Permanent: true, NotSent: true, Reason: "Azure answered 202: Canceled"}},
		"202, weird":              {reply(202, nil, `{"status":"Weird"}`), SendError{Reason: "Azure answered 202: Weird"}},
		"202, no JSON":            {reply(202, nil, `<html>`), SendError{Reason: "Azure answered 202"}},
		"202, wrong types":        {reply(202, nil, `{"id":7,"status":"Running","error":"x"}`), SendError{Reason: "Azure answered 202"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f, s := startFakeAzure(t, c.handler)
			_, err := s.Send(t.Context(), newMail(t))
			assert.Equal(t, c.want, *requireSendError(t, err))
			assert.Equal(t, []string{post}, f.got(), "nothing is retried here")
		})
	}
}

// Whatever goes wrong with a question says nothing about the mail.
func TestAzureSender_answers_to_a_question(t *testing.T) {
	cases := map[string]struct {
		handler http.HandlerFunc
		want    SendError
	}{
		"failed":   {reply(200, nil, `{"status":"Failed","error":{"code":"EmailDropped"}}`), SendError{Permanent: true, NotSent: true, Reason: "Azure answered 200: Failed: EmailDropped"}},
		"canceled": {reply(200, nil, `{"status":"Canceled"}`), SendError{Permanent: true, NotSent: true, Reason: "Azure answered 200: Canceled"}},
		"weird":    {reply(200, nil, `{"status":"Weird"}`), SendError{Reason: "Azure answered 200: Weird"}},
		"400":      {reply(400, nil, ``), SendError{Reason: "Azure answered 400"}},
		"401":      {reply(401, nil, ``), SendError{Reason: "Azure answered 401"}},
		"429":      {reply(429, map[string]string{"Retry-After": "9"}, ``), SendError{Throttled: true, RetryAfter: 9 * time.Second, Reason: "Azure answered 429"}},
		"500":      {reply(500, nil, ``), SendError{Reason: "Azure answered 500"}},
	}
	for name, c := range cases {
		for _, accepted := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", accepted ", accepted), func(t *testing.T) {
				f, s := startFakeAzure(t, c.handler)
				m := newMail(t)
				m.Resume, m.Accepted = true, accepted
				_, err := s.Send(t.Context(), m)
				assert.Equal(t, c.want, *requireSendError(t, err))
				assert.Equal(t, []string{get}, f.got(), "nothing is sent")
			})
		}
	}
}

func TestAzureSender_unknown_operation(t *testing.T) {
	f, s := startFakeAzure(t)
	m := newMail(t)
	m.Resume, m.Accepted = true, true
	_, err := s.Send(t.Context(), m)
	assert.False(t, requireSendError(t, err).Permanent)
	assert.Equal(t, []string{get}, f.got(), "what was accepted is not sent again")

	m.Accepted = false
	receipt, err := s.Send(t.Context(), m)
	require.NoError(t, err)
	assert.False(t, receipt.Sent)
	assert.Equal(t, []string{get, post}, f.got(), "what never arrived is")
}

// The answer is lost after the service took the mail: it is not sent a second time.
func TestAzureSender_lost_answer(t *testing.T) {
	f, s := startFakeAzure(t)
	f.next = []http.HandlerFunc{f.lose}
	m := newMail(t)
	_, err := s.Send(t.Context(), m)
	failure := requireSendError(t, err)
	assert.False(t, failure.Permanent)
	assert.False(t, failure.NotSent, "the outcome is unclear")
	f.status = "Succeeded"
	m.Resume = true
	receipt, err := s.Send(t.Context(), m)
	require.NoError(t, err)
	assert.True(t, receipt.Sent)
	assert.Equal(t, []string{post, get}, f.got())
}

func TestAzureSender_takes_the_services_own_operation_id(t *testing.T) {
	own := uuid.New()
	_, s := startFakeAzure(t, reply(202, nil, fmt.Sprintf(`{"id":%q,"status":"NotStarted"}`, own)))
	receipt, err := s.Send(t.Context(), newMail(t))
	require.NoError(t, err)
	assert.Equal(t, Receipt{OperationID: own, AskAfter: azureAskAfter}, receipt)
}

// Nothing that the service answers makes us contact another server.
func TestAzureSender_goes_nowhere_else(t *testing.T) {
	canary := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("contacted: %s", r.URL) }))
	t.Cleanup(canary.Close)
	away := map[string]string{"Location": canary.URL + "/x", "Operation-Location": canary.URL + "/emails/operations/x"}
	for _, code := range []int{301, 302, 307, 308} {
		f, s := startFakeAzure(t, reply(code, away, ""))
		_, err := s.Send(t.Context(), newMail(t))
		assert.False(t, requireSendError(t, err).Permanent)
		assert.Len(t, f.got(), 1)
	}
	f, s := startFakeAzure(t, reply(202, away, `{"id":"`+canary.URL+`","status":"Running"}`))
	m := newMail(t)
	receipt, err := s.Send(t.Context(), m)
	require.NoError(t, err)
	assert.Equal(t, m.OperationID, receipt.OperationID)
	m.Resume, m.Accepted = true, true
	_, err = s.Send(t.Context(), m)
	assert.False(t, requireSendError(t, err).Permanent)
	assert.Equal(t, []string{post, get}, f.got())
}

func TestAzureSender_reads_a_bounded_answer(t *testing.T) {
	for _, code := range []int{202, 400, 500} {
		cut := make(chan bool, 1)
		_, s := startFakeAzure(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			chunk := []byte(`{"status":"` + strings.Repeat("x", 1<<20))
			for range 100 {
				if _, err := w.Write(chunk); err != nil {
					cut <- true
					return
				}
			}
			cut <- false
		})
		_, err := s.Send(t.Context(), newMail(t))
		assert.Equal(t, fmt.Sprintf("Azure answered %d", code), requireSendError(t, err).Reason)
		assert.True(t, <-cut, "the connection is cut")
	}
}

func TestAzureSender_no_connection(t *testing.T) {
	f, s := startFakeAzure(t)
	f.server.Close()
	_, err := s.Send(t.Context(), newMail(t))
	failure := requireSendError(t, err)
	assert.True(t, failure.NotSent, failure.Reason)
	assert.False(t, failure.Permanent)
	assert.NotContains(t, failure.Reason, azureKey)
}
