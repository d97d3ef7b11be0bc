package httpapi_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

// TestStock_fiftyApprovals has fifty callers approve fifty orders of one product that suffices for twenty.
func TestStock_fiftyApprovals(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		const orders, stock = 50, 20
		item := s.product("iPhone 12", "Electronics", stock)
		ids := make([]string, orders)
		for i := range ids {
			ids[i] = s.order(item, 1, domain.OrderPending)
		}
		manager := s.as(domain.RoleManager)
		var mu sync.Mutex
		statuses := map[int]int{}
		var together sync.WaitGroup
		start := make(chan struct{})
		for _, id := range ids {
			together.Go(func() {
				<-start
				a := manager.patch("/products/orders/state/"+id, j{"transition": "Ready"})
				if a.Status == http.StatusConflict {
					a.refuses(http.StatusConflict, "quantity")
				}
				mu.Lock()
				defer mu.Unlock()
				statuses[a.Status]++
			})
		}
		close(start)
		together.Wait()
		require.Equal(t, map[int]int{http.StatusOK: stock, http.StatusConflict: orders - stock}, statuses)
		require.Zero(t, s.quantity(item))
		s.checkLedger(item)
	})
}

// checkLedger proves that a product's quantity is the sum of its ledger and that each line follows from the one before.
func (s *server) checkLedger(item string) {
	s.t.Helper()
	var sum int64
	for page, pages := 1, 1; page <= pages; page++ {
		body := s.as(domain.RoleAdmin).get(fmt.Sprintf("/products/%s/movements?sort=createdAt&pageSize=100&page=%d", item, page)).wants(http.StatusOK).json()
		pages = int(body["totalPages"].(float64))
		for _, m := range body["movements"].([]any) {
			line := m.(map[string]any)
			sum += int64(line["delta"].(float64))
			require.EqualValues(s.t, sum, line["quantityAfter"])
			require.GreaterOrEqual(s.t, sum, int64(0))
		}
	}
	require.Equal(s.t, s.quantity(item), sum)
}
