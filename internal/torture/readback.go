package torture

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"inventoryhub/internal/domain"
)

// checkEverything compares what the database holds in the end with the invariants and with all that was answered.
func (w *world) checkEverything(ctx context.Context) error {
	for _, check := range []func(context.Context) error{w.checkInvariants, w.checkCommands, w.checkAnswers, w.checkDeadlocks} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	for _, i := range w.instances {
		if i.running() {
			i.stop()
		}
	}
	return nil
}

// checkDeadlocks looks through Postgres's log for deadlocks among the API's own transactions. Each costs everybody a second, even though
// the loser runs again.
func (w *world) checkDeadlocks(context.Context) error {
	if w.config.Engine != Postgres {
		return nil
	}
	log, err := os.ReadFile(filepath.Join(w.dir, "postgres", "postgres.log"))
	if err != nil {
		return err
	}
	for _, found := range strings.Split(string(log), "deadlock detected\n")[1:] {
		if who, _, _ := strings.Cut(found, "HINT:"); !strings.Contains(who, takeProducts) {
			w.tally.violate("the API's own transactions wait for each other: %.1000s", strings.Join(strings.Fields(who), " "))
		}
	}
	return nil
}

// row is a thing as the database has it.
type row struct {
	id, kind, marker, description string
	version                       int64
	deleted                       bool
}

// line is a movement as the database has it.
type line struct {
	product, note         string
	version, delta, after int64
}

// step is a line of an order's history as the database has it.
type step struct {
	version int64
	to      domain.OrderState
}

// contents is the database in the end.
type contents struct {
	byID     map[string]row
	byMarker map[string][]row
	lines    map[string][]line // by product, in order
	notes    map[string][]line
	steps    map[string][]step // by order, in order
}

func (w *world) checkAnswers(ctx context.Context) error {
	found, err := w.load(ctx)
	if err != nil {
		return err
	}
	j := w.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, made := range j.creations {
		j.checkCreation(made, found)
	}
	j.checkPresence(found)
	for at, value := range j.values {
		j.checkVersion(at, value, found)
	}
	for at, to := range j.transitions {
		if s := stepAt(found.steps[at.id], at.version); s.version != at.version || s.to != to {
			j.tally.violate("order %s was moved to %s as version %d, which its history does not tell", at.id, to, at.version)
		}
	}
	for marker, by := range j.adjustments {
		j.checkAdjustment(marker, by, found.notes[marker])
	}
	for id, writings := range j.writings {
		j.checkWritings(id, writings, found)
	}
	return nil
}

// checkCreation compares a creation's answers with what there is of it.
func (j *journal) checkCreation(made *creation, found contents) {
	name := made.kind + " " + made.marker
	rows := found.byMarker[name]
	switch {
	case len(rows) > 1:
		j.tally.violate("%s was made %d times", name, len(rows))
	case made.fate == fateMade && len(rows) == 0:
		j.tally.violate("%s was answered with success and is not there", name)
	case made.fate == fateMade && made.kind != kindUser && rows[0].id != made.id:
		j.tally.violate("%s has the id %s and was answered with %s", name, rows[0].id, made.id)
	case made.fate == fateRefused && len(rows) > 0:
		j.tally.violate("%s was refused and is there", name)
	case made.fate == fateGone && (len(rows) == 0 || !rows[0].deleted):
		j.tally.violate("%s was said to be made and deleted, which it is not", name)
	}
}

// checkPresence compares what was deleted, and what was said to be gone, with what there is.
func (j *journal) checkPresence(found contents) {
	for id, kind := range j.deletions {
		if r, ok := found.byID[id]; !ok || !r.deleted {
			j.tally.violate("%s %s was deleted with success and is there", kind, id)
		}
	}
	for id := range j.missing {
		if r, ok := found.byID[id]; ok && !r.deleted {
			j.tally.violate("%s %s was said not to exist and is there", r.kind, id)
		}
	}
}

// checkVersion compares what an answer told of a version with the ledger or the history up to it.
func (j *journal) checkVersion(at state, value shown, found contents) {
	kind := j.kinds[at.id]
	if r := found.byID[at.id]; r.version < at.version {
		j.tally.violate("%s %s was shown in version %d and is in version %d", kind, at.id, at.version, r.version)
	}
	if kind == kindProduct {
		if after := lineAt(found.lines[at.id], at.version).after; value.Quantity != after {
			j.tally.violate("product %s was shown with %d units in version %d, where its ledger has %d", at.id, value.Quantity, at.version, after)
		}
		return
	}
	if to := stepAt(found.steps[at.id], at.version).to; value.State != to {
		j.tally.violate("order %s was shown as %s in version %d, where its history has %s", at.id, value.State, at.version, to)
	}
}

// lineAt gives the last line up to a version.
func lineAt(lines []line, version int64) line {
	n := sort.Search(len(lines), func(i int) bool { return lines[i].version > version })
	if n == 0 {
		return line{}
	}
	return lines[n-1]
}

// stepAt gives the last step up to a version.
func stepAt(steps []step, version int64) step {
	n := sort.Search(len(steps), func(i int) bool { return steps[i].version > version })
	if n == 0 {
		return step{}
	}
	return steps[n-1]
}

// checkAdjustment compares a change of stock with the movements that bear its note.
func (j *journal) checkAdjustment(marker string, by adjustment, lines []line) {
	switch {
	case len(lines) > 1:
		j.tally.violate("the change of stock %s was made %d times", marker, len(lines))
	case by.answer.ok() && len(lines) == 0:
		j.tally.violate("the change of stock %s was answered with success and is not there", marker)
	case !by.answer.ok() && !by.answer.unknown() && len(lines) > 0:
		j.tally.violate("the change of stock %s was refused and is there", marker)
	case len(lines) == 0:
	case lines[0].product != by.product, by.count && lines[0].after != by.amount, !by.count && lines[0].delta != by.amount,
		by.answer.ok() && lines[0].version != by.answer.version():
		j.tally.violate("the change of stock %s asked for %+v and made %+v", marker, by, lines[0])
	}
}

// checkWritings compares a thing's description with the last that was written, or one of those of which nobody knows.
func (j *journal) checkWritings(id string, writings []writing, found contents) {
	r := found.byID[id]
	last := writing{marker: r.marker} // as it was made
	for _, w := range writings {
		if w.version == 0 && w.marker == r.description {
			return
		}
		if w.version > last.version {
			last = w
		}
	}
	if r.description != last.marker {
		j.tally.violate("%s %s says %q; the last that was written is %q", r.kind, id, r.description, last.marker)
	}
}

// load reads the database.
func (w *world) load(ctx context.Context) (contents, error) {
	c := contents{byID: map[string]row{}, byMarker: map[string][]row{}, lines: map[string][]line{}, notes: map[string][]line{}, steps: map[string][]step{}}
	for kind, query := range map[string]string{
		kindCategory: "SELECT CAST(id AS TEXT), name, '', 0, deleted_at IS NOT NULL FROM categories",
		kindProduct:  "SELECT CAST(id AS TEXT), name, description, version, deleted_at IS NOT NULL FROM products",
		kindOrder:    "SELECT CAST(id AS TEXT), client, description, version, deleted_at IS NOT NULL FROM orders",
		kindUser:     "SELECT CAST(id AS TEXT), REPLACE(email, '" + emailDomain + "', ''), '', 0, deleted_at IS NOT NULL FROM users",
	} {
		err := each(ctx, w.db, query, func(rows *sql.Rows) error {
			r := row{kind: kind}
			err := rows.Scan(&r.id, &r.marker, &r.description, &r.version, &r.deleted)
			c.byID[r.id] = r
			c.byMarker[kind+" "+r.marker] = append(c.byMarker[kind+" "+r.marker], r)
			return err
		})
		if err != nil {
			return contents{}, err
		}
	}
	err := each(ctx, w.db, "SELECT CAST(product_id AS TEXT), note, product_version, delta, quantity_after FROM movements ORDER BY product_version", func(rows *sql.Rows) error {
		var l line
		err := rows.Scan(&l.product, &l.note, &l.version, &l.delta, &l.after)
		c.lines[l.product] = append(c.lines[l.product], l)
		c.notes[l.note] = append(c.notes[l.note], l)
		return err
	})
	if err != nil {
		return contents{}, err
	}
	err = each(ctx, w.db, "SELECT CAST(order_id AS TEXT), order_version, to_state FROM order_steps ORDER BY order_version", func(rows *sql.Rows) error {
		var id string
		var s step
		err := rows.Scan(&id, &s.version, &s.to)
		c.steps[id] = append(c.steps[id], s)
		return err
	})
	return c, err
}

// each runs a query and has every row read.
func each(ctx context.Context, db *sql.DB, query string, read func(*sql.Rows) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := read(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
