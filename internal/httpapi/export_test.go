package httpapi

import "inventoryhub/internal/domain"

// How many requests are at work at once.
const (
	MaxRequests = maxRequests
	MaxLists    = maxLists
)

// Line is what tests see of a line of the route table.
type Line struct {
	Method, Path string
	Need         domain.Permission
	Open         bool
	Throttled    bool
	Keyed        bool // takes an Idempotency-Key
}

// Table gives the route table.
func Table() []Line {
	var lines []Line
	for _, r := range (&api{}).routes() {
		lines = append(lines, Line{r.method, r.path, r.need, r.open, r.throttled, r.again != nil})
	}
	return lines
}
