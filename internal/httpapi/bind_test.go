package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"
)

// FuzzBindJSON compares what is taken with what encoding/json reads, and knows nothing else of the decoder.
func FuzzBindJSON(f *testing.F) {
	gin.SetMode(gin.ReleaseMode)
	for _, body := range []string{
		"", "null", "[]", "{", "{}", "{} {}", `{"":1}`, `{"file":"x"}`, `{"name":"iPhone 12","category":"Electronics","quantity":10,"description":"","image":null}`,
		`{"email":"tolya@example.com","firstName":" Tolya ","lastName":"P","role":"User"}`, `{"Email":"tolya@example.com","EMAIL":1}`,
		`{"quantity":5}`, `{"quantity":5.0}`, `{"quantity":"5"}`, `{"quantity":-0}`, `{"delta":9223372036854775808,"note":"x"}`, `{"quantity":1e3,"delta":-1}`,
		`{"name":"\ud83d\ude00"}`, `{"name":"\ud800"}`, `{"name":"\\ufffd\ud800"}`, `{"name":"\ufffd"}`, `{"name":"\uFFFD\udc00"}`, "{\"name\":\"\xff\"}", "{\"\xff\":\"\xfe\"}",
		`{"name":"a","name":"b"}`, `{"name":"a","\u006eame":"b"}`, `{"x":{"a":1,"a":2}}`, `{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}",
		`{"name":"a\u0000"}`, "{\"name\":\"a\x00\"}", "\ufeff{}", `{"name" : [ "x" ] , "image" : { } }`, `{"initialState":"Draft","itemId":"x","client":"c","quantity":1,"description":"d"}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		checkBind[userRequest](t, body)
		checkBind[productRequest](t, body)
		checkBind[adjustRequest](t, body)
		checkBind[placeRequest](t, body)
	})
}

func checkBind[T any](t *testing.T, body []byte) {
	t.Helper()
	c, _ := gin.CreateTestContext(httptest.NewRecorder())
	c.Request = httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(string(body)))
	c.Request.Header.Set("Content-Type", "application/json")
	in, faults, err := bindJSON[T](c, maxJSONBody)
	if err != nil {
		var refused *requestError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "request", refused.field)
		require.Contains(t, []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge}, refused.status)
		return
	}
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(body, &members))
	require.True(t, len(faults) > 0 || utf8.Valid(body), "broken UTF-8 was taken")
	v := reflect.ValueOf(in)
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name := field.Tag.Get("json")
		raw, given := members[name]
		if name == "" || faults.Has(name) {
			continue
		}
		require.False(t, loneSurrogate(raw), "half a character was taken")
		switch got := v.Field(i).Interface().(type) {
		case string:
			require.Equal(t, textOf(t, raw, field), got, name)
		case optionalText:
			require.Equal(t, optionalText{Set: given, Value: textOf(t, raw, field)}, got, name)
		case *int64:
			var want *int64
			if given {
				require.NoError(t, json.Unmarshal(raw, &want), name)
			}
			require.Equal(t, want, got, name)
		}
	}
}

// textOf reads a text, or null, as encoding/json does.
func textOf(t *testing.T, raw json.RawMessage, field reflect.StructField) string {
	t.Helper()
	if raw == nil {
		return ""
	}
	var text string
	require.NoError(t, json.Unmarshal(raw, &text), "no text was taken as one")
	if _, trim := field.Tag.Lookup("trim"); trim {
		trimmed := strings.TrimSpace(text)
		require.NotContains(t, strings.Replace(text, trimmed, "", 1), "\n", "a line feed was trimmed away")
		return trimmed
	}
	return text
}

// loneSurrogate looks for a \u escape of half a character (RFC 8259 section 8.2).
func loneSurrogate(raw json.RawMessage) bool {
	high := false // the escape before this place was the first half
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			if high {
				return true
			}
			continue
		}
		i++
		var unit uint64
		if raw[i] == 'u' {
			unit, _ = strconv.ParseUint(string(raw[i+1:i+5]), 16, 16)
			i += 4
		}
		low := unit >= 0xDC00 && unit <= 0xDFFF
		if high != low {
			return true
		}
		high = unit >= 0xD800 && unit <= 0xDBFF
	}
	return high
}
