package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"inventoryhub/internal/domain"
)

// maxPage keeps page numbers within what every client and database can count.
const maxPage = 1<<31 - 1

// maxCursor is the longest cursor that a list gives: a name of 200 characters of four bytes, each of which takes up to six in JSON, in base64.
const maxCursor = 4096

// query reads the parameters of a list and gathers their faults.
type query struct {
	values url.Values
	faults domain.Faults
}

// newQuery returns an error for a query string that cannot be read at all.
func newQuery(c *gin.Context) (*query, error) {
	values, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "request", "The query string cannot be read")
	}
	return &query{values: values}, nil
}

// text gives a one-line parameter of at most [domain.MaxSearch] characters, or an empty text.
func (q *query) text(name string) string {
	given := q.values[name]
	switch {
	case len(given) == 0:
		return ""
	case len(given) > 1:
		q.faults.Add(name, "The %s must stand once", name)
	case !domain.IsLine(given[0]):
		q.faults.Add(name, "The %s must be one line of valid UTF-8 without control characters", name)
	case utf8.RuneCountInString(given[0]) > domain.MaxSearch:
		q.faults.Add(name, "The %s must be at most %d characters long", name, domain.MaxSearch)
	default:
		return given[0]
	}
	return ""
}

// flag gives a parameter that is true or false, and nil for one that is not there.
func (q *query) flag(name string) *bool {
	if _, given := q.values[name]; !given {
		return nil
	}
	text := q.text(name)
	if text != "true" && text != "false" {
		if !q.faults.Has(name) {
			q.faults.Add(name, "The %s must be true or false", name)
		}
		return nil
	}
	value := text == "true"
	return &value
}

func (q *query) positive(name string, fallback, most int, message string) int {
	if _, given := q.values[name]; !given {
		return fallback
	}
	text := q.text(name)
	n, err := strconv.Atoi(text)
	if (err != nil || n < 1 || n > most || strings.HasPrefix(text, "+")) && !q.faults.Has(name) {
		q.faults.Add(name, "%s", message)
	}
	return n
}

// page reads `page` or `after`, `pageSize` and `sort`, which must be one of the fields.
func (q *query) page(fields ...string) domain.Page {
	p := domain.Page{
		Number: q.positive("page", 1, maxPage, "The page must be a positive integer"),
		Size:   q.positive("pageSize", domain.DefaultPageSize, domain.MaxPageSize, "The pageSize must be an integer from 1 to "+strconv.Itoa(domain.MaxPageSize)),
		Sort:   domain.Sort{Field: "createdAt", Desc: true},
	}
	if sort := q.text("sort"); sort != "" {
		field, desc := strings.CutPrefix(sort, "-")
		if !slices.Contains(fields, field) {
			q.faults.Add("sort", "The sort '%s' is not valid; it must be one of %s, with - before it for descending", domain.Clip(sort), strings.Join(fields, ", "))
		}
		p.Sort = domain.Sort{Field: field, Desc: desc}
	}
	if q.values.Get("after") != "" {
		p.After = q.after(p.Sort)
	}
	if p.After != nil {
		p.Number = p.After.Page
	}
	return p
}

// after reads where a list goes on.
func (q *query) after(sort domain.Sort) *domain.Cursor {
	given := q.values["after"]
	switch {
	case q.values.Has("page"):
		q.faults.Add("page", "Either the page or the after must be given, not both")
		q.faults.Add("after", "Either the page or the after must be given, not both")
	case len(given) > 1:
		q.faults.Add("after", "The after must stand once")
	case len(given[0]) > maxCursor:
		q.faults.Add("after", "The after must be at most %d characters long", maxCursor)
	case !q.faults.Has("sort"): // which it must fit
		cursor, err := domain.ParseCursor(given[0], sort)
		if err == nil {
			return &cursor
		}
		_ = q.faults.Merge(err)
	}
	return nil
}

// parse reads a parameter by a rule of the domain and notes its refusal.
func parse[T any](q *query, name string, rule func(string) (T, error)) (value T) {
	text := q.text(name)
	if text == "" {
		return value
	}
	value, err := rule(text)
	if err != nil {
		_ = q.faults.Merge(err) // rules refuse by KindInvalid alone
	}
	return value
}

// pathText gives a path parameter percent-decoded.
func pathText(c *gin.Context, name string) (string, bool) {
	text, err := url.PathUnescape(c.Param(name))
	return text, err == nil && domain.IsText(text)
}

// pathID gives the id in the path. What is none is not found, like an id that does not exist; thing is what it would be the id of.
func pathID(c *gin.Context, thing string) (uuid.UUID, error) {
	text, ok := pathText(c, "id")
	id, valid := domain.ParseID(text)
	if !ok || !valid {
		return uuid.Nil, domain.NotFound("id", "The %s with id '%s' does not exist", thing, domain.Clip(text))
	}
	return id, nil
}
