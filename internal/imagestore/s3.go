package imagestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// bucket keeps pictures in Amazon S3 or any store that speaks its protocol.
type bucket struct {
	client minio.Core
	name   string
	prefix string
}

func openS3(rawURL string) (bucket, error) {
	p, err := parsePlace(rawURL, "region", "endpoint")
	if err != nil {
		return bucket{}, err
	}
	host, options := "s3.amazonaws.com", minio.Options{
		Creds:      s3Credentials(p),
		Secure:     true,
		Region:     p.region,
		MaxRetries: 1 + retries, // it counts tries
	}
	if p.endpoint != nil {
		if strings.Trim(p.endpoint.Path, "/") != "" {
			return bucket{}, errors.New("the picture storage's URL has an endpoint with a path, which S3 has no place for")
		}
		host, options.Secure = p.endpoint.Host, p.endpoint.Scheme == "https"
		if options.Region == "" {
			// What such stores expect that know no regions. Without it every start would ask for the region.
			options.Region = "us-east-1"
		}
	}
	client, err := minio.New(host, &options)
	if err != nil {
		return bucket{}, fmt.Errorf("the picture storage's endpoint cannot be used: %w", err)
	}
	return bucket{client: minio.Core{Client: client}, name: p.container, prefix: p.prefix}, nil
}

func s3Credentials(p place) *credentials.Credentials {
	if p.user != "" {
		return credentials.NewStaticV4(p.user, p.secret, "")
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{},
		&credentials.FileAWSCredentials{},
		// The client waits for this one without regard to a caller's deadline.
		&credentials.IAM{Client: &http.Client{Timeout: 3 * time.Second}},
	})
}

func (b bucket) put(ctx context.Context, name string, data []byte) error {
	_, err := b.client.Client.PutObject(ctx, b.name, b.prefix+name, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{
		ContentType:  ContentType(name),
		CacheControl: cacheControl,
		// One request, checked by the one checksum that every store knows.
		DisableMultipart:     true,
		DisableContentSha256: true,
		SendContentMd5:       true,
	})
	return s3Error(err)
}

func (b bucket) get(ctx context.Context, name string) (File, error) {
	body, info, _, err := b.client.GetObject(ctx, b.name, b.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return File{}, s3Error(err)
	}
	defer body.Close()
	f, err := fetch(body)
	f.ModTime = info.LastModified
	return f, err
}

func (b bucket) delete(ctx context.Context, name string) error {
	err := s3Error(b.client.RemoveObject(ctx, b.name, b.prefix+name, minio.RemoveObjectOptions{}))
	if errors.Is(err, errNotFound) {
		return nil
	}
	return err
}

func (b bucket) list(ctx context.Context) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for object := range b.client.ListObjectsIter(ctx, b.name, minio.ListObjectsOptions{Prefix: b.prefix}) {
			if object.Err != nil {
				yield(Info{}, s3Error(object.Err))
				return
			}
			if !yield(Info{Name: strings.TrimPrefix(object.Key, b.prefix), ModTime: object.LastModified}, nil) {
				return
			}
		}
	}
}

// s3Error puts the store's answer into one line: the code says what the text does, which may be any proxy's page.
func s3Error(err error) error {
	var refusal minio.ErrorResponse
	if !errors.As(err, &refusal) {
		return err
	}
	switch refusal.Code {
	case minio.NoSuchKey:
		return errNotFound
	case minio.NoSuchBucket, "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return fmt.Errorf("%w: it answers %s", errSettings, refusal.Code)
	default:
		return fmt.Errorf("the storage answers %d %q", refusal.StatusCode, refusal.Code)
	}
}
