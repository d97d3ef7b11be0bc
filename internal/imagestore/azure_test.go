package imagestore

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/buckettest"
	"inventoryhub/internal/domain"
)

func TestAzure(t *testing.T) {
	t.Parallel()
	f, rawURL, _ := buckettest.Azure(t)
	s, err := Open(t.Context(), rawURL)
	require.NoError(t, err)
	f.Put("shop/notes.txt", buckettest.Object{})
	f.Put("shop/images/notes.txt", buckettest.Object{})
	f.Put("shop/images/old/"+strings.Repeat("a", 32)+".png", buckettest.Object{})
	testStore(t, s)

	name, err := s.Put(t.Context(), Picture{Data: []byte("x"), Ext: "jpg"})
	require.NoError(t, err)
	o, ok := f.Get("shop/images/" + name)
	require.True(t, ok)
	require.Equal(t, "image/jpeg", o.Header.Get("X-Ms-Blob-Content-Type"))
	require.Equal(t, "public, max-age=31536000, immutable", o.Header.Get("X-Ms-Blob-Cache-Control"))
}

func TestAzure_faults(t *testing.T) {
	t.Parallel()
	f, rawURL, _ := buckettest.Azure(t)
	s, err := Open(t.Context(), rawURL)
	require.NoError(t, err)
	testFaults(t, f, s, func(w http.ResponseWriter, _ *http.Request) {
		buckettest.RefuseAzure(w, http.StatusForbidden, "AuthorizationFailure")
	})
	t.Run("container gone", func(t *testing.T) {
		f.Fail(func(w http.ResponseWriter, _ *http.Request) {
			buckettest.RefuseAzure(w, http.StatusNotFound, "ContainerNotFound")
		})
		requireUnavailable(t, s, time.Second)
	})
}

// TestAzure_odd_listings has something answer that speaks the storage's language badly.
func TestAzure_odd_listings(t *testing.T) {
	t.Parallel()
	f, rawURL, _ := buckettest.Azure(t)
	s, err := Open(t.Context(), rawURL)
	require.NoError(t, err)
	for name, body := range map[string]string{"nothing": "", "no list": "<EnumerationResults/>", "another document": "<html/>"} {
		t.Run(name, func(t *testing.T) {
			f.Fail(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/xml")
				_, _ = io.WriteString(w, body)
			})
			var failed []error
			for info, err := range s.List(t.Context()) {
				require.Zero(t, info)
				failed = append(failed, err)
			}
			require.Len(t, failed, 1)
			requireKind(t, domain.KindUnavailable, failed[0])
		})
	}
}

func TestOpen_Azure(t *testing.T) {
	f, rawURL, account := buckettest.Azure(t)
	t.Run("no such container", func(t *testing.T) {
		_, err := Open(t.Context(), strings.Replace(rawURL, "@pictures", "@picture", 1))
		require.EqualError(t, err, "the picture storage refuses its settings: it answers ContainerNotFound")
	})
	t.Run("wrong key", func(t *testing.T) {
		_, err := Open(t.Context(), strings.Replace(rawURL, "azblob://account", "azblob://other", 1))
		require.EqualError(t, err, "the picture storage refuses its settings: it answers AuthenticationFailed")
	})
	t.Run("connection string with a key", func(t *testing.T) {
		t.Setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=account;AccountKey="+buckettest.AzureKey+";BlobEndpoint="+account)
		s, err := Open(t.Context(), "azblob://pictures")
		require.NoError(t, err)
		name, err := s.Put(t.Context(), Picture{Data: []byte("x"), Ext: "png"})
		require.NoError(t, err)
		_, ok := f.Get(name)
		require.True(t, ok)
	})
	t.Run("connection string with a signature, which stays secret", func(t *testing.T) {
		const signature = ";SharedAccessSignature=sv=2022-11-02&sig=s3cret"
		t.Setenv("AZURE_STORAGE_CONNECTION_STRING", "BlobEndpoint="+account+signature)
		s, err := Open(t.Context(), "azblob://pictures")
		require.NoError(t, err)
		_, err = s.Put(t.Context(), Picture{Data: []byte("x"), Ext: "png"})
		require.NoError(t, err)

		t.Setenv("AZURE_STORAGE_CONNECTION_STRING", "BlobEndpoint="+nobodyHome(t)+"/account"+signature)
		b, err := openAzure("azblob://pictures")
		require.NoError(t, err)
		requireUnavailable(t, &Store{backend: b, limit: answerLimit}, 5*time.Second)
	})
	t.Run("Azure's own", func(t *testing.T) {
		a, err := openAzure("azblob://shop:" + buckettest.AzureKey + "@pictures")
		require.NoError(t, err)
		require.Equal(t, "https://shop.blob.core.windows.net/pictures", a.container.URL())
	})
}
