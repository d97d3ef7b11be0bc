package imagestore

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/buckettest"
)

// testFaults takes a storage through everything that may go wrong behind a good setting. The refusal is how the
// storage says that something is forbidden.
func testFaults(t *testing.T, f *buckettest.Storage, s *Store, refusal http.HandlerFunc) {
	canary := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("contacted: %s %s", r.Method, r.URL) }))
	t.Cleanup(canary.Close)
	for name, c := range map[string]struct {
		fault http.HandlerFunc
		limit time.Duration
	}{
		"forbidden": {refusal, answerLimit},
		"500":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, answerLimit},
		"503 and wait": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, answerLimit},
		"not its language": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			w.Write([]byte("<html>a proxy\nspeaks"))
		}, answerLimit},
		"sends elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, canary.URL, http.StatusTemporaryRedirect)
		}, answerLimit},
		"hangs up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, answerLimit},
		"silent":   {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 200 * time.Millisecond},
		"stops in the middle": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
			w.Header().Set("Content-Length", "1000")
			if r.Method != http.MethodGet {
				w.WriteHeader(http.StatusInternalServerError)
			}
			w.Write([]byte("<?xml"))
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, 200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			f.Fail(c.fault)
			requireUnavailable(t, &Store{backend: s.backend, limit: c.limit}, 5*time.Second)
		})
	}
	f.Fail(nil)
	_, err := s.Put(t.Context(), Picture{Data: []byte("x"), Ext: "png"})
	require.NoError(t, err, "once the storage is back it works again")
}

// nobodyHome is an address where nothing listens.
func nobodyHome(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return "http://" + l.Addr().String()
}

func TestFetch_is_bounded(t *testing.T) {
	t.Parallel()
	f, err := fetch(bytes.NewReader(make([]byte, maxKeptBytes)))
	require.NoError(t, err)
	require.EqualValues(t, maxKeptBytes, f.Size)
	_, err = fetch(bytes.NewReader(make([]byte, maxKeptBytes+1)))
	require.Error(t, err)
}
