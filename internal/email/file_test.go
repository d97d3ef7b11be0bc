package email

import (
	"context"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

func newMail(t testing.TB) Mail {
	t.Helper()
	m, err := Render(newEvent(t, domain.EventUserInvited, invited()), appURL, from)
	require.NoError(t, err)
	m.OperationID = m.EventID
	return m
}

// parts reads a MIME message as a mail program would: its headers, its text and its HTML.
func parts(t testing.TB, r io.Reader) (header netmail.Header, text, html string) {
	t.Helper()
	msg, err := netmail.ReadMessage(r)
	require.NoError(t, err)
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	require.NoError(t, err)
	require.Equal(t, "multipart/alternative", kind)
	var bodies []string
	alternatives := multipart.NewReader(msg.Body, params["boundary"])
	for _, want := range []string{"text/plain; charset=UTF-8", "text/html; charset=UTF-8"} {
		part, err := alternatives.NextPart() // undoes quoted-printable
		require.NoError(t, err)
		require.Equal(t, want, part.Header.Get("Content-Type"))
		body, err := io.ReadAll(part)
		require.NoError(t, err)
		bodies = append(bodies, strings.ReplaceAll(string(body), "\r\n", "\n"))
	}
	return msg.Header, bodies[0], bodies[1]
}

func TestFileSender_Send(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "mail")
	s, err := NewFileSender(dir, from)
	require.NoError(t, err)
	m := newMail(t)
	for range 2 { // the second overwrites
		receipt, err := s.Send(t.Context(), m)
		require.NoError(t, err)
		assert.Equal(t, Receipt{Sent: true}, receipt)
	}

	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	assert.Equal(t, "20260304T050607.000Z-01890a5d-0000-7000-8000-000000000001.eml", entries[0].Name())
	for path, mode := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, entries[0].Name()): 0o600} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode().Perm(), path)
	}
	f, err := os.Open(filepath.Join(dir, entries[0].Name()))
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	header, text, html := parts(t, f)
	assert.Equal(t, `"Inventory Hub" <hub@mail.example.com>`, header.Get("From"))
	assert.Equal(t, `"Ada Lovelace" <ada@example.com>`, header.Get("To"))
	assert.Equal(t, m.Subject, header.Get("Subject"))
	assert.Equal(t, m.MessageID, header.Get("Message-ID"))
	assert.Equal(t, "auto-generated", header.Get("Auto-Submitted"))
	assert.Equal(t, "1.0", header.Get("MIME-Version"))
	_, err = header.Date()
	require.NoError(t, err)
	assert.Equal(t, m.Text, text)
	assert.Equal(t, m.HTML, html)
}

func TestFileSender_hostile_name_stays_in_its_header(t *testing.T) {
	s, err := NewFileSender(t.TempDir(), from)
	require.NoError(t, err)
	m := newMail(t)
	m.ToName = `"x" <eve@example.com>, ` + strings.Repeat("ж", 201) + ` \`
	_, err = s.Send(t.Context(), m)
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(s.dir, "*.eml"))
	require.NoError(t, err)
	f, err := os.Open(files[0])
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	header, _, _ := parts(t, f)
	to, err := header.AddressList("To")
	require.NoError(t, err)
	assert.Equal(t, []*netmail.Address{{Name: m.ToName, Address: "ada@example.com"}}, to)
	assert.Empty(t, header.Get("Bcc"))
}

// What would break out of its header is refused for good by every sender, before anything happens.
func TestSenders_refuse_header_injection(t *testing.T) {
	file, err := NewFileSender(t.TempDir(), from)
	require.NoError(t, err)
	smtp, err := NewSMTPSender("smtp://127.0.0.1:1", from)
	require.NoError(t, err)
	azure, err := NewAzureSender("endpoint=http://127.0.0.1:1;accesskey=a2V5", from)
	require.NoError(t, err)
	changes := map[string]func(*Mail){
		"address":    func(m *Mail) { m.To = "ada@example.com\r\nBcc: eve@example.com" },
		"two":        func(m *Mail) { m.To = "ada@example.com,eve@example.com" },
		"command":    func(m *Mail) { m.To = "ada@example.com> NOTIFY=SUCCESS" },
		"name":       func(m *Mail) { m.ToName = "Ada\r\nBcc: eve@example.com" },
		"lone LF":    func(m *Mail) { m.ToName = "Ada\nBcc: eve@example.com" },
		"subject":    func(m *Mail) { m.Subject = "Hi\r\nBcc: eve@example.com" },
		"message id": func(m *Mail) { m.MessageID = "<a@b>\r\nBcc: eve@example.com" },
	}
	for name, s := range map[string]Sender{"file": file, "smtp": smtp, "azure": azure} {
		for what, change := range changes {
			t.Run(name+"/"+what, func(t *testing.T) {
				m := newMail(t)
				change(&m)
				_, err := s.Send(t.Context(), m)
				failure := requireSendError(t, err)
				assert.True(t, failure.Permanent)
				assert.True(t, failure.NotSent)
			})
		}
	}
}

func requireSendError(t testing.TB, err error) *SendError {
	t.Helper()
	var failure *SendError
	require.ErrorAs(t, err, &failure)
	require.NotContains(t, failure.Reason, token)
	require.NotContains(t, failure.Reason, "\n")
	require.LessOrEqual(t, len([]rune(failure.Reason)), maxReason+1)
	return failure
}

func TestFileSender_trouble_is_temporary(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	s, err := NewFileSender(dir, from)
	require.NoError(t, err)

	require.NoError(t, os.Remove(dir))
	_, err = s.Send(t.Context(), newMail(t))
	require.NoError(t, err, "it makes its directory again")

	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.WriteFile(dir, nil, 0o600))
	_, err = s.Send(t.Context(), newMail(t))
	failure := requireSendError(t, err)
	assert.False(t, failure.Permanent)
	assert.True(t, failure.NotSent)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Send(ctx, newMail(t))
	assert.True(t, requireSendError(t, err).NotSent)
}

func TestFileSender_leaves_nothing_behind_on_failure(t *testing.T) {
	s, err := NewFileSender(t.TempDir(), from)
	require.NoError(t, err)
	m := newMail(t)
	// A directory where the file should go makes the rename fail.
	require.NoError(t, os.MkdirAll(filepath.Join(s.dir, "20260304T050607.000Z-"+m.EventID.String()+".eml", "x"), 0o700))
	_, err = s.Send(t.Context(), m)
	assert.True(t, requireSendError(t, err).NotSent)
	entries, err := os.ReadDir(s.dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1)
}

func TestOpenSender(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	const password = "hunter2" + "secret"
	cases := map[string]struct {
		cfg  SenderConfig
		want string // of the error; empty if there is none
	}{
		"file":                  {SenderConfig{Provider: "file", Dir: t.TempDir()}, ""},
		"smtp":                  {SenderConfig{Provider: "smtp", SMTPURL: "smtp://u:p%40@localhost:25?starttls=off"}, ""},
		"smtps":                 {SenderConfig{Provider: "smtp", SMTPURL: "smtps://u:p@mail.example.com"}, ""},
		"azure":                 {SenderConfig{Provider: "azure", AzureConnectionString: " endpoint=https://x.communication.azure.com/;accesskey=a2V5a2V5YQ== "}, ""},
		"azure, other case":     {SenderConfig{Provider: "azure", AzureConnectionString: "AccessKey=a2V5;Endpoint=https://x.communication.azure.com"}, ""},
		"unknown":               {SenderConfig{Provider: "pigeon"}, "not one of file, smtp, azure"},
		"file, bad dir":         {SenderConfig{Provider: "file", Dir: file}, "make the mail directory"},
		"file, bad from":        {SenderConfig{Provider: "file", From: "nobody", Dir: t.TempDir()}, "not a mail address"},
		"smtp, bad from":        {SenderConfig{Provider: "smtp", From: "a@b\r\nBcc: c@d", SMTPURL: "smtp://localhost"}, "not a mail address"},
		"smtp, no URL":          {SenderConfig{Provider: "smtp"}, "must look like"},
		"smtp, scheme":          {SenderConfig{Provider: "smtp", SMTPURL: "http://u:" + password + "@localhost"}, "must begin with"},
		"smtp, raw password":    {SenderConfig{Provider: "smtp", SMTPURL: "smtp://u:" + password + "#@localhost"}, "must look like"},
		"smtp, bad escape":      {SenderConfig{Provider: "smtp", SMTPURL: "smtp://u:" + password + "%zz@localhost"}, "must look like"},
		"smtp, port":            {SenderConfig{Provider: "smtp", SMTPURL: "smtp://u:" + password + "@localhost:70000"}, "port must be"},
		"smtp, option":          {SenderConfig{Provider: "smtp", SMTPURL: "smtp://u:" + password + "@localhost?tls=no"}, "one option only"},
		"smtp, starttls":        {SenderConfig{Provider: "smtp", SMTPURL: "smtp://u:" + password + "@localhost?starttls=maybe"}, "starttls must be"},
		"smtps, starttls":       {SenderConfig{Provider: "smtp", SMTPURL: "smtps://u:" + password + "@localhost?starttls=off"}, "one option only"},
		"azure, empty":          {SenderConfig{Provider: "azure"}, "must look like"},
		"azure, no key":         {SenderConfig{Provider: "azure", AzureConnectionString: "endpoint=https://x.communication.azure.com/"}, "must look like"},
		"azure, key not base64": {SenderConfig{Provider: "azure", AzureConnectionString: "endpoint=https://x.communication.azure.com/;accesskey=" + password + "!"}, "must look like"},
		"azure, no endpoint":    {SenderConfig{Provider: "azure", AzureConnectionString: "accesskey=a2V5"}, "must look like"},
		"azure, in the clear":   {SenderConfig{Provider: "azure", AzureConnectionString: "endpoint=http://x.communication.azure.com/;accesskey=a2V5"}, "must begin with https://"},
		"azure, path":           {SenderConfig{Provider: "azure", AzureConnectionString: "endpoint=https://x.communication.azure.com/a;accesskey=a2V5"}, "must look like"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.cfg.From == "" {
				c.cfg.From = from
			}
			s, err := OpenSender(c.cfg)
			if c.want == "" {
				require.NoError(t, err)
				require.NotNil(t, s)
				return
			}
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), password)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}
