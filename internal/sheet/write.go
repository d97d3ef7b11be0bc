package sheet

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"

	"inventoryhub/internal/domain"
)

// Table says how things are written as rows.
type Table[T any] struct {
	columns []string // by the names that the fields have in JSON
	record  func(T) []string
}

// ProductTable has the columns that [Products] reads, and when a product was made and changed.
func ProductTable() Table[domain.Product] {
	return Table[domain.Product]{
		[]string{"id", "sku", "name", "category", "quantity", "reorderLevel", "description", "createdAt", "updatedAt"},
		func(p domain.Product) []string {
			level := ""
			if p.ReorderLevel != nil {
				level = number(*p.ReorderLevel)
			}
			return []string{
				p.ID.String(), guardOptional(p.SKU), guard(p.Name), guard(p.CategoryName), number(p.Quantity), level, guard(p.Description),
				domain.Stamp(p.CreatedAt), domain.Stamp(p.UpdatedAt),
			}
		},
	}
}

// OrderTable is for orders, each with what its item is called.
func OrderTable() Table[domain.Order] {
	return Table[domain.Order]{
		[]string{"id", "itemId", "itemSku", "itemName", "category", "client", "description", "quantity", "state", "createdAt", "updatedAt"},
		func(o domain.Order) []string {
			return []string{
				o.ID.String(), o.ProductID.String(), guardOptional(o.Item.SKU), guard(o.Item.Name), guard(o.Item.CategoryName), guard(o.Client), guard(o.Description),
				number(o.Quantity), string(o.State), domain.Stamp(o.CreatedAt), domain.Stamp(o.UpdatedAt),
			}
		},
	}
}

// MovementTable is for lines of the ledger, each with the username of who made it; it is empty for the command line.
func MovementTable() Table[domain.Movement] {
	return Table[domain.Movement]{
		[]string{"id", "itemId", "delta", "quantityAfter", "reason", "orderId", "user", "note", "createdAt"},
		func(m domain.Movement) []string {
			order := ""
			if m.OrderID != nil {
				order = m.OrderID.String()
			}
			return []string{
				m.ID.String(), m.ProductID.String(), number(m.Delta), number(m.QuantityAfter), string(m.Reason), order, guardOptional(m.Username), guard(m.Note),
				domain.Stamp(m.CreatedAt),
			}
		},
	}
}

// Write writes a file of things (RFC 4180) as they come in batches: the names of the columns before the first one, which may be empty. It returns what
// batches returns, and to batches what w does.
func (t Table[T]) Write(w io.Writer, batches func(write func([]T) error) error) error {
	out, begun := csv.NewWriter(w), false
	return batches(func(batch []T) error {
		if !begun {
			begun = true
			_ = out.Write(t.columns) // kept until Flush, and so are the records
		}
		for _, thing := range batch {
			_ = out.Write(t.record(thing))
		}
		out.Flush()
		return out.Error()
	})
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// isFormula says whether a spreadsheet may take a text for a formula: behind any quotes it begins with one of = + - @ TAB CR (OWASP, CSV injection).
// The quotes count in, so that what [guard] puts before a text can be told from what was there.
func isFormula(text string) bool {
	text = strings.TrimLeft(text, "'")
	return text != "" && strings.IndexByte("=+-@\t\r", text[0]) >= 0
}

// guard puts a quote before what could be a formula, so that it is only shown. [unguard] takes it off.
func guard(text string) string {
	if isFormula(text) {
		return "'" + text
	}
	return text
}

func guardOptional(text *string) string {
	if text == nil {
		return ""
	}
	return guard(*text)
}

// unguard gives the text that [guard] was given.
func unguard(text string) string {
	if strings.HasPrefix(text, "'") && isFormula(text) {
		return text[1:]
	}
	return text
}
