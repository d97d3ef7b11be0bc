// Package buckettest stands in for S3 and for Azure Blob Storage in tests: servers in the test's own process that answer the few requests which pictures need.
package buckettest

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Object is what a storage keeps.
type Object struct {
	Data     []byte
	Header   http.Header // as it was put
	Modified time.Time
}

// Storage is the part that both kinds have in common: objects by key, and what goes wrong.
type Storage struct {
	mu      sync.Mutex
	objects map[string]Object
	fault   http.HandlerFunc
}

func (s *Storage) serve(t testing.TB, handle http.HandlerFunc) (address string) {
	s.objects = map[string]Object{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		fault := s.fault
		s.mu.Unlock()
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

// Fail has every request answered by this from now on; nil ends it.
func (s *Storage) Fail(fault http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// Put keeps an object, whose time is now.
func (s *Storage) Put(key string, o Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o.Modified = time.Now().UTC()
	s.objects[key] = o
}

// Get gives an object, if it is there.
func (s *Storage) Get(key string) (Object, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[key]
	return o, ok
}

// Names gives what stands behind the last "/" of all keys, in order.
func (s *Storage) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := []string{}
	for key := range maps.Keys(s.objects) {
		names = append(names, key[strings.LastIndex(key, "/")+1:])
	}
	slices.Sort(names)
	return names
}

func (s *Storage) delete(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.objects[key]
	delete(s.objects, key)
	return ok
}

// page gives up to 5 keys behind after, without those below another "/", and whether there are more.
func (s *Storage) page(prefix, after string) (keys []string, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.objects {
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
