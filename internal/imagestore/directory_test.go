package imagestore

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

func openTestDirectory(t *testing.T) (*Store, string) {
	dir := filepath.Join(t.TempDir(), "data", "images")
	s, err := Open(t.Context(), "file://"+dir)
	require.NoError(t, err)
	return s, dir
}

func filesIn(t *testing.T, dir string) []string {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var files []string
	for _, entry := range entries {
		files = append(files, entry.Name())
	}
	return files
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	s, dir := openTestDirectory(t)
	testStore(t, s)
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o750), info.Mode().Perm())
	for _, file := range filesIn(t, dir) {
		require.True(t, wellFormed(file), file)
	}
}

func TestDirectory_relative_to_the_working_directory(t *testing.T) {
	t.Chdir(t.TempDir())
	for rawURL, dir := range map[string]string{
		"file://data/images": "data/images", "file://./here": "here", "file://a b%20c": "a b%20c",
	} {
		s, err := Open(t.Context(), rawURL)
		require.NoError(t, err)
		name, err := s.Put(t.Context(), Picture{Data: []byte("x"), Ext: "png"})
		require.NoError(t, err)
		require.FileExists(t, filepath.Join(dir, name))
	}
}

func TestDirectory_that_cannot_be_made(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{file, file + "/below", "/dev/null/x", "nul\x00"} {
		_, err := Open(t.Context(), "file://"+dir)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "\n")
	}
}

func TestDirectory_cannot_be_left(t *testing.T) {
	t.Parallel()
	s, dir := openTestDirectory(t)
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o600))
	outside, inside, below := strings.Repeat("a", 32)+".png", strings.Repeat("b", 32)+".png", strings.Repeat("c", 32)+".png"
	require.NoError(t, os.Symlink(secret, filepath.Join(dir, outside)))
	require.NoError(t, os.Symlink("../../../../../../../../etc/passwd", filepath.Join(dir, inside)))
	require.NoError(t, os.Mkdir(filepath.Join(dir, below), 0o700))
	for _, name := range []string{outside, inside, below} {
		_, err := s.Get(t.Context(), name)
		require.Error(t, err)
	}
	require.Empty(t, listed(t, s))
}

func TestDirectory_List_clears_what_a_crash_left(t *testing.T) {
	t.Parallel()
	s, dir := openTestDirectory(t)
	name, err := s.Put(t.Context(), Picture{Data: []byte("x"), Ext: "png"})
	require.NoError(t, err)
	longAgo := time.Now().Add(-2 * time.Hour)
	write := func(name string, at time.Time) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte("half"), 0o600))
		require.NoError(t, os.Chtimes(path, at, at))
	}
	left, running := halfName(strings.Repeat("a", 32)+".jpg"), halfName(strings.Repeat("b", 32)+".jpg")
	write(left, longAgo)
	write(running, time.Now())
	write(".gitkeep", longAgo)
	write("notes.half", longAgo)

	require.Equal(t, []string{name}, listed(t, s))
	require.ElementsMatch(t, []string{".gitkeep", running, name, "notes.half"}, filesIn(t, dir))
}

func TestDirectory_List_of_many(t *testing.T) {
	t.Parallel()
	s, dir := openTestDirectory(t)
	for i := range 600 { // more than one reading of the directory
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%032x.webp", i)), nil, 0o600))
	}
	require.Len(t, listed(t, s), 600)
}

const crashDir = "IMAGESTORE_TEST_CRASH_DIR"

// TestDirectory_crash kills a process, which is this test started again, in the middle of its work.
func TestDirectory_crash(t *testing.T) {
	whole := bytes.Repeat([]byte("picture "), 1<<17)
	if dir := os.Getenv(crashDir); dir != "" {
		s, err := Open(t.Context(), "file://"+dir)
		require.NoError(t, err)
		for range 4 {
			go func() {
				for err := error(nil); err == nil; {
					_, err = s.Put(t.Context(), Picture{Data: whole, Ext: "png"})
				}
			}()
		}
		select {}
	}
	t.Parallel()
	s, dir := openTestDirectory(t)
	child := exec.Command(os.Args[0], "-test.run=^TestDirectory_crash$")
	child.Env = append(os.Environ(), crashDir+"="+dir)
	require.NoError(t, child.Start())
	require.Eventually(t, func() bool { return len(filesIn(t, dir)) > 12 }, 10*time.Second, time.Millisecond)
	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait())

	names := listed(t, s)
	require.NotEmpty(t, names)
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.True(t, bytes.Equal(whole, data))
	}
}

// Not parallel: the limit is of the whole process.
func TestDirectory_full_disk(t *testing.T) {
	s, dir := openTestDirectory(t)
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var before syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before))
	full := before
	full.Cur = 64 << 10
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full))
	_, err := s.Put(t.Context(), Picture{Data: make([]byte, 1<<20), Ext: "png"})
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before))

	requireKind(t, domain.KindUnavailable, err)
	require.ErrorIs(t, err, syscall.EFBIG)
	require.Empty(t, filesIn(t, dir), "nothing half is left")

	_, err = s.Put(t.Context(), Picture{Data: make([]byte, 1<<20), Ext: "png"})
	require.NoError(t, err, "with space again it works again")
}

func TestDirectory_read_only(t *testing.T) {
	t.Parallel()
	s, dir := openTestDirectory(t)
	name, err := s.Put(t.Context(), Picture{Data: []byte("x"), Ext: "png"})
	require.NoError(t, err)
	require.NoError(t, os.Chmod(filepath.Join(dir, name), 0o644))
	require.NoError(t, os.Chmod(dir, 0o555))
	t.Cleanup(func() { require.NoError(t, os.Chmod(dir, 0o755)) })

	var putErr, deleteErr, getErr error
	asSomebody(t, func() {
		_, putErr = s.Put(t.Context(), Picture{Data: []byte("x"), Ext: "png"})
		deleteErr = s.Delete(t.Context(), name)
		var f File
		if f, getErr = s.Get(t.Context(), name); getErr == nil {
			getErr = f.Close()
		}
	})
	requireKind(t, domain.KindUnavailable, putErr)
	require.ErrorIs(t, putErr, syscall.EACCES)
	requireKind(t, domain.KindUnavailable, deleteErr)
	require.NoError(t, getErr, "what is there can still be read")
	require.Equal(t, []string{name}, filesIn(t, dir))
}

// asSomebody runs f without root's right to write everywhere, on a thread that ends with it.
func asSomebody(t *testing.T, f func()) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if os.Geteuid() == 0 {
			if err := syscall.Setfsuid(65534); err != nil {
				done <- err
				return
			}
		}
		f()
		done <- nil
	}()
	require.NoError(t, <-done)
}

func TestDirectory_that_went_away(t *testing.T) {
	t.Parallel()
	s, dir := openTestDirectory(t)
	require.NoError(t, os.Remove(dir))
	_, err := s.Put(t.Context(), Picture{Data: []byte("x"), Ext: "png"})
	requireKind(t, domain.KindUnavailable, err)
}
