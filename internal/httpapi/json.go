package httpapi

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"inventoryhub/internal/domain"
)

// appender is a body that writes itself as JSON: the bytes that encoding/json would make of it with HTML left as it is, for a tenth of the work. Products and orders
// are, since they are most of what is read.
type appender interface{ appendJSON(to []byte) []byte }

// buffers hold the bodies while they are written.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// sentWhole is up to where net/http finds out by itself how long a body is, in bytes; what is longer it would send in chunks.
const sentWhole = 2048

// maxPooled is beyond what a page of a list takes; what is larger is left to the garbage collector, in bytes.
const maxPooled = 256 << 10

// writeJSON answers as gin's PureJSON does.
func writeJSON(c *gin.Context, status int, body appender) { sendJSON(c, status, body, false) }

func sendJSON(c *gin.Context, status int, body appender, tellLength bool) {
	buffer := buffers.Get().(*[]byte)
	text := append(body.appendJSON((*buffer)[:0]), '\n')
	if tellLength && len(text) > sentWhole {
		c.Header("Content-Length", strconv.Itoa(len(text)))
	}
	c.Header("Content-Type", "application/json; charset=utf-8")
	c.Status(status)
	_, _ = c.Writer.Write(text) // a client that went away is nobody's error
	if cap(text) <= maxPooled {
		*buffer = text
		buffers.Put(buffer)
	}
}

// writeList answers with a list under its name, and the end that all lists have.
func writeList[B appender](c *gin.Context, name string, bodies []B, end pageBody) {
	sendJSON(c, http.StatusOK, listBody[B]{name, bodies, end}, true)
}

// writePlainList is writeList for bodies that encoding/json has to write.
func writePlainList[B any](c *gin.Context, name string, bodies []B, end pageBody) error {
	texts := make([]ready, len(bodies))
	for i, body := range bodies {
		var err error
		if texts[i], err = pureJSON(body); err != nil {
			return err
		}
	}
	writeList(c, name, texts, end)
	return nil
}

// ready is JSON that is written already.
type ready []byte

func (r ready) appendJSON(to []byte) []byte { return append(to, r...) }

type listBody[B appender] struct {
	name   string
	bodies []B
	end    pageBody
}

func (l listBody[B]) appendJSON(to []byte) []byte {
	to = append(append(append(to, `{"`...), l.name...), `":[`...)
	for i, body := range l.bodies {
		if i > 0 {
			to = append(to, ',')
		}
		to = body.appendJSON(to)
	}
	return l.end.appendJSON(append(to, ']'))
}

// appendJSON ends the object of a list.
func (p pageBody) appendJSON(to []byte) []byte {
	to = strconv.AppendInt(append(to, `,"page":`...), int64(p.Page), 10)
	to = strconv.AppendInt(append(to, `,"pageSize":`...), int64(p.PageSize), 10)
	to = strconv.AppendInt(append(to, `,"totalItems":`...), p.TotalItems, 10)
	if p.TotalIsLowerBound {
		to = append(to, `,"totalIsLowerBound":true`...)
	}
	to = strconv.AppendInt(append(to, `,"totalPages":`...), p.TotalPages, 10)
	if p.NextCursor != "" {
		to = appendText(append(to, `,"nextCursor":`...), p.NextCursor)
	}
	return append(to, '}')
}

// pureJSON is encoding/json with HTML left as it is.
func pureJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func appendID(to []byte, id uuid.UUID) []byte {
	to = hex.AppendEncode(append(to, '"'), id[:4])
	for _, end := range []int{6, 8, 10} {
		to = hex.AppendEncode(append(to, '-'), id[end-2:end])
	}
	return append(hex.AppendEncode(append(to, '-'), id[10:]), '"')
}

func appendStamp(to []byte, s stamp) []byte {
	return append(domain.AppendStamp(append(to, '"'), time.Time(s)), '"')
}

// appendText leaves a text that needs more than quotes to encoding/json.
func appendText(to []byte, text string) []byte {
	ascii := true
	for i := range len(text) {
		switch b := text[i]; {
		case b < ' ' || b == '"' || b == '\\':
			return appendOddText(to, text)
		case b >= utf8.RuneSelf:
			ascii = false
		}
	}
	if !ascii && (!utf8.ValidString(text) || strings.ContainsAny(text, "\u2028\u2029")) {
		return appendOddText(to, text)
	}
	return append(append(append(to, '"'), text...), '"')
}

func appendOddText(to []byte, text string) []byte {
	quoted, _ := pureJSON(text) // never fails for a string
	return append(to, quoted...)
}

func appendOptionalText(to []byte, text *string) []byte {
	if text == nil {
		return append(to, "null"...)
	}
	return appendText(to, *text)
}

func (p productBody) appendJSON(to []byte) []byte {
	to = appendID(append(to, `{"id":`...), p.ID)
	to = appendText(append(to, `,"name":`...), p.Name)
	to = appendText(append(to, `,"category":`...), p.Category)
	to = strconv.AppendInt(append(to, `,"quantity":`...), p.Quantity, 10)
	to = appendText(append(to, `,"description":`...), p.Description)
	if p.SKU != nil {
		to = appendText(append(to, `,"sku":`...), *p.SKU)
	}
	if p.Reorder != nil {
		to = strconv.AppendInt(append(to, `,"reorderLevel":`...), *p.Reorder, 10)
	}
	to = appendOptionalText(append(to, `,"imageUrl":`...), p.ImageURL)
	to = appendStamp(append(to, `,"createdAt":`...), p.CreatedAt)
	to = appendStamp(append(to, `,"updatedAt":`...), p.UpdatedAt)
	return appendDeleted(to, p.Deleted)
}

func (i itemBody) appendJSON(to []byte) []byte {
	to = appendID(append(to, `{"id":`...), i.ID)
	to = appendText(append(to, `,"name":`...), i.Name)
	to = appendText(append(to, `,"category":`...), i.Category)
	to = strconv.AppendInt(append(to, `,"quantity":`...), i.Quantity, 10)
	to = appendOptionalText(append(to, `,"imageUrl":`...), i.ImageURL)
	return appendDeleted(to, i.Deleted)
}

// appendDeleted ends a product.
func appendDeleted(to []byte, deleted bool) []byte {
	if deleted {
		to = append(to, `,"deleted":true`...)
	}
	return append(to, '}')
}

func (o orderBody[I]) appendJSON(to []byte) []byte {
	to = appendID(append(to, `{"id":`...), o.ID)
	to = appendText(append(to, `,"client":`...), o.Client)
	to = appendText(append(to, `,"description":`...), o.Description)
	to = strconv.AppendInt(append(to, `,"quantity":`...), o.Quantity, 10)
	to = appendText(append(to, `,"state":`...), string(o.State))
	to = appendStamp(append(to, `,"createdAt":`...), o.CreatedAt)
	to = appendStamp(append(to, `,"updatedAt":`...), o.UpdatedAt)
	return append(o.Item.appendJSON(append(to, `,"item":`...)), '}')
}
