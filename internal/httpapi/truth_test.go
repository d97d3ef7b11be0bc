package httpapi_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

// TestAttempts_twenty sends one order twenty times at once under one key.
func TestAttempts_twenty(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		item := s.product("iPhone 12", "Electronics", 100)
		user := s.as(domain.RoleUser)
		order := j{"itemId": item, "client": "John Doe Enterprises", "description": "", "quantity": 5}
		var mu sync.Mutex
		first, bodies := 0, map[string]int{}
		var together sync.WaitGroup
		for range 20 {
			together.Go(func() {
				a := user.do(http.MethodPost, "/products/orders", order, "Idempotency-Key", "k1")
				mu.Lock()
				defer mu.Unlock()
				switch {
				case a.Status == http.StatusCreated && a.Header.Get("Idempotent-Replayed") == "":
					first++
					bodies[a.Body]++
				case a.Status == http.StatusCreated:
					bodies[a.Body]++
				default:
					a.refuses(http.StatusConflict, "request")
				}
			})
		}
		together.Wait()
		require.Equal(t, 1, first)
		require.Len(t, bodies, 1)
		require.EqualValues(t, 1, user.get("/products/orders").json()["totalItems"])
		again := user.do(http.MethodPost, "/products/orders", order, "Idempotency-Key", "k1").wants(http.StatusCreated)
		require.Equal(t, "true", again.Header.Get("Idempotent-Replayed"))
		require.NotEmpty(t, again.Header.Get("Location"))
		require.NotEmpty(t, again.Header.Get("ETag"))
		order["quantity"] = 6
		user.do(http.MethodPost, "/products/orders", order, "Idempotency-Key", "k1").refuses(http.StatusUnprocessableEntity, "request")
		s.as(domain.RoleManager).do(http.MethodPost, "/products/orders", order, "Idempotency-Key", "k1").wants(http.StatusCreated)
	})
}

// TestIfMatch_twenty has twenty editors save at once what they read in the same version.
func TestIfMatch_twenty(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		item := s.product("iPhone 12", "Electronics", 100)
		user := s.as(domain.RoleUser)
		tag := user.get("/products/" + item).Header.Get("ETag")
		require.NotEmpty(t, tag)
		var mu sync.Mutex
		statuses := map[int]int{}
		var together sync.WaitGroup
		for i := range 20 {
			together.Go(func() {
				a := user.do(http.MethodPut, "/products/"+item, j{"name": fmt.Sprint("iPhone ", i), "category": "Electronics"}, "If-Match", tag)
				mu.Lock()
				defer mu.Unlock()
				statuses[a.Status]++
			})
		}
		together.Wait()
		require.Equal(t, map[int]int{http.StatusOK: 1, http.StatusPreconditionFailed: 19}, statuses)
	})
}

// TestAudit_chain looks at the log after a few changes.
func TestAudit_chain(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		item := s.product("iPhone 12", "Electronics", 100)
		s.order(item, 5, domain.OrderCompleted)
		s.as(domain.RoleUser).delete("/products/"+item).refuses(http.StatusForbidden, "authorization")
		body := s.as(domain.RoleAdmin).get("/audit?sort=createdAt").wants(http.StatusOK).json()
		var actions []any
		for _, e := range body["audit"].([]any) {
			actions = append(actions, e.(map[string]any)["action"])
		}
		require.Equal(t, []any{"category.created", "product.created", "order.placed", "order.moved", "order.moved", "access.refused"}, actions)
		lines, fault, err := s.store.Audit.Verify(t.Context())
		require.NoError(t, err)
		require.Empty(t, fault)
		require.EqualValues(t, 6, lines)
	})
}
