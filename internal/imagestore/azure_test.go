package imagestore

import (
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

	"inventoryhub/internal/domain"
)

const azureKey = "czNjcmV0" // base64 of s3cret

// fakeAzure answers the few requests of Azure Blob Storage that pictures need, for one container.
type fakeAzure struct {
	fakeStorage
	t testing.TB
}

// startAzure gives a fake, the URL that opens it, and the address of its account.
func startAzure(t testing.TB) (f *fakeAzure, rawURL, account string) {
	f = &fakeAzure{t: t}
	account = f.serve(t, f.handle) + "/account"
	return f, "azblob://account:" + azureKey + "@pictures/shop/images?endpoint=" + url.QueryEscape(account), account
}

func (f *fakeAzure) handle(w http.ResponseWriter, r *http.Request) {
	signed := strings.HasPrefix(r.Header.Get("Authorization"), "SharedKey account:") || r.URL.Query().Get("sig") != ""
	if !signed {
		refuseAzure(w, http.StatusForbidden, "AuthenticationFailed")
		return
	}
	container, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/account/"), "/")
	if container != "pictures" {
		refuseAzure(w, http.StatusNotFound, "ContainerNotFound")
		return
	}
	switch {
	case r.Method == http.MethodPut && r.Header.Get("X-Ms-Blob-Type") == "BlockBlob":
		data, err := io.ReadAll(r.Body)
		assert.NoError(f.t, err)
		f.put(key, object{data: data, header: r.Header})
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodGet && r.URL.Query().Get("comp") == "list":
		f.handleList(w, r.URL.Query())
	case r.Method == http.MethodGet:
		o, ok := f.get(key)
		if !ok {
			refuseAzure(w, http.StatusNotFound, "BlobNotFound")
			return
		}
		w.Header().Set("Last-Modified", o.modTime.Format(http.TimeFormat))
		w.Write(o.data)
	case r.Method == http.MethodDelete:
		assert.Equal(f.t, "include", r.Header.Get("X-Ms-Delete-Snapshots"))
		if !f.delete(key) {
			refuseAzure(w, http.StatusNotFound, "BlobNotFound")
			return
		}
		w.WriteHeader(http.StatusAccepted)
	default:
		f.t.Errorf("Azure does not expect %s %s", r.Method, r.URL)
	}
}

func (f *fakeAzure) handleList(w http.ResponseWriter, query url.Values) {
	type item struct {
		Name         string
		LastModified string `xml:"Properties>Last-Modified"`
	}
	var result struct {
		XMLName    xml.Name `xml:"EnumerationResults"`
		Blobs      []item   `xml:"Blobs>Blob"`
		NextMarker string
	}
	assert.Equal(f.t, "/", query.Get("delimiter"))
	keys, more := f.page(query.Get("prefix"), query.Get("marker"))
	for _, key := range keys {
		if o, ok := f.get(key); ok {
			result.Blobs = append(result.Blobs, item{key, o.modTime.Format(http.TimeFormat)})
		}
	}
	if more {
		result.NextMarker = keys[len(keys)-1]
	}
	w.Header().Set("Content-Type", "application/xml")
	assert.NoError(f.t, xml.NewEncoder(w).Encode(result))
}

func refuseAzure(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("X-Ms-Error-Code", code)
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>No, says\nthe storage</Message></Error>", code)
}

func TestAzure(t *testing.T) {
	t.Parallel()
	f, rawURL, _ := startAzure(t)
	s, err := Open(t.Context(), rawURL)
	require.NoError(t, err)
	f.put("shop/notes.txt", object{})
	f.put("shop/images/notes.txt", object{})
	f.put("shop/images/old/"+strings.Repeat("a", 32)+".png", object{})
	testStore(t, s)

	name, err := s.Put(t.Context(), Picture{Data: []byte("x"), Ext: "jpg"})
	require.NoError(t, err)
	o, ok := f.get("shop/images/" + name)
	require.True(t, ok)
	require.Equal(t, "image/jpeg", o.header.Get("X-Ms-Blob-Content-Type"))
	require.Equal(t, "public, max-age=31536000, immutable", o.header.Get("X-Ms-Blob-Cache-Control"))
}

func TestAzure_faults(t *testing.T) {
	t.Parallel()
	f, rawURL, _ := startAzure(t)
	s, err := Open(t.Context(), rawURL)
	require.NoError(t, err)
	testFaults(t, &f.fakeStorage, s, func(w http.ResponseWriter, _ *http.Request) {
		refuseAzure(w, http.StatusForbidden, "AuthorizationFailure")
	})
	t.Run("container gone", func(t *testing.T) {
		f.set(func(w http.ResponseWriter, _ *http.Request) { refuseAzure(w, http.StatusNotFound, "ContainerNotFound") })
		requireUnavailable(t, s, time.Second)
	})
}

// TestAzure_odd_listings has something answer that speaks the storage's language badly.
func TestAzure_odd_listings(t *testing.T) {
	t.Parallel()
	f, rawURL, _ := startAzure(t)
	s, err := Open(t.Context(), rawURL)
	require.NoError(t, err)
	for name, body := range map[string]string{"nothing": "", "no list": "<EnumerationResults/>", "another document": "<html/>"} {
		t.Run(name, func(t *testing.T) {
			f.set(func(w http.ResponseWriter, _ *http.Request) {
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
	f, rawURL, account := startAzure(t)
	t.Run("no such container", func(t *testing.T) {
		_, err := Open(t.Context(), strings.Replace(rawURL, "@pictures", "@picture", 1))
		require.EqualError(t, err, "the picture storage refuses its settings: it answers ContainerNotFound")
	})
	t.Run("wrong key", func(t *testing.T) {
		_, err := Open(t.Context(), strings.Replace(rawURL, "azblob://account", "azblob://other", 1))
		require.EqualError(t, err, "the picture storage refuses its settings: it answers AuthenticationFailed")
	})
	t.Run("connection string with a key", func(t *testing.T) {
		t.Setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=account;AccountKey="+azureKey+";BlobEndpoint="+account)
		s, err := Open(t.Context(), "azblob://pictures")
		require.NoError(t, err)
		name, err := s.Put(t.Context(), Picture{Data: []byte("x"), Ext: "png"})
		require.NoError(t, err)
		_, ok := f.get(name)
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
		a, err := openAzure("azblob://shop:" + azureKey + "@pictures")
		require.NoError(t, err)
		require.Equal(t, "https://shop.blob.core.windows.net/pictures", a.container.URL())
	})
}
