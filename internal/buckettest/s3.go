package buckettest

import (
	"crypto/md5" //nolint:gosec // S3's own checksum
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

type s3 struct {
	*Storage
	t testing.TB
}

// S3 gives a storage of one bucket, and the URL that opens it. It is gone when the test ends.
func S3(t testing.TB) (storage *Storage, rawURL string) {
	f := s3{&Storage{}, t}
	endpoint := f.serve(t, f.handle)
	return f.Storage, "s3://KEYID:s3cret%2Fkey@pictures/shop/images?endpoint=" + url.QueryEscape(endpoint)
}

func (f s3) handle(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Authorization"), "Credential=KEYID/") {
		RefuseS3(w, http.StatusForbidden, "InvalidAccessKeyId")
		return
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if bucket != "pictures" {
		RefuseS3(w, http.StatusNotFound, "NoSuchBucket")
		return
	}
	switch {
	case r.Method == http.MethodPut:
		f.handlePut(w, r, key)
	case r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "2":
		f.handleList(w, r.URL.Query())
	case r.Method == http.MethodGet:
		o, ok := f.Get(key)
		if !ok {
			RefuseS3(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		w.Header().Set("Content-Type", o.Header.Get("Content-Type"))
		w.Header().Set("Last-Modified", o.Modified.Format(http.TimeFormat))
		w.Header().Set("ETag", `"1"`)
		_, _ = w.Write(o.Data)
	case r.Method == http.MethodDelete:
		f.delete(key)
		w.WriteHeader(http.StatusNoContent)
	default:
		f.t.Errorf("S3 does not expect %s %s", r.Method, r.URL)
	}
}

func (f s3) handlePut(w http.ResponseWriter, r *http.Request, key string) {
	data, err := io.ReadAll(r.Body)
	sum := md5.Sum(data) //nolint:gosec // S3's own checksum
	if err != nil || r.Header.Get("Content-Md5") != base64.StdEncoding.EncodeToString(sum[:]) {
		RefuseS3(w, http.StatusBadRequest, "BadDigest")
		return
	}
	f.Put(key, Object{Data: data, Header: r.Header})
	w.Header().Set("ETag", `"1"`)
}

func (f s3) handleList(w http.ResponseWriter, query url.Values) {
	type content struct{ Key, LastModified, ETag string }
	var result struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Contents              []content
		IsTruncated           bool
		NextContinuationToken string
	}
	assert.Equal(f.t, "/", query.Get("delimiter"))
	keys, more := f.page(query.Get("prefix"), query.Get("continuation-token"))
	for _, key := range keys {
		if o, ok := f.Get(key); ok {
			result.Contents = append(result.Contents, content{key, o.Modified.Format(time.RFC3339Nano), `"1"`})
		}
	}
	if result.IsTruncated = more; more {
		result.NextContinuationToken = keys[len(keys)-1]
	}
	w.Header().Set("Content-Type", "application/xml")
	assert.NoError(f.t, xml.NewEncoder(w).Encode(result))
}

// RefuseS3 answers as S3 does when it refuses, with a code of its own such as NoSuchKey.
func RefuseS3(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>No, says\nthe storage</Message></Error>", code)
}
