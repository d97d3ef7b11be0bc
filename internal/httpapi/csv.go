package httpapi

import (
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"inventoryhub/internal/domain"
)

const typeCSV = "text/csv; charset=utf-8"

// The columns of the files, by the names that the fields have in JSON.
var (
	productColumns = []string{"id", "sku", "name", "category", "quantity", "reorderLevel", "description", "createdAt", "updatedAt"}
	orderColumns   = []string{"id", "itemId", "itemSku", "itemName", "category", "client", "description", "quantity", "state", "createdAt", "updatedAt"}
)

func productRecord(p domain.Product) []string {
	level := ""
	if p.ReorderLevel != nil {
		level = strconv.FormatInt(*p.ReorderLevel, 10)
	}
	return []string{
		p.ID.String(), guardOptional(p.SKU), guard(p.Name), guard(p.CategoryName), strconv.FormatInt(p.Quantity, 10), level, guard(p.Description),
		stamp(p.CreatedAt).String(), stamp(p.UpdatedAt).String(),
	}
}

func orderRecord(o domain.Order) []string {
	return []string{
		o.ID.String(), o.ProductID.String(), guardOptional(o.Item.SKU), guard(o.Item.Name), guard(o.Item.CategoryName), guard(o.Client), guard(o.Description),
		strconv.FormatInt(o.Quantity, 10), string(o.State), stamp(o.CreatedAt).String(), stamp(o.UpdatedAt).String(),
	}
}

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

// writeCSV answers with a file of records (RFC 4180) as they come in batches. An error before the first batch is told as any other.
func writeCSV[T any](c *gin.Context, name string, columns []string, record func(T) []string, batches func(write func([]T) error) error) error {
	var w *csv.Writer
	return batches(func(batch []T) error {
		if w == nil {
			c.Header("Content-Type", typeCSV)
			c.Header("Content-Disposition", `attachment; filename="`+name+`"`)
			c.Status(http.StatusOK)
			w = csv.NewWriter(c.Writer)
			_ = w.Write(columns) // kept by w until Flush
		}
		for _, thing := range batch {
			_ = w.Write(record(thing))
		}
		if w.Flush(); w.Error() != nil {
			return refuse(statusCallerLeft, "request", "The answer could not be sent")
		}
		return nil
	})
}

func (h productHandlers) export(c *gin.Context) error {
	q, err := newQuery(c)
	if err != nil {
		return err
	}
	f := productFilter(q)
	return writeCSV(c, "products.csv", productColumns, productRecord, func(write func([]domain.Product) error) error {
		return h.products.Export(c.Request.Context(), actorOf(c), f, q.faults, write)
	})
}

func (h orderHandlers) export(c *gin.Context) error {
	q, err := newQuery(c)
	if err != nil {
		return err
	}
	f := orderFilter(q)
	return writeCSV(c, "transactions.csv", orderColumns, orderRecord, func(write func([]domain.Order) error) error {
		return h.orders.Export(c.Request.Context(), actorOf(c), f, q.faults, write)
	})
}
