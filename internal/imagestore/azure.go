package imagestore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// azure keeps pictures in a container of Azure Blob Storage.
type azure struct {
	container *container.Client
	prefix    string
}

func openAzure(rawURL string) (azure, error) {
	p, err := parsePlace(rawURL, "endpoint")
	if err != nil {
		return azure{}, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 10
	options := &container.ClientOptions{ClientOptions: policy.ClientOptions{
		// Its own client would go wherever the storage sends it.
		Transport: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		Retry:     policy.RetryOptions{MaxRetries: retries, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: time.Second},
	}}
	client, err := azureClient(p, options)
	if err != nil {
		return azure{}, err
	}
	return azure{container: client, prefix: p.prefix}, nil
}

// azureClient leaves out the causes of its errors, which may quote a key.
func azureClient(p place, options *container.ClientOptions) (*container.Client, error) {
	if p.user == "" {
		connection := os.Getenv("AZURE_STORAGE_CONNECTION_STRING")
		if connection == "" {
			return nil, errors.New("the picture storage's URL needs ACCOUNT:KEY@, or else AZURE_STORAGE_CONNECTION_STRING must be set")
		}
		client, err := container.NewClientFromConnectionString(connection, p.container, options)
		if err != nil {
			return nil, errors.New("AZURE_STORAGE_CONNECTION_STRING is not a connection string with a key or signature")
		}
		return client, nil
	}
	key, err := container.NewSharedKeyCredential(p.user, p.secret)
	if err != nil {
		return nil, errors.New("the picture storage's account key must be base64, and percent-encoded")
	}
	endpoint := "https://" + p.user + ".blob.core.windows.net"
	if p.endpoint != nil {
		endpoint = strings.TrimRight(p.endpoint.String(), "/")
	}
	client, err := container.NewClientWithSharedKeyCredential(endpoint+"/"+p.container, key, options)
	if err != nil {
		return nil, errors.New("the picture storage's endpoint cannot be used")
	}
	return client, nil
}

func (a azure) put(ctx context.Context, name string, data []byte) error {
	_, err := a.container.NewBlockBlobClient(a.prefix+name).UploadBuffer(ctx, data, &blockblob.UploadBufferOptions{
		HTTPHeaders: &blob.HTTPHeaders{
			BlobContentType:  to.Ptr(ContentType(name)),
			BlobCacheControl: to.Ptr(cacheControl),
		},
	})
	return azureError(err)
}

func (a azure) get(ctx context.Context, name string) (File, error) {
	response, err := a.container.NewBlobClient(a.prefix+name).DownloadStream(ctx, nil)
	if err != nil {
		return File{}, azureError(err)
	}
	defer response.Body.Close()
	f, err := fetch(response.Body)
	if response.LastModified != nil {
		f.ModTime = *response.LastModified
	}
	return f, err
}

func (a azure) delete(ctx context.Context, name string) error {
	_, err := a.container.NewBlobClient(a.prefix+name).Delete(ctx, &blob.DeleteOptions{
		// Without it a blob that an operator took a snapshot of cannot be deleted.
		DeleteSnapshots: to.Ptr(blob.DeleteSnapshotsOptionTypeInclude),
	})
	if err = azureError(err); errors.Is(err, errNotFound) {
		return nil
	}
	return err
}

func (a azure) list(ctx context.Context) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		pages := a.container.NewListBlobsHierarchyPager("/", &container.ListBlobsHierarchyOptions{Prefix: to.Ptr(a.prefix)})
		for pages.More() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(Info{}, azureError(err))
				return
			}
			if page.Segment == nil {
				yield(Info{}, errors.New("the storage answers a listing without a list"))
				return
			}
			for _, item := range page.Segment.BlobItems {
				if info, ok := a.info(item); ok && !yield(info, nil) {
					return
				}
			}
		}
	}
}

func (a azure) info(item *container.BlobItem) (Info, bool) {
	if item.Name == nil || item.Properties == nil || item.Properties.LastModified == nil {
		return Info{}, false
	}
	return Info{Name: strings.TrimPrefix(*item.Name, a.prefix), ModTime: *item.Properties.LastModified}, true
}

// azureError puts the service's answer, which the client tells as a page of text, into one line.
func azureError(err error) error {
	var refusal *azcore.ResponseError
	if !errors.As(err, &refusal) {
		return err
	}
	switch bloberror.Code(refusal.ErrorCode) {
	case bloberror.BlobNotFound:
		return errNotFound
	case bloberror.ContainerNotFound, bloberror.AuthenticationFailed, bloberror.InvalidAuthenticationInfo:
		return fmt.Errorf("%w: it answers %s", errSettings, refusal.ErrorCode)
	default:
		return fmt.Errorf("the storage answers %d %q", refusal.StatusCode, refusal.ErrorCode)
	}
}
