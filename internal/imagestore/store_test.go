package imagestore

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

// testStore is what every backend must do.
func testStore(t *testing.T, s *Store) {
	ctx := t.Context()
	picture := mustClean(t, encodedPNG(t, quarters(30, 20)))
	start := time.Now().Add(-2 * time.Second) // some storages count whole seconds

	t.Run("put and get", func(t *testing.T) {
		name, err := s.Put(ctx, picture)
		require.NoError(t, err)
		require.Regexp(t, `^[0-9a-f]{32}\.png$`, name)
		f, err := s.Get(ctx, name)
		require.NoError(t, err)
		defer f.Close()
		require.EqualValues(t, len(picture.Data), f.Size)
		require.Equal(t, "image/png", f.ContentType)
		require.WithinRange(t, f.ModTime, start, time.Now().Add(2*time.Second))
		data, err := io.ReadAll(f)
		require.NoError(t, err)
		require.Equal(t, picture.Data, data)
	})
	t.Run("new bytes, new name", func(t *testing.T) {
		first, err := s.Put(ctx, picture)
		require.NoError(t, err)
		second, err := s.Put(ctx, picture)
		require.NoError(t, err)
		require.NotEqual(t, first, second)
	})
	t.Run("ranges", func(t *testing.T) {
		name, err := s.Put(ctx, picture)
		require.NoError(t, err)
		f, err := s.Get(ctx, name)
		require.NoError(t, err)
		defer f.Close()
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.Header.Set("Range", "bytes=1-3")
		answer := httptest.NewRecorder()
		http.ServeContent(answer, request, name, f.ModTime, f)
		require.Equal(t, http.StatusPartialContent, answer.Code)
		require.Equal(t, "PNG", answer.Body.String())
	})
	t.Run("missing", func(t *testing.T) {
		name := strings.Repeat("0", 32) + ".jpg"
		_, err := s.Get(ctx, name)
		requireKind(t, domain.KindNotFound, err)
		require.NoError(t, s.Delete(ctx, name))
	})
	t.Run("delete", func(t *testing.T) {
		name, err := s.Put(ctx, picture)
		require.NoError(t, err)
		require.NoError(t, s.Delete(ctx, name))
		_, err = s.Get(ctx, name)
		requireKind(t, domain.KindNotFound, err)
		require.NoError(t, s.Delete(ctx, name))
	})
	t.Run("list while deleting, and at once", func(t *testing.T) {
		var mu sync.Mutex
		var put []string
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() {
				name, err := s.Put(ctx, picture)
				mu.Lock()
				defer mu.Unlock()
				put = append(put, name)
				assert.NoError(t, err)
			})
		}
		all.Wait()
		seen := map[string]bool{}
		for info, err := range s.List(ctx) {
			require.NoError(t, err)
			require.False(t, seen[info.Name])
			require.WithinRange(t, info.ModTime, start, time.Now().Add(2*time.Second))
			seen[info.Name] = true
			require.NoError(t, s.Delete(ctx, info.Name))
		}
		for _, name := range put {
			require.True(t, seen[name])
		}
		require.Empty(t, listed(t, s))
	})
	t.Run("list may be left", func(t *testing.T) {
		for range 3 {
			_, err := s.Put(ctx, picture)
			require.NoError(t, err)
		}
		for _, err := range s.List(ctx) {
			require.NoError(t, err)
			break
		}
		require.Len(t, listed(t, s), 3)
	})
}

func listed(t testing.TB, s *Store) []string {
	var names []string
	for info, err := range s.List(t.Context()) {
		require.NoError(t, err)
		names = append(names, info.Name)
	}
	slices.Sort(names)
	return names
}

// requireUnavailable asks a storage that does not work for everything at once, and each answer to be bounded.
func requireUnavailable(t *testing.T, s *Store, within time.Duration) {
	name := strings.Repeat("a", 32) + ".png"
	operations := map[string]func(context.Context) error{
		"put": func(ctx context.Context) error {
			_, err := s.Put(ctx, Picture{Data: []byte("x"), Ext: "png"})
			return err
		},
		"get": func(ctx context.Context) error {
			_, err := s.Get(ctx, name)
			return err
		},
		"delete": func(ctx context.Context) error { return s.Delete(ctx, name) },
		"list": func(ctx context.Context) error {
			for _, err := range s.List(ctx) {
				return err
			}
			return nil
		},
	}
	start := time.Now()
	errs := make(chan error, len(operations))
	for operation, run := range operations {
		go func() {
			err := run(t.Context())
			if err == nil {
				err = errors.New(operation + " worked")
			}
			errs <- err
		}()
	}
	for range operations {
		err := <-errs
		requireKind(t, domain.KindUnavailable, err)
		require.NotContains(t, err.Error(), "\n")
		for _, secret := range secrets {
			require.NotContains(t, err.Error(), secret)
		}
	}
	require.Less(t, time.Since(start), within)
}

// secrets are what no error may show.
var secrets = []string{"s3cret", "czNjcmV0", "sig="}

func TestOpen_wrong_URLs(t *testing.T) {
	t.Setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=a;AccountKey=s3cret*not*base64")
	for _, rawURL := range []string{
		"", "data/images", "/data/images", "ftp://host/x", "http://169.254.169.254/", "file://", "FILE://x", "s3cret",
		"s3://", "s3:///prefix", "s3://ab", "s3://bucket:9000", "s3://buc ket", "s3://-bucket", "s3://bucket#s3cret",
		"s3://KEY:s3cret/x@bucket", "s3://KEY:1/s3cret@bucket", "s3://KEY:/s3cret@bucket", "s3://KEY:s3cret?x@bucket",
		"s3://KEY:1?s3cret@bucket", "s3://KEY:s3cret%zz@bucket", "s3://KEY@bucket", "s3://:s3cret@bucket", "s3://KEY:@bucket",
		"s3://bucket/../up", "s3://bucket/a//b", "s3://bucket/a b", "s3://bucket/.hidden", "s3://bucket?reigon=x",
		"s3://bucket?region=%zz", "s3://bucket?endpoint=minio:9000", "s3://bucket?endpoint=https://KEY:s3cret@minio",
		"s3://bucket?endpoint=https://minio/path", "s3://bucket?endpoint=https://minio?s3cret", "s3://bucket?endpoint=ftp://minio",
		"s3://bucket?endpoint=https://under_score!",
		"azblob://", "azblob://container", "azblob://account:s3cret*@container", "azblob://account:czNjcmV0@container?region=x",
		"azblob://account:s3cret/x@container", "azblob://account:czNjcmV0@container?endpoint=czNjcmV0",
	} {
		t.Run(rawURL, func(t *testing.T) {
			s, err := Open(t.Context(), rawURL)
			require.Error(t, err)
			require.Nil(t, s)
			require.NotContains(t, err.Error(), "\n")
			for _, secret := range append(secrets, "KEY") {
				require.NotContains(t, strings.ReplaceAll(err.Error(), "KEY:SECRET@", ""), secret)
			}
		})
	}
	t.Run("no account", func(t *testing.T) {
		require.NoError(t, os.Unsetenv("AZURE_STORAGE_CONNECTION_STRING"))
		_, err := Open(t.Context(), "azblob://container")
		require.ErrorContains(t, err, "AZURE_STORAGE_CONNECTION_STRING must be set")
	})
}

// scripted is a backend that does as the test says.
type scripted struct {
	infos   []Info
	hang    bool // ask for ever, or until the context ends
	err     error
	touched atomic.Bool
}

func (s *scripted) ask(ctx context.Context) error {
	s.touched.Store(true)
	if s.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.err
}

func (s *scripted) put(ctx context.Context, _ string, _ []byte) error { return s.ask(ctx) }
func (s *scripted) get(ctx context.Context, _ string) (File, error)   { return File{}, s.ask(ctx) }
func (s *scripted) delete(ctx context.Context, _ string) error        { return s.ask(ctx) }

func (s *scripted) list(ctx context.Context) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for _, info := range s.infos {
			if !yield(info, nil) {
				return
			}
		}
		if err := s.ask(ctx); err != nil {
			yield(Info{}, err)
		}
	}
}

func TestStore_looks_only_for_names_it_made(t *testing.T) {
	t.Parallel()
	good := strings.Repeat("0123456789abcdef", 2)
	for _, name := range []string{
		"", ".", "..", "/", "x.png", "../x.png", "..%2f" + good + ".png", "../" + good + ".png", "a/" + good + ".png",
		good, good + ".", good + ".gif", good + ".PNG", good + ".png ", good + ".png\n", good + ".png\x00", good + "\x00.png",
		strings.ToUpper(good) + ".png", good[1:] + ".png", good + "0.png", "." + good + ".png", "." + good + ".png.half",
		strings.Repeat("g", 32) + ".png", good + ".png/..", good + ".jpeg", good + ".svg", "C:" + good + ".png",
	} {
		b := &scripted{}
		s := &Store{backend: b, limit: time.Second}
		_, err := s.Get(t.Context(), name)
		requireKind(t, domain.KindNotFound, err)
		require.NoError(t, s.Delete(t.Context(), name))
		require.False(t, b.touched.Load(), "%q", name)
	}
}

func TestStore_Put_refuses_kinds_that_Clean_does_not_make(t *testing.T) {
	t.Parallel()
	for _, ext := range []string{"", "html", "png/../x", "PNG"} {
		b := &scripted{}
		_, err := (&Store{backend: b, limit: time.Second}).Put(t.Context(), Picture{Ext: ext})
		require.Error(t, err)
		var e *domain.Error
		require.False(t, errors.As(err, &e), "that is a defect of ours")
		require.False(t, b.touched.Load())
	}
}

func TestStore_every_answer_is_bounded(t *testing.T) {
	t.Parallel()
	requireUnavailable(t, &Store{backend: &scripted{hang: true}, limit: 50 * time.Millisecond}, 2*time.Second)
}

func TestStore_List(t *testing.T) {
	t.Parallel()
	now := time.Now()
	name := strings.Repeat("a", 32) + ".png"
	collect := func(ctx context.Context, s *Store, pause time.Duration) (infos []Info, last error) {
		for info, err := range s.List(ctx) {
			if err != nil {
				last = err
				continue
			}
			infos = append(infos, info)
			time.Sleep(pause)
		}
		return infos, last
	}
	t.Run("only pictures of known age", func(t *testing.T) {
		s := &Store{limit: time.Second, backend: &scripted{infos: []Info{
			{Name: "backup.tar", ModTime: now}, {Name: name}, {Name: "old/" + name, ModTime: now}, {Name: name, ModTime: now},
		}}}
		infos, err := collect(t.Context(), s, 0)
		require.NoError(t, err)
		require.Equal(t, []Info{{Name: name, ModTime: now}}, infos)
	})
	t.Run("an error comes last", func(t *testing.T) {
		broken := errors.New("broken")
		s := &Store{limit: time.Second, backend: &scripted{infos: []Info{{Name: name, ModTime: now}}, err: broken}}
		infos, err := collect(t.Context(), s, 0)
		require.Len(t, infos, 1)
		requireKind(t, domain.KindUnavailable, err)
		require.ErrorIs(t, err, broken)
	})
	t.Run("a part does not pass for the whole", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := collect(ctx, &Store{limit: time.Second, backend: &scripted{}}, 0)
		requireKind(t, domain.KindUnavailable, err)
	})
	t.Run("the caller may take its time, the storage not", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			infos := slices.Repeat([]Info{{Name: name, ModTime: now}}, 3)
			s := &Store{limit: time.Second, backend: &scripted{infos: infos}}
			got, err := collect(t.Context(), s, time.Minute)
			require.NoError(t, err)
			require.Len(t, got, 3)

			s.backend = &scripted{infos: infos, hang: true}
			start := time.Now()
			got, err = collect(t.Context(), s, time.Minute)
			require.ErrorIs(t, err, errSilent)
			require.Len(t, got, 3)
			require.Equal(t, 3*time.Minute+time.Second, time.Since(start))
		})
	})
}

func TestContentType(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a.png": "image/png", "a.jpg": "image/jpeg", "a.webp": "image/webp", "a.svg": "", "a": "", "": "",
	} {
		require.Equal(t, want, ContentType(name))
	}
}

// TestStore_putBack puts a picture of a backup under its old name, and leaves one alone that is there.
func TestStore_putBack(t *testing.T) {
	t.Parallel()
	s, dir := openTestDirectory(t)
	name := strings.Repeat("0a", 16) + ".png"
	for _, want := range []bool{true, false} {
		added, err := s.PutBack(t.Context(), name, []byte("picture"))
		require.NoError(t, err)
		require.Equal(t, want, added)
	}
	added, err := s.PutBack(t.Context(), name, []byte("picture, whole"))
	require.NoError(t, err)
	require.True(t, added, "what stands there is damaged")
	kept, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	require.Equal(t, "picture, whole", string(kept))
	for _, wrong := range []string{"", "../" + name, "x.png", name + "x"} {
		_, err := s.PutBack(t.Context(), wrong, []byte("picture"))
		var refused *domain.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, domain.KindInvalid, refused.Kind)
	}
	require.Equal(t, []string{name}, filesIn(t, dir))
}
