package httpapi_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/testservers"
)

// TestReplicas_ownChanges holds a replica up: others may be told what was true before, and nobody misses what they have changed themselves, also when it was
// committed together with what others changed.
func TestReplicas_ownChanges(t *testing.T) {
	t.Parallel()
	primary, err := testservers.StartPostgres(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(primary.Stop)
	copied, err := primary.StartReplica(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(copied.Stop)
	store, err := repository.OpenAmong(t.Context(), primary.URL(), repository.Servers{Replicas: []string{copied.URL()}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	s := newServer(t, store)
	item := s.product("iPhone 12", "Electronics", 1000)
	reader := s.as(domain.RoleReadonlyUser)
	var users []*client
	for range 8 {
		users = append(users, s.newUser(domain.RoleUser))
	}
	total := func(c *client, query string) float64 {
		return c.get("/products/orders" + query).wants(http.StatusOK).json()["totalItems"].(float64)
	}

	// A slow machine may take longer than a replica may lag; then the primary answers, and the next round tells.
	lagged := false
	for round := 0; !lagged && round < 20; round++ {
		require.NoError(t, copied.Follow(t.Context()))
		time.Sleep(time.Second) // for the replica to have all, and the server to know that
		require.NoError(t, copied.Hold(t.Context()))
		client := fmt.Sprint("round ", round)
		var together sync.WaitGroup
		for _, u := range users {
			together.Go(func() {
				u.post("/products/orders", j{"itemId": item, "client": client, "description": "", "quantity": 1}).wants(http.StatusCreated)
				require.Positive(t, total(u, "?search=round+"+fmt.Sprint(round)))
			})
		}
		together.Wait()
		lagged = total(reader, "") < total(users[0], "")
	}
	require.True(t, lagged, "no read went to the replica")
}
