package service

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

// TestCallers_lateAnswers: an answer that was asked for before a change, and comes after it, is not remembered.
func TestCallers_lateAnswers(t *testing.T) {
	t.Parallel()
	now := time.Now()
	later := now.Add(time.Hour)
	jane := domain.Actor{ID: uuid.New(), Role: domain.RoleAdmin}
	for name, c := range map[string]struct {
		meanwhile  func(c *callers)
		remembered bool
	}{
		"nothing happened":     {func(*callers) {}, true},
		"another was asked":    {func(c *callers) { c.remember(digest{9}, jane, later, c.epoch) }, true},
		"something changed":    {(*callers).forget, false},
		"changes are unheard":  {func(c *callers) { c.hear(false) }, false},
		"they are heard again": {func(c *callers) { c.hear(false); c.hear(true) }, false},
		"the second is over": {func(c *callers) {
			now = now.Add(rememberFor)
			c.recall(digest{9})
		}, false},
		"the clock went back": {func(c *callers) {
			now = now.Add(-time.Millisecond)
			c.recall(digest{9})
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			memory := newCallers(func() time.Time { return now })
			memory.hear(true)
			_, epoch, known := memory.recall(digest{1})
			require.False(t, known)
			c.meanwhile(memory)
			memory.remember(digest{1}, jane, later, epoch)
			actor, _, known := memory.recall(digest{1})
			require.Equal(t, c.remembered, known)
			if known {
				require.Equal(t, jane, actor)
			}
		})
	}
}

// TestCallers_bounded: however many call, no more than so many are remembered, and those who are stay.
func TestCallers_bounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := newCallers(func() time.Time { return now })
	c.hear(true)
	_, epoch, _ := c.recall(digest{})
	for i := range maxRemembered + 10 {
		c.remember(digest{byte(i), byte(i >> 8)}, domain.Actor{}, now.Add(time.Hour), epoch)
	}
	require.Len(t, c.known, maxRemembered)
	_, _, known := c.recall(digest{})
	require.True(t, known)
}
