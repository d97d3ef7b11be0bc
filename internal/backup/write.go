package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"time"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/imagestore"
	"inventoryhub/internal/repository"
)

// Write writes an archive of one moment of the database that url names, and of the pictures that it shows, while others go on working. It gives
// what it wrote; pictures that were removed meanwhile are listed as missing. An archive that was not written to its end is told by [Read].
func Write(ctx context.Context, w io.Writer, url string, files *imagestore.Store, now time.Time, progress Progress) (Manifest, Images, error) {
	snapshot, err := repository.OpenSnapshot(ctx, url)
	if err != nil {
		return Manifest{}, Images{}, err
	}
	defer func() { _ = snapshot.Close() }()
	zipped := gzip.NewWriter(w)
	a := archive{Writer: tar.NewWriter(zipped), at: now.UTC().Truncate(time.Millisecond)}

	manifest, err := describe(ctx, snapshot, a.at, progress)
	if err != nil {
		return Manifest{}, Images{}, err
	}
	names, err := snapshot.Images(ctx)
	if err != nil {
		return Manifest{}, Images{}, err
	}
	manifest.Images = len(names)
	if err := a.addJSON(manifestName, manifest); err != nil {
		return Manifest{}, Images{}, err
	}
	for i, t := range manifest.Tables {
		progress(fmt.Sprintf("writing table %d of %d: %s", i+1, len(manifest.Tables), t.Name))
		if err := a.begin(tablesFolder+t.Name+tablesEnding, t.Bytes); err != nil {
			return Manifest{}, Images{}, err
		}
		if _, err := snapshot.Dump(ctx, t.Name, a); err != nil {
			return Manifest{}, Images{}, err
		}
	}
	_ = snapshot.Close() // a transaction that is open for long keeps the database from cleaning up

	images := Images{Images: []Image{}, Missing: []string{}}
	for i, name := range names {
		progress(fmt.Sprintf("writing picture %d of %d", i+1, len(names)))
		data, err := fetch(ctx, files, name)
		if isKind(err, domain.KindNotFound) {
			images.Missing = append(images.Missing, name)
			continue
		}
		if err != nil {
			return Manifest{}, Images{}, err
		}
		if err := a.add(imagesFolder+name, data); err != nil {
			return Manifest{}, Images{}, err
		}
		images.Images = append(images.Images, Image{Name: name, Bytes: int64(len(data)), SHA256: digest(data)})
	}
	if err := a.addJSON(imagesName, images); err != nil {
		return Manifest{}, Images{}, err
	}
	if err := a.Close(); err != nil {
		return Manifest{}, Images{}, fmt.Errorf("write the backup: %w", err)
	}
	if err := zipped.Close(); err != nil {
		return Manifest{}, Images{}, fmt.Errorf("write the backup: %w", err)
	}
	return manifest, images, nil
}

// describe reads everything once: a file in a tar archive is preceded by its size. The snapshot gives the same a second time. That is slower than writing
// the rows to a file first, but needs no place for it.
func describe(ctx context.Context, snapshot *repository.Snapshot, at time.Time, progress Progress) (Manifest, error) {
	m := Manifest{Program: program, Format: Format, SchemaVersion: snapshot.SchemaVersion, Engine: snapshot.Engine, CreatedAt: at, Tables: []Table{}}
	names := snapshot.Tables()
	for i, name := range names {
		progress(fmt.Sprintf("reading table %d of %d: %s", i+1, len(names), name))
		sum := newSum()
		rows, err := snapshot.Dump(ctx, name, sum)
		if err != nil {
			return Manifest{}, err
		}
		m.Tables = append(m.Tables, Table{Name: name, Rows: rows, Bytes: sum.bytes, SHA256: sum.hex()})
	}
	progress("checking the stock and the audit log")
	var err error
	m.Findings, err = inspect(ctx, snapshot.Store)
	return m, err
}

func fetch(ctx context.Context, files *imagestore.Store, name string) ([]byte, error) {
	f, err := files.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read the picture %s: %w", name, err)
	}
	return data, nil
}

// archive adds files that nobody else may read once they are taken out.
type archive struct {
	*tar.Writer
	at time.Time
}

func (a archive) begin(name string, size int64) error {
	if err := a.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: a.at}); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

func (a archive) add(name string, data []byte) error {
	if err := a.begin(name, int64(len(data))); err != nil {
		return err
	}
	if _, err := a.Write(data); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

func (a archive) addJSON(name string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return a.add(name, append(data, '\n'))
}

// sum measures what is written to it.
type sum struct {
	hash.Hash
	bytes int64
}

func newSum() *sum { return &sum{Hash: sha256.New()} }

// Write takes a part in.
func (s *sum) Write(p []byte) (int, error) {
	s.bytes += int64(len(p))
	return s.Hash.Write(p)
}

func (s *sum) hex() string { return hex.EncodeToString(s.Sum(nil)) }

func digest(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}
