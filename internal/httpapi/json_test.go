package httpapi

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

// pure is what gin's PureJSON answers.
func pure(t testing.TB, v any) string {
	t.Helper()
	w := httptest.NewRecorder()
	c, _ := gin.CreateTestContext(w)
	c.PureJSON(201, v)
	require.Equal(t, "application/json; charset=utf-8", w.Header().Get("Content-Type"))
	return w.Body.String()
}

// appended is what writeJSON answers.
func appended(t testing.TB, body appender) string {
	t.Helper()
	w := httptest.NewRecorder()
	c, _ := gin.CreateTestContext(w)
	writeJSON(c, 201, body)
	require.Equal(t, 201, w.Code)
	require.Equal(t, "application/json; charset=utf-8", w.Header().Get("Content-Type"))
	return w.Body.String()
}

// checkJSON compares all that writes itself with what encoding/json makes of the same structs.
func checkJSON(t testing.TB, text, other string, number, when int64, some bool) {
	t.Helper()
	id := uuid.NewSHA1(uuid.Nil, []byte(text))
	at := stamp(time.UnixMilli(when % 250_000_000_000_000).In(time.FixedZone("", 3600)))
	product := productBody{ID: id, Name: text, Category: other, Quantity: number, Description: other + text, CreatedAt: at, UpdatedAt: at, Deleted: some}
	item := itemBody{ID: id, Name: other, Category: text, Quantity: -number, Deleted: some}
	if some {
		product.SKU, product.Reorder, product.ImageURL, item.ImageURL = &text, &number, &other, &text
	}
	full := orderBody[productBody]{ID: id, Client: other, Description: text, Quantity: number, State: domain.OrderState(other), CreatedAt: at, UpdatedAt: at, Item: product}
	listed := orderBody[itemBody]{ID: id, Client: text, Description: other, Quantity: number, State: domain.OrderState(text), CreatedAt: at, UpdatedAt: at, Item: item}
	for _, body := range []appender{product, item, full, listed} {
		require.Equal(t, pure(t, body), appended(t, body))
	}

	end := pageBody{Page: int(number % 100), PageSize: int(when), TotalItems: number, TotalIsLowerBound: some, TotalPages: when, NextCursor: text}
	for _, n := range []int{0, 1, 3} {
		products := make([]productBody, n)
		for i := range products {
			products[i] = product
		}
		w := httptest.NewRecorder()
		c, _ := gin.CreateTestContext(w)
		writeList(c, "products", products, end)
		want := struct {
			Products []productBody `json:"products"`
			pageBody
		}{products, end}
		require.Equal(t, pure(t, want), w.Body.String())
	}
}

// oddTexts are those that JSON has a way of its own for, or encoding/json has.
var oddTexts = []string{
	"", "plain", `"quoted" and \ back`, "a\nb\rc\td\be\ff", "\x00\x01\x1f\x7f", "<b>&amp;</b>", "\u2028 and \u2029", "Ärger, 東京, привет, 👩‍🚀",
	"\xff\xfe", "half \xe2\x80", "\xed\xa0\x80", "a\xc0\xafb", "\ufffd", strings.Repeat("long ", 1000), "\u200d\u0000", "\U0010ffff", "\xf4\x90\x80\x80",
}

// TestJSON_asEncodingJSON: what writes itself is, to the byte, what the structs would be.
func TestJSON_asEncodingJSON(t *testing.T) {
	t.Parallel()
	for i, text := range oddTexts {
		for _, other := range oddTexts {
			checkJSON(t, text, other, int64(i)*math.MaxInt32, int64(i)*7_777_777_777_777-5_000_000_000_000, i%2 == 0)
		}
	}
	checkJSON(t, "", "", math.MinInt64+1, 0, true)
	checkJSON(t, "", "", math.MaxInt64, -62_135_596_800_000, true)
}

// TestJSON_together: answers that are written at the same time do not get into each other's way.
func TestJSON_together(t *testing.T) {
	t.Parallel()
	ended := make(chan bool)
	for i := range 8 {
		go func() {
			right := true
			body := itemBody{Name: strings.Repeat(string(rune('a'+i)), 10+1000*i)}
			for range 500 {
				w := httptest.NewRecorder()
				c, _ := gin.CreateTestContext(w)
				writeJSON(c, 200, body)
				right = right && bytes.Count(w.Body.Bytes(), []byte{byte('a' + i)}) >= 10+1000*i && json.Valid(w.Body.Bytes())
			}
			ended <- right
		}()
	}
	for range 8 {
		require.True(t, <-ended)
	}
}

// FuzzAppendText looks for a text that is written in another way than encoding/json does.
func FuzzAppendText(f *testing.F) {
	for _, text := range oddTexts {
		f.Add(text, int64(len(text)), int64(1_700_000_000_123))
	}
	f.Fuzz(func(t *testing.T, text string, number, when int64) {
		checkJSON(t, text, text+"x", number, when, number%2 == 0)
	})
}
