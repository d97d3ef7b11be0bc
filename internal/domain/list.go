package domain

// Defaults and bounds of list queries.
const (
	DefaultPageSize = 10
	MaxPageSize     = 100
)

// Sort is the order of a list: by one field, ties broken by id so that pages never overlap.
type Sort struct {
	Field string // a name that the list knows, such as "createdAt"
	Desc  bool
}

// Page says which part of a list is wanted and in which order.
type Page struct {
	Number int // from 1
	Size   int // 1 to MaxPageSize
	Sort   Sort
}

// Pages gives how many pages of the size hold so many things.
func Pages(total int64, size int) int64 { return (total + int64(size) - 1) / int64(size) }
