package imagestore

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"inventoryhub/internal/domain"
)

const (
	// answerLimit bounds every operation, and in a listing every wait for the next picture. It is shorter than the
	// 10 s a request may take, so that the caller still hears what was wrong.
	answerLimit = 8 * time.Second
	// openLimit is the time that Open waits to be told that a setting is wrong.
	openLimit = 5 * time.Second
)

// backend is a place for pictures. It gives errNotFound for a picture that is not there, errSettings (wrapped) where
// only a changed setting can help, and its own errors for the rest. Names are well formed.
type backend interface {
	// put is durable and leaves no half picture under the name, whatever happens.
	put(ctx context.Context, name string, data []byte) error
	get(ctx context.Context, name string) (File, error)
	// delete gives nil for a picture that is not there.
	delete(ctx context.Context, name string) error
	// list gives at least all pictures. It ends with the first error.
	list(ctx context.Context) iter.Seq2[Info, error]
}

var (
	errNotFound = errors.New("no such picture")
	errSettings = errors.New("the picture storage refuses its settings")
	errSilent   = errors.New("the picture storage does not answer")
)

// Store keeps cleaned pictures under made names. It may be used by many goroutines at once.
type Store struct {
	backend backend
	limit   time.Duration
}

// File is one kept picture, open for reading and seeking, as http.ServeContent wants it. The caller closes it.
type File struct {
	io.ReadSeekCloser
	Size        int64     // in bytes
	ModTime     time.Time // when it was put
	ContentType string
}

// Info is what a listing says of a picture.
type Info struct {
	Name    string
	ModTime time.Time // when it was put
}

// Open gives the store that rawURL names:
//
//	file://data/images                            a directory, made if there is none; file:///srv/images is absolute
//	s3://[KEY:SECRET@]bucket[/prefix][?region=eu-central-1][&endpoint=https://minio.example:9000]
//	azblob://[ACCOUNT:KEY@]container[/prefix][?endpoint=https://account.blob.core.windows.net]
//
// What follows file:// is taken as it stands. In the others special characters of a secret are percent-encoded ("/"
// is %2F). S3 without a key takes it from the usual places: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,
// ~/.aws/credentials, the role of the container or machine; without an endpoint it is Amazon's. Azure without
// an account takes AZURE_STORAGE_CONNECTION_STRING. Buckets and containers must exist, and the key must be allowed to
// read, write, delete and list.
//
// The error is one line without secrets. A storage that says within 5 s that there is no such bucket, container or
// key is an error too; one that cannot be reached is not, for that may pass.
func Open(ctx context.Context, rawURL string) (*Store, error) {
	b, err := openBackend(rawURL)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	for _, err := range b.list(ctx) {
		if errors.Is(err, errSettings) {
			return nil, err
		}
		break
	}
	return &Store{backend: b, limit: answerLimit}, nil
}

func openBackend(rawURL string) (backend, error) {
	scheme, rest, _ := strings.Cut(rawURL, "://")
	switch scheme {
	case "file":
		return openDirectory(rest)
	case "s3":
		return openS3(rawURL)
	case "azblob":
		return openAzure(rawURL)
	default:
		return nil, errors.New("the picture storage must be a URL that begins with file://, s3:// or azblob://")
	}
}

// Put keeps a picture that [Clean] made and gives its new name: 128 random bits, so that only who was told the name
// can ask for it. When it returns without an error the picture is durable. A storage that is full, read-only, silent
// or refusing is a KindUnavailable, with nothing kept that could be mistaken for a picture.
func (s *Store) Put(ctx context.Context, p Picture) (name string, err error) {
	var id [16]byte
	rand.Read(id[:]) // never fails
	name = hex.EncodeToString(id[:]) + "." + p.Ext
	if !wellFormed(name) {
		return "", fmt.Errorf("put a picture of the unknown kind %q", p.Ext)
	}
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	if err := s.backend.put(ctx, name, p.Data); err != nil {
		return "", unavailable("put "+name, err)
	}
	return name, nil
}

// PutBack keeps a picture of a backup under the name that Put gave it once, and says whether it was not there. It returns KindInvalid on "name" for a
// name that Put cannot have given, and KindUnavailable as Put does.
func (s *Store) PutBack(ctx context.Context, name string, data []byte) (added bool, err error) {
	if !wellFormed(name) {
		return false, domain.Invalid("name", "The name '%s' is not that of a picture", domain.Clip(name))
	}
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	there, err := s.holds(ctx, name, data)
	if err != nil || there {
		return false, err
	}
	if err := s.backend.put(ctx, name, data); err != nil {
		return false, unavailable("put "+name, err)
	}
	return true, nil
}

// holds says whether a picture is there and of these bytes.
func (s *Store) holds(ctx context.Context, name string, data []byte) (bool, error) {
	f, err := s.backend.get(ctx, name)
	if errors.Is(err, errNotFound) {
		return false, nil
	}
	if err != nil {
		return false, unavailable("get "+name, err)
	}
	defer f.Close()
	kept, err := io.ReadAll(io.LimitReader(f, int64(len(data))+1))
	if err != nil {
		return false, unavailable("get "+name, err)
	}
	return bytes.Equal(kept, data), nil
}

// Get opens a picture. A name that Put did not give is a KindNotFound on "name", without a look at the storage where
// its form tells; a storage that does not answer is a KindUnavailable.
func (s *Store) Get(ctx context.Context, name string) (File, error) {
	if !wellFormed(name) {
		return File{}, notFound()
	}
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	f, err := s.backend.get(ctx, name)
	if errors.Is(err, errNotFound) {
		return File{}, notFound()
	}
	if err != nil {
		return File{}, unavailable("get "+name, err)
	}
	f.ContentType = ContentType(name)
	return f, nil
}

// Delete removes a picture; one that is not there is no error. A storage that does not answer is a KindUnavailable.
func (s *Store) Delete(ctx context.Context, name string) error {
	if !wellFormed(name) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	if err := s.backend.delete(ctx, name); err != nil {
		return unavailable("delete "+name, err)
	}
	return nil
}

// List gives all pictures in no order, and nothing else that may lie beside them, for who looks for pictures without
// an owner. Pictures may come and go meanwhile, also by the caller's hand. In a directory it also removes what
// a crash left half written more than an hour ago. A storage that does not answer is a KindUnavailable, the last
// thing that is given.
func (s *Store) List(ctx context.Context) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		silence := time.AfterFunc(s.limit, func() { cancel(errSilent) })
		defer silence.Stop()
		for info, err := range s.backend.list(ctx) {
			if err != nil {
				if errors.Is(context.Cause(ctx), errSilent) {
					err = errSilent // and not that the request was cancelled
				}
				yield(Info{}, unavailable("list", err))
				return
			}
			// A picture of unknown age must not look like an old one.
			if wellFormed(info.Name) && !info.ModTime.IsZero() {
				silence.Stop() // the caller may take its time
				if !yield(info, nil) {
					return
				}
			}
			silence.Reset(s.limit)
		}
		// A backend may end quietly with its context; a part must not pass for the whole.
		if err := context.Cause(ctx); err != nil {
			yield(Info{}, unavailable("list", err))
		}
	}
}

var names = regexp.MustCompile(`^[0-9a-f]{32}\.(png|jpg|webp)$`)

// wellFormed says whether Put could have given the name. No other name goes near a file system or a URL.
func wellFormed(name string) bool { return names.MatchString(name) }

// ContentType gives the media type of a picture by its name's ending, or "" for a name without one of ours.
func ContentType(name string) string {
	switch path.Ext(name) {
	case ".png":
		return "image/png"
	case ".jpg":
		return "image/jpeg"
	case ".webp":
		return "image/webp"
	default:
		return ""
	}
}

func notFound() error {
	return domain.NotFound("name", "The image does not exist")
}

func unavailable(operation string, err error) error {
	// The URL of a request may bear a signature.
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return domain.Unavailable(fmt.Errorf("picture storage: %s: %w", operation, err))
}
