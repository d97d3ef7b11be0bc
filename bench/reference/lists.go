package main

import (
	"context"
	"encoding/base64"
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
	Page       int   `json:"page"`
	PageSize   int   `json:"pageSize"`
	TotalItems int64 `json:"totalItems"`
	TotalPages int64 `json:"totalPages"`
}

func newPage(q url.Values) page {
	p := page{Page: 1, PageSize: 10}
	if n, err := strconv.Atoi(q.Get("page")); err == nil {
		p.Page = max(n, 1)
	}
	if n, err := strconv.Atoi(q.Get("pageSize")); err == nil {
		p.PageSize = min(max(n, 1), 100)
	}
	return p
}

// mostCounted is how many matches of a search are counted.
const mostCounted = 10_000

func (p *page) setTotal(n int64) {
	p.TotalItems = n
	p.TotalPages = (n + int64(p.PageSize) - 1) / int64(p.PageSize)
}

// list is a SELECT of one page, the newest first, with the total beside each row. Its conditions and parameters are put together by the request.
type list struct {
	table   string // with its letter
	letter  string
	joined  string // what the columns need beside the table
	matched string // what the conditions need of it
	columns string
	where   []string
	args    []any
	total   string
	search  bool
}

// arg gives the place of one more parameter.
func (l *list) arg(value any) string {
	l.args = append(l.args, value)
	return "$" + strconv.Itoa(len(l.args))
}

func (l *list) and(condition string) { l.where = append(l.where, condition) }

// countMatches has the matches of the conditions so far counted, up to one more than mostCounted.
func (l *list) countMatches() {
	l.total = fmt.Sprintf("(SELECT count(*) FROM (SELECT FROM %s %s WHERE %s LIMIT %d) found)", l.table, l.matched, strings.Join(l.where, " AND "), mostCounted+1)
}

// like adds the pattern that finds the text anywhere.
func (l *list) like(search string) string {
	return l.arg("%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(search)) + "%")
}

// read asks for the page behind the cursor, or for the one of the number, and for the total in the same statement. It gives the total.
func (s *server) read(ctx context.Context, l *list, p page, cursor string, scan func(row pgx.Rows, total *int64) error) (total int64, err error) {
	newest, offset := fmt.Sprintf("ORDER BY %[1]s.created_at DESC, %[1]s.id DESC", l.letter), (p.Page-1)*p.PageSize
	if cursor != "" {
		at, id, err := parseCursor(cursor)
		if err != nil {
			return 0, err
		}
		l.and(fmt.Sprintf("(%[1]s.created_at, %[1]s.id) < (%[2]s, %[3]s)", l.letter, l.arg(at), l.arg(id)))
		offset = 0
	}
	where := strings.Join(l.where, " AND ")
	sql := fmt.Sprintf("SELECT %s, %s FROM %s %s WHERE %s %s LIMIT %d", l.total, l.columns, l.table, l.joined, where, newest, p.PageSize)
	if offset > 0 { // of what is passed over, the index alone is read
		sql = fmt.Sprintf("SELECT %s, %s FROM (SELECT %s.id FROM %s %s WHERE %s %s LIMIT %d OFFSET %d) there JOIN %s ON %s.id = there.id %s %s",
			l.total, l.columns, l.letter, l.table, l.matched, where, newest, p.PageSize, offset, l.table, l.letter, l.joined, newest)
	}
	args := l.args
	if l.search { // a plan for this text: a search for few and one for many need different ones
		args = append([]any{pgx.QueryExecModeCacheDescribe}, args...)
	}
	rows, err := s.db.Query(ctx, sql, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	found := false
	for rows.Next() {
		found = true
		if err := scan(rows, &total); err != nil {
			return 0, err
		}
	}
	if err := rows.Err(); err != nil || found || offset == 0 && cursor == "" {
		return total, err
	}
	return total, s.db.QueryRow(ctx, "SELECT "+l.total, l.args...).Scan(&total) // of a page past the end
}

// parseCursor reads where a page ended.
func parseCursor(cursor string) (at time.Time, id uuid.UUID, err error) {
	refused := refusal{http.StatusBadRequest, "after", "The after is not valid"}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return at, id, refused
	}
	ms, text, _ := strings.Cut(string(raw), " ")
	n, errTime := strconv.ParseInt(ms, 10, 64)
	id, errID := uuid.Parse(text)
	if errTime != nil || errID != nil {
		return at, id, refused
	}
	return time.UnixMilli(n), id, nil
}
