package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/storetest"
)

// TestSeed makes the demo shop on each engine, looks at it as an operator does, and lets its people in.
func TestSeed(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		t.Parallel()
		dir := t.TempDir()
		environ := []string{"DATABASE_URL=" + url, "IMAGES_URL=file://" + dir + "/images", "JWT_SECRET=" + strings.Repeat("k", 32), "ADMIN_PASSWORD=" + adminPassword}
		api := func(args ...string) (string, error) {
			var stdout, stderr strings.Builder
			err := run(t.Context(), args, environ, &stdout, &stderr)
			require.Empty(t, stderr.String())
			return stdout.String(), err
		}
		said, err := api("seed")
		require.NoError(t, err)
		require.Contains(t, said, "4 users, 12 categories, 300 products and 200 orders were made\n")
		require.NotContains(t, said, adminPassword)

		said, err = api("stock", "reconcile")
		require.NoError(t, err)
		require.Equal(t, "300 products compared, 0 differ from their ledger\n", said)
		said, err = api("audit", "verify", "--json")
		require.NoError(t, err)
		var audit auditReport
		require.NoError(t, json.Unmarshal([]byte(said), &audit))
		require.Nil(t, audit.Fault)
		said, err = api("export", "orders")
		require.NoError(t, err)
		require.Equal(t, 201, strings.Count(said, "\n"))

		_, err = api("seed")
		require.ErrorContains(t, err, "The database is not empty")
		require.Equal(t, 1, exitStatus(err))
		waiting, err := storetest.Open(t, url).Outbox.Claim(t.Context(), 1, time.Now().UTC().Add(time.Hour), time.Second)
		require.NoError(t, err)
		require.Empty(t, waiting)

		p := start(t, dir, environ...)
		list := func(access, path string) (total int, body string) {
			t.Helper()
			status, body := p.send(http.MethodGet, path, access, nil)
			require.Equal(t, http.StatusOK, status, body)
			var page struct{ TotalItems int }
			require.NoError(t, json.Unmarshal([]byte(body), &page))
			return page.TotalItems, body
		}
		for _, role := range []string{"readonly", "user", "manager", "admin"} {
			access := p.login(role+"@example.com", adminPassword)
			_, me := list(access, "/users/me")
			require.Contains(t, strings.ToLower(me), `"role":"`+role)
			total, _ := list(access, "/products")
			require.Equal(t, 300, total)
			if role != "admin" {
				continue
			}
			for state, want := range map[string]int{"Draft": 20, "Pending": 30, "Ready": 30, "Completed": 90, "Cancelled": 30} {
				total, _ := list(access, "/products/orders?state="+state)
				require.Equal(t, want, total, state)
			}
			low, _ := list(access, "/products?lowStock=true")
			require.Positive(t, low)
			_, categories := list(access, "/products/categories")
			require.Equal(t, 12, strings.Count(categories, `"itemquantity":25`))
			lines, _ := list(access, "/audit?to="+time.Now().UTC().Format("2006-01-02T00:00:00Z"))
			require.EqualValues(t, audit.Lines, lines, "all of it was before today")
			lines, _ = list(access, "/audit?to="+time.Now().UTC().AddDate(0, 0, -60).Format("2006-01-02T00:00:00Z"))
			require.Greater(t, lines, 300, "and some of it long ago")
			_, first := list(access, "/products?sort=createdAt&pageSize=1")
			var page struct{ Products []struct{ ImageURL string } }
			require.NoError(t, json.Unmarshal([]byte(first), &page))
			status, image := p.send(http.MethodGet, "/images/"+page.Products[0].ImageURL, "", nil)
			require.Equal(t, []any{http.StatusOK, "\x89PNG"}, []any{status, image[:4]})
		}
		require.NoError(t, p.stop())
	})
}

// TestSeed_wrongPassword leaves nothing behind.
func TestSeed_wrongPassword(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		t.Parallel()
		seed := func(password string) error {
			var stdout, stderr strings.Builder
			environ := []string{"DATABASE_URL=" + url, "IMAGES_URL=file://" + t.TempDir(), "JWT_SECRET=" + strings.Repeat("k", 32), "ADMIN_PASSWORD=" + password}
			return run(t.Context(), []string{"seed"}, environ, &stdout, &stderr)
		}
		require.ErrorContains(t, seed("readonly@example.com"), "password", "which the last of the four may not have")
		require.NoError(t, seed(adminPassword), fmt.Sprint("the database is still empty: ", url))
	})
}
