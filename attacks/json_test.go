package attacks_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
)

// attackJSON: a body is read in one way alone, or not at all.
func attackJSON(t *testing.T, s *server) {
	deep := func(depth int) string {
		return `{"name":"x","x":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}`
	}
	keys := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"k%d":0`, i)
		}
		return `{"name":"x"` + b.String() + "}"
	}
	utf16Body := func(text string, order func(hi, lo byte) []byte) string {
		var b []byte
		for _, unit := range append([]uint16{0xfeff}, utf16.Encode([]rune(text))...) {
			b = append(b, order(byte(unit>>8), byte(unit))...)
		}
		return string(b)
	}
	for _, c := range []struct{ name, body, field string }{
		{"empty", "", "request"}, {"blank", " \n\t ", "request"}, {"null", "null", "request"}, {"true", "true", "request"}, {"number", "5", "request"}, {"text", `"name"`, "request"}, {"list", "[]", "request"},
		{"list of one", `[{"name":"x"}]`, "request"}, {"two objects", `{"name":"x"}{"name":"y"}`, "request"}, {"two lines", "{\"name\":\"x\"}\n{\"name\":\"y\"}", "request"}, {"a comma after", `{"name":"x"},`, "request"},
		{"NUL after", "{\"name\":\"x\"}\x00", "request"}, {"text after", `{"name":"x"}garbage`, "request"}, {"a comment before", `/**/{"name":"x"}`, "request"}, {"a comment inside", `{"name":/**/"x"}`, "request"}, {"a comment after", `{"name":"x"}//`, "request"},
		{"byte order mark", "\ufeff" + `{"name":"x"}`, "request"}, {"UTF-16, big end first", utf16Body(`{"name":"x"}`, func(hi, lo byte) []byte { return []byte{hi, lo} }), "request"},
		{"UTF-16, little end first", utf16Body(`{"name":"x"}`, func(hi, lo byte) []byte { return []byte{lo, hi} }), "request"}, {"single quotes", `{'name':'x'}`, "request"}, {"no quotes", `{name:"x"}`, "request"}, {"comma at the end", `{"name":"x",}`, "request"},
		{"comma at the start", `{,"name":"x"}`, "request"}, {"cut", `{"name":"x"`, "request"}, {"cut in a text", `{"name":"x`, "request"}, {"cut in an escape", `{"name":"\u00`, "request"}, {"wrong bracket", `{"name":"x"]`, "request"}, {"form", "name=x", "request"},
		{"XML", `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><name>&e;</name>`, "request"}, {"YAML", "name: x", "request"}, {"JSONP", `f({"name":"x"})`, "request"}, {"XSSI prefix", ")]}'\n{\"name\":\"x\"}", "request"},
		{"Infinity", `{"name":"x","a":Infinity}`, "request"}, {"NaN", `{"name":"x","a":NaN}`, "request"}, {"hexadecimal", `{"name":"x","a":0x10}`, "request"}, {"octal", `{"name":"x","a":010}`, "request"}, {"plus", `{"name":"x","a":+1}`, "request"},
		{"a half number", `{"name":"x","a":1.}`, "request"}, {"a bare escape", `{"name":"x","a":"\x41"}`, "request"}, {"a raw line end in a text", "{\"name\":\"a\nb\"}", "request"}, {"a raw NUL in a text", "{\"name\":\"a\x00b\"}", "request"},
		{"depth of 40", deep(40), "request"}, {"depth of 30000", strings.Repeat(`[`, 30000), "request"}, {"depth of objects", strings.Repeat(`{"a":`, 10000), "request"}, {"1001 keys", keys(1001), "request"},
		{"key twice", `{"name":"x","name":"y"}`, "request"}, {"key twice, once escaped", `{"name":"x","n\u0061me":"y"}`, "request"}, {"unknown key twice", `{"name":"x","a":1,"a":2}`, "request"}, {"key twice in the depth", `{"name":"x","a":{"b":1,"b":2}}`, "request"},
		{"invalid UTF-8 in another text", "{\"name\":\"x\",\"a\":\"\xff\"}", "request"}, {"invalid UTF-8 in a key", "{\"name\":\"x\",\"\xff\":1}", "request"},

		{"no key", `{}`, "name"}, {"key in capitals", `{"NAME":"x"}`, "name"}, {"key with a capital", `{"Name":"x"}`, "name"}, {"key with the Kelvin sign", `{"\u212aname":"x"}`, "name"}, {"key with a space", `{"name ":"x"}`, "name"}, {"key with NUL", `{"name\u0000":"x"}`, "name"},
		{"prototype", `{"__proto__":{"name":"x"}}`, "name"}, {"value null", `{"name":null}`, "name"}, {"value a number", `{"name":5}`, "name"}, {"value true", `{"name":true}`, "name"}, {"value a list", `{"name":["x"]}`, "name"}, {"value an object", `{"name":{"$gt":""}}`, "name"},
		{"value empty", `{"name":""}`, "name"}, {"value blank", `{"name":" \u00a0\u2003"}`, "name"}, {"value with NUL", `{"name":"a\u0000b"}`, "name"}, {"value with CRLF", `{"name":"a\r\nb"}`, "name"}, {"value with a line separator", `{"name":"a\u2028b"}`, "name"},
		{"value with an escape sequence", `{"name":"\u001b[2Jx"}`, "name"}, {"value with DEL", `{"name":"a\u007f"}`, "name"}, {"value with a C1 control", `{"name":"a\u009bx"}`, "name"}, {"first surrogate", `{"name":"\ud800"}`, "name"}, {"second surrogate", `{"name":"\udfff"}`, "name"},
		{"surrogates swapped", `{"name":"\ude00\ud83d"}`, "name"}, {"invalid byte", "{\"name\":\"a\xff\"}", "name"}, {"overlong slash", "{\"name\":\"\xc0\xaf\"}", "name"}, {"surrogate in bytes", "{\"name\":\"\xed\xa0\x80\"}", "name"}, {"beyond Unicode", "{\"name\":\"\xf4\x90\x80\x80\"}", "name"},
		{"cut character", "{\"name\":\"\xf0\x9f\x98\"}", "name"}, {"101 letters", `{"name":"` + strings.Repeat("x", 101) + `"}`, "name"}, {"101 wide characters", `{"name":"` + strings.Repeat("🦀", 101) + `"}`, "name"}, {"50000 letters", `{"name":"` + strings.Repeat("x", 50000) + `"}`, "name"},
	} {
		t.Run("refused/"+c.name, func(t *testing.T) {
			s.unchanged(t, func() {
				s.admin.post(t, "/products/categories", c.body).refuses(t, http.StatusBadRequest, c.field)
				if c.field == "request" && c.body != "" { // the same everywhere
					s.anonymous().post(t, "/auth/login", c.body[:min(len(c.body), 8000)]).refuses(t, http.StatusBadRequest, "request")
					s.admin.post(t, "/products", c.body).refuses(t, http.StatusBadRequest, "request")
				}
			})
		})
	}
	for name, text := range map[string]string{
		"HTML": "<script>alert(1)</script>", "SQL": "'; DROP TABLE products; --", "template": "{{7*7}}${7*7}<%=7*7%>", "formula": `=HYPERLINK("http://evil","x")`, "path": "../../etc/passwd", "100 wide characters": strings.Repeat("🦀", 100),
		"right to left": "abc\u202excod.exe", "zero width": "a\u200bb", "combining": strings.Repeat("e\u0301", 50), "percent": "%_\\%", "quotes": `"'` + "`", "replacement character": "\ufffd", "last character": "\U0010ffff", "noncharacter": "\ufffe", "escaped escape": `\u0000 \ud800`,
	} {
		t.Run("kept as it is/"+name, func(t *testing.T) {
			a := s.admin.post(t, "/products/categories", j{"name": text}).wants(t, http.StatusCreated)
			require.Equal(t, text, a.text(t, "name"))
			require.Contains(t, names(t, s), text)
			s.admin.delete(t, "/products/categories/"+escapeAll(text)).wants(t, http.StatusNoContent)
			require.NotContains(t, names(t, s), text)
		})
	}
	t.Run("duplicates/case and Unicode", func(t *testing.T) {
		name := "Straße " + s.unique("x")
		s.admin.post(t, "/products/categories", j{"name": name}).wants(t, http.StatusCreated)
		for _, again := range []string{name, strings.ToUpper(name), "  " + name + " ", strings.ToLower(name)} {
			s.admin.post(t, "/products/categories", j{"name": again}).refuses(t, http.StatusConflict, "name")
		}
	})

	product := s.product(t, 100)
	paths := []string{"/products/" + product, "/products/" + product + "/movements"}
	for _, number := range []string{
		"5.0", "5e0", "5E0", "5e-1", "50e-1", `"5"`, `""`, "[5]", `{"$inc":5}`, "true", "-0.0", "1e400", "-1e400", "0.1", "1e9", "1.0e0", `"5; DROP TABLE products"`, `"０"`, "1e-400",
	} {
		t.Run("number/not whole "+number, func(t *testing.T) {
			s.unchanged(t, func() {
				s.admin.patch(t, "/products/quantity/"+product, `{"quantity":`+number+`}`).refuses(t, http.StatusBadRequest, "quantity")
				s.admin.patch(t, "/products/quantity/"+product, `{"delta":`+number+`}`).refuses(t, http.StatusBadRequest, "delta")
				s.admin.post(t, "/products/orders", `{"itemId":"`+product+`","client":"x","quantity":`+number+`}`).refuses(t, http.StatusBadRequest, "quantity")
				s.admin.post(t, "/products", `{"name":"x","category":"x","quantity":`+number+`}`).refuses(t, http.StatusBadRequest, "quantity", "category")
			}, paths...)
		})
	}
	for _, number := range []string{
		"-1", "1000000001", "2147483648", "4294967296", "4294967295", "9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551616", "1" + strings.Repeat("0", 400), "-1000000001",
	} {
		t.Run("number/out of range "+number[:min(len(number), 24)], func(t *testing.T) {
			s.unchanged(t, func() {
				s.admin.patch(t, "/products/quantity/"+product, `{"quantity":`+number+`}`).refuses(t, http.StatusBadRequest, "quantity")
				s.admin.post(t, "/products/orders", `{"itemId":"`+product+`","client":"x","quantity":`+number+`}`).refuses(t, http.StatusBadRequest, "quantity")
				s.admin.put(t, "/products/"+product, `{"name":"x","category":"x","quantity":`+number+`}`).refuses(t, http.StatusBadRequest, "quantity", "category")
			}, paths...)
		})
	}
	for name, body := range map[string]string{
		"both": `{"quantity":1,"delta":1}`, "delta nothing": `{"delta":0}`, "delta minus nothing": `{"delta":-0}`, "neither": `{}`, "neither, but a note": `{"note":"x"}`, "both null": `{"quantity":null,"delta":null}`, "note with NUL": `{"delta":1,"note":"\u0000"}`,
		"note of 501": `{"delta":1,"note":"` + strings.Repeat("x", 501) + `"}`, "note a list": `{"delta":1,"note":["x"]}`, "one of another case": `{"Quantity":1}`,
	} {
		t.Run("quantity/"+name, func(t *testing.T) {
			s.unchanged(t, func() { s.admin.patch(t, "/products/quantity/"+product, body).wants(t, http.StatusBadRequest) }, paths...)
		})
	}

	for _, c := range []struct {
		name, path, field string
		limit             int
		body              j
	}{
		{"first name", "/auth/invite", "firstName", 100, invitee("x", user)}, {"last name", "/auth/invite", "lastName", 100, invitee("x", user)}, {"product's name", "/products", "name", 200, j{"category": "x", "quantity": 1}},
		{"product's description", "/products", "description", 4000, j{"category": "x", "name": "x", "quantity": 1}}, {"order's client", "/products/orders", "client", 200, j{"itemId": "x", "quantity": 1}},
		{"order's description", "/products/orders", "description", 2000, j{"itemId": "x", "client": "x", "quantity": 1}}, {"category's name", "/products/categories", "name", 100, j{"name": 0}},
	} {
		t.Run("length/"+c.name, func(t *testing.T) { // the other faults keep anything from being made
			s.unchanged(t, func() {
				for _, letter := range []string{"x", "ß", "🦀"} {
					require.Contains(t, s.admin.post(t, c.path, c.body.but(j{c.field: strings.Repeat(letter, c.limit+1)})).wants(t, http.StatusBadRequest).faults(), c.field)
					if c.path != "/products/categories" {
						require.NotContains(t, s.admin.post(t, c.path, c.body.but(j{c.field: strings.Repeat(letter, c.limit)})).wants(t, http.StatusBadRequest).faults(), c.field)
					}
				}
			})
		})
	}

	for _, media := range []string{
		"", "text/plain", "text/json", "text/plain; charset=utf-8", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "application/json; charset=utf-16", "application/json; charset=iso-8859-1", "application/json; charset=utf-7",
		"application/problem+json", "application/x-ndjson", "application/json5", "application/csp-report", "application/json, application/json", "*/*", "json", "application/json; charset", "application/octet-stream", "application/jsonx", "text/html",
	} {
		t.Run("media type/"+media, func(t *testing.T) {
			s.unchanged(t, func() {
				s.admin.post(t, "/products/categories", `{"name":"x"}`, "Content-Type", media).refuses(t, http.StatusUnsupportedMediaType, "request")
				s.anonymous().post(t, "/auth/login", `{"email":"`+adminEmail+`","password":"`+adminPassword+`"}`, "Content-Type", media).refuses(t, http.StatusUnsupportedMediaType, "request")
			})
		})
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write([]byte(`{"name":"packed"}`))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	for _, encoding := range []string{"gzip", "deflate", "br", "identity", "gzip, gzip", "x"} {
		t.Run("content encoding/"+encoding, func(t *testing.T) {
			s.unchanged(t, func() {
				for _, path := range []string{"/products/categories", "/products"} {
					s.admin.post(t, path, packed.Bytes(), "Content-Encoding", encoding).refuses(t, http.StatusUnsupportedMediaType, "request")
				}
				s.admin.post(t, "/products", packed.Bytes(), "Content-Encoding", encoding, "Content-Type", "multipart/form-data; boundary=x").refuses(t, http.StatusUnsupportedMediaType, "request")
			})
		})
	}
	t.Run("content encoding/packed without a word", func(t *testing.T) {
		s.admin.post(t, "/products/categories", packed.Bytes()).refuses(t, http.StatusBadRequest, "request")
	})

	for path, limit := range map[string]int{"/auth/login": 8 << 10, "/auth/register": 8 << 10, "/auth/forgot": 8 << 10, "/auth/reset": 8 << 10, "/auth/invite": 8 << 10, "/products/categories": 64 << 10, "/products/orders": 64 << 10, "/products": 8 << 20} {
		t.Run("size/"+path, func(t *testing.T) {
			s.unchanged(t, func() {
				s.admin.post(t, path, strings.Repeat(" ", limit+1)).refuses(t, http.StatusRequestEntityTooLarge, "request")
				s.admin.post(t, path, `{"x":"`+strings.Repeat("x", limit)+`"}`).refuses(t, http.StatusRequestEntityTooLarge, "request")
				s.admin.post(t, path, strings.Repeat(" ", limit)).refuses(t, http.StatusBadRequest, "request")
			})
		})
	}
	t.Run("many faults make no long answer", func(t *testing.T) {
		a := s.admin.post(t, "/auth/invite", `{"email":"`+strings.Repeat("x", 2000)+`","firstName":"`+strings.Repeat("y", 2000)+`","lastName":"\u0000","role":"`+strings.Repeat("z", 2000)+`"}`)
		require.Less(t, len(a.refuses(t, http.StatusBadRequest, "email", "firstName", "lastName", "role").Body), 2000)
	})
}

// names are those of all categories.
func names(t *testing.T, s *server) (found []string) {
	t.Helper()
	for _, category := range s.admin.get(t, "/products/categories").wants(t, http.StatusOK).json(t)["categories"].([]any) {
		found = append(found, category.(map[string]any)["name"].(string))
	}
	return found
}
