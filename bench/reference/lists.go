package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// page is the end of every list.
type page struct {
	Page              int    `json:"page"`
	PageSize          int    `json:"pageSize"`
	TotalItems        int64  `json:"totalItems"`
	TotalIsLowerBound bool   `json:"totalIsLowerBound,omitempty"`
	TotalPages        int64  `json:"totalPages"`
	NextCursor        string `json:"nextCursor,omitempty"`
	after             *cursor
	counted           bool // up to mostCounted
}

// cursor says where a page ended, and which one follows.
type cursor struct {
	Sort string    `json:"s"`
	Time time.Time `json:"d"`
	ID   uuid.UUID `json:"i"`
	Page int       `json:"p"`
}

func newPage(q url.Values) (page, error) {
	p := page{Page: 1, PageSize: 10}
	if n, err := strconv.Atoi(q.Get("page")); err == nil {
		p.Page = max(n, 1)
	}
	if n, err := strconv.Atoi(q.Get("pageSize")); err == nil {
		p.PageSize = min(max(n, 1), 100)
	}
	if given := q.Get("after"); given != "" {
		raw, err := base64.RawURLEncoding.DecodeString(given)
		if err != nil || json.Unmarshal(raw, &p.after) != nil {
			return p, refusal{http.StatusBadRequest, "after", "The after is not a nextCursor of this list"}
		}
		p.Page = p.after.Page
	}
	return p, nil
}

// Bounds of searches.
const (
	mostCounted = 10_000 // matches that are counted
	few         = 1_000  // matches that are rather all read than looked for among the newest rows
)

// end fills in what is known when the page and one thing more was asked for.
func (p *page) end(total int64, last cursor, more bool) error {
	p.TotalItems, p.TotalIsLowerBound = min(total, mostCounted), total > mostCounted
	if !p.counted {
		p.TotalItems, p.TotalIsLowerBound = total, false
	}
	p.TotalPages = (p.TotalItems + int64(p.PageSize) - 1) / int64(p.PageSize)
	if !more {
		return nil
	}
	last.Sort, last.Page = "-createdAt", p.Page+1
	encoded, err := json.Marshal(last)
	p.NextCursor = base64.RawURLEncoding.EncodeToString(encoded)
	return err
}

// list is a SELECT of one page, the newest first, with the total beside each row. It has one filter at most.
type list struct {
	table   string // with its letter
	letter  string
	joined  string // what the columns need beside the table
	columns string
	args    []any
	total   string
	filter  string // after AND, or nothing
	found   string // the ids that a search finds, by the index of texts
	counted bool   // up to mostCounted
}

// arg gives the place of one more parameter.
func (l *list) arg(value any) string {
	l.args = append(l.args, value)
	return "$" + strconv.Itoa(len(l.args))
}

// like gives the place of the pattern that finds the text anywhere.
func (l *list) like(search string) string {
	return l.arg("%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(search)) + "%")
}

// count has the rows of a SELECT counted for the total, up to one more than mostCounted.
func (l *list) count(matches string) {
	l.counted = true
	l.total = fmt.Sprintf("(SELECT count(*) FROM (%s LIMIT %d) matches)", matches, mostCounted+1)
}

// statement puts the page together that begins behind the cursor, if there is one, or after so many rows.
func (l *list) statement(behind string, size, offset int) string {
	newest := fmt.Sprintf("ORDER BY %[1]s.created_at DESC, %[1]s.id DESC LIMIT %[2]d OFFSET %[3]d", l.letter, size, offset)
	where := fmt.Sprintf("WHERE %s.deleted_at IS NULL %s", l.letter, behind)
	read := "SELECT %s, " + l.columns + " FROM " + l.table + " " + l.joined + " " + where + " %s " + newest
	switch {
	case l.found != "": // few are read by their ids; for many, the newest are looked through until enough are found
		page := fmt.Sprintf("SELECT %[1]s.* FROM found CROSS JOIN LATERAL (SELECT * FROM %[2]s %[3]s AND %[1]s.id = found.id OFFSET 0) %[1]s "+
			"WHERE (SELECT n FROM n) <= %[4]d %[5]s", l.letter, l.table, where, few, newest)
		byID := fmt.Sprintf("SELECT (SELECT n FROM n), %[1]s FROM (%[2]s) %[3]s %[4]s ORDER BY %[3]s.created_at DESC, %[3]s.id DESC",
			l.columns, page, l.letter, l.joined)
		walk := fmt.Sprintf(read, "(SELECT n FROM n)", fmt.Sprintf("AND (SELECT n FROM n) > %d%s", few, l.filter))
		return fmt.Sprintf("WITH found AS MATERIALIZED (%s LIMIT %d), n AS MATERIALIZED (SELECT count(*) AS n FROM found) (%s) UNION ALL (%s)",
			l.found, mostCounted+1, byID, walk)
	case offset > 0 && !l.counted: // of what is passed over, the index alone is read
		there := fmt.Sprintf("(SELECT %s.id FROM %s %s %s %s) there JOIN ", l.letter, l.table, where, l.filter, newest)
		return fmt.Sprintf("SELECT %s, %s FROM %s%s ON %s.id = there.id %s ORDER BY %s.created_at DESC, %s.id DESC",
			l.total, l.columns, there, l.table, l.letter, l.joined, l.letter, l.letter)
	}
	return fmt.Sprintf(read, l.total, l.filter)
}

// read asks for the page behind the cursor, or for the one of the number, and for the total in the same statement. It asks for one row more than
// the page has, to know whether anything follows, and fills the page in.
func read[T any](
	ctx context.Context, s *server, l *list, p *page, scan func(row pgx.Rows, total *int64) (T, error), placed func(T) cursor,
) ([]T, error) {
	behind, offset := "", (p.Page-1)*p.PageSize
	if p.after != nil {
		behind, offset = fmt.Sprintf("AND (%[1]s.created_at, %[1]s.id) < (%[2]s, %[3]s)", l.letter, l.arg(p.after.Time), l.arg(p.after.ID)), 0
	}
	rows, err := s.db.Query(ctx, l.statement(behind, p.PageSize+1, offset), l.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	things, total := make([]T, 0, p.PageSize+1), int64(0)
	for rows.Next() {
		thing, err := scan(rows, &total)
		if err != nil {
			return nil, err
		}
		things = append(things, thing)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(things) == 0 && (offset > 0 || p.after != nil) { // a page past the end
		if err := s.db.QueryRow(ctx, "SELECT "+l.total, l.args...).Scan(&total); err != nil {
			return nil, err
		}
	}
	p.counted = l.counted
	var last cursor
	more := len(things) > p.PageSize
	if more {
		things = things[:p.PageSize]
		last = placed(things[p.PageSize-1])
	}
	return things, p.end(total, last, more)
}
