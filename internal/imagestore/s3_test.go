package imagestore

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/buckettest"
)

func TestS3(t *testing.T) {
	t.Parallel()
	f, rawURL := buckettest.S3(t)
	s, err := Open(t.Context(), rawURL)
	require.NoError(t, err)
	f.Put("shop/notes.txt", buckettest.Object{})
	f.Put("shop/images/notes.txt", buckettest.Object{})
	f.Put("shop/images/old/"+strings.Repeat("a", 32)+".png", buckettest.Object{})
	testStore(t, s)

	name, err := s.Put(t.Context(), Picture{Data: []byte("x"), Ext: "webp"})
	require.NoError(t, err)
	o, ok := f.Get("shop/images/" + name)
	require.True(t, ok)
	require.Equal(t, "image/webp", o.Header.Get("Content-Type"))
	require.Equal(t, "public, max-age=31536000, immutable", o.Header.Get("Cache-Control"))
}

func TestS3_faults(t *testing.T) {
	t.Parallel()
	f, rawURL := buckettest.S3(t)
	s, err := Open(t.Context(), rawURL)
	require.NoError(t, err)
	testFaults(t, f, s, func(w http.ResponseWriter, _ *http.Request) {
		buckettest.RefuseS3(w, http.StatusForbidden, "AccessDenied")
	})
	t.Run("bucket gone", func(t *testing.T) {
		f.Fail(func(w http.ResponseWriter, _ *http.Request) {
			buckettest.RefuseS3(w, http.StatusNotFound, "NoSuchBucket")
		})
		requireUnavailable(t, s, time.Second)
	})
}

func TestS3_one_failure_is_repeated(t *testing.T) {
	t.Parallel()
	f, rawURL := buckettest.S3(t)
	s, err := Open(t.Context(), rawURL)
	require.NoError(t, err)
	f.Fail(func(w http.ResponseWriter, _ *http.Request) {
		f.Fail(nil)
		buckettest.RefuseS3(w, http.StatusServiceUnavailable, "SlowDown")
	})
	_, err = s.Put(t.Context(), Picture{Data: []byte("x"), Ext: "png"})
	require.NoError(t, err)
}

func TestS3_that_refuses_to_delete_what_is_not_there(t *testing.T) {
	t.Parallel()
	f, rawURL := buckettest.S3(t)
	s, err := Open(t.Context(), rawURL)
	require.NoError(t, err)
	f.Fail(func(w http.ResponseWriter, _ *http.Request) { buckettest.RefuseS3(w, http.StatusNotFound, "NoSuchKey") })
	require.NoError(t, s.Delete(t.Context(), strings.Repeat("a", 32)+".png"))
}

func TestOpen_S3(t *testing.T) {
	_, rawURL := buckettest.S3(t)
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
	f, rawURL := buckettest.S3(t)
	f.Fail(func(w http.ResponseWriter, _ *http.Request) {
		buckettest.RefuseS3(w, http.StatusForbidden, "AccessDenied")
	})
	s, err := Open(t.Context(), rawURL)
	require.NoError(t, err)
	f.Fail(nil)
	_, err = s.Put(t.Context(), Picture{Data: []byte("x"), Ext: "png"})
	require.NoError(t, err)

	s, err = Open(t.Context(), "s3://KEYID:s3cret@pictures?endpoint="+nobodyHome(t))
	require.NoError(t, err)
	requireUnavailable(t, s, 5*time.Second)
}
