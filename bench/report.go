package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// line is what was measured of one case: for each contender, a sample of each round.
type line struct {
	name    string
	samples [][]sample
}

// findings are all that was measured.
type findings struct {
	settings     settings
	at           time.Time
	firstAnswer  time.Duration // of our server on the large catalogue, after its start
	peak         int64         // bytes of memory
	against      []line        // ours and the reference
	growth       []line        // ours on the small and on the large catalogue
	embedded     []line        // ours on the embedded database
	embeddedPeak int64
}

// spread is the middle of several values, with the smallest and the largest.
type spread struct{ median, least, most float64 }

func spreadOf(values []float64) spread {
	values = slices.DeleteFunc(slices.Clone(values), func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	if len(values) == 0 {
		return spread{math.NaN(), math.NaN(), math.NaN()}
	}
	slices.Sort(values)
	middle := len(values) / 2
	median := values[middle]
	if len(values)%2 == 0 {
		median = (values[middle-1] + values[middle]) / 2
	}
	return spread{median, values[0], values[len(values)-1]}
}

// middle writes the median of a figure.
func middle(samples []sample, of func(sample) float64) string {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	return short(spreadOf(values).median)
}

// ratio compares two contenders round by round.
func ratio(above, below []sample, of func(sample) float64) spread {
	values := make([]float64, len(above))
	for i := range above {
		values[i] = of(above[i]) / of(below[i])
	}
	return spreadOf(values)
}

func rate(s sample) float64         { return s.Rate }
func costs(s sample) float64        { return float64(s.cpu()) / float64(time.Microsecond) }
func serverCost(s sample) float64   { return float64(s.ServerCPU) / float64(time.Microsecond) }
func databaseCost(s sample) float64 { return float64(s.DatabaseCPU) / float64(time.Microsecond) }
func half(s sample) float64         { return s.P50.Seconds() * 1000 }
func slowest(s sample) float64      { return s.P99.Seconds() * 1000 }

// short writes a figure with two or three digits that count.
func short(v float64) string {
	switch {
	case math.IsNaN(v):
		return "?"
	case v >= 100:
		return grouped(int64(math.Round(v)))
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func grouped(n int64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func (s spread) String() string {
	return fmt.Sprintf("**%s** (%s to %s)", short(s.median), short(s.least), short(s.most))
}

func cost(samples []sample) string {
	return middle(samples, serverCost) + " + " + middle(samples, databaseCost)
}

// text is the report in Markdown.
func (f *findings) text() string {
	var b strings.Builder
	say := func(form string, args ...any) { fmt.Fprintf(&b, form+"\n", args...) }
	c := f.settings
	products, orders := grouped(int64(c.products)), grouped(int64(c.orders))
	say("Measured on %s, on %d cores, with %s products and %s orders; %d rounds of %s for each case and server.\n", f.at.UTC().Format("2006-01-02"),
		runtime.NumCPU(), products, orders, c.rounds, c.slice)
	say("From the start of the server to its first answer from this catalogue it took %d ms. Its memory (RSS) was %d MB at the peak of all cases.\n",
		f.firstAnswer.Milliseconds(), f.peak>>20)
	say("| on Postgres | a second: server, reference | **server / reference** | CPU µs a request: server + Postgres, reference + Postgres " +
		"| **server / reference** | p50 ms | p99 ms |")
	say("|---|---|---|---|---|---|---|")
	for _, l := range f.against {
		ours, bare := l.samples[0], l.samples[1]
		both := func(of func(sample) float64) string { return middle(ours, of) + ", " + middle(bare, of) }
		say("| %s | %s | %s | %s, %s | %s | %s | %s |", l.name, both(rate), ratio(ours, bare, rate), cost(ours), cost(bare), ratio(ours, bare, costs),
			both(half), both(slowest))
	}
	say("\n| growth | CPU µs a request with %s products | with %s | **times as much** |", grouped(int64(c.small)), products)
	say("|---|---|---|---|")
	for _, l := range f.growth {
		say("| %s | %s | %s | %s |", l.name, cost(l.samples[0]), cost(l.samples[1]), ratio(l.samples[1], l.samples[0], costs))
	}
	say("\n| on the embedded database, with %s products | a second | CPU µs a request | p50 ms | p99 ms |", grouped(int64(c.embedded)))
	say("|---|---|---|---|---|")
	for _, l := range f.embedded {
		s := l.samples[0]
		say("| %s | %s | %s | %s | %s |", l.name, middle(s, rate), middle(s, serverCost), middle(s, half), middle(s, slowest))
	}
	say("\nThere its memory was %d MB at the peak.", f.embeddedPeak>>20)
	return b.String()
}

// Between these lines of the report's file stands what was measured last. The rest is written by hand.
const (
	begins = "<!-- written by make bench -->\n"
	ends   = "<!-- end of what make bench writes -->\n"
)

// writeInto puts the report into its place in a file.
func (f *findings) writeInto(file string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(old), begins)
	_, after, ended := strings.Cut(rest, ends)
	if !found || !ended {
		return errors.New(file + " has no place for the report")
	}
	return os.WriteFile(file, []byte(before+begins+"\n"+f.text()+"\n"+ends+after), 0o644) //nolint:gosec // documentation
}
