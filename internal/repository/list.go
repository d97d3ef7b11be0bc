package repository

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"inventoryhub/internal/domain"
)

// Bounds by which a list chooses its way.
const (
	// deep is the offset from which on only ids are read up to the page. Skipping one costs 0.14 us in an index and 0.9 us with its row (measured at a
	// million products), and a second statement about 100 us.
	deep = 500
	// walked is how many rows are looked at in the list's order for those that match, at 5 to 15 us each. If 10,000 of a million match, a page of 20 is
	// found among the first 2,000; if it is not among so many, the matches stand together somewhere else.
	walked = 10_000
	// walkedByTime is the same in the order of time, in which rows lie, so that one is looked at in 0.4 us: a search does not become slow by a large import.
	walkedByTime = 50_000
	// kept is how many ids of matches are kept in memory while an index is read. Postgres does so for what it takes to fit into its work_mem.
	kept = 200_000
	// strolled is how many rows at most are looked at in the list's order, in the mean, where gathering all matches would give the page too.
	strolled = 2_500
)

// piece is a piece of SQL with its parameters.
type piece struct {
	sql  string
	args []any
}

func newPiece(sql string, args ...any) piece { return piece{sql, args} }

// all joins conditions; none are an empty piece.
func all(conditions ...piece) piece {
	var joined piece
	for _, c := range conditions {
		if c.sql == "" {
			continue
		}
		if joined.sql != "" {
			joined.sql += " AND "
		}
		joined.sql += c.sql
		joined.args = append(joined.args, c.args...)
	}
	return joined
}

// clause gives the WHERE of conditions, which is empty for none.
func (p piece) clause() string {
	if p.sql == "" {
		return ""
	}
	return " WHERE " + p.sql
}

// listing is how one kind of thing is listed.
type listing[T any] struct {
	table     string // with its alias, such as "products p"
	id        string // such as "p.id"
	joins     string // what a row shows beside its table
	late      bool   // what is joined is large, and joined to a page: joined to all rows, Postgres would make ready to remember all, which takes as long as the page
	selection string
	scan      func(*T, row) error // fills a T from the selection; nil leaves that to GORM
	sorts     map[string]sorting[T]
	idOf      func(T) uuid.UUID
	totals    *totals // of searches; nil for none
}

// pageOf is a page of things and how much there is beside it. Several callers may hold the same, so that nobody may change it.
type pageOf[T any] struct {
	things []T
	extent domain.Extent
}

// unless gives what the page holds, unless reading it failed.
func (p pageOf[T]) unless(what string, err error) ([]T, domain.Extent, error) {
	if err != nil {
		return nil, domain.Extent{}, fail(what, err)
	}
	return p.things, p.extent, nil
}

// sorting is one of the orders of a list.
type sorting[T any] struct {
	column string
	value  func(T) any // the column's value of a row
}

// wanted is a part of a listing.
type wanted struct {
	domain.Page
	where  piece  // what must hold, fit to be asked of one row after the other
	within string // a column that where holds to one value, and by which the order's index begins; none if it begins by the order
	total  piece  // a SELECT of the total, if it is kept
	common common // what a page and its total can do with instead
	known  *int64 // the total, once that was asked
	search search // all that decides what matches, if that are a text and a category alone
	texts  piece  // a SELECT of how the texts and categories stand that decide it then, see texts
	few    piece  // a SELECT of the ids of all that match, by the best index for that; none if the order's index is that
	valued bool   // few gives the column of the order too, as v
}

// common is what all rows of a page have beside them. It is asked for once, and joined to none of them.
type common struct {
	with         piece  // a WITH that gives it; none if there is no such
	where, total piece  // of the page, by it
	selection    string // the same
}

func (w wanted) offset() int {
	switch {
	case w.After != nil:
		return 0
	case w.Number-1 > math.MaxInt/w.Size: // beyond what can be counted, and so past the end
		return math.MaxInt
	}
	return (w.Number - 1) * w.Size
}

// read gives one page of a listing.
//
// Which way is the cheapest is known here from the counts, and not left to the planner, who guesses how many texts match a pattern and is wrong by a
// factor of a hundred either way: few matches are gathered and sorted; of many, the next ones are found along the order's index.
func (l listing[T]) read(db *gorm.DB, w wanted) (pageOf[T], error) {
	s, ok := l.sorts[w.Sort.Field]
	if !ok {
		return pageOf[T]{}, fmt.Errorf("sort by unknown field %q", w.Sort.Field)
	}
	if w.After != nil {
		var none T
		if reflect.TypeOf(s.value(none)) != reflect.TypeOf(w.After.Value) {
			return pageOf[T]{}, notACursor()
		}
	}
	if w.total.sql != "" && w.few.sql == "" && w.offset() < deep && l.scan != nil {
		rows, total, err := l.withTotal(db, s, w)
		if err != nil {
			return pageOf[T]{}, err
		}
		if len(rows) > 0 {
			return l.cut(s, w, domain.Extent{Total: total}, rows)
		}
	}
	if w.total.sql != "" {
		total, err := asked(db, w.total)
		if err != nil {
			return pageOf[T]{}, err
		}
		w.known = &total
	}
	extent, listed, counted, err := l.totals.recall(db, w)
	switch {
	case err != nil:
		return pageOf[T]{}, err
	case counted:
	case w.known != nil:
		extent.Total, counted = *w.known, true
	case w.few.sql == "":
		if err := l.count(db, w, &extent); err != nil {
			return pageOf[T]{}, err
		}
		counted = true
	}
	if counted && !extent.AtLeast && w.After == nil && int64(w.Number) > domain.Pages(extent.Total, w.Size) {
		return pageOf[T]{[]T{}, extent}, nil
	}
	if w.few.sql == "" {
		return l.inOrder(db, s, w, extent)
	}
	// The next ones are found along the order's index if there are too many to gather, or so many that they stand close together there.
	many := extent.AtLeast || extent.Total > domain.MaxCounted || (listed > 0 && int64(w.offset()+w.Size)*listed < strolled*extent.Total)
	var ids []uuid.UUID
	if !many {
		var n int64
		var stood texts
		if ids, n, stood, err = l.gather(db, s, w); err != nil {
			return pageOf[T]{}, err
		}
		many = n > domain.MaxCounted
		if !counted {
			extent.Total, extent.AtLeast = min(n, domain.MaxCounted), many
			l.totals.remember(db, w, extent, stood)
		}
	}
	if many {
		if ids, err = l.among(db, s, w); err != nil {
			return pageOf[T]{}, err
		}
	}
	return l.named(db, s, w, extent, ids)
}

func notACursor() error { return domain.Invalid("after", "The after is not a nextCursor of this list") }

// untold is the place of an argument whose value Postgres does not plan for. It would think each value's own plan cheaper than the one for all, and plan each
// time anew: 195 us of a search that finds nothing, which is 92 without (measured at a million products). Which way is the cheapest is decided here.
const untold = "(SELECT ?)"

// limit gives the LIMIT to n rows behind others. As an argument that would be unknown to a plan that is kept; see [untold].
func limit(n, offset int) piece {
	p := newPiece(fmt.Sprintf(" LIMIT %d", n))
	if offset > 0 {
		p = newPiece(p.sql+" OFFSET (SELECT CAST(? AS bigint))", offset)
	}
	return p
}

// count counts what matches, up to [domain.MaxCounted].
func (l listing[T]) count(db *gorm.DB, w wanted, extent *domain.Extent) error {
	var n int64
	err := db.Raw("SELECT COUNT(*) FROM (SELECT 1 FROM "+l.table+" WHERE "+w.where.sql+limit(domain.MaxCounted+1, 0).sql+") matching", w.where.args...).Scan(&n).Error
	extent.Total, extent.AtLeast = min(n, domain.MaxCounted), n > domain.MaxCounted
	return err
}

// order gives the ORDER BY of a sort, forwards or backwards.
func order(column, id string, desc bool) string {
	direction := " ASC"
	if desc {
		direction = " DESC"
	}
	return " ORDER BY " + column + direction + ", " + id + direction
}

// one is the condition that a column has the one value by which a list's index begins; see [wanted.order].
func one(db *gorm.DB, column, value string, args ...any) piece {
	if db.Name() == sqliteName {
		return newPiece(column+" = "+value, args...)
	}
	return newPiece(column+" = ANY(ARRAY["+value+"])", args...)
}

// order gives the ORDER BY of a sort along its index. The column by which the index begins is named too, though it is the same for all: otherwise Postgres
// may rather walk along the index of the order in all rows, and goes through a million of them when those that are wanted are old. It would also see that the column
// says nothing, but for the way in which [one] asks for it.
func (w wanted) order(column, id string, desc bool) string {
	if w.within != "" && desc {
		column = w.within + " DESC, " + column
	} else if w.within != "" {
		column = w.within + ", " + column
	}
	return order(column, id, desc)
}

// behind is the condition that keeps what comes after the cursor, if there is one.
func behind(p domain.Page, column, id string) piece {
	if p.After == nil {
		return piece{}
	}
	operator := ">"
	if p.Sort.Desc {
		operator = "<"
	}
	return newPiece("("+column+", "+id+") "+operator+" (?, ?)", p.After.Value, p.After.ID)
}

// inOrder reads a page along the index of its order, and far from the beginning first the ids alone: from the end if that is nearer and known.
func (l listing[T]) inOrder(db *gorm.DB, s sorting[T], w wanted, extent domain.Extent) (pageOf[T], error) {
	offset := w.offset()
	where := all(w.where, behind(w.Page, s.column, l.id))
	if offset < deep {
		rows, err := l.rows(db, l.page(s, w))
		if err != nil {
			return pageOf[T]{}, err
		}
		return l.cut(s, w, extent, rows)
	}
	n, desc := w.Size+1, w.Sort.Desc
	fromEnd := !extent.AtLeast && int64(offset) > extent.Total/2
	if fromEnd {
		n = min(n, int(extent.Total)-offset)
		offset, desc = int(extent.Total)-offset-n, !desc
	}
	end := limit(n, offset)
	ids, err := l.ids(db, newPiece("SELECT "+l.id+" FROM "+l.table+" WHERE "+where.sql+w.order(s.column, l.id, desc)+end.sql, append(where.args, end.args...)...))
	if err != nil {
		return pageOf[T]{}, err
	}
	if fromEnd {
		slices.Reverse(ids)
	}
	return l.named(db, s, w, extent, ids)
}

// page selects a page along the index of its order, with one row more.
func (l listing[T]) page(s sorting[T], w wanted) piece {
	where := all(w.where, behind(w.Page, s.column, l.id))
	order := w.order(s.column, l.id, w.Sort.Desc)
	part := limit(w.Size+1, w.offset())
	end, args := where.sql+order+part.sql, append(where.args, part.args...)
	if !l.late {
		return newPiece("SELECT "+l.selection+" FROM "+l.table+l.joins+" WHERE "+end, args...)
	}
	alias, _, _ := strings.Cut(l.id, ".")
	return newPiece("SELECT "+l.selection+" FROM (SELECT * FROM "+l.table+" WHERE "+end+") "+alias+l.joins+order, args...)
}

// rows reads what a piece selects.
func (l listing[T]) rows(db *gorm.DB, query piece) ([]T, error) {
	if l.scan != nil {
		return collect(db, query.sql, query.args, l.scan)
	}
	var rows []T
	err := db.Raw(query.sql, query.args...).Scan(&rows).Error
	return rows, err
}

// withTotal reads a page and the total by one statement. If the page is empty, so is what it says of the total.
func (l listing[T]) withTotal(db *gorm.DB, s sorting[T], w wanted) (rows []T, total int64, err error) {
	beside, with := l, w.common.with
	if with.sql != "" {
		beside.joins, beside.selection = "", w.common.selection
		w.where, w.total = w.common.where, w.common.total
	}
	beside.selection = "(" + w.total.sql + "), " + beside.selection
	query := beside.page(s, w)
	query = newPiece(with.sql+query.sql, slices.Concat(with.args, w.total.args, query.args)...)
	beyond := behindTotal{total: &total}
	rows, err = collect(db, query.sql, query.args, func(t *T, r row) error {
		beyond.row = r
		return l.scan(t, &beyond)
	})
	return rows, total, err
}

// behindTotal is a row whose first column is the total.
type behindTotal struct {
	row
	total  *int64
	places []any
}

// Scan reads the total and the columns behind it.
func (r *behindTotal) Scan(places ...any) error {
	r.places = append(append(r.places[:0], r.total), places...)
	return r.row.Scan(r.places...)
}

// asked gives a total that is kept.
func asked(db *gorm.DB, total piece) (n int64, err error) {
	err = db.Raw(total.sql, total.args...).Scan(&n).Error
	return n, err
}

// gather goes through all that match, and gives the ids of the page, up to one more than its size, how many there are, and how the texts stood. If there are
// more than [domain.MaxCounted], it gives one more than that and no ids.
//
// MATERIALIZED keeps Postgres from planning for the LIMIT, which would be to read the whole table in the hope of finding enough soon; it still stops
// there. The column is asked for id by id for the same reason.
func (l listing[T]) gather(db *gorm.DB, s sorting[T], w wanted) ([]uuid.UUID, int64, texts, error) {
	where := all(newPiece("(SELECT n FROM total) <= ?", domain.MaxCounted), behind(w.Page, "v", "id"))
	stood := w.texts
	if stood.sql == "" {
		stood = newPiece("SELECT 0 AS changed, 0 AS listed")
	}
	most, part := limit(domain.MaxCounted+1, 0).sql, limit(w.Size+1, w.offset())
	valued := "found"
	if !w.valued {
		valued = "(SELECT id, (SELECT " + s.column + " FROM " + l.table + l.joins + " WHERE " + l.id + " = found.id) AS v FROM found) valued"
	}
	ids, n, then := []uuid.UUID{}, int64(0), texts{}
	err := each(db, "WITH hits AS MATERIALIZED ("+w.few.sql+"), found AS MATERIALIZED (SELECT * FROM hits"+most+"), total AS MATERIALIZED (SELECT COUNT(*) AS n FROM found)"+
		" SELECT total.n, stood.changed, stood.listed, page.id FROM total CROSS JOIN ("+stood.sql+") stood LEFT JOIN (SELECT id, v FROM "+valued+" WHERE "+where.sql+order("v", "id", w.Sort.Desc)+part.sql+") page ON 1 = 1"+
		order("page.v", "page.id", w.Sort.Desc), slices.Concat(w.few.args, stood.args, where.args, part.args), func(r row) error {
		var id *uuid.UUID // nil if none is on the page
		err := r.Scan(&n, &then.Changed, &then.Listed, &id)
		if id != nil {
			ids = append(ids, *id)
		}
		return err
	})
	return ids, n, then, err
}

// plenty says whether a SELECT of ids gives more than are counted.
func plenty(db *gorm.DB, few piece) (more bool, err error) {
	var n int64
	err = db.Raw("WITH hits AS MATERIALIZED ("+few.sql+") SELECT COUNT(*) FROM (SELECT 1 FROM hits"+limit(domain.MaxCounted+1, 0).sql+") found", few.args...).Scan(&n).Error
	return n > domain.MaxCounted, err
}

// among gives the ids of a page of many matches: along the order's index for a while; if that does not fill the page, with all matches in
// memory, by sorting them or, if they are gathered without what they are sorted by, along the whole index; and if they are too many for that, as the planner likes.
func (l listing[T]) among(db *gorm.DB, s sorting[T], w wanted) ([]uuid.UUID, error) {
	alias, _, _ := strings.Cut(l.id, ".")
	part := limit(w.Size+1, w.offset())
	everything := func() ([]uuid.UUID, error) {
		where := all(w.where, behind(w.Page, s.column, l.id))
		return l.ids(db, newPiece("SELECT "+l.id+" FROM "+l.table+l.joins+" WHERE "+where.sql+order(s.column, l.id, w.Sort.Desc)+part.sql, append(where.args, part.args...)...))
	}
	if !strings.HasPrefix(s.column, alias+".") { // no index has the order
		return everything()
	}
	from := all(newPiece(alias+".deleted_at IS NULL"), behind(w.Page, s.column, l.id))
	far := walked
	if s.column == alias+".created_at" {
		far = walkedByTime
	}
	if w.offset() < far/10 { // else the page is only there if nearly all match
		// The order is the inner one's, which is stated again for what is left: stated for the whole it would be planned to be sorted.
		ids, err := l.ids(db, newPiece("SELECT id FROM (SELECT "+l.id+", "+s.column+" AS v FROM (SELECT * FROM "+l.table+" WHERE "+from.sql+order(s.column, l.id, w.Sort.Desc)+limit(far, 0).sql+") "+
			alias+" WHERE "+w.where.sql+part.sql+") page"+order("v", "id", w.Sort.Desc), slices.Concat(from.args, w.where.args, part.args)...))
		if err != nil || len(ids) > w.Size {
			return ids, err
		}
	}
	found := newPiece("WITH hits AS MATERIALIZED ("+w.few.sql+"), found AS MATERIALIZED (SELECT * FROM hits"+limit(kept+1, 0).sql+")", w.few.args...)
	notTooMany := newPiece("(SELECT COUNT(*) FROM found) <= ?", kept)
	var sorted piece
	if w.valued {
		where := all(notTooMany, behind(w.Page, "v", "id"))
		sorted = newPiece(" SELECT id FROM found WHERE "+where.sql+order("v", "id", w.Sort.Desc), where.args...)
	} else {
		// IS TRUE keeps the matches from being joined, one after the other.
		where := all(from, newPiece("("+l.id+" IN (SELECT id FROM found)) IS TRUE"), notTooMany)
		sorted = newPiece(" SELECT "+l.id+" FROM "+l.table+" WHERE "+where.sql+order(s.column, l.id, w.Sort.Desc), where.args...)
	}
	ids, err := l.ids(db, newPiece(found.sql+sorted.sql+part.sql, slices.Concat(found.args, sorted.args, part.args)...))
	if err != nil || len(ids) > 0 {
		return ids, err
	}
	return everything()
}

func (l listing[T]) ids(db *gorm.DB, query piece) ([]uuid.UUID, error) {
	if l.scan != nil {
		return collect(db, query.sql, query.args, func(id *uuid.UUID, r row) error { return r.Scan(id) })
	}
	var ids []uuid.UUID
	err := db.Raw(query.sql, query.args...).Scan(&ids).Error
	return ids, err
}

// named reads the rows of ids, of which the last only says that something follows if there are more than the page has.
func (l listing[T]) named(db *gorm.DB, s sorting[T], w wanted, extent domain.Extent, ids []uuid.UUID) (pageOf[T], error) {
	if len(ids) == 0 {
		return pageOf[T]{[]T{}, extent}, nil
	}
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	rows, err := l.rows(db, newPiece("SELECT "+l.selection+" FROM "+l.table+l.joins+" WHERE "+l.id+" IN (?"+strings.Repeat(", ?", len(ids)-1)+")", args...))
	if err != nil {
		return pageOf[T]{}, err
	}
	place := make(map[uuid.UUID]int, len(ids))
	for i, id := range ids {
		place[id] = i
	}
	slices.SortFunc(rows, func(a, b T) int { return place[l.idOf(a)] - place[l.idOf(b)] })
	return l.cut(s, w, extent, rows)
}

// cut takes away the row that only says that something follows, and says where that is.
func (l listing[T]) cut(s sorting[T], w wanted, extent domain.Extent, rows []T) (pageOf[T], error) {
	if len(rows) <= w.Size {
		if rows == nil {
			rows = []T{}
		}
		return pageOf[T]{rows, extent}, nil
	}
	rows = rows[:w.Size]
	last := rows[w.Size-1]
	extent.Next = &domain.Cursor{Sort: w.Sort, Value: s.value(last), ID: l.idOf(last), Page: w.Number + 1}
	return pageOf[T]{rows, extent}, nil
}

// hasPieces says whether the engine's index of pieces of three characters helps to find the text. Postgres cuts words alone, of letters and digits, and
// letters beyond ASCII only if the database's locale knows them.
func hasPieces(db *gorm.DB, folded string) (bool, error) {
	if db.Name() == sqliteName {
		return utf8.RuneCountInString(folded) >= 3, nil
	}
	ascii, other := longestWord(folded, func(r rune) bool { return r < utf8.RuneSelf }), longestWord(folded, func(rune) bool { return true })
	if ascii >= 3 || other < 3 {
		return ascii >= 3, nil
	}
	var known bool
	err := db.Raw("SELECT cardinality(show_trgm(?)) > 3", folded).Scan(&known).Error
	return known, err
}

// longestWord gives the length of the longest run of letters and digits of the kind.
func longestWord(text string, kind func(rune) bool) int {
	longest, run := 0, 0
	for _, r := range text {
		if run++; !kind(r) || (!unicode.IsLetter(r) && !unicode.IsDigit(r)) {
			run = 0
		}
		longest = max(longest, run)
	}
	return longest
}

// hasText is what a column must hold for a search on Postgres, as the index of its pieces finds it best. Without ESCAPE, which there is the backslash anyway and would
// be put into the pattern anew for each text that is looked at.
func hasText(column, search string) piece {
	folded := domain.Fold(search)
	whole, pieces := contains(search), sideBySide(folded)
	pattern := "%" + strings.Join(pieces, "%") + "%"
	if len(pieces) == 0 || pattern == whole {
		return newPiece(column+" LIKE "+untold, whole)
	}
	return newPiece(column+" LIKE "+untold+" AND strpos("+column+", ?) > 0", pattern, folded)
}

// matching is what the index of pieces is asked for a search on SQLite. It finds all texts that have the folded one, and some others.
func matching(search string) string {
	pieces := sideBySide(domain.Fold(search))
	if len(pieces) == 0 {
		pieces = []string{domain.Fold(search)}
	}
	for i, p := range pieces {
		pieces[i] = `"` + strings.ReplaceAll(p, `"`, `""`) + `"` // a string of FTS5
	}
	return strings.Join(pieces, " AND ")
}

// sideBySide cuts the words of a folded text into pieces of three characters that stand side by side, the last of up to five. Asked for the whole text, an
// index of pieces of three reads the lists of all that overlap, which say little more, and those of the edges of words, such as "kx " of "kx-0042", which
// nearly all texts may have. There are no pieces of words with other letters than those of ASCII, which an index may know or not.
func sideBySide(folded string) (pieces []string) {
	for _, word := range strings.FieldsFunc(folded, func(r rune) bool { return r >= utf8.RuneSelf || (!unicode.IsLetter(r) && !unicode.IsDigit(r)) }) {
		if len(word) < 3 {
			continue
		}
		for ; len(word) >= 6; word = word[3:] {
			pieces = append(pieces, word[:3])
		}
		pieces = append(pieces, word)
	}
	return pieces
}
