package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"inventoryhub/internal/domain"
)

const keyAttempt = "attempt"

// attemptOf gives the attempt that a request belongs to, or nil if it came without a key.
func attemptOf(c *gin.Context) *domain.Attempt {
	attempt, _ := c.Get(keyAttempt)
	a, _ := attempt.(*domain.Attempt)
	return a
}

// once carries a request with an Idempotency-Key out once, and gives its answer again whenever the key comes again. again answers
// a request that was carried out but whose answer was lost.
func (a *api) once(again func(*gin.Context, uuid.UUID) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		keys := c.Request.Header.Values("Idempotency-Key")
		if len(keys) == 0 {
			return
		}
		attempt, err := a.begin(c, keys)
		if err != nil {
			a.writeError(c, err)
			return
		}
		if attempt.Status != nil {
			replay(c, attempt)
			return
		}
		answer := &heldAnswer{ResponseWriter: c.Writer}
		c.Writer = answer
		finished := false
		defer func() { // also when the handler panics
			c.Writer = answer.ResponseWriter
			if !finished {
				a.warn(c, a.Attempts.Abandon(c.Request.Context(), attempt))
			}
		}()
		if attempt.ResultID != nil {
			a.handle(func(c *gin.Context) error { return again(c, *attempt.ResultID) })(c)
			c.Abort()
		} else {
			c.Set(keyAttempt, &attempt)
			c.Next()
		}
		if answer.Status() < http.StatusInternalServerError {
			err := a.Attempts.Finish(c.Request.Context(), attempt, answer.Status(), answer.kept(), answer.body.String())
			a.warn(c, err)
			finished = err == nil
			if attempt.ResultID != nil {
				c.Header("Idempotent-Replayed", "true") // nothing was made now
			}
		}
		answer.send()
	}
}

func (a *api) warn(c *gin.Context, err error) {
	if err != nil {
		a.log.WarnContext(c.Request.Context(), "an answer could not be kept for its Idempotency-Key", "requestId", requestID(c), "error", err)
	}
}

const maxKey = 255 // characters

func (a *api) begin(c *gin.Context, keys []string) (domain.Attempt, error) {
	if n := utf8.RuneCountInString(keys[0]); len(keys) > 1 || n < 1 || n > maxKey || !domain.IsLine(keys[0]) {
		return domain.Attempt{}, refuse(http.StatusBadRequest, "request", "The Idempotency-Key must be 1 to 255 characters and stand once")
	}
	body, err := readBody(c, maxProductBody)
	if err != nil {
		return domain.Attempt{}, err
	}
	c.Request.Body = io.NopCloser(bytes.NewReader(body))
	return a.Attempts.Begin(c.Request.Context(), actorOf(c), keys[0], fingerprint(c, body))
}

// fingerprint tells requests apart by method, path and content.
func fingerprint(c *gin.Context, body []byte) string {
	sum := sha256.New()
	add(sum, []byte(c.Request.Method+" "+c.Request.URL.EscapedPath()))
	if media, params, err := mime.ParseMediaType(c.GetHeader("Content-Type")); err != nil || media != "multipart/form-data" || !addParts(sum, body, params["boundary"]) {
		add(sum, body)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// add takes the length in first, so that no two sequences give the same sum.
func add(sum hash.Hash, data []byte) {
	_ = binary.Write(sum, binary.BigEndian, int64(len(data))) // a hash never fails
	_, _ = sum.Write(data)
}

// addParts takes a form in by its parts, since a client draws a new boundary whenever it sends the same form.
func addParts(sum hash.Hash, body []byte, boundary string) bool {
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := parts.NextPart()
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return false
		}
		add(sum, []byte(part.FormName()))
		add(sum, data)
	}
}

// replay gives the first answer again.
func replay(c *gin.Context, attempt domain.Attempt) {
	var headers map[string]string
	if err := json.Unmarshal([]byte(attempt.Headers), &headers); err == nil {
		for name, value := range headers {
			c.Header(name, value)
		}
	}
	c.Header("Idempotent-Replayed", "true")
	c.Status(*attempt.Status)
	_, _ = c.Writer.WriteString(attempt.Body) // a client that went away is nobody's error
	c.Abort()
}

// heldAnswer keeps an answer back until it is known to be stored.
type heldAnswer struct {
	gin.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader notes the status.
func (h *heldAnswer) WriteHeader(status int) { h.status = status }

// WriteHeaderNow does nothing yet.
func (h *heldAnswer) WriteHeaderNow() {}

// Write takes a part of the body.
func (h *heldAnswer) Write(p []byte) (int, error) { return h.body.Write(p) }

// WriteString takes a part of the body.
func (h *heldAnswer) WriteString(s string) (int, error) { return h.body.WriteString(s) }

// Status gives the status so far.
func (h *heldAnswer) Status() int {
	if h.status == 0 {
		return http.StatusOK
	}
	return h.status
}

// Written says whether anything was answered so far.
func (h *heldAnswer) Written() bool { return h.status != 0 || h.body.Len() > 0 }

// Size gives the bytes of the body so far.
func (h *heldAnswer) Size() int { return h.body.Len() }

// kept gives the headers that belong to the answer, as JSON.
func (h *heldAnswer) kept() string {
	headers := map[string]string{}
	for _, name := range []string{"Content-Type", "ETag", "Location"} {
		if value := h.Header().Get(name); value != "" {
			headers[name] = value
		}
	}
	encoded, _ := json.Marshal(headers) // texts alone
	return string(encoded)
}

// send lets the answer go.
func (h *heldAnswer) send() {
	h.ResponseWriter.WriteHeader(h.Status())
	_, _ = h.ResponseWriter.Write(h.body.Bytes()) // a client that went away is nobody's error
}
