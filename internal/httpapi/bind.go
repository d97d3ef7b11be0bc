package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/go-playground/validator/v10"

	"inventoryhub/internal/domain"
)

// Bounds of bodies, in bytes.
const (
	maxAuthBody      = 8 << 10
	maxJSONBody      = 64 << 10
	maxProductBody   = 8 << 20 // a picture of 5 MiB in base64
	maxMultipartBody = 6 << 20
)

// Bounds of what a JSON body may hold, so that a small one cannot cost much.
const (
	maxDepth = 32
	maxKeys  = 1000
)

// optionalText is a text whose absence, null and empty value mean different things.
type optionalText struct {
	Set   bool // the key stands in the body
	Value string
}

// optionalInt is a whole number whose absence and null mean different things.
type optionalInt struct {
	Set   bool // the key stands in the body
	Value *int64
}

// bindJSON reads a body into a request struct of strings, *int64, [optionalText] and [optionalInt] and checks it by its `validate` tags. A fault of the
// body as a whole is an error; faults of fields are gathered, so that the use case can add its own.
//
// encoding/json alone would take keys in any case, let the last of two win and mend broken UTF-8; all three are faults here.
func bindJSON[T any](c *gin.Context, limit int64) (T, domain.Faults, error) {
	var in T
	body, err := readJSON(c, limit)
	if err != nil {
		return in, nil, err
	}
	members, err := parseObject(body)
	if err != nil {
		return in, nil, err
	}
	var faults domain.Faults
	v := reflect.ValueOf(&in).Elem()
	for i := range v.NumField() {
		if name, ok := v.Type().Field(i).Tag.Lookup("json"); ok {
			setField(v.Field(i), name, members[name], &faults)
		}
	}
	if len(faults) == 0 && !utf8.Valid(body) {
		return in, nil, refuse(http.StatusBadRequest, "request", "The body is not valid UTF-8")
	}
	finish(v, &faults)
	return in, faults, nil
}

// readJSON reads a body that says that it is JSON.
func readJSON(c *gin.Context, limit int64) ([]byte, error) {
	body, err := readBody(c, limit)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 && c.GetHeader("Content-Type") == "" {
		return nil, refuse(http.StatusBadRequest, "request", "The body must be one JSON object")
	}
	media, params, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	if err != nil || media != "application/json" || (params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8")) {
		return nil, refuse(http.StatusUnsupportedMediaType, "request", "The body must be of the type application/json in UTF-8")
	}
	return body, nil
}

func readBody(c *gin.Context, limit int64) ([]byte, error) {
	if c.GetHeader("Content-Encoding") != "" {
		return nil, refuse(http.StatusUnsupportedMediaType, "request", "The body must not be compressed")
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, limit))
	if err != nil {
		return nil, bodyError(err)
	}
	return body, nil
}

// bodyError tells a body that is too large from one that did not arrive.
func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return refuse(http.StatusRequestEntityTooLarge, "request", "The body must be at most "+strconv.FormatInt(tooLarge.Limit, 10)+" bytes long")
	}
	return refuse(http.StatusBadRequest, "request", "The body could not be read to its end")
}

func malformed(why string) error {
	return refuse(http.StatusBadRequest, "request", "The body must be one JSON object: "+why)
}

// parseObject gives the members of the one JSON object in the body, undecoded.
func parseObject(body []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, malformed("it does not begin as one")
	}
	members, keys := map[string]json.RawMessage{}, 0
	for dec.More() {
		key, err := readKey(dec, &keys)
		if err != nil {
			return nil, err
		}
		if _, twice := members[key]; twice {
			return nil, malformed("the key '" + domain.Clip(key) + "' stands twice")
		}
		start := dec.InputOffset()
		if err := skipValue(dec, 1, &keys); err != nil {
			return nil, err
		}
		members[key] = bytes.TrimLeft(body[start:dec.InputOffset()], ": \t\r\n")
	}
	if _, err := dec.Token(); err != nil {
		return nil, malformed("it does not end")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, malformed("something follows it")
	}
	return members, nil
}

func readKey(dec *json.Decoder, keys *int) (string, error) {
	t, err := dec.Token()
	key, ok := t.(string)
	if err != nil || !ok {
		return "", malformed("it cannot be read")
	}
	if *keys++; *keys > maxKeys {
		return "", malformed("it has too many keys")
	}
	return key, nil
}

// skipValue reads over one value and refuses in it what is refused at the top.
func skipValue(dec *json.Decoder, depth int, keys *int) error {
	t, err := dec.Token()
	if err != nil {
		return malformed("it cannot be read")
	}
	open, nested := t.(json.Delim)
	if !nested {
		return nil
	}
	if depth++; depth > maxDepth {
		return malformed("it is nested too deeply")
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == '{' {
			key, err := readKey(dec, keys)
			if err != nil {
				return err
			}
			if seen[key] {
				return malformed("the key '" + domain.Clip(key) + "' stands twice")
			}
			seen[key] = true
		}
		if err := skipValue(dec, depth, keys); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return malformed("it does not end")
	}
	return nil
}

// setField decodes one member. A missing one and null are the same, but for [optionalText] and [optionalInt].
func setField(field reflect.Value, name string, raw json.RawMessage, faults *domain.Faults) {
	if raw == nil {
		return
	}
	null := string(raw) == "null"
	switch target := field.Addr().Interface().(type) {
	case *string:
		if null {
			return
		}
		*target = decodeText(name, raw, faults)
	case *optionalText:
		target.Set = true
		if !null {
			target.Value = decodeText(name, raw, faults)
		}
	case **int64:
		if !null {
			*target = decodeInteger(name, string(raw), faults)
		}
	case *optionalInt:
		target.Set = true
		if !null {
			target.Value = decodeInteger(name, string(raw), faults)
		}
	}
}

func decodeText(name string, raw json.RawMessage, faults *domain.Faults) string {
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		faults.Add(name, "The %s must be a text", label(name))
		return ""
	}
	if n := strings.Count(s, "\uFFFD"); !utf8.Valid(raw) || (n > 0 && n > replacements(raw)) {
		faults.Add(name, "The %s is not valid UTF-8", label(name))
	}
	return s
}

// written matches the replacement character, and every escape, so that \\ufffd is not taken for \ufffd.
var written = regexp.MustCompile(`\\u[0-9A-Fa-f]{4}|\\.|\x{FFFD}`)

// replacements counts the replacement characters that the sender wrote; one more in the decoded text stands for a lone surrogate.
func replacements(raw []byte) int {
	n := 0
	for _, w := range written.FindAll(raw, -1) {
		if w[0] != '\\' || bytes.EqualFold(w, []byte(`\ufffd`)) {
			n++
		}
	}
	return n
}

var wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// decodeInteger takes a whole number as it is written in JSON: 5, not 5.0, 5e0 or "5".
func decodeInteger(name, text string, faults *domain.Faults) *int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if !wholeNumber.MatchString(text) || (err != nil && !errors.Is(err, strconv.ErrRange)) {
		faults.Add(name, "The %s must be a whole number", label(name))
		return nil
	}
	return &n // beyond the range it is the nearest end, which no rule accepts
}

// label is how a field is called in a sentence: firstName is the first name.
func label(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte(' ')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// finish trims the fields tagged `trim` and checks the struct by its tags.
func finish(v reflect.Value, faults *domain.Faults) {
	for i := range v.NumField() {
		if _, trim := v.Type().Field(i).Tag.Lookup("trim"); trim {
			text := v.Field(i)
			if text.Kind() == reflect.Struct {
				text = text.FieldByName("Value") // of an optionalText
			}
			text.SetString(domain.Trim(text.String()))
		}
	}
	var invalid validator.ValidationErrors
	if err := validate.Struct(v.Interface()); !errors.As(err, &invalid) {
		return
	}
	already := faults.Clone()
	for _, fault := range invalid {
		if !already.Has(fault.Field()) {
			faults.Add(fault.Field(), "%s", sentence(fault))
		}
	}
}

// spoken are the rules of the domain that say themselves what is wrong, by their tag.
var spoken = map[string]func(string) error{
	"role":    func(s string) error { _, err := domain.ParseRole(s); return err },
	"state":   func(s string) error { _, err := domain.ParseOrderState("transition", s); return err },
	"scope":   func(s string) error { _, err := domain.ParseKeyScope(s); return err },
	"initial": func(s string) error { _, err := domain.InitialOrderState(s); return err },
}

// validate checks request structs by their tags.
var validate = newValidator()

func newValidator() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string { return f.Tag.Get("json") })
	v.RegisterCustomTypeFunc(func(f reflect.Value) any { return f.FieldByName("Value").Interface() }, optionalText{}, optionalInt{})
	rules := map[string]func(string) bool{"line": domain.IsLine, "text": domain.IsText, "mail": domain.IsEmail, "username": domain.IsUsername}
	for tag, rule := range spoken {
		rules[tag] = func(s string) bool { return rule(s) == nil }
	}
	for tag, holds := range rules {
		// The error is for an empty tag alone.
		_ = v.RegisterValidation(tag, func(fl validator.FieldLevel) bool { return holds(fl.Field().String()) })
	}
	return v
}

// sentence says in the API's words what a rule found.
func sentence(f validator.FieldError) string {
	name := label(f.Field())
	if rule, ok := spoken[f.Tag()]; ok {
		var refused *domain.Error
		if errors.As(rule(fmt.Sprint(f.Value())), &refused) {
			for _, messages := range refused.Fields {
				return messages[0]
			}
		}
	}
	switch f.Tag() {
	case "required":
		return "The " + name + " is required"
	case "line":
		return "The " + name + " must be one line of valid UTF-8 without control characters"
	case "text":
		return "The " + name + " must be valid UTF-8 without the character NUL"
	case "username":
		return "The username must be 3 to 32 letters, digits, underscores, dots or hyphens"
	case "max":
		if f.Kind() == reflect.String {
			return "The " + name + " must be at most " + f.Param() + " characters long"
		}
		return "The " + name + " must be at most " + f.Param()
	case "min":
		return "The " + name + " must be at least " + f.Param()
	}
	return "The " + name + " is not valid"
}
