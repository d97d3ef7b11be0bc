package repository

import (
	"sync"

	"gorm.io/gorm"

	"inventoryhub/internal/domain"
)

const (
	// worthKeeping is how many matches a search must have for its total to be remembered: counting fewer costs no more than finding them.
	worthKeeping = 500
	// maxRemembered bounds how many totals are remembered. One takes some hundred bytes.
	maxRemembered = 2_000
)

// totals remembers how many matches searches, and lists of a category's orders, have had, since those of a million texts take tens of milliseconds to count. A total is never older than what
// it is given beside: each is remembered with the texts as they stood, and holds for as long as they stand so.
type totals struct {
	mu    sync.Mutex
	known map[search]total
}

func newTotals() *totals { return &totals{known: map[search]total{}} }

// search is what was searched for, and in which database: replicas of one may be behind it.
type search struct {
	pool           gorm.ConnPool
	text, category string // folded
}

func (s search) in(db *gorm.DB) search {
	s.pool = db.Statement.ConnPool
	return s
}

// total is what a search found when the texts stood so.
type total struct {
	domain.Extent
	texts texts
}

// texts says how all texts of a kind stand: as long as both numbers are the same, no text was added, changed or taken away, and none has come into
// another category.
type texts struct {
	Changed int64 // how many were changed, moved or taken away so far
	Listed  int64 // how many there are
}

// holds says whether the total is what the search would find among the texts as they stand now. That there are more than are counted also holds
// when others have come.
func (t total) holds(now texts) bool {
	return t.texts == now || (t.AtLeast && t.texts.Changed == now.Changed)
}

// recall gives the total of a search that was remembered and still holds, and how many texts there are.
func (t *totals) recall(db *gorm.DB, w wanted) (extent domain.Extent, listed int64, known bool, err error) {
	if t == nil || w.texts.sql == "" {
		return domain.Extent{}, 0, false, nil
	}
	t.mu.Lock()
	was, known := t.known[w.search.in(db)]
	t.mu.Unlock()
	if !known { // before anything is read, so that what is read is not older than what was remembered
		return domain.Extent{}, 0, false, nil
	}
	var now texts
	if err := db.Raw("SELECT changed, listed FROM ("+w.texts.sql+") texts", w.texts.args...).Scan(&now).Error; err != nil {
		return domain.Extent{}, 0, false, err
	}
	if !was.holds(now) {
		return domain.Extent{}, 0, false, nil
	}
	return was.Extent, now.Listed, true, nil
}

// remember keeps the total of a search.
func (t *totals) remember(db *gorm.DB, w wanted, extent domain.Extent, stood texts) {
	if t == nil || w.texts.sql == "" || extent.Total < worthKeeping {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.known) >= maxRemembered {
		clear(t.known)
	}
	t.known[w.search.in(db)] = total{extent, stood}
}
