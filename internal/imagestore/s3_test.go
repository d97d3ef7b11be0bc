package imagestore

import (
	"crypto/md5"
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
	"github.com/stretchr/testify/require"
)

// fakeS3 answers the few requests of S3 that pictures need, for one bucket.
type fakeS3 struct {
	fakeStorage
	t testing.TB
}

// startS3 gives a fake and the URL that opens it.
func startS3(t testing.TB) (*fakeS3, string) {
	f := &fakeS3{t: t}
	endpoint := f.serve(t, f.handle)
	return f, "s3://KEYID:s3cret%2Fkey@pictures/shop/images?endpoint=" + url.QueryEscape(endpoint)
}

func (f *fakeS3) handle(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Authorization"), "Credential=KEYID/") {
		refuseS3(w, http.StatusForbidden, "InvalidAccessKeyId")
		return
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if bucket != "pictures" {
		refuseS3(w, http.StatusNotFound, "NoSuchBucket")
		return
	}
	switch {
	case r.Method == http.MethodPut:
		f.handlePut(w, r, key)
	case r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "2":
		f.handleList(w, r.URL.Query())
	case r.Method == http.MethodGet:
		o, ok := f.get(key)
		if !ok {
			refuseS3(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		w.Header().Set("Content-Type", o.header.Get("Content-Type"))
		w.Header().Set("Last-Modified", o.modTime.Format(http.TimeFormat))
		w.Header().Set("ETag", `"1"`)
		w.Write(o.data)
	case r.Method == http.MethodDelete:
		f.delete(key)
		w.WriteHeader(http.StatusNoContent)
	default:
		f.t.Errorf("S3 does not expect %s %s", r.Method, r.URL)
	}
}

func (f *fakeS3) handlePut(w http.ResponseWriter, r *http.Request, key string) {
	data, err := io.ReadAll(r.Body)
	sum := md5.Sum(data)
	if err != nil || r.Header.Get("Content-Md5") != base64.StdEncoding.EncodeToString(sum[:]) {
		refuseS3(w, http.StatusBadRequest, "BadDigest")
		return
	}
	f.put(key, object{data: data, header: r.Header})
	w.Header().Set("ETag", `"1"`)
}

func (f *fakeS3) handleList(w http.ResponseWriter, query url.Values) {
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
		if o, ok := f.get(key); ok {
			result.Contents = append(result.Contents, content{key, o.modTime.Format(time.RFC3339Nano), `"1"`})
		}
	}
	if result.IsTruncated = more; more {
		result.NextContinuationToken = keys[len(keys)-1]
	}
	w.Header().Set("Content-Type", "application/xml")
	assert.NoError(f.t, xml.NewEncoder(w).Encode(result))
}

func refuseS3(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>No, says\nthe storage</Message></Error>", code)
}

func TestS3(t *testing.T) {
	t.Parallel()
	f, rawURL := startS3(t)
	s, err := Open(t.Context(), rawURL)
	require.NoError(t, err)
	f.put("shop/notes.txt", object{})
	f.put("shop/images/notes.txt", object{})
	f.put("shop/images/old/"+strings.Repeat("a", 32)+".png", object{})
	testStore(t, s)

	name, err := s.Put(t.Context(), Picture{Data: []byte("x"), Ext: "webp"})
	require.NoError(t, err)
	o, ok := f.get("shop/images/" + name)
	require.True(t, ok)
	require.Equal(t, "image/webp", o.header.Get("Content-Type"))
	require.Equal(t, "public, max-age=31536000, immutable", o.header.Get("Cache-Control"))
}

func TestS3_faults(t *testing.T) {
	t.Parallel()
	f, rawURL := startS3(t)
	s, err := Open(t.Context(), rawURL)
	require.NoError(t, err)
	testFaults(t, &f.fakeStorage, s, func(w http.ResponseWriter, _ *http.Request) {
		refuseS3(w, http.StatusForbidden, "AccessDenied")
	})
	t.Run("bucket gone", func(t *testing.T) {
		f.set(func(w http.ResponseWriter, _ *http.Request) { refuseS3(w, http.StatusNotFound, "NoSuchBucket") })
		requireUnavailable(t, s, time.Second)
	})
}

func TestS3_one_failure_is_repeated(t *testing.T) {
	t.Parallel()
	f, rawURL := startS3(t)
	s, err := Open(t.Context(), rawURL)
	require.NoError(t, err)
	f.set(func(w http.ResponseWriter, _ *http.Request) {
		f.set(nil)
		refuseS3(w, http.StatusServiceUnavailable, "SlowDown")
	})
	_, err = s.Put(t.Context(), Picture{Data: []byte("x"), Ext: "png"})
	require.NoError(t, err)
}

func TestS3_that_refuses_to_delete_what_is_not_there(t *testing.T) {
	t.Parallel()
	f, rawURL := startS3(t)
	s, err := Open(t.Context(), rawURL)
	require.NoError(t, err)
	f.set(func(w http.ResponseWriter, _ *http.Request) { refuseS3(w, http.StatusNotFound, "NoSuchKey") })
	require.NoError(t, s.Delete(t.Context(), strings.Repeat("a", 32)+".png"))
}

func TestOpen_S3(t *testing.T) {
	_, rawURL := startS3(t)
	t.Run("no such bucket", func(t *testing.T) {
		_, err := Open(t.Context(), strings.Replace(rawURL, "@pictures", "@picture", 1))
		require.EqualError(t, err, "the picture storage refuses its settings: it answers NoSuchBucket")
	})
	t.Run("no such key", func(t *testing.T) {
		_, err := Open(t.Context(), strings.Replace(rawURL, "KEYID", "OTHER", 1))
		require.EqualError(t, err, "the picture storage refuses its settings: it answers InvalidAccessKeyId")
	})
	t.Run("key from the environment", func(t *testing.T) {
		t.Setenv("AWS_ACCESS_KEY_ID", "KEYID")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
		s, err := Open(t.Context(), strings.Replace(rawURL, "KEYID:s3cret%2Fkey@", "", 1))
		require.NoError(t, err)
		_, err = s.Put(t.Context(), Picture{Data: []byte("x"), Ext: "png"})
		require.NoError(t, err)
	})
	t.Run("Amazon's own", func(t *testing.T) {
		b, err := openS3("s3://KEYID:s3cret@pictures?region=eu-central-1")
		require.NoError(t, err)
		require.Equal(t, "https://s3.amazonaws.com", b.client.EndpointURL().String())
		require.Empty(t, b.prefix)
	})
}

func TestOpen_S3_that_is_down_may_come_back(t *testing.T) {
	t.Parallel()
	f, rawURL := startS3(t)
	f.set(func(w http.ResponseWriter, _ *http.Request) { refuseS3(w, http.StatusForbidden, "AccessDenied") })
	s, err := Open(t.Context(), rawURL)
	require.NoError(t, err)
	f.set(nil)
	_, err = s.Put(t.Context(), Picture{Data: []byte("x"), Ext: "png"})
	require.NoError(t, err)

	s, err = Open(t.Context(), "s3://KEYID:s3cret@pictures?endpoint="+nobodyHome(t))
	require.NoError(t, err)
	requireUnavailable(t, s, 5*time.Second)
}
