package domain

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Defaults and bounds of list queries.
const (
	DefaultPageSize = 10
	MaxPageSize     = 100
)

// MaxCounted is up to how many things a list is counted whose total is not kept. Counting goes on as long as there is something to count, and nobody
// leafs through a thousand pages to their end.
const MaxCounted = 10_000

// Sort is the order of a list: by one field, ties broken by id so that pages never overlap.
type Sort struct {
	Field string // a name that the list knows, such as "createdAt"
	Desc  bool
}

// String gives the sort as callers write it, such as "-createdAt".
func (s Sort) String() string {
	if s.Desc {
		return "-" + s.Field
	}
	return s.Field
}

// Page says which part of a list is wanted and in which order.
type Page struct {
	Number int // from 1
	Size   int // 1 to MaxPageSize
	Sort   Sort
	After  *Cursor // where to go on, instead of by the number
}

// Extent says how much a list holds beside the page that was read.
type Extent struct {
	Total   int64
	AtLeast bool    // there are more than Total, which is MaxCounted
	Next    *Cursor // behind the page's last thing; nil if nothing follows
}

// Pages gives how many pages of the size hold so many things.
func Pages(total int64, size int) int64 { return (total + int64(size) - 1) / int64(size) }

// Cursor is a place in a list: behind the thing that has the value in the list's order, and the id.
type Cursor struct {
	Sort  Sort
	Value any // string, int64 or time.Time
	ID    uuid.UUID
	Page  int // the number of the page that begins there
}

// cursorText is what [Cursor.String] writes.
type cursorText struct {
	Sort   string     `json:"s"`
	Text   *string    `json:"t,omitempty"`
	Number *int64     `json:"n,omitempty"`
	Time   *time.Time `json:"d,omitempty"`
	ID     string     `json:"i"`
	Page   int        `json:"p"`
}

// String gives the cursor as callers carry it, who are not to look into it: base64url (RFC 4648 section 5). Every page of a list has one, so that it is
// written without reflection.
func (c Cursor) String() string {
	text := append(make([]byte, 0, 192), `{"s":"`...)
	text = append(text, c.Sort.String()...) // which is one of ours
	switch v := c.Value.(type) {
	case string:
		quoted, _ := json.Marshal(v) // never fails for a string
		text = append(append(text, `","t":`...), quoted...)
	case int64:
		text = strconv.AppendInt(append(text, `","n":`...), v, 10)
	case time.Time:
		text = append(v.UTC().AppendFormat(append(text, `","d":"`...), time.RFC3339Nano), '"')
	}
	text = append(append(append(text, `,"i":"`...), c.ID.String()...), `","p":`...)
	text = append(strconv.AppendInt(text, int64(c.Page), 10), '}')
	return base64.RawURLEncoding.EncodeToString(text)
}

// ParseCursor takes what [Cursor.String] made for a list of the same sort. It returns a KindInvalid on `after` for anything else.
func ParseCursor(s string, sort Sort) (Cursor, error) {
	invalid := Invalid("after", "The after is not a nextCursor of this list")
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return Cursor{}, invalid
	}
	var text cursorText
	if err := json.Unmarshal(decoded, &text); err != nil {
		return Cursor{}, invalid
	}
	c := Cursor{Sort: sort, Page: text.Page}
	id, valid := ParseID(text.ID)
	c.ID = id
	switch {
	case !valid || text.Page < 1:
		return Cursor{}, invalid
	case text.Text != nil && text.Number == nil && text.Time == nil && IsText(*text.Text):
		c.Value = *text.Text
	case text.Number != nil && text.Text == nil && text.Time == nil:
		c.Value = *text.Number
	case text.Time != nil && text.Text == nil && text.Number == nil && text.Time.Year() > 0:
		c.Value = text.Time.UTC()
	default:
		return Cursor{}, invalid
	}
	if text.Sort != sort.String() {
		return Cursor{}, Invalid("after", "The after was given for the sort '%s', not for '%s'", Clip(text.Sort), sort)
	}
	return c, nil
}
