package buckettest

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// AzureKey is the account's key: base64 of s3cret.
const AzureKey = "czNjcmV0"

type azure struct {
	*Storage
	t testing.TB
}

// Azure gives a storage of one container, the URL that opens it, and the address of its account. It is gone when the test ends.
func Azure(t testing.TB) (storage *Storage, rawURL, account string) {
	f := azure{&Storage{}, t}
	account = f.serve(t, f.handle) + "/account"
	return f.Storage, "azblob://account:" + AzureKey + "@pictures/shop/images?endpoint=" + url.QueryEscape(account), account
}

func (f azure) handle(w http.ResponseWriter, r *http.Request) {
	signed := strings.HasPrefix(r.Header.Get("Authorization"), "SharedKey account:") || r.URL.Query().Get("sig") != ""
	if !signed {
		RefuseAzure(w, http.StatusForbidden, "AuthenticationFailed")
		return
	}
	container, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/account/"), "/")
	if container != "pictures" {
		RefuseAzure(w, http.StatusNotFound, "ContainerNotFound")
		return
	}
	switch {
	case r.Method == http.MethodPut && r.Header.Get("X-Ms-Blob-Type") == "BlockBlob":
		data, err := io.ReadAll(r.Body)
		assert.NoError(f.t, err)
		f.Put(key, Object{Data: data, Header: r.Header})
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodGet && r.URL.Query().Get("comp") == "list":
		f.handleList(w, r.URL.Query())
	case r.Method == http.MethodGet:
		o, ok := f.Get(key)
		if !ok {
			RefuseAzure(w, http.StatusNotFound, "BlobNotFound")
			return
		}
		w.Header().Set("Last-Modified", o.Modified.Format(http.TimeFormat))
		_, _ = w.Write(o.Data)
	case r.Method == http.MethodDelete:
		assert.Equal(f.t, "include", r.Header.Get("X-Ms-Delete-Snapshots"))
		if !f.delete(key) {
			RefuseAzure(w, http.StatusNotFound, "BlobNotFound")
			return
		}
		w.WriteHeader(http.StatusAccepted)
	default:
		f.t.Errorf("Azure does not expect %s %s", r.Method, r.URL)
	}
}

func (f azure) handleList(w http.ResponseWriter, query url.Values) {
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
		if o, ok := f.Get(key); ok {
			result.Blobs = append(result.Blobs, item{key, o.Modified.Format(http.TimeFormat)})
		}
	}
	if more {
		result.NextMarker = keys[len(keys)-1]
	}
	w.Header().Set("Content-Type", "application/xml")
	assert.NoError(f.t, xml.NewEncoder(w).Encode(result))
}

// RefuseAzure answers as Azure does when it refuses, with a code of its own such as BlobNotFound.
func RefuseAzure(w http.ResponseWriter, status int, code string) {
	w.Header().Set("X-Ms-Error-Code", code)
	RefuseS3(w, status, code) // in the same words
}
