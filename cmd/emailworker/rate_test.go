package main

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRate sends invitations through two servers and two workers as fast as they go, and measures. INVITATIONS says how many; docs/benchmarks.md
// has the figures of 2,000. It runs before the tests that run in parallel.
func TestRate(t *testing.T) {
	total := 100
	if setting := os.Getenv("INVITATIONS"); setting != "" {
		var err error
		total, err = strconv.Atoi(setting)
		require.NoError(t, err)
	}
	h := newSharedHub(t)
	apis := []*program{h.startAPI(), h.startAPI()}
	h.startWorker()
	h.startWorker()
	h.requireSettled(apis[0], settled{}) // all are at work

	emails := make(chan string)
	var inviting sync.WaitGroup
	began := time.Now()
	for i := range 16 {
		inviting.Go(func() {
			for email := range emails {
				assert.NoError(t, h.try(apis[i%2], email))
			}
		})
	}
	all := numbered("jane", total)
	for _, email := range all {
		emails <- email
	}
	close(emails)
	inviting.Wait()
	invited := time.Since(began)
	eventually(t, "not all were mailed", func() bool { return h.mails.has(all) })
	h.requireSettled(apis[1], settled{})

	var took []time.Duration
	last := began
	for _, email := range all {
		mail := h.mails.only(email)
		took = append(took, max(0, mail.at.Sub(h.accepted[email])))
		last = slices.MaxFunc([]time.Time{last, mail.at}, time.Time.Compare)
	}
	slices.SortFunc(took, cmp.Compare)
	t.Logf("%d invitations: accepted at %.0f/s, mailed at %.0f/s; from 201 to mail: median %v, p99 %v, longest %v",
		total, float64(total)/invited.Seconds(), float64(total)/last.Sub(began).Seconds(),
		took[total/2].Round(time.Millisecond), took[total*99/100].Round(time.Millisecond), took[total-1].Round(time.Millisecond))
}
