package httpapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/httpapi"
	"inventoryhub/internal/storetest"
)

// TestOverload holds all lists that the server works on at once, and sees that others are asked to come again while everything else goes on.
func TestOverload(t *testing.T) {
	t.Parallel()
	// Only Postgres can be made to hold a statement up from outside. Left alone, it gives up waiting for a lock before the lists do.
	url := storetest.PostgresURL(t)
	s := newServer(t, storetest.Open(t, url+"&lock_timeout=0"))
	s.url = url
	t.Cleanup(func() { _ = s.db().Close() })
	reader, manager := s.as(domain.RoleReadonlyUser), s.as(domain.RoleManager)
	s.product("iPhone 12", "Electronics", 1)
	user := reader.user.ID.String()

	hold, err := s.db().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = hold.ExecContext(t.Context(), "LOCK TABLE products IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	answers := make(chan answer)
	var lists sync.WaitGroup
	const tooMany = 3
	for range httpapi.MaxLists + tooMany {
		lists.Go(func() { answers <- reader.get("/products?search=iphone") })
	}
	go func() { lists.Wait(); close(answers) }()

	for range tooMany { // nobody can have been answered otherwise
		refused := <-answers
		refused.refuses(http.StatusServiceUnavailable, "server")
		require.Equal(t, "2", refused.Header.Get("Retry-After"))
	}
	s.anonymous().get("/healthz").wants(http.StatusOK)
	s.anonymous().get("/readyz").wants(http.StatusOK)
	reader.get("/users/" + user).wants(http.StatusOK)
	manager.post("/products/categories", j{"name": "Books"}).wants(http.StatusCreated)

	require.NoError(t, hold.Rollback())
	for a := range answers {
		a.wants(http.StatusOK)
	}
	reader.get("/products?search=iphone").wants(http.StatusOK)
}

// TestOverload_all fills the server to the brim, with requests whose bodies do not end.
func TestOverload_all(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		var inside, all sync.WaitGroup
		inside.Add(httpapi.MaxRequests)
		end := make(chan struct{})
		for range httpapi.MaxRequests {
			all.Go(func() {
				body := &slowBody{begun: sync.OnceFunc(inside.Done), end: end}
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/auth/login", body)
				r.Header.Set("Content-Type", "application/json")
				s.handler.ServeHTTP(httptest.NewRecorder(), r)
			})
		}
		inside.Wait()
		s.as(domain.RoleUser).get("/users/me").refuses(http.StatusServiceUnavailable, "server")
		s.anonymous().post("/auth/login", j{}).refuses(http.StatusServiceUnavailable, "server")
		for _, path := range []string{"/healthz", "/readyz", "/openapi.json", "/docs"} {
			s.anonymous().get(path).wants(http.StatusOK)
		}
		close(end)
		all.Wait()
		s.as(domain.RoleUser).get("/users/me").wants(http.StatusOK)
	})
}

// slowBody is a body of which nothing comes until the end.
type slowBody struct {
	begun func()
	end   <-chan struct{}
}

func (b *slowBody) Read([]byte) (int, error) {
	b.begun()
	<-b.end
	return 0, io.EOF
}
