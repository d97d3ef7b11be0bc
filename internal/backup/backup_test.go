package backup_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/backup"
	"inventoryhub/internal/buckettest"
	"inventoryhub/internal/domain"
	"inventoryhub/internal/imagestore"
	"inventoryhub/internal/repository"
	"inventoryhub/internal/storetest"
)

var now = time.Date(2021, 1, 1, 12, 0, 0, 123_000_000, time.UTC)

func quiet(string) {}

// place is a database and a folder of pictures.
type place struct {
	t     *testing.T
	url   string
	dir   string
	files *imagestore.Store
}

func newPlace(t *testing.T, url string) *place {
	t.Helper()
	p := &place{t: t, url: url, dir: t.TempDir()}
	var err error
	p.files, err = imagestore.Open(t.Context(), "file://"+p.dir)
	require.NoError(t, err)
	return p
}

// each runs a test on both engines.
func each(t *testing.T, test func(t *testing.T, p *place)) {
	t.Helper()
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		t.Parallel()
		test(t, newPlace(t, url))
	})
}

// product makes a product with stock, and with a picture of these bytes.
func (p *place) product(store *repository.Store, name string, picture []byte) string {
	p.t.Helper()
	ctx := p.t.Context()
	image, err := p.files.Put(ctx, imagestore.Picture{Data: picture, Ext: "png"})
	require.NoError(p.t, err)
	category := domain.NewCategory("Category of "+name, now)
	product := domain.NewProduct(name, "", category, &image, now)
	require.NoError(p.t, store.InTx(ctx, func(tx *repository.Store) error {
		m := domain.NewMovement(product.ID, 5, domain.MovementCreated, uuid.Nil, now)
		m.UserID = nil
		tx.Audit.Add(domain.NewAuditEntry(domain.Stranger("x"), domain.AuditProductCreated, domain.AuditTarget{Kind: "product", Name: product.ID.String()}, nil, now))
		if err := errors.Join(tx.Categories.Create(ctx, category), tx.Products.Create(ctx, product)); err != nil {
			return err
		}
		_, err := tx.Stock.Apply(ctx, m)
		return err
	}))
	return image
}

// filled is a place with three products.
func (p *place) filled() (images []string) {
	p.t.Helper()
	store := storetest.Open(p.t, p.url)
	for _, name := range []string{"one", "two", "three"} {
		images = append(images, p.product(store, name, []byte("picture of "+name)))
	}
	return images
}

func (p *place) write() []byte {
	p.t.Helper()
	var out bytes.Buffer
	_, _, err := backup.Write(p.t.Context(), &out, p.url, p.files, now, quiet)
	require.NoError(p.t, err)
	return out.Bytes()
}

func (p *place) read(archive []byte) (backup.Result, error) {
	return backup.Read(p.t.Context(), bytes.NewReader(archive), p.url, p.files, backup.Options{Now: now, Progress: quiet})
}

// pictures gives all that is in the folder.
func (p *place) pictures() map[string]string {
	p.t.Helper()
	found, err := os.ReadDir(p.dir)
	require.NoError(p.t, err)
	all := map[string]string{}
	for _, f := range found {
		data, err := os.ReadFile(filepath.Join(p.dir, f.Name()))
		require.NoError(p.t, err)
		all[f.Name()] = string(data)
	}
	return all
}

// isEmpty checks that a restore that failed left nothing behind.
func (p *place) isEmpty() {
	p.t.Helper()
	require.Empty(p.t, p.pictures())
	s, err := repository.OpenSnapshot(p.t.Context(), p.url)
	require.NoError(p.t, err)
	defer func() { require.NoError(p.t, s.Close()) }()
	for _, table := range s.Tables() {
		rows, err := s.Dump(p.t.Context(), table, io.Discard)
		require.NoError(p.t, err)
		if table == "audit_head" {
			rows--
		}
		require.Zero(p.t, rows, table)
	}
}

// refused checks that a backup is refused in words for the operator, and that nothing is left behind.
func (p *place) refused(archive []byte, words string) {
	p.t.Helper()
	_, err := p.read(archive)
	require.ErrorContains(p.t, err, words)
	var refused *domain.Error
	require.ErrorAs(p.t, err, &refused)
	require.Equal(p.t, domain.KindInvalid, refused.Kind)
	p.isEmpty()
}

// file is one file of an archive.
type file struct {
	name string
	data []byte
}

func unpack(t *testing.T, archive []byte) (files []file) {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(archive))
	require.NoError(t, err)
	all := tar.NewReader(zipped)
	for {
		header, err := all.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		require.EqualValues(t, 0o600, header.Mode)
		data, err := io.ReadAll(all)
		require.NoError(t, err)
		files = append(files, file{header.Name, data})
	}
}

func pack(t *testing.T, files []file) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	all := tar.NewWriter(zipped)
	for _, f := range files {
		require.NoError(t, all.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.data)), Mode: 0o600}))
		_, err := all.Write(f.data)
		require.NoError(t, err)
	}
	require.NoError(t, errors.Join(all.Close(), zipped.Close()))
	return out.Bytes()
}

// TestRestore puts rows and pictures back, and says so in the audit log.
func TestRestore(t *testing.T) {
	each(t, func(t *testing.T, from *place) {
		images := from.filled()
		archive := from.write()
		files := unpack(t, archive)
		require.Equal(t, []string{"manifest.json", "images.json"}, []string{files[0].name, files[len(files)-1].name})
		var m backup.Manifest
		require.NoError(t, json.Unmarshal(files[0].data, &m))
		require.Equal(t, []any{backup.Format, now, 3, backup.Findings{}}, []any{m.Format, m.CreatedAt, m.Images, m.Findings})
		require.Len(t, files, len(m.Tables)+3+2)
		for i, table := range m.Tables {
			require.Equal(t, "tables/"+table.Name+".ndjson", files[i+1].name)
			require.EqualValues(t, bytes.Count(files[i+1].data, []byte("\n")), table.Rows)
		}

		storetest.EachURL(t, func(t *testing.T, url string) {
			to := newPlace(t, url)
			done, err := to.read(archive)
			require.NoError(t, err)
			require.Equal(t, backup.Result{Manifest: m, Missing: []string{}}, done)
			require.Equal(t, from.pictures(), to.pictures())
			store := storetest.Open(t, url)
			used, err := store.Products.UsedImages(t.Context(), images)
			require.NoError(t, err)
			require.ElementsMatch(t, images, used)
			lines, fault, err := store.Audit.Verify(t.Context())
			require.NoError(t, err)
			require.Equal(t, []any{int64(4), ""}, []any{lines, fault})
			log, _, err := store.Audit.List(t.Context(), domain.AuditFilter{Action: string(domain.AuditRestored), Page: domain.Page{Number: 1, Size: 9, Sort: domain.Sort{Field: "createdAt"}}})
			require.NoError(t, err)
			require.Equal(t, []any{1, "2021-01-01T12:00:00.123Z", `{"droppedMails":0}`}, []any{len(log), log[0].Target, log[0].Details})

			_, err = to.read(archive)
			require.ErrorContains(t, err, "not empty")
			require.Equal(t, from.pictures(), to.pictures(), "what was there before stays")
		})
	})
}

// TestRestore_buckets moves pictures from S3 to Azure and back, also with a storage that fails on the way.
func TestRestore_buckets(t *testing.T) {
	each(t, func(t *testing.T, from *place) {
		s3, s3URL := buckettest.S3(t)
		azure, azureURL, _ := buckettest.Azure(t)
		in := func(p *place, rawURL string) *place {
			var err error
			p.files, err = imagestore.Open(t.Context(), rawURL)
			require.NoError(t, err)
			return p
		}
		away := func(storage *buckettest.Storage, at string) backup.Progress {
			return func(text string) {
				if strings.HasPrefix(text, at) {
					storage.Fail(func(w http.ResponseWriter, _ *http.Request) {
						buckettest.RefuseS3(w, http.StatusForbidden, "AccessDenied")
					})
				}
			}
		}
		unavailable := func(err error) {
			var refused *domain.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, domain.KindUnavailable, refused.Kind)
		}

		images := in(from, s3URL).filled()
		_, _, err := backup.Write(t.Context(), io.Discard, from.url, from.files, now, away(s3, "writing picture 2"))
		unavailable(err)
		s3.Fail(nil)
		archive := from.write()

		to := in(newPlace(t, emptyBeside(t, from.url)), azureURL)
		to.refused(archive[:len(archive)-1], "damaged")
		require.Empty(t, azure.Names(), "pictures are left of a restore that failed")
		_, err = backup.Read(t.Context(), bytes.NewReader(archive), to.url, to.files, backup.Options{Now: now, Progress: away(azure, "restoring picture 2")})
		unavailable(err)
		to.isEmpty()
		azure.Fail(nil)
		require.Len(t, azure.Names(), 1, "a storage that is away cannot be tidied")
		_, err = to.read(archive)
		require.NoError(t, err)
		require.ElementsMatch(t, images, azure.Names())

		for _, name := range images[1:] {
			require.NoError(t, from.files.Delete(t.Context(), name))
		}
		back := in(newPlace(t, emptyBeside(t, from.url)), s3URL)
		_, err = back.read(to.write())
		require.NoError(t, err)
		require.ElementsMatch(t, images, s3.Names())
		for _, name := range images {
			was, _ := azure.Get("shop/images/" + name)
			is, _ := s3.Get("shop/images/" + name)
			require.Equal(t, string(was.Data), string(is.Data))
			require.Equal(t, "image/png", is.Header.Get("Content-Type"))
		}
	})
}

// TestRestore_cut tries archives that end too early, anywhere.
func TestRestore_cut(t *testing.T) {
	each(t, func(t *testing.T, from *place) {
		from.filled()
		archive := from.write()
		to := newPlace(t, emptyBeside(t, from.url))
		for end := 0; end < len(archive); end += max(1, len(archive)/17) {
			_, err := to.read(archive[:end])
			require.Error(t, err, end)
			require.NotContains(t, err.Error(), "\n")
			to.isEmpty()
		}
		whole, err := unzip(archive)
		require.NoError(t, err)
		to.refused(archive[:len(archive)-1], "damaged")
		to.refused(append(slices.Clone(archive), "more"...), "damaged")
		for at := 20; at < len(archive); at += max(1, len(archive)/17) { // one byte
			broken := slices.Clone(archive)
			broken[at] ^= 0x10
			if content, err := unzip(broken); err == nil && bytes.Equal(content, whole) {
				continue // one of the bits that fill the last byte of a block, and mean nothing
			}
			_, err := to.read(broken)
			require.Error(t, err, at)
			to.isEmpty()
		}
		_, err = to.read(archive)
		require.NoError(t, err)
	})
}

// unzip gives what is in a gzip file.
func unzip(archive []byte) ([]byte, error) {
	zipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(zipped)
}

func emptyBeside(t *testing.T, url string) string {
	t.Helper()
	if strings.HasPrefix(url, "sqlite") {
		return storetest.SQLiteURL(t)
	}
	return storetest.PostgresURL(t)
}

// TestRestore_wrong tries archives that are whole but not right.
func TestRestore_wrong(t *testing.T) {
	each(t, func(t *testing.T, from *place) {
		images := from.filled()
		right := unpack(t, from.write())
		to := newPlace(t, emptyBeside(t, from.url))
		at := func(name string) int { return slices.IndexFunc(right, func(f file) bool { return f.name == name }) }
		changed := func(name, old, new string) []byte {
			files := slices.Clone(right)
			i := at(name)
			require.Contains(t, string(files[i].data), old)
			files[i].data = []byte(strings.Replace(string(files[i].data), old, new, 1))
			return pack(t, files)
		}
		manifest := func(change func(m *backup.Manifest)) []byte {
			files := slices.Clone(right)
			var m backup.Manifest
			require.NoError(t, json.Unmarshal(files[0].data, &m))
			change(&m)
			files[0].data, _ = json.Marshal(m)
			return pack(t, files)
		}
		image := at("images/" + images[0])
		products := at("tables/products.ndjson")

		to.refused([]byte("PK\x03\x04 something else, long enough"), "not a backup of Inventory Hub")
		to.refused(nil, "not a backup of Inventory Hub")
		to.refused(pack(t, nil), "not a backup of Inventory Hub")
		to.refused(pack(t, right[1:]), "not a backup of Inventory Hub")
		to.refused(changed("manifest.json", "{", "["), "not a backup of Inventory Hub")
		to.refused(manifest(func(m *backup.Manifest) { m.Program = "Other" }), "not a backup of Inventory Hub")
		to.refused(manifest(func(m *backup.Manifest) { m.Format++ }), "this program reads the format 1")
		to.refused(manifest(func(m *backup.Manifest) { m.SchemaVersion = 1 << 40 }), "made by a newer program")
		to.refused(manifest(func(m *backup.Manifest) { m.SchemaVersion = 0 }), "damaged")
		to.refused(manifest(func(m *backup.Manifest) { m.Tables[0].Rows++ }), "not what the manifest tells")
		to.refused(manifest(func(m *backup.Manifest) { m.Tables = m.Tables[:len(m.Tables)-1] }), "damaged")
		to.refused(manifest(func(m *backup.Manifest) { m.Tables[1].Name = "sessions" }), "damaged")
		to.refused(manifest(func(m *backup.Manifest) { m.Images++ }), "not those that it tells")
		to.refused(manifest(func(m *backup.Manifest) { m.Findings.Drifts++ }), "0 products differ from their ledger")
		to.refused(changed("tables/products.ndjson", `"quantity":5`, `"quantity":6`), "not what the manifest tells")
		to.refused(changed("images/"+images[0], "picture", "gicture"), "not those that it tells")
		to.refused(pack(t, slices.Delete(slices.Clone(right), image, image+1)), "not those that it tells")
		to.refused(pack(t, slices.Delete(slices.Clone(right), products, products+1)), "was expected")
		to.refused(pack(t, right[:len(right)-1]), "damaged")
		to.refused(pack(t, append(slices.Clone(right), file{"more", nil})), "something follows its end")
		to.refused(pack(t, slices.Insert(slices.Clone(right), image, file{"images/../../etc/passwd", nil})), "is no picture")
		to.refused(pack(t, slices.Insert(slices.Clone(right), image, file{"evil", nil})), "is no picture")

		// A table whose digest is right, but whose rows are not.
		lost := slices.Clone(right)
		categories := at("tables/categories.ndjson")
		lost[categories].data = nil
		var m backup.Manifest
		require.NoError(t, json.Unmarshal(lost[0].data, &m))
		i := slices.IndexFunc(m.Tables, func(t backup.Table) bool { return t.Name == "categories" })
		m.Tables[i] = backup.Table{Name: "categories", SHA256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
		lost[0].data, _ = json.Marshal(m)
		to.refused(pack(t, lost), "write products")

		_, err := to.read(pack(t, right))
		require.NoError(t, err)
	})
}

// TestWrite_brokenData warns of data that are not in order, and restores them as they are: a backup of them must not be worthless.
func TestWrite_brokenData(t *testing.T) {
	t.Parallel()
	from := newPlace(t, storetest.SQLiteURL(t))
	store := storetest.Open(t, from.url)
	from.product(store, "one", []byte("picture"))
	category := domain.NewCategory("Phones", now)
	require.NoError(t, store.Categories.Create(t.Context(), category))
	p := domain.NewProduct("two", "", category, nil, now)
	p.Quantity = 5 // without a movement
	require.NoError(t, store.Products.Create(t.Context(), p))
	var out bytes.Buffer
	m, _, err := backup.Write(t.Context(), &out, from.url, from.files, now, quiet)
	require.NoError(t, err)
	require.Equal(t, backup.Findings{Drifts: 1}, m.Findings)
	to := newPlace(t, storetest.SQLiteURL(t))
	done, err := to.read(out.Bytes())
	require.NoError(t, err)
	require.True(t, done.Findings.Any())
	_, drifts, err := storetest.Open(t, to.url).Stock.Drifts(t.Context())
	require.NoError(t, err)
	require.Len(t, drifts, 1)
}

// TestWrite_pictureGone removes pictures between the rows and the files: the backup is good without them, and no product shows what is not there.
func TestWrite_pictureGone(t *testing.T) {
	each(t, func(t *testing.T, from *place) {
		images := from.filled()
		var out bytes.Buffer
		m, list, err := backup.Write(t.Context(), &out, from.url, from.files, now, func(text string) {
			if strings.HasPrefix(text, "writing table") {
				require.NoError(t, from.files.Delete(t.Context(), images[1]))
			}
		})
		require.NoError(t, err)
		require.Equal(t, []any{3, 2, []string{images[1]}}, []any{m.Images, len(list.Images), list.Missing})
		to := newPlace(t, emptyBeside(t, from.url))
		done, err := to.read(out.Bytes())
		require.NoError(t, err)
		require.Equal(t, []string{images[1]}, done.Missing)
		used, err := storetest.Open(t, to.url).Products.UsedImages(t.Context(), images)
		require.NoError(t, err)
		require.ElementsMatch(t, []string{images[0], images[2]}, used)
	})
}

// TestRestore_keepsOldPictures: a restore that fails takes back the pictures that it brought, and no others.
func TestRestore_keepsOldPictures(t *testing.T) {
	t.Parallel()
	from := newPlace(t, storetest.SQLiteURL(t))
	images := from.filled()
	files := unpack(t, from.write())
	to := newPlace(t, storetest.SQLiteURL(t))
	_, err := to.files.PutBack(t.Context(), images[2], []byte("picture of three"))
	require.NoError(t, err)
	before := to.pictures()
	_, err = to.read(pack(t, files[:len(files)-1]))
	require.ErrorContains(t, err, "damaged")
	require.Equal(t, before, to.pictures())
}

// TestWrite_interrupted ends with the operator's patience.
func TestWrite_interrupted(t *testing.T) {
	each(t, func(t *testing.T, from *place) {
		from.filled()
		archive := from.write()
		for _, after := range []string{"reading table 5", "writing table 5", "checking"} {
			ctx, cancel := context.WithCancel(t.Context())
			_, _, err := backup.Write(ctx, io.Discard, from.url, from.files, now, func(text string) {
				if strings.HasPrefix(text, after) {
					cancel()
				}
			})
			require.ErrorIs(t, err, context.Canceled, after)
		}
		to := newPlace(t, emptyBeside(t, from.url))
		for _, after := range []string{"restoring table 5", "restoring picture 2", "checking"} {
			ctx, cancel := context.WithCancel(t.Context())
			_, err := backup.Read(ctx, bytes.NewReader(archive), to.url, to.files, backup.Options{Now: now, Progress: func(text string) {
				if strings.HasPrefix(text, after) {
					cancel()
				}
			}})
			require.Error(t, err, after)
			to.isEmpty()
		}
	})
}
