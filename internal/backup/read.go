package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/imagestore"
	"inventoryhub/internal/repository"
)

const (
	// maxDescription bounds what is read of manifest.json (a line for each table) and images.json (100 bytes for each picture).
	maxDescription = 256 << 20
	// maxImage bounds a picture. The server takes none above 5 MiB.
	maxImage = 64 << 20
)

// Options are choices of who restores.
type Options struct {
	// ResendPending leaves mails that waited when the backup was taken waiting, so that they are sent, perhaps for the second time.
	ResendPending bool
	Now           time.Time
	Progress      Progress
}

// Result is what was restored.
type Result struct {
	Manifest
	Missing []string // pictures that the backup has not; their products show none now
	Dropped int      // mails that waited and are not sent
}

// Read fills an empty database, and the store of pictures, from an archive that [Write] made. Nothing is kept unless all of it is there and right: the
// archive whole, every table and picture of the size and digest that it tells, the ledgers and the audit log as they were. It returns KindInvalid on
// `backup` for an archive that is none, is damaged or comes from a newer program, and KindConflict on `database` for one that is not empty.
func Read(ctx context.Context, from io.Reader, url string, files *imagestore.Store, o Options) (Result, error) {
	zipped, err := gzip.NewReader(from)
	if err != nil {
		return Result{}, notOurs(err)
	}
	r := reading{zipped: zipped, tar: tar.NewReader(zipped), files: files, Options: o}
	if err := r.readManifest(); err != nil {
		return Result{}, err
	}
	r.db, err = repository.OpenRestoration(ctx, url, r.manifest.SchemaVersion)
	if err != nil {
		return Result{}, err
	}
	result, err := r.fill(ctx)
	if err := errors.Join(err, r.db.Close()); err != nil {
		if !r.committed {
			r.removeImages(ctx)
		}
		return Result{}, err
	}
	return result, nil
}

type reading struct {
	Options
	zipped    *gzip.Reader
	tar       *tar.Reader
	files     *imagestore.Store
	manifest  Manifest
	db        *repository.Restoration
	added     []string // the pictures that were not there
	committed bool
}

func (r *reading) fill(ctx context.Context) (Result, error) {
	for i, t := range r.manifest.Tables {
		r.Progress(fmt.Sprintf("restoring table %d of %d: %s", i+1, len(r.manifest.Tables), t.Name))
		if err := r.loadTable(ctx, t); err != nil {
			return Result{}, err
		}
	}
	images, err := r.loadImages(ctx)
	if err != nil {
		return Result{}, err
	}
	r.Progress("checking the stock and the audit log")
	if err := r.check(ctx); err != nil {
		return Result{}, err
	}
	result := Result{Manifest: r.manifest, Missing: images.Missing}
	if err := r.db.ForgetImages(ctx, images.Missing); err != nil {
		return Result{}, err
	}
	now := r.Now.UTC().Truncate(time.Millisecond)
	taken := r.manifest.CreatedAt.UTC().Format(time.RFC3339Nano)
	if !r.ResendPending {
		if result.Dropped, err = r.db.DropPending(ctx, "it waited in the backup of "+taken+" and may have been sent since", now); err != nil {
			return Result{}, err
		}
	}
	r.db.Audit.Add(domain.NewAuditEntry(domain.Stranger("command line"), domain.AuditRestored, domain.AuditTarget{Kind: "backup", Name: taken},
		domain.AuditDetails{"droppedMails": result.Dropped}, now))
	r.committed = true // from here on the answer alone may be lost: the pictures must stay
	return result, r.db.Commit(ctx)
}

// next goes to the next file, which must be this one.
func (r *reading) next(name string) error {
	header, err := r.tar.Next()
	if err != nil {
		return damaged(err)
	}
	if header.Name != name || header.Typeflag != tar.TypeReg {
		return damaged(fmt.Errorf("%s was expected, and %s is there", name, domain.Clip(header.Name)))
	}
	return nil
}

func (r *reading) readManifest() error {
	if header, err := r.tar.Next(); err != nil || header.Name != manifestName {
		if err == nil {
			err = errors.New("it does not begin with " + manifestName)
		}
		return notOurs(err)
	}
	if err := r.decode(&r.manifest); err != nil {
		return notOurs(err)
	}
	m := r.manifest
	switch {
	case m.Program != program:
		return notOurs(errors.New("its manifest is another program's"))
	case m.Format != Format:
		return domain.Invalid("backup", "The backup has the format %d, and this program reads the format %d", m.Format, Format)
	case m.SchemaVersion < 1:
		return damaged(fmt.Errorf("there is no schema version %d", m.SchemaVersion))
	}
	return nil
}

func (r *reading) decode(into any) error {
	data, err := io.ReadAll(io.LimitReader(r.tar, maxDescription))
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

func (r *reading) loadTable(ctx context.Context, t Table) error {
	if err := r.next(tablesFolder + t.Name + tablesEnding); err != nil {
		return err
	}
	if !slices.Contains(r.db.Tables(), t.Name) {
		return damaged(fmt.Errorf("there is no table %s in the schema %d", domain.Clip(t.Name), r.manifest.SchemaVersion))
	}
	measured := newSum()
	rows, err := r.db.Load(ctx, t.Name, io.TeeReader(r.tar, measured))
	if err == nil {
		_, err = io.Copy(measured, r.tar)
	}
	if err != nil {
		if isKind(err, domain.KindUnavailable) || ctx.Err() != nil {
			return err
		}
		return damaged(err)
	}
	there, err := r.db.Count(ctx, t.Name)
	if err != nil {
		return err
	}
	if got := (Table{Name: t.Name, Rows: rows, Bytes: measured.bytes, SHA256: measured.hex()}); got != t || there != t.Rows {
		return damaged(fmt.Errorf("the table %s is not what the manifest tells", t.Name))
	}
	return nil
}

// loadImages puts the pictures back, up to the end of the archive.
func (r *reading) loadImages(ctx context.Context) (Images, error) {
	for _, name := range r.db.Tables() {
		if !slices.ContainsFunc(r.manifest.Tables, func(t Table) bool { return t.Name == name }) {
			return Images{}, damaged(fmt.Errorf("the table %s is missing", name))
		}
	}
	put := []Image{}
	for {
		header, err := r.tar.Next()
		if err != nil {
			return Images{}, damaged(err)
		}
		if header.Name == imagesName {
			break
		}
		name, ours := strings.CutPrefix(header.Name, imagesFolder)
		if !ours || header.Size > maxImage {
			return Images{}, damaged(fmt.Errorf("%s is no picture", domain.Clip(header.Name)))
		}
		r.Progress(fmt.Sprintf("restoring picture %d of %d", len(put)+1, r.manifest.Images))
		data, err := io.ReadAll(r.tar)
		if err != nil {
			return Images{}, damaged(err)
		}
		added, err := r.files.PutBack(ctx, name, data)
		if isKind(err, domain.KindInvalid) {
			return Images{}, damaged(fmt.Errorf("%s is no picture", domain.Clip(header.Name)))
		}
		if err != nil {
			return Images{}, err
		}
		if added {
			r.added = append(r.added, name)
		}
		put = append(put, Image{Name: name, Bytes: int64(len(data)), SHA256: digest(data)})
	}
	var told Images
	if err := r.decode(&told); err != nil {
		return Images{}, damaged(err)
	}
	if !slices.Equal(told.Images, put) || len(told.Images)+len(told.Missing) != r.manifest.Images {
		return Images{}, damaged(errors.New("the pictures are not those that it tells"))
	}
	if _, err := r.tar.Next(); !errors.Is(err, io.EOF) {
		return Images{}, damaged(errors.New("something follows its end"))
	}
	if _, err := io.Copy(io.Discard, r.zipped); err != nil { // up to gzip's own checksum
		return Images{}, damaged(err)
	}
	return told, nil
}

// check looks whether the data are as right as they were.
func (r *reading) check(ctx context.Context) error {
	found, err := inspect(ctx, r.db.Store)
	if err != nil {
		return err
	}
	if found != r.manifest.Findings {
		return damaged(fmt.Errorf("%s; in the manifest %s", found, r.manifest.Findings))
	}
	return nil
}

// removeImages takes back what was put. What cannot be removed now is swept by the server one day.
func (r *reading) removeImages(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	for _, name := range r.added {
		_ = r.files.Delete(ctx, name)
	}
}

func notOurs(err error) error {
	return domain.Invalid("backup", "This is not a backup of Inventory Hub: %s", err)
}

func damaged(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return domain.Invalid("backup", "The backup is damaged: %s", err)
}
