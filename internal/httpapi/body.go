package httpapi

import (
	"strings"
	"time"

	"inventoryhub/internal/domain"
)

// stamp is a time in the API's form: RFC 3339 in UTC with milliseconds.
type stamp time.Time

// MarshalJSON writes the time.
func (s stamp) MarshalJSON() ([]byte, error) {
	return []byte(`"` + s.String() + `"`), nil
}

// String gives the form without quotes.
func (s stamp) String() string { return domain.Stamp(time.Time(s)) }

func optionalStamp(t *time.Time) *stamp {
	if t == nil {
		return nil
	}
	s := stamp(*t)
	return &s
}

// pageBody is the end of every list.
type pageBody struct {
	Page              int    `json:"page"`
	PageSize          int    `json:"pageSize"`
	TotalItems        int64  `json:"totalItems"`
	TotalIsLowerBound bool   `json:"totalIsLowerBound,omitempty"`
	TotalPages        int64  `json:"totalPages"`
	NextCursor        string `json:"nextCursor,omitempty"`
}

func newPageBody(p domain.Page, e domain.Extent) pageBody {
	body := pageBody{Page: p.Number, PageSize: p.Size, TotalItems: e.Total, TotalIsLowerBound: e.AtLeast, TotalPages: domain.Pages(e.Total, p.Size)}
	if e.Next != nil {
		body.NextCursor = e.Next.String()
	}
	return body
}

// convert makes a list's bodies; an empty list is [], never null.
func convert[T, B any](things []T, body func(T) B) []B {
	bodies := make([]B, len(things))
	for i, thing := range things {
		bodies[i] = body(thing)
	}
	return bodies
}

// pictureURLs puts a CDN's address before pictures' names.
type pictureURLs string

func (base pictureURLs) url(name *string) *string {
	if name == nil || base == "" {
		return name
	}
	u := strings.TrimSuffix(string(base), "/") + "/" + *name
	return &u
}
