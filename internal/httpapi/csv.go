package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/sheet"
)

const typeCSV = "text/csv; charset=utf-8"

// writeCSV answers with a file of things as they come in batches. An error before the first batch is told as any other.
func writeCSV[T any](c *gin.Context, name string, table sheet.Table[T], batches func(write func([]T) error) error) error {
	begun := false
	return table.Write(c.Writer, func(write func([]T) error) error {
		return batches(func(batch []T) error {
			if !begun {
				begun = true
				c.Header("Content-Type", typeCSV)
				c.Header("Content-Disposition", `attachment; filename="`+name+`"`)
				c.Status(http.StatusOK)
			}
			if err := write(batch); err != nil {
				return refuse(statusCallerLeft, "request", "The answer could not be sent")
			}
			return nil
		})
	})
}

func (h productHandlers) export(c *gin.Context) error {
	q, err := newQuery(c)
	if err != nil {
		return err
	}
	f := productFilter(q)
	return writeCSV(c, "products.csv", sheet.ProductTable(), func(write func([]domain.Product) error) error {
		return h.products.Export(c.Request.Context(), actorOf(c), f, q.faults, write)
	})
}

func (h orderHandlers) export(c *gin.Context) error {
	q, err := newQuery(c)
	if err != nil {
		return err
	}
	f := orderFilter(q)
	return writeCSV(c, "transactions.csv", sheet.OrderTable(), func(write func([]domain.Order) error) error {
		return h.orders.Export(c.Request.Context(), actorOf(c), f, q.faults, write)
	})
}
