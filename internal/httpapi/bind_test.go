package httpapi

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

// FuzzBindJSON compares what every request takes with what encoding/json reads, and knows nothing else of the decoder.
func FuzzBindJSON(f *testing.F) {
	gin.SetMode(gin.ReleaseMode)
	for _, body := range []string{
		"", "null", "[]", "{", "{}", "{} {}", `{"":1}`, `{"file":"x"}`, `{"name":"iPhone 12","category":"Electronics","quantity":10,"description":"","image":null}`,
		`{"email":"tolya@example.com","firstName":" Tolya ","lastName":"P","role":"User"}`, `{"Email":"tolya@example.com","EMAIL":1}`,
		`{"quantity":5}`, `{"quantity":5.0}`, `{"quantity":"5"}`, `{"quantity":-0}`, `{"delta":9223372036854775808,"note":"x"}`, `{"quantity":1e3,"delta":-1}`,
		`{"name":"\ud83d\ude00"}`, `{"name":"\ud800"}`, `{"name":"\\ufffd\ud800"}`, `{"name":"\ufffd"}`, `{"name":"\uFFFD\udc00"}`, "{\"name\":\"\xff\"}", "{\"\xff\":\"\xfe\"}",
		`{"name":"a","name":"b"}`, `{"name":"a","\u006eame":"b"}`, `{"x":{"a":1,"a":2}}`, `{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}",
		`{"name":"a\u0000"}`, "{\"name\":\"a\x00\"}", "\ufeff{}", `{"name" : [ "x" ] , "image" : { } }`, `{"initialState":"Draft","itemId":"x","client":"c","quantity":1,"description":"d"}`,
		`{"token":"t","username":"tolya","password":"Tolya123!"}`, `{"currentPassword":"a","newPassword":"b\u0000"}`, `{"refreshToken":"r","transition":"Ready"}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		checkBind[loginRequest](t, body)
		checkBind[registerRequest](t, body)
		checkBind[refreshRequest](t, body)
		checkBind[passwordRequest](t, body)
		checkBind[forgotRequest](t, body)
		checkBind[resetRequest](t, body)
		checkBind[userRequest](t, body)
		checkBind[categoryRequest](t, body)
		checkBind[productRequest](t, body)
		checkBind[adjustRequest](t, body)
		checkBind[placeRequest](t, body)
		checkBind[editRequest](t, body)
		checkBind[moveRequest](t, body)
	})
}

// answered is what a caller gets who sends the body, and what was read of it: nothing, unless the status is 200. Any other answer must
// be a refusal of the caller's own fault in the one shape.
func answered[T any](t *testing.T, contentType string, body []byte, bind func(*gin.Context) (T, domain.Faults, error)) (in T, faults domain.Faults, read bool) {
	t.Helper()
	w := httptest.NewRecorder()
	c, _ := gin.CreateTestContext(w)
	c.Request = httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
	c.Request.Header.Set("Content-Type", contentType)
	(&api{log: slog.New(slog.DiscardHandler)}).handle(func(c *gin.Context) (err error) {
		if in, faults, err = bind(c); err != nil {
			return err
		}
		read = true
		return faults.Err()
	})(c)
	if read && len(faults) == 0 {
		require.Empty(t, w.Body.String())
		return in, faults, read
	}
	var refusal struct{ Errors map[string][]string }
	decoder := json.NewDecoder(w.Body)
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&refusal))
	require.NotEmpty(t, refusal.Errors)
	if read {
		require.Equal(t, http.StatusBadRequest, w.Code)
		return in, faults, read
	}
	require.Contains(t, []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType}, w.Code)
	require.Len(t, refusal.Errors, 1)
	return in, faults, read
}

// checkText requires of a text that was taken what both databases require of it. Secrets are only ever hashed.
func checkText(t *testing.T, name, text string) {
	t.Helper()
	require.True(t, utf8.ValidString(text), name)
	secret := strings.Contains(strings.ToLower(name), "password") || strings.Contains(strings.ToLower(name), "token") || name == "itemId"
	require.True(t, secret || !strings.Contains(text, "\x00"), "a NUL was taken for the %s", name)
}

func checkBind[T any](t *testing.T, body []byte) {
	t.Helper()
	in, faults, read := answered(t, "application/json", body, func(c *gin.Context) (T, domain.Faults, error) { return bindJSON[T](c, maxJSONBody) })
	if !read {
		return
	}
	checkKeys(t, json.NewDecoder(bytes.NewReader(body)))
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
			checkText(t, name, got)
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

// checkKeys reads one value and requires that no object in it has a key twice.
func checkKeys(t *testing.T, tokens *json.Decoder) {
	t.Helper()
	type object struct {
		seen  map[string]bool // nil in an array
		value bool            // a value is next, not a key
	}
	var open []object
	for {
		next, err := tokens.Token()
		require.NoError(t, err)
		inside := len(open) > 0 && open[len(open)-1].seen != nil
		switch {
		case next == json.Delim('}') || next == json.Delim(']'):
			open = open[:len(open)-1]
		case inside && !open[len(open)-1].value:
			key := next.(string)
			require.False(t, open[len(open)-1].seen[key], "the key %q was taken twice", key)
			open[len(open)-1].seen[key], open[len(open)-1].value = true, true
			continue
		case next == json.Delim('{'):
			open = append(open, object{seen: map[string]bool{}})
			continue
		case next == json.Delim('['):
			open = append(open, object{})
			continue
		}
		if len(open) == 0 {
			return
		}
		open[len(open)-1].value = false
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

// FuzzBindForm compares what is taken from a form with what mime/multipart reads.
func FuzzBindForm(f *testing.F) {
	gin.SetMode(gin.ReleaseMode)
	const form = "multipart/form-data; boundary=b"
	field := func(name, value string) string {
		return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
	}
	whole := field("name", "iPhone 12") + field("category", " Electronics ") + field("quantity", "10") + field("description", "a\nb")
	for _, body := range []string{
		"", "--b--", "--b--\r\n", whole, whole + "--b--\r\n", whole + field("image", "null") + "--b--", whole + field("image", "") + "--b--",
		whole + "--b\r\nContent-Disposition: form-data; name=image; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\x89PNG\x00\xff\r\n--b--\r\n",
		field("name", "a") + field("name", "b") + "--b--", field("name", "\xff") + field("category", "\x00") + field("quantity", "1.0") + "--b--",
		"--b\r\nContent-Disposition: form-data; name=name\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=00=FF=\r\n--b--",
		"--b\nContent-Disposition: form-data; name*=utf-8''n%61me\n\nx\n--b--", "--b\r\n\r\n--b--", strings.Repeat("--b\r\n\r\nx\r\n", 12) + "--b--",
		"preamble\r\n" + whole + "--b--epilogue", field("description", strings.Repeat("d", 17<<10)) + "--b--",
	} {
		f.Add(form, []byte(body))
	}
	f.Add(`multipart/form-data; boundary="b b"`, []byte("--b b--"))
	f.Add("multipart/form-data", []byte("--b--"))
	f.Add("multipart/mixed; boundary=b", []byte("--b--"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		in, faults, read := answered(t, contentType, body, func(c *gin.Context) (productRequest, domain.Faults, error) { return bindForm(c, maxMultipartBody) })
		if !read {
			return
		}
		_, params, err := mime.ParseMediaType(contentType)
		require.NoError(t, err)
		given, err := multipart.NewReader(bytes.NewReader(body), params["boundary"]).ReadForm(maxMultipartBody)
		require.NoError(t, err)
		defer func() { require.NoError(t, given.RemoveAll()) }()
		for name, got := range map[string]string{"name": in.Name, "category": in.Category, "description": in.Description} {
			want, _ := onlyPart(t, given, name)
			if name != "description" {
				want = strings.TrimSpace(want)
			}
			if !faults.Has(name) {
				require.Equal(t, want, got, name)
				checkText(t, name, got)
			}
		}
		quantity, set := onlyPart(t, given, "quantity")
		if !faults.Has("quantity") && set {
			require.NotNil(t, in.Quantity)
			want, err := strconv.ParseInt(quantity, 10, 64)
			require.NoError(t, err)
			require.Equal(t, want, *in.Quantity)
		}
		picture, set := onlyPart(t, given, "image")
		require.Equal(t, set, in.Image.Set)
		if picture == "null" && len(given.File["image"]) == 0 {
			picture = ""
		}
		require.Equal(t, picture, string(in.file))
	})
}

// onlyPart gives the one part of a name, be it a field or a file.
func onlyPart(t *testing.T, form *multipart.Form, name string) (string, bool) {
	t.Helper()
	fields, files := form.Value[name], form.File[name]
	require.LessOrEqual(t, len(fields)+len(files), 1, "the part %q was taken twice", name)
	if len(fields) == 1 {
		return fields[0], true
	}
	if len(files) == 0 {
		return "", false
	}
	file, err := files[0].Open()
	require.NoError(t, err)
	content, err := io.ReadAll(file)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	return string(content), true
}
