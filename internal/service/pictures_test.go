package service_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/service"
	"inventoryhub/internal/storetest"
)

// shown gives the files that a product's row names, which must be all there are.
func (w *world) shown(p domain.Product) {
	w.t.Helper()
	stored, err := w.store.Products.ByID(w.ctx, p.ID)
	w.ok(err)
	require.Equal(w.t, p.Image, stored.Image)
	want := []string{}
	if p.Image != nil {
		want = append(want, *p.Image)
		file, err := w.pictures.Open(w.ctx, *p.Image)
		w.ok(err)
		content, err := io.ReadAll(file)
		w.ok(err)
		w.ok(file.Close())
		require.NotEmpty(w.t, content)
	}
	require.Equal(w.t, want, w.files())
}

func TestPictures_followTheirProduct(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		user, manager, c := w.as(domain.RoleUser).Actor, w.as(domain.RoleManager).Actor, w.category()
		in := service.ProductInput{Name: "x", Category: c.Name, Quantity: new(int64(1)), Image: picture(1)}
		p, err := w.products.Create(w.ctx, user, in, nil, nil)
		w.ok(err)
		require.NotNil(t, p.Image)
		w.shown(p)
		first := *p.Image

		in.Image = nil
		p, err = w.products.Update(w.ctx, user, p.ID, in, domain.Expectation{}, nil)
		w.ok(err)
		require.Equal(t, first, *p.Image, "no picture keeps the picture")
		w.shown(p)

		in.Image = picture(2)
		p, err = w.products.Update(w.ctx, user, p.ID, in, domain.Expectation{}, nil)
		w.ok(err)
		require.NotEqual(t, first, *p.Image, "new bytes have a new name")
		w.shown(p)
		second := *p.Image
		p, err = w.products.Update(w.ctx, user, p.ID, in, domain.Expectation{}, nil)
		w.ok(err)
		require.NotEqual(t, second, *p.Image)
		w.shown(p)

		in.Image, in.DropImage = nil, true
		p, err = w.products.Update(w.ctx, user, p.ID, in, domain.Expectation{}, nil)
		w.ok(err)
		require.Nil(t, p.Image)
		w.shown(p)
		p, err = w.products.Update(w.ctx, user, p.ID, in, domain.Expectation{}, nil)
		w.ok(err)
		w.shown(p)

		in.Image, in.DropImage = picture(3), false
		p, err = w.products.Update(w.ctx, user, p.ID, in, domain.Expectation{}, nil)
		w.ok(err)
		w.shown(p)
		w.ok(w.products.Delete(w.ctx, manager, p.ID, domain.Expectation{}))
		require.Empty(t, w.files())

		other := w.category()
		for i := range 3 {
			w.product(c, 1, picture(uint8(i)))
		}
		p = w.product(other, 1, picture(9))
		w.ok(w.categories.Delete(w.ctx, manager, c.Name))
		w.shown(p)
		require.Empty(t, w.logged())
	})
}

// TestPictures_nothingIsKeptForAProductThatIsRefused whatever is wrong with it.
func TestPictures_nothingIsKeptForAProductThatIsRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		user := w.as(domain.RoleUser).Actor
		p := w.product(w.category(), 1, nil)
		good := func() service.ProductInput {
			return service.ProductInput{Name: "x", Category: p.CategoryName, Quantity: new(int64(1)), Image: picture(1)}
		}
		before := w.dump()
		for name, c := range map[string]struct {
			change func(in *service.ProductInput, faults *domain.Faults)
			fields []string
		}{
			"a fault elsewhere":   {func(_ *service.ProductInput, f *domain.Faults) { f.Add("name", "The name is wrong") }, []string{"name"}},
			"an unknown category": {func(in *service.ProductInput, _ *domain.Faults) { in.Category = "unknown" }, []string{"category"}},
			"a bad picture":       {func(in *service.ProductInput, _ *domain.Faults) { in.Image = []byte("<svg/>") }, []string{"image"}},
			"half a picture":      {func(in *service.ProductInput, _ *domain.Faults) { in.Image = in.Image[:40] }, []string{"image"}},
			"everything at once": {func(in *service.ProductInput, f *domain.Faults) {
				f.Add("name", "x")
				in.Category = "unknown"
				in.Image = []byte("x")
			}, []string{"name", "category", "image"}},
			"told already by image": {func(in *service.ProductInput, f *domain.Faults) { f.Add("image", "x"); in.Image = []byte("x") }, []string{"image"}},
		} {
			t.Run(name, func(t *testing.T) {
				w := w.within(t)
				for _, call := range []func(in service.ProductInput, faults domain.Faults) error{
					func(in service.ProductInput, f domain.Faults) error {
						_, err := w.products.Create(w.ctx, user, in, nil, f)
						return err
					},
					func(in service.ProductInput, f domain.Faults) error {
						_, err := w.products.Update(w.ctx, user, p.ID, in, domain.Expectation{}, f)
						return err
					},
				} {
					in, faults := good(), domain.Faults(nil)
					c.change(&in, &faults)
					w.refuses(call(in, faults), domain.KindInvalid, c.fields...)
					require.Equal(t, before, w.dump())
				}
			})
		}
		_, err := w.products.Update(w.ctx, user, domain.NewID(), good(), domain.Expectation{}, nil)
		w.refuses(err, domain.KindNotFound, "id")
		require.Equal(t, before, w.dump())
	})
}

// TestPictures_storageAway: without the file there is no row.
func TestPictures_storageAway(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		user := w.as(domain.RoleUser).Actor
		p := w.product(w.category(), 1, nil)
		w.ok(os.Remove(w.dir))
		in := service.ProductInput{Name: "x", Category: p.CategoryName, Quantity: new(int64(1)), Image: picture(1)}
		before := w.count("products")
		_, err := w.products.Create(w.ctx, user, in, nil, nil)
		w.refuses(err, domain.KindUnavailable, "server")
		_, err = w.products.Update(w.ctx, user, p.ID, in, domain.Expectation{}, nil)
		w.refuses(err, domain.KindUnavailable, "server")
		require.Equal(t, before, w.count("products"))
		stored, err := w.store.Products.Lock(w.ctx, p.ID)
		w.ok(err)
		require.Equal(t, p, stored)
	})
}

func (w *world) count(table string) (n int) {
	w.t.Helper()
	w.ok(w.raw.QueryRowContext(w.ctx, "SELECT COUNT(*) FROM "+table).Scan(&n))
	return n
}

// TestPictures_thatCannotBeRemoved do not keep a product alive. They are swept later.
func TestPictures_thatCannotBeRemoved(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.product(w.category(), 1, picture(1))
		path := filepath.Join(w.dir, *p.Image)
		w.ok(os.Remove(path))
		w.ok(os.MkdirAll(filepath.Join(path, "full"), 0o700)) // a directory that is not empty cannot be removed like a file
		w.ok(w.products.Delete(w.ctx, w.as(domain.RoleManager).Actor, p.ID, domain.Expectation{}))
		require.Contains(t, w.logged(), *p.Image)
	})
}

// TestPictures_replacedByTwoAtOnce leaves one file: the one that the row names.
func TestPictures_replacedByTwoAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		user := w.as(domain.RoleUser).Actor
		p := w.product(w.category(), 1, picture(0))
		for _, err := range together(6, func(i int) error {
			in := service.ProductInput{Name: fmt.Sprint("x", i), Category: p.CategoryName, Image: picture(uint8(i + 1))}
			_, err := w.products.Update(w.ctx, user, p.ID, in, domain.Expectation{}, nil)
			return err
		}) {
			w.ok(err)
		}
		p, err := w.store.Products.ByID(w.ctx, p.ID)
		w.ok(err)
		w.shown(p)
	})
}

// TestPictures_replacedWhileDeleted leaves neither row nor file.
func TestPictures_replacedWhileDeleted(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		user, manager := w.as(domain.RoleUser).Actor, w.as(domain.RoleManager).Actor
		for range 5 {
			p := w.product(w.category(), 1, picture(0))
			errs := together(4, func(i int) error {
				if i == 0 {
					return w.products.Delete(w.ctx, manager, p.ID, domain.Expectation{})
				}
				_, err := w.products.Update(w.ctx, user, p.ID, service.ProductInput{Name: "x", Category: p.CategoryName, Image: picture(uint8(i))}, domain.Expectation{}, nil)
				return err
			})
			w.ok(errs[0])
			for _, err := range errs[1:] {
				if err != nil {
					w.refuses(err, domain.KindNotFound, "id")
				}
			}
			require.Empty(t, w.files())
		}
	})
}

// TestPictures_whenTheAnswerToTheCommitIsLost nobody knows whether the row was written. It was, so the file must be there.
func TestPictures_whenTheAnswerToTheCommitIsLost(t *testing.T) {
	t.Parallel()
	at := storetest.PostgresURL(t)
	l, way := newLink(t, at)
	w := newWorld(t, at, way)
	user := w.as(domain.RoleUser).Actor
	p := w.product(w.category(), 1, nil)

	l.loseCommits.Store(true)
	in := service.ProductInput{Name: "new", Category: p.CategoryName, Quantity: new(int64(1)), Image: picture(1)}
	_, err := w.products.Create(w.ctx, user, in, nil, nil)
	w.refuses(err, domain.KindUnavailable, "server")
	_, err = w.products.Update(w.ctx, user, p.ID, in, domain.Expectation{}, nil)
	w.refuses(err, domain.KindUnavailable, "server")
	l.loseCommits.Store(false)

	listed, _, err := w.products.List(w.ctx, user, domain.ProductFilter{Page: domain.Page{Number: 1, Size: 10, Sort: domain.Sort{Field: "name"}}}, nil)
	w.ok(err)
	require.Len(t, listed, 2, "both were committed")
	var images []string
	for _, p := range listed {
		require.NotNil(t, p.Image)
		images = append(images, *p.Image)
	}
	require.ElementsMatch(t, images, w.files())
}

// link carries connections to Postgres. It can lose the server's answers to commits, and with them the connection.
type link struct{ loseCommits atomic.Bool }

// newLink gives a link and the URL that leads through it.
func newLink(t *testing.T, target string) (*link, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	u, err := url.Parse(target)
	require.NoError(t, err)
	l, server := &link{}, u.Host
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			conn, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			go l.carry(conn, client, nil)
			go l.carry(client, conn, []byte("COMMIT\x00"))
		}
	}()
	u.Host = listener.Addr().String()
	return l, u.String()
}

func (l *link) carry(to, from net.Conn, lost []byte) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		if lost != nil && l.loseCommits.Load() && bytes.Contains(buffer[:n], lost) {
			return
		}
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}

// TestPictures_Sweep removes what is old and without a row, and nothing else.
func TestPictures_Sweep(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		kept := []string{"README", "0123.png"}
		for _, name := range kept {
			w.ok(os.WriteFile(filepath.Join(w.dir, name), nil, 0o600))
		}
		c := w.category()
		for i := range 4 {
			kept = append(kept, *w.product(c, 1, picture(uint8(i))).Image)
		}
		const orphans = 1100 // more than two batches
		for i := range orphans {
			w.ok(os.WriteFile(filepath.Join(w.dir, fmt.Sprintf("%032x.png", i)), nil, 0o600))
		}
		w.advance(59 * time.Minute)
		removed, err := w.pictures.Sweep(w.ctx)
		w.ok(err)
		require.Zero(t, removed, "they may still get their rows")
		require.Len(t, w.files(), orphans+len(kept))

		w.advance(2 * time.Minute)
		young := fmt.Sprintf("%032x.webp", 1)
		w.ok(os.WriteFile(filepath.Join(w.dir, young), nil, 0o600))
		w.ok(os.Chtimes(filepath.Join(w.dir, young), w.now(), w.now()))
		removed, err = w.pictures.Sweep(w.ctx)
		w.ok(err)
		require.Equal(t, orphans, removed)
		require.ElementsMatch(t, append(slices.Clone(kept), young), w.files())
		removed, err = w.pictures.Sweep(w.ctx)
		w.ok(err)
		require.Zero(t, removed)
	})
}
