package repository_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/storetest"
	"inventoryhub/internal/testservers"
)

// TestReplicas reads from a replica that is held up, and from one that is gone.
func TestReplicas(t *testing.T) {
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

	now := time.Now().UTC().Truncate(time.Millisecond)
	writer, reader := uuid.New(), uuid.New()
	create := func(name string) {
		t.Helper()
		ctx := store.OnBehalf(t.Context(), writer, false)
		require.NoError(t, store.InTx(ctx, func(tx *repository.Store) error { return tx.Categories.Create(ctx, domain.NewCategory(name, now)) }))
	}
	categories := func(user uuid.UUID, mayLag bool) int {
		t.Helper()
		all, err := store.Categories.List(store.OnBehalf(t.Context(), user, mayLag))
		require.NoError(t, err)
		return len(all)
	}
	lagged := func() bool { return store.LaggedReads(reader) }

	create("Books")
	require.Eventually(t, lagged, 20*time.Second, 10*time.Millisecond, "the replica catches up")
	require.Equal(t, 1, categories(reader, true))

	store.SetMaxLag(time.Hour) // however slow this machine is
	require.NoError(t, copied.Hold(t.Context()))
	create("Lamps")
	require.Equal(t, 1, categories(reader, true), "who changed nothing may be told by the replica")
	require.Equal(t, 2, categories(writer, true), "nobody misses their own change")
	require.Equal(t, 2, categories(reader, false), "what decides is read where it is true")
	require.NoError(t, store.InTx(t.Context(), func(tx *repository.Store) error {
		all, err := tx.Categories.List(store.OnBehalf(t.Context(), reader, true))
		require.Len(t, all, 2, "a transaction is in one place")
		return err
	}))
	store.SetMaxLag(time.Nanosecond)
	require.False(t, lagged(), "a replica that lags too far is left alone")
	require.Equal(t, 2, categories(reader, true))
	store.SetMaxLag(time.Hour)

	require.NoError(t, copied.Follow(t.Context()))
	require.Eventually(t, func() bool { return store.LaggedReads(writer) }, 20*time.Second, 10*time.Millisecond, "one that has the writer's change answers them again")
	require.Equal(t, 2, categories(writer, true))

	copied.Kill()
	require.Eventually(t, func() bool { return !lagged() }, 20*time.Second, 10*time.Millisecond, "one that is gone is left alone")
	require.Equal(t, 2, categories(reader, true))
	require.NoError(t, copied.Start())
	require.Eventually(t, lagged, 30*time.Second, 10*time.Millisecond, "one that is back is asked again")
	require.Equal(t, 2, categories(reader, true))
}

// TestReplicas_away opens a store while its replica is not there.
func TestReplicas_away(t *testing.T) {
	t.Parallel()
	primary, err := testservers.StartPostgres(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(primary.Stop)
	store, err := repository.OpenAmong(t.Context(), primary.URL(), repository.Servers{Replicas: []string{"postgres://nobody@127.0.0.1:1/none"}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	_, err = store.Categories.List(store.OnBehalf(t.Context(), uuid.New(), true))
	require.NoError(t, err)
	require.False(t, store.LaggedReads(uuid.New()))

	_, err = repository.OpenAmong(t.Context(), primary.URL(), repository.Servers{Replicas: []string{"postgres://secret word@127.0.0.1:x/"}})
	require.ErrorContains(t, err, "cannot be read")
	require.NotContains(t, err.Error(), "secret")
}

// TestOpenAmong_pooler leaves nothing behind in a session, which may be somebody else's with the next transaction.
func TestOpenAmong_pooler(t *testing.T) {
	t.Parallel()
	url := storetest.PostgresURL(t)
	store, err := repository.OpenAmong(t.Context(), url, repository.Servers{Direct: url})
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	for range 3 {
		_, _, err = store.Products.List(t.Context(), domain.ProductFilter{Page: domain.Page{Number: 1, Size: 10, Sort: domain.Sort{Field: "name"}}})
		require.NoError(t, err)
	}
	read, _ := store.Handles()
	var prepared int
	require.NoError(t, read.Raw("SELECT COUNT(*) FROM pg_prepared_statements WHERE name <> ''").Scan(&prepared).Error)
	require.Zero(t, prepared)
	var timeout string
	require.NoError(t, read.Raw("SHOW statement_timeout").Scan(&timeout).Error)
	require.Equal(t, "0", timeout, "the pooler would refuse it")

	_, err = repository.OpenAmong(t.Context(), url, repository.Servers{Direct: "postgres://secret word@127.0.0.1:x/"})
	require.ErrorContains(t, err, "cannot be read")
}

// TestOpenAmong_patient goes through everything, for as long as that takes.
func TestOpenAmong_patient(t *testing.T) {
	t.Parallel()
	url := storetest.PostgresURL(t)
	for address, want := range map[string]string{url: "0", url + "&statement_timeout=7s": "7s"} {
		store, err := repository.OpenAmong(t.Context(), address, repository.Servers{Patient: true})
		require.NoError(t, err)
		read, _ := store.Handles()
		var timeout, lock string
		require.NoError(t, read.Raw("SHOW statement_timeout").Scan(&timeout).Error)
		require.NoError(t, read.Raw("SHOW lock_timeout").Scan(&lock).Error)
		require.Equal(t, []string{want, "2s"}, []string{timeout, lock})
		require.NoError(t, store.Close())
	}
}
