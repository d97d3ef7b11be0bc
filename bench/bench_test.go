package main

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRun tries everything that "make bench" does, on a catalogue so small that its figures mean nothing: that both servers answer every case, and
// the same.
func TestRun(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "report.md")
	require.NoError(t, os.WriteFile(file, []byte("by hand, above\n"+begins+"old\n"+ends+"by hand, below\n"), 0o600))
	c := settings{products: 200, orders: 400, small: 100, embedded: 200, rounds: 1, slice: 20 * time.Millisecond, cases: regexp.MustCompile("")}
	found, err := run(t.Context(), c, t.Output())
	require.NoError(t, err)
	all := new(stock).cases()
	require.Len(t, found.against, len(all))
	require.Len(t, found.embedded, len(all))
	for i, one := range all {
		for _, samples := range [][]sample{found.against[i].samples[0], found.against[i].samples[1], found.embedded[i].samples[0]} {
			require.Len(t, samples, c.rounds, one.name)
			require.NotZero(t, samples[0].Requests, one.name)
		}
	}
	require.NotEmpty(t, found.growth)
	require.NotZero(t, found.peak)

	require.NoError(t, found.writeInto(file))
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(written), "by hand, above\n"+begins))
	require.True(t, strings.HasSuffix(string(written), ends+"by hand, below\n"))
	require.NotContains(t, string(written), "old\n")
	for _, one := range all {
		require.Contains(t, string(written), "| "+one.name+" |")
	}
}

// TestReport_place sees that there is one for the report.
func TestReport_place(t *testing.T) {
	text, err := os.ReadFile("../docs/benchmarks.md")
	require.NoError(t, err)
	_, rest, begun := strings.Cut(string(text), begins)
	require.True(t, begun && strings.Contains(rest, ends))
	other := filepath.Join(t.TempDir(), "other.md")
	require.NoError(t, os.WriteFile(other, nil, 0o600))
	require.Error(t, new(findings).writeInto(other))
}

func TestSame(t *testing.T) {
	for _, test := range []struct {
		a, b   string
		varies []string
		same   bool
	}{
		{`{"a":1,"b":[{"c":2}]}`, `{"b":[{"c":2}],"a":1}`, nil, true},
		{`{"a":1,"b":[{"c":2}]}`, `{"a":1,"b":[{"c":3}]}`, nil, false},
		{`{"a":1,"b":[{"c":2}]}`, `{"a":1,"b":[{"c":3}]}`, []string{"c"}, true},
		{`{"a":1}`, `{"a":1,"b":null}`, nil, false},
		{"picture", "picture", nil, true},
		{"picture", "other picture", nil, false},
		{"{}", "", nil, false},
	} {
		require.Equal(t, test.same, same([]byte(test.a), []byte(test.b), test.varies), "%s %s %v", test.a, test.b, test.varies)
	}
}

func TestRatio(t *testing.T) {
	samples := func(rates ...float64) (all []sample) {
		for _, r := range rates {
			all = append(all, sample{Rate: r})
		}
		return all
	}
	require.Equal(t, spread{2, 0.5, 4}, ratio(samples(2, 1, 8), samples(1, 2, 2), rate))
	require.Equal(t, spread{3, 2, 4}, ratio(samples(2, 4), samples(1, 1), rate))
	require.Equal(t, spread{2, 2, 2}, ratio(samples(2, 1), samples(1, 0), rate), "what was too short to be measured does not count")
	require.Equal(t, "**2.00** (0.50 to 4.00)", spread{2, 0.5, 4}.String())
}

func TestShort(t *testing.T) {
	for v, text := range map[float64]string{0.123: "0.12", 12.34: "12.3", 123.4: "123", 1234567: "1,234,567", math.NaN(): "?"} {
		require.Equal(t, text, short(v))
	}
}

func TestSettings(t *testing.T) {
	read := func(env map[string]string) (settings, error) {
		return readSettings(func(name string) string { return env[name] })
	}
	c, err := read(map[string]string{"PRODUCTS": "5000", "SECONDS": "0.5", "CASES": "^orders"})
	require.NoError(t, err)
	require.Equal(t, []int{5000, 10000, 5000, 5000, 5}, []int{c.products, c.orders, c.small, c.embedded, c.rounds})
	require.Equal(t, 500*time.Millisecond, c.slice)
	require.NotEmpty(t, c.chosen(new(stock).cases()))
	for _, one := range c.chosen(new(stock).cases()) {
		require.True(t, strings.HasPrefix(one.name, "orders"))
	}
	for name, wrong := range map[string]string{
		"PRODUCTS": "many", "ORDERS": "0", "SMALL": "-1", "EMBEDDED": "1.5", "ROUNDS": "x", "SECONDS": "0", "CASES": "(",
	} {
		_, err := read(map[string]string{name: wrong})
		require.ErrorContains(t, err, name)
	}
}
