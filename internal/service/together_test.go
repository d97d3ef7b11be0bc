package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/storetest"
)

// marks notes with whom somebody was carried out.
type marks struct {
	mu      sync.Mutex
	batches [][]string
}

func (m *marks) add(batch []*call[string]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, c := range batch {
		names = append(names, c.in)
	}
	m.batches = append(m.batches, names)
}

// eachTogether runs a test on both engines. What is carried out makes a category of each name.
func eachTogether(t *testing.T, carryOut func(c *call[string]) error, test func(t *testing.T, g *together[string], m *marks, kept func() []string)) {
	t.Helper()
	t.Parallel()
	storetest.Each(t, func(t *testing.T, store *repository.Store) {
		m := &marks{}
		g := &together[string]{store: store}
		g.carryOut = func(ctx context.Context, tx *repository.Store, batch []*call[string]) error {
			m.add(batch)
			for _, c := range batch {
				if err := carryOut(c); err != nil {
					return err
				}
				if c.refused != nil {
					continue
				}
				if err := tx.Categories.Create(ctx, domain.NewCategory(c.in, time.Now().UTC())); err != nil {
					return err
				}
			}
			return nil
		}
		test(t, g, m, func() []string {
			all, err := store.Categories.List(t.Context())
			require.NoError(t, err)
			names := []string{}
			for _, c := range all {
				names = append(names, c.Name)
			}
			return names
		})
	})
}

// callAll has callers come one after the other, who all wait, and gives what each of them was answered.
func callAll(t *testing.T, g *together[string], ctx func(name string) context.Context, names ...string) func() map[string]error {
	t.Helper()
	wait, release := g.gather()
	answers := map[string]error{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			_, err := g.do(ctx(name), name)
			mu.Lock()
			defer mu.Unlock()
			answers[name] = err
		})
		wait(i + 1)
	}
	return func() map[string]error {
		release()
		all.Wait()
		require.False(t, g.busy)
		require.Empty(t, g.waiting)
		return answers
	}
}

func untilDone(t *testing.T) func(string) context.Context {
	return func(string) context.Context { return t.Context() }
}

func nothing(*call[string]) error { return nil }

func TestTogether_inTheirOrder(t *testing.T) {
	eachTogether(t, nothing, func(t *testing.T, g *together[string], m *marks, kept func() []string) {
		require.Equal(t, map[string]error{"a": nil, "b": nil, "c": nil}, callAll(t, g, untilDone(t), "a", "b", "c")())
		require.Equal(t, [][]string{{"a", "b", "c"}}, m.batches)
		_, err := g.do(t.Context(), "d")
		require.NoError(t, err)
		require.Equal(t, [][]string{{"a", "b", "c"}, {"d"}}, m.batches, "whoever comes alone goes alone")
		require.Equal(t, []string{"a", "b", "c", "d"}, kept())
	})
}

func TestTogether_noMoreThanTheBound(t *testing.T) {
	eachTogether(t, nothing, func(t *testing.T, g *together[string], m *marks, kept func() []string) {
		names := make([]string, 2*maxTogether+1)
		for i := range names {
			names[i] = fmt.Sprintf("%03d", i)
		}
		callAll(t, g, untilDone(t), names...)()
		require.Equal(t, [][]string{names[:maxTogether], names[maxTogether : 2*maxTogether], names[2*maxTogether:]}, m.batches)
		require.Equal(t, names, kept())
	})
}

func TestTogether_refused(t *testing.T) {
	refused := domain.Conflict("x", "no")
	eachTogether(t, func(c *call[string]) error {
		if c.refused = nil; c.in == "b" {
			c.refused = refused
		}
		return nil
	}, func(t *testing.T, g *together[string], m *marks, kept func() []string) {
		require.Equal(t, map[string]error{"a": nil, "b": refused, "c": nil}, callAll(t, g, untilDone(t), "a", "b", "c")())
		require.Len(t, m.batches, 1)
		_, err := g.do(t.Context(), "b")
		require.Equal(t, refused, err)
		require.Equal(t, []string{"a", "c"}, kept())
	})
}

// TestTogether_poison: what nobody has foreseen hurts only the one whose fault it is, whichever place they have.
func TestTogether_poison(t *testing.T) {
	for _, place := range []string{"a", "b", "c"} {
		t.Run(place, func(t *testing.T) {
			eachTogether(t, func(c *call[string]) error {
				if c.in == place {
					return errors.New("poison")
				}
				return nil
			}, func(t *testing.T, g *together[string], m *marks, kept func() []string) {
				answers := callAll(t, g, untilDone(t), "a", "b", "c")()
				require.ErrorContains(t, answers[place], "poison")
				delete(answers, place)
				for _, err := range answers {
					require.NoError(t, err)
				}
				require.Len(t, kept(), 2)
				require.NotContains(t, kept(), place)
			})
		})
	}
}

// TestTogether_apart: what cannot be carried out with the others is carried out alone.
func TestTogether_apart(t *testing.T) {
	eachTogether(t, nothing, func(t *testing.T, g *together[string], m *marks, kept func() []string) {
		first := g.carryOut
		g.carryOut = func(ctx context.Context, tx *repository.Store, batch []*call[string]) error {
			if len(batch) == 1 {
				return first(ctx, tx, batch)
			}
			batch[0].apart, batch[2].apart = true, true
			return first(ctx, tx, batch[1:2])
		}
		require.Equal(t, map[string]error{"a": nil, "b": nil, "c": nil}, callAll(t, g, untilDone(t), "a", "b", "c")())
		require.Equal(t, []string{"b"}, m.batches[0])
		require.Len(t, m.batches, 3)
		require.Equal(t, []string{"a", "b", "c"}, kept())
	})
}

// TestTogether_panic: a defect that one caller hits is met by that caller alone, and those who come later are carried out.
func TestTogether_panic(t *testing.T) {
	eachTogether(t, func(c *call[string]) error {
		if c.in == "b" {
			panic("a defect")
		}
		return nil
	}, func(t *testing.T, g *together[string], m *marks, kept func() []string) {
		var panics sync.Map
		wait, release := g.gather()
		var all sync.WaitGroup
		for i, name := range []string{"b", "a", "c"} { // the first leads
			all.Go(func() {
				defer func() { panics.Store(name, recover()) }()
				_, err := g.do(t.Context(), name)
				require.NoError(t, err)
			})
			wait(i + 1)
		}
		release()
		all.Wait()
		for name, want := range map[string]any{"a": nil, "b": "a defect", "c": nil} {
			got, _ := panics.Load(name)
			require.Equal(t, want, got, name)
		}
		require.PanicsWithValue(t, "a defect", func() { _, _ = g.do(t.Context(), "b") })
		_, err := g.do(t.Context(), "d")
		require.NoError(t, err)
		require.Equal(t, []string{"a", "c", "d"}, kept())
	})
}

// TestTogether_gone: a caller who goes away while waiting is left out, even the one who is to lead; while being carried out, the others do not notice.
func TestTogether_gone(t *testing.T) {
	for _, gone := range []string{"a", "b"} {
		t.Run("while "+gone+" waits", func(t *testing.T) {
			eachTogether(t, nothing, func(t *testing.T, g *together[string], m *marks, kept func() []string) {
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				all := callAll(t, g, func(name string) context.Context {
					if name == gone {
						return ctx
					}
					return t.Context()
				}, "a", "b", "c")
				leave()
				for g.waits() > 2 {
					time.Sleep(time.Millisecond)
				}
				answers := all()
				require.ErrorIs(t, answers[gone], context.Canceled)
				delete(answers, gone)
				for _, err := range answers {
					require.NoError(t, err)
				}
				require.NotContains(t, kept(), gone)
				require.Len(t, kept(), 2)
			})
		})
		t.Run("while "+gone+" is carried out", func(t *testing.T) {
			var leave context.CancelFunc
			eachTogether(t, func(*call[string]) error { leave(); return nil }, func(t *testing.T, g *together[string], m *marks, kept func() []string) {
				var ctx context.Context
				ctx, leave = context.WithCancel(t.Context())
				defer leave()
				answers := callAll(t, g, func(name string) context.Context {
					if name == gone {
						return ctx
					}
					return t.Context()
				}, "a", "b", "c")()
				delete(answers, gone)
				for _, err := range answers {
					require.NoError(t, err)
				}
				require.Equal(t, []string{"a", "b", "c"}, kept(), "nobody can take back what is being done")
			})
		})
	}
}

// TestTogether_tooMany: whoever comes when too many wait is told to come later, as is whoever waits for too long.
func TestTogether_tooMany(t *testing.T) {
	g := &together[string]{}
	_, release := g.gather()
	for range maxWaiting {
		g.waiting = append(g.waiting, &call[string]{ctx: t.Context(), told: make(chan word, 1)})
	}
	_, err := g.do(t.Context(), "x")
	require.True(t, isKind(err, domain.KindUnavailable), err)
	g.waiting = nil
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	_, err = g.do(ctx, "x")
	require.True(t, isKind(err, domain.KindUnavailable), err)
	require.Empty(t, g.waiting)
	release()
	require.False(t, g.busy)
}

// TestTogether_stuck: who is carried out alone and has to wait does not keep the others.
func TestTogether_stuck(t *testing.T) {
	store := storetest.Open(t, storetest.PostgresURL(t)) // on SQLite all wait for the one connection that writes
	begun, go1 := make(chan struct{}), make(chan struct{})
	g := &together[string]{store: store, carryOut: func(_ context.Context, _ *repository.Store, batch []*call[string]) error {
		if batch[0].in == "a" {
			close(begun)
			<-go1
		}
		return nil
	}}
	var all sync.WaitGroup
	all.Go(func() { _, err := g.do(t.Context(), "a"); require.NoError(t, err) })
	<-begun
	_, err := g.do(t.Context(), "b")
	require.NoError(t, err)
	close(go1)
	all.Wait()
	require.False(t, g.busy)
}
