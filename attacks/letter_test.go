package attacks_test

import (
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// letter is a mail as it was written to the disk.
type letter struct {
	s          *server
	raw        string
	header     mail.Header
	text, html string
}

// lettersTo gives the mails to an address that are there, the newest last.
func (s *server) lettersTo(t *testing.T, address string) []letter {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.mailDir(), "*.eml"))
	require.NoError(t, err)
	slices.Sort(files) // their names begin with the time
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []letter
	for _, file := range files {
		l, known := s.letters[file]
		if !known {
			l = readLetter(t, file)
			l.s = s
			s.letters[file] = l
		}
		if to, err := l.header.AddressList("To"); err == nil && strings.EqualFold(to[0].Address, address) {
			found = append(found, l)
		}
	}
	return found
}

// letter waits until an address has n mails, and gives the last.
func (s *server) letter(t *testing.T, address string, n int) letter {
	t.Helper()
	var found []letter
	require.Eventually(t, func() bool {
		found = s.lettersTo(t, address)
		return len(found) >= n
	}, time.Minute, 2*time.Millisecond, "no mail to %s", address)
	return found[len(found)-1]
}

func readLetter(t *testing.T, file string) letter {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	message, err := mail.ReadMessage(strings.NewReader(string(raw)))
	require.NoError(t, err)
	l := letter{raw: string(raw), header: message.Header}
	media, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	require.NoError(t, err)
	require.Equal(t, "multipart/alternative", media)
	for parts := multipart.NewReader(message.Body, params["boundary"]); ; {
		part, err := parts.NextRawPart()
		if err != nil {
			require.ErrorIs(t, err, io.EOF)
			return l
		}
		var content io.Reader = part
		switch strings.ToLower(part.Header.Get("Content-Transfer-Encoding")) {
		case "quoted-printable":
			content = quotedprintable.NewReader(part)
		case "base64":
			content = base64.NewDecoder(base64.StdEncoding, part)
		}
		body, err := io.ReadAll(content)
		require.NoError(t, err)
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			l.html = string(body)
		} else {
			l.text = string(body)
		}
	}
}

var tokenOfLink = regexp.MustCompile(`\?token=([A-Za-z0-9_-]{43})\s`)

// token gives the token in the mail's link.
func (l letter) token(t *testing.T) string {
	t.Helper()
	found := tokenOfLink.FindStringSubmatch(l.text)
	require.NotNil(t, found, l.text)
	l.s.note(l.s.secrets, found[1])
	return found[1]
}
