package torture

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Report is what a run did and found.
type Report struct {
	Config     Config
	Elapsed    time.Duration
	Operations map[string]map[string]int // by what was asked and what came of it: a status, or "no answer"
	Faults     map[string]int            // by their sort
	Checks     int                       // how often all invariants were checked
	Violations []string
}

// Total counts all requests.
func (r Report) Total() int {
	n := 0
	for _, outcomes := range r.Operations {
		n += sum(outcomes)
	}
	return n
}

// sum adds up counts.
func sum(counts map[string]int) int {
	n := 0
	for _, c := range counts {
		n += c
	}
	return n
}

// String shows the counts as text for people.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "operations: %d in %s\n", r.Total(), r.Elapsed.Round(time.Second))
	for _, op := range slices.Sorted(maps.Keys(r.Operations)) {
		fmt.Fprintf(&b, "  %-18s %s\n", op, list(r.Operations[op]))
	}
	fmt.Fprintf(&b, "faults: %d\n", sum(r.Faults))
	for _, name := range slices.Sorted(maps.Keys(r.Faults)) {
		fmt.Fprintf(&b, "  %-36s %d\n", name, r.Faults[name])
	}
	fmt.Fprintf(&b, "checks of all invariants: %d\nviolations: %d\n", r.Checks, len(r.Violations))
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "  %s\n", v)
	}
	fmt.Fprintf(&b, "again: make torture SEED=%d DURATION=%s INSTANCES=%d ENGINE=%s\n", r.Config.Seed, r.Config.Duration, r.Config.Instances, r.Config.Engine)
	return b.String()
}

// list writes counts in one line.
func list(counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s: %d", name, counts[name]))
	}
	return strings.Join(parts, ", ")
}

// maxViolations is how many are written down: one defect can break the same rule for every row.
const maxViolations = 100

// tally counts while the run goes on.
type tally struct {
	mu       sync.Mutex
	began    time.Time
	progress io.Writer
	counts   Report
	told     map[string]bool
}

func newTally(c Config, progress io.Writer) *tally {
	return &tally{
		began: time.Now(), progress: progress, told: map[string]bool{},
		counts: Report{Config: c, Operations: map[string]map[string]int{}, Faults: map[string]int{}},
	}
}

// start begins to count the time, once everything runs.
func (t *tally) start() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.began = time.Now()
}

// say tells how far the run is.
func (t *tally) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.progress, format+"\n", args...)
}

func (t *tally) operation(name, outcome string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts.Operations[name] == nil {
		t.counts.Operations[name] = map[string]int{}
	}
	t.counts.Operations[name][outcome]++
}

func (t *tally) fault(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Faults[name]++
}

func (t *tally) checked() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Checks++
}

// violate notes that a promise was broken, once for each text.
func (t *tally) violate(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.told[text] || len(t.counts.Violations) == maxViolations {
		return
	}
	t.told[text] = true
	t.counts.Violations = append(t.counts.Violations, text)
	fmt.Fprintf(t.progress, "torture: VIOLATION after %s: %s\n", time.Since(t.began).Round(time.Millisecond), text)
}

func (t *tally) violated() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.counts.Violations) > 0
}

func (t *tally) report() Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.counts
	r.Elapsed = time.Since(t.began)
	return r
}

const tellEvery = 10 * time.Second

func (t *tally) tellNowAndThen(ctx context.Context) {
	for sleep(ctx, tellEvery) {
		r := t.report()
		t.say("torture: %s, %d operations, %d faults, %d violations", r.Elapsed.Round(time.Second), r.Total(), sum(r.Faults), len(r.Violations))
	}
}

// sleep waits and says whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
