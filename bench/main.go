// Command bench measures the server on a large catalogue: against a bare server that answers the same (see reference), against itself on a small
// catalogue, and on the embedded database. It starts a private Postgres, fills it, and writes what it found into docs/benchmarks.md. What it is
// to do stands in the environment:
//
//	PRODUCTS  how many products there are; 1000000 by default
//	ORDERS    how many orders; twice as many by default
//	SMALL     how many products the small catalogue has, with twice as many orders; 10000 by default
//	EMBEDDED  the same of the embedded database; as many as PRODUCTS by default
//	ROUNDS    how often each case is measured; 5 by default
//	SECONDS   how long each time; 2 by default
//	CASES     a regular expression that picks cases by their names; all by default
//	REPORT    the file that is written; docs/benchmarks.md by default
//
// The exit status is 1 when a request was answered in another way than it should, or it could not be run.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"

	"inventoryhub/internal/testservers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context) error {
	c, err := readSettings(os.Getenv)
	if err != nil {
		return err
	}
	if err := testservers.Install(os.Stderr, testservers.PostgreSQLServer); err != nil {
		return err
	}
	found, err := run(ctx, c, os.Stdout)
	fmt.Println(found.text())
	if err != nil {
		return err
	}
	return found.writeInto(c.report)
}

// settings say what is to be measured.
type settings struct {
	products, orders, small, embedded int
	rounds                            int
	slice                             time.Duration
	cases                             *regexp.Regexp
	report                            string
}

func readSettings(getenv func(string) string) (c settings, err error) {
	number := func(name string, fallback int) int {
		n, wrong := strconv.Atoi(cmp.Or(getenv(name), strconv.Itoa(fallback)))
		if (wrong != nil || n < 1) && err == nil {
			err = fmt.Errorf("%s must be a positive whole number", name)
		}
		return n
	}
	c.products = number("PRODUCTS", 1_000_000)
	c.orders = number("ORDERS", 2*c.products)
	c.small = number("SMALL", min(10_000, c.products))
	c.embedded = number("EMBEDDED", c.products)
	c.rounds = number("ROUNDS", 5)
	seconds, wrong := strconv.ParseFloat(cmp.Or(getenv("SECONDS"), "2"), 64)
	if (wrong != nil || seconds <= 0) && err == nil {
		err = fmt.Errorf("SECONDS must be a positive number")
	}
	c.slice = time.Duration(seconds * float64(time.Second))
	c.report = cmp.Or(getenv("REPORT"), "docs/benchmarks.md")
	if err != nil {
		return c, err
	}
	if c.cases, err = regexp.Compile(getenv("CASES")); err != nil {
		return c, fmt.Errorf("CASES: %w", err)
	}
	return c, nil
}

// run measures everything. With an error it gives what it has found until then.
func run(ctx context.Context, c settings, tell io.Writer) (*findings, error) {
	found := &findings{settings: c, at: time.Now()}
	w, err := newWorld(ctx, tell)
	if err != nil {
		return found, err
	}
	defer w.close()
	loaded := map[int]*catalogue{}
	for _, products := range []int{c.products, c.small, c.embedded} {
		orders := 2 * products
		if products == c.products {
			orders = c.orders
		}
		if loaded[products] == nil {
			if loaded[products], err = w.load(ctx, products, orders); err != nil {
				return found, err
			}
		}
	}
	archive, err := w.backUp(ctx, loaded[c.embedded])
	if err != nil {
		return found, err
	}
	fresh := loaded[c.embedded].stock.anew()
	ours, err := w.contend(ctx, c, "ours", loaded[c.products])
	if err != nil {
		return found, err
	}
	if err := w.compare(ctx, found, ours); err != nil {
		return found, err
	}
	if err := w.grow(ctx, found, ours, loaded[c.small]); err != nil {
		return found, err
	}
	if err := w.stop(ours.server); err != nil {
		return found, err
	}
	return found, w.embed(ctx, found, archive, fresh)
}

// compare measures our server against the reference, on the same database.
func (w *world) compare(ctx context.Context, found *findings, ours *contender) error {
	var err error
	if found.firstAnswer, err = w.restart(ctx, ours); err != nil {
		return err
	}
	bare := &contender{cases: ours.cases}
	if bare.server, err = w.startReference(ctx, ours.catalogue.url); err != nil {
		return err
	}
	bare.server.token = ours.server.token
	if err := agree(ctx, ours.server, bare.server, ours.cases); err != nil {
		return err
	}
	if found.against, err = w.rounds(ctx, found.settings, "against the reference", ours, bare); err != nil {
		return err
	}
	if found.peak, err = peakMemory(ours.server.program.PID()); err != nil {
		return err
	}
	if err := w.stop(bare.server); err != nil {
		return err
	}
	if err := w.reconcile(ctx, ours.catalogue.url); err != nil {
		return err
	}
	return approvedOnce(ctx, ours.catalogue)
}

// catalogue is a database with what there is to ask for.
type catalogue struct {
	url   string
	stock *stock
}

// contender is a server on a catalogue with what it is asked.
type contender struct {
	server    *server
	catalogue *catalogue
	cases     []benchCase
}

// contend starts our server on a catalogue.
func (w *world) contend(ctx context.Context, c settings, name string, on *catalogue) (*contender, error) {
	it := &contender{catalogue: on}
	var err error
	if it.server, err = w.startOurs(ctx, name, on.url); err != nil {
		return nil, err
	}
	if err := it.server.prepare(ctx, on.stock); err != nil {
		return nil, err
	}
	it.cases = c.chosen(on.stock.cases())
	return it, nil
}

// prepare logs in and brings about what the cases need.
func (s *server) prepare(ctx context.Context, of *stock) error {
	if err := s.logIn(ctx); err != nil {
		return err
	}
	if err := s.addPicture(ctx, of); err != nil {
		return err
	}
	return s.findCursors(ctx, of)
}

// restart starts a contender's server anew and says how long that takes up to its first answer from the catalogue.
func (w *world) restart(ctx context.Context, it *contender) (time.Duration, error) {
	token := it.server.token
	if err := w.stop(it.server); err != nil {
		return 0, err
	}
	var err error
	if it.server, err = w.startOurs(ctx, it.server.name, it.catalogue.url); err != nil {
		return 0, err
	}
	it.server.token = token
	return it.server.firstAnswer(ctx)
}

func (c settings) chosen(all []benchCase) []benchCase {
	var some []benchCase
	for _, one := range all {
		if c.cases.MatchString(one.name) {
			some = append(some, one)
		}
	}
	return some
}

// rounds measures all cases again and again, each time for all contenders one after the other, the first of whom changes. All contenders have the
// same cases in the same order.
func (w *world) rounds(ctx context.Context, c settings, what string, contenders ...*contender) ([]line, error) {
	lines := make([]line, len(contenders[0].cases))
	for round := range c.rounds {
		w.say("%s, round %d of %d", what, round+1, c.rounds)
		for n := range lines {
			if round == 0 {
				lines[n] = line{contenders[0].cases[n].name, make([][]sample, len(contenders))}
			}
			for i := range contenders {
				i = (i + round) % len(contenders)
				if err := w.measure(ctx, c, &lines[n].samples[i], contenders[0].server, contenders[i], n); err != nil {
					return nil, err
				}
			}
		}
	}
	return lines, nil
}

// measure takes one more sample of a case. The first time it has it asked for a while before, since what is read for the first time is read
// slowly. What the case uses up is made by the maker.
func (w *world) measure(ctx context.Context, c settings, samples *[]sample, maker *server, it *contender, n int) error {
	one, last := it.cases[n], 0
	if len(*samples) > 0 {
		last = (*samples)[len(*samples)-1].Requests
	}
	if one.uses != nil {
		if err := one.uses.fill(ctx, maker, max(3*last/2, 20*one.clients)); err != nil {
			return err
		}
	}
	if last == 0 {
		first, err := w.drive(ctx, it.server, one, c.slice/4)
		if err != nil {
			return err
		}
		if one.uses != nil {
			if err := one.uses.fill(ctx, maker, 6*first.Requests); err != nil {
				return err
			}
		}
	}
	s, err := w.drive(ctx, it.server, one, c.slice)
	*samples = append(*samples, s)
	return err
}

// grow measures our server on the small and the large catalogue in turn.
func (w *world) grow(ctx context.Context, found *findings, ours *contender, small *catalogue) error {
	reading := func(cases []benchCase) []benchCase {
		return slices.DeleteFunc(slices.Clone(cases), func(one benchCase) bool { return !one.grows })
	}
	little, err := w.contend(ctx, found.settings, "ours on the small catalogue", small)
	if err != nil {
		return err
	}
	found.growth, err = w.rounds(ctx, found.settings, "growth",
		&contender{server: little.server, cases: reading(little.cases)}, &contender{server: ours.server, cases: reading(ours.cases)})
	if err != nil {
		return err
	}
	return w.stop(little.server)
}

// backUp writes all that a catalogue's database holds into a file.
func (w *world) backUp(ctx context.Context, of *catalogue) (archive string, err error) {
	archive = filepath.Join(w.dir, "backup.tar.gz")
	said, err := w.run(ctx, of.url, "backup", archive)
	w.say("%s", said)
	return archive, err
}

// embed measures our server on the embedded database, with a catalogue from a backup.
func (w *world) embed(ctx context.Context, found *findings, archive string, fresh *stock) error {
	on, begun := &catalogue{"sqlite://" + filepath.Join(w.dir, "embedded.db"), fresh}, time.Now()
	said, err := w.run(ctx, on.url, "restore", archive)
	if err != nil {
		return err
	}
	w.say("%s (%s)", said, time.Since(begun).Round(time.Second))
	ours, err := w.contend(ctx, found.settings, "ours embedded", on)
	if err != nil {
		return err
	}
	if found.embedded, err = w.rounds(ctx, found.settings, "embedded", ours); err != nil {
		return err
	}
	if found.embeddedPeak, err = peakMemory(ours.server.program.PID()); err != nil {
		return err
	}
	if err := w.stop(ours.server); err != nil {
		return err
	}
	return w.reconcile(ctx, on.url)
}
