package imagestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"regexp"
	"time"
)

// directory keeps each picture as a file of its name. The root cannot be left, whatever a name says.
type directory struct{ root *os.Root }

func openDirectory(dir string) (directory, error) {
	if dir == "" {
		return directory{}, errors.New("the picture storage file:// must name a directory")
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return directory{}, fmt.Errorf("make the directory for pictures: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return directory{}, fmt.Errorf("open the directory for pictures: %w", err)
	}
	return directory{root: root}, nil
}

// put writes beside the final name and renames, so that the name never stands for less than the whole picture.
func (d directory) put(_ context.Context, name string, data []byte) (err error) {
	half := halfName(name)
	defer func() {
		if err != nil {
			d.root.Remove(half)
			d.root.Remove(name)
		}
	}()
	if err := d.write(half, data); err != nil {
		return err
	}
	if err := d.root.Rename(half, name); err != nil {
		return err
	}
	return d.sync()
}

func (d directory) write(name string, data []byte) error {
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// sync makes the names durable; a file's own sync does not.
func (d directory) sync() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d directory) get(_ context.Context, name string) (File, error) {
	f, err := d.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, errNotFound
	}
	if err != nil {
		return File{}, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotFound
	}
	if err != nil {
		f.Close()
		return File{}, err
	}
	return File{ReadSeekCloser: f, Size: info.Size(), ModTime: info.ModTime()}, nil
}

func (d directory) delete(_ context.Context, name string) error {
	if err := d.root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (d directory) list(ctx context.Context) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		f, err := d.root.Open(".")
		if err != nil {
			yield(Info{}, err)
			return
		}
		defer f.Close()
		for ctx.Err() == nil {
			entries, err := f.ReadDir(256)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Info{}, err)
				return
			}
			for _, entry := range entries {
				if info, ok := d.visit(entry.Name()); ok && !yield(info, nil) {
					return
				}
			}
		}
	}
}

// visit looks at one name of the directory. A half picture that no Put can be writing any more is removed.
func (d directory) visit(name string) (Info, bool) {
	info, err := d.root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return Info{}, false // gone since, or not ours
	}
	if halfNames.MatchString(name) {
		if time.Since(info.ModTime()) > time.Hour {
			d.root.Remove(name)
		}
		return Info{}, false
	}
	return Info{Name: name, ModTime: info.ModTime()}, true
}

var halfNames = regexp.MustCompile(`^\.[0-9a-f]{32}\.(png|jpg|webp)\.half$`)

func halfName(name string) string { return "." + name + ".half" }
