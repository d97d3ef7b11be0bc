package httpapi

import (
	"context"
	"fmt"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/sync/semaphore"

	"inventoryhub/internal/domain"
)

// How many requests are at work at once; who comes beyond that waits for a while, or is asked to come again. Lists have half of the
// connections to the database, so that however dear they become, whoever reads or changes one thing finds a connection.
const (
	maxRequests = 1000 // of all kinds: what they hold in memory stays within bounds
	maxLists    = 8
	maxExports  = 4
	maxImports  = 1 // each holds its whole file, and on SQLite everybody who writes waits for it

	laneWait = 3 * time.Second
)

// lane bounds how many requests of a kind are at work at once.
type lane struct {
	slots *semaphore.Weighted
	wait  time.Duration // how long a request waits for another to end; 0 refuses it at once
}

// lanes are those of one server.
type lanes struct{ all, lists, exports, imports *lane }

func newLanes() lanes {
	return lanes{
		all: newLane(maxRequests, 0), lists: newLane(maxLists, laneWait), exports: newLane(maxExports, laneWait),
		imports: newLane(maxImports, bulkTimeout),
	}
}

func newLane(slots int64, wait time.Duration) *lane {
	return &lane{slots: semaphore.NewWeighted(slots), wait: wait}
}

// enter lets a request through when its lane has room for it, and answers 503 if that takes too long.
func (a *api) enter(l *lane) gin.HandlerFunc {
	return func(c *gin.Context) {
		if !l.slots.TryAcquire(1) {
			waiting, cancel := context.WithTimeout(c.Request.Context(), l.wait)
			err := l.slots.Acquire(waiting, 1)
			cancel()
			if err != nil {
				a.writeError(c, domain.Unavailable(fmt.Errorf("too many requests of the kind are at work: %w", err)))
				return
			}
		}
		defer l.slots.Release(1)
		c.Next()
	}
}
