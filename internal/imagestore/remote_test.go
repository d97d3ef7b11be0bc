package imagestore

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// object is what a fake storage keeps.
type object struct {
	data    []byte
	header  http.Header
	modTime time.Time
}

// fakeStorage is the part that both fakes have in common: objects by key, and what goes wrong.
type fakeStorage struct {
	mu      sync.Mutex
	objects map[string]object
	// fault answers in place of the storage if it is set.
	fault http.HandlerFunc
}

func (f *fakeStorage) serve(t testing.TB, handle http.HandlerFunc) string {
	f.objects = map[string]object{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		fault := f.fault
		f.mu.Unlock()
		if fault != nil {
			// Before that the server would not notice that the client has left.
			_, _ = io.Copy(io.Discard, r.Body)
			fault(w, r)
			return
		}
		handle(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func (f *fakeStorage) set(fault http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

func (f *fakeStorage) put(key string, o object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o.modTime = time.Now().UTC()
	f.objects[key] = o
}

func (f *fakeStorage) get(key string) (object, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, ok := f.objects[key]
	return o, ok
}

func (f *fakeStorage) delete(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.objects[key]
	delete(f.objects, key)
	return ok
}

// page gives up to 5 keys behind after, without those below another "/", and whether there are more.
func (f *fakeStorage) page(prefix, after string) (keys []string, more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.objects {
		if rest, ok := strings.CutPrefix(key, prefix); ok && !strings.Contains(rest, "/") && key > after {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	if len(keys) > 5 {
		return keys[:5], true
	}
	return keys, false
}

// testFaults takes a storage through everything that may go wrong behind a good setting. The refusal is how the
// storage says that something is forbidden.
func testFaults(t *testing.T, f *fakeStorage, s *Store, refusal http.HandlerFunc) {
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
			f.set(c.fault)
			requireUnavailable(t, &Store{backend: s.backend, limit: c.limit}, 5*time.Second)
		})
	}
	f.set(nil)
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
