package email

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// certificate makes a server certificate for 127.0.0.1 and the pool that trusts it.
func certificate(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

// recorder is a real SMTP server that keeps what it gets.
type recorder struct {
	mu       sync.Mutex
	from     string
	to       []string
	messages []string
}

func (r *recorder) NewSession(*smtp.Conn) (smtp.Session, error) { return r, nil }
func (r *recorder) Reset()                                      {}
func (r *recorder) Logout() error                               { return nil }

func (r *recorder) Mail(from string, _ *smtp.MailOptions) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.from = from
	return nil
}

func (r *recorder) Rcpt(to string, _ *smtp.RcptOptions) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = append(r.to, to)
	return nil
}

func (r *recorder) Data(body io.Reader) error {
	content, err := io.ReadAll(body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, string(content))
	return err
}

func startRecorder(t *testing.T, config *tls.Config, implicit bool) (*recorder, string) {
	t.Helper()
	r := &recorder{}
	server := smtp.NewServer(r)
	server.Domain = "test"
	server.ErrorLog = log.New(io.Discard, "", 0)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := listener.Addr().String()
	if implicit {
		listener = tls.NewListener(listener, config)
	} else {
		server.TLSConfig = config
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return r, addr
}

func TestSMTPSender_Send(t *testing.T) {
	config, pool := certificate(t)
	cases := map[string]struct {
		url    string
		config *tls.Config
	}{
		"starttls":      {"smtp://%s", config},
		"smtps":         {"smtps://%s", config},
		"opportunistic": {"smtp://%s?starttls=opportunistic", nil},
		"off":           {"smtp://%s?starttls=off", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, addr := startRecorder(t, c.config, name == "smtps")
			s, err := NewSMTPSender(fmt.Sprintf(c.url, addr), from)
			require.NoError(t, err)
			s.roots = pool
			m := newMail(t)
			receipt, err := s.Send(t.Context(), m)
			require.NoError(t, err)
			assert.Equal(t, Receipt{Sent: true}, receipt)

			r.mu.Lock()
			defer r.mu.Unlock()
			assert.Equal(t, "hub@mail.example.com", r.from)
			assert.Equal(t, []string{"ada@example.com"}, r.to)
			require.Len(t, r.messages, 1)
			header, text, html := parts(t, strings.NewReader(r.messages[0]))
			assert.Equal(t, m.MessageID, header.Get("Message-ID"))
			assert.Equal(t, m.Text, text)
			assert.Equal(t, m.HTML, html)
		})
	}
}

// script is how a fake server answers: by verb, "." being the end of the mail and "hello" the greeting. "drop" ends the
// connection, "hang" says nothing any more, "flood" never stops talking. A verb that is not listed is answered with success.
type script map[string]string

// fakeSMTP plays one script a connection, the last one for ever, and notes the lines it got.
type fakeSMTP struct {
	addr    string
	tls     *tls.Config
	mu      sync.Mutex
	scripts []script
	lines   []string
}

func startFakeSMTP(t *testing.T, config *tls.Config, scripts ...script) *fakeSMTP {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &fakeSMTP{addr: listener.Addr().String(), tls: config, scripts: scripts}
	ctx, cancel := context.WithCancel(context.Background())
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			open.Go(func() {
				defer stop()
				f.serve(ctx, conn, f.next())
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		open.Wait()
	})
	return f
}

func (f *fakeSMTP) next() script {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.scripts[0]
	if len(f.scripts) > 1 {
		f.scripts = f.scripts[1:]
	}
	return s
}

// got gives what came since the last call.
func (f *fakeSMTP) got() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	lines := strings.Join(f.lines, "\n")
	f.lines = nil
	return lines
}

func (f *fakeSMTP) serve(ctx context.Context, conn net.Conn, s script) {
	defer func() { _ = conn.Close() }()
	usual := map[string]string{
		"hello": "220 fake", "EHLO": "250-fake\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN LOGIN", "DATA": "354 go on",
		"AUTH": "235 welcome", "STARTTLS": "220 go on", "QUIT": "221 bye",
	}
	if f.tls != nil {
		usual["EHLO"] = "250-fake\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN"
	}
	verb, data := "hello", false
	reader := bufio.NewReader(conn)
	for {
		reply, ok := s[verb]
		if !ok {
			reply = usual[verb]
		}
		if reply == "" {
			reply = "250 fine"
		}
		switch reply {
		case "drop":
			return
		case "hang":
			<-ctx.Done()
			return
		case "flood":
			for {
				if _, err := io.WriteString(conn, strings.Repeat("250-and on\r\n", 1000)); err != nil {
					return
				}
			}
		}
		if _, err := io.WriteString(conn, reply+"\r\n"); err != nil {
			return
		}
		if verb == "STARTTLS" && strings.HasPrefix(reply, "220") {
			conn = tls.Server(conn, f.tls)
			reader = bufio.NewReader(conn)
		}
		data = verb == "DATA" && strings.HasPrefix(reply, "354")
		for {
			line, err := reader.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimRight(line, "\r\n")
			f.mu.Lock()
			f.lines = append(f.lines, line)
			f.mu.Unlock()
			if !data || line == "." {
				verb, _, _ = strings.Cut(line, " ")
				break
			}
		}
	}
}

func newSMTPSender(t *testing.T, url string) *SMTPSender {
	t.Helper()
	s, err := NewSMTPSender(url, from)
	require.NoError(t, err)
	s.connectTimeout, s.sendTimeout = 2*time.Second, 2*time.Second
	return s
}

func TestSMTPSender_hostile_servers(t *testing.T) {
	temporary := SendError{NotSent: true}
	permanent := SendError{Permanent: true, NotSent: true}
	unclear := SendError{}
	cases := map[string]struct {
		script script
		want   SendError
		reason string
	}{
		"hangs before the greeting": {script{"hello": "hang"}, temporary, "in time|i/o timeout"},
		"drops before the greeting": {script{"hello": "drop"}, temporary, "begin the SMTP session"},
		"greets 421":                {script{"hello": "421 busy"}, temporary, "421"},
		"greets 554":                {script{"hello": "554 no service here"}, temporary, "554"},
		"floods the greeting":       {script{"hello": "flood"}, temporary, "begin the SMTP session"},
		"hangs after EHLO":          {script{"EHLO": "hang"}, temporary, "in time|i/o timeout"},
		"floods EHLO":               {script{"EHLO": "flood"}, temporary, "too much"},
		"refuses the password":      {script{"AUTH": "535 wrong"}, temporary, "535"},
		"wants another password":    {script{"AUTH": "534 too weak"}, temporary, "534"},
		"MAIL 421":                  {script{"MAIL": "421 going down"}, temporary, "421"},
		"MAIL 451":                  {script{"MAIL": "451 later"}, temporary, "451"},
		"MAIL 530":                  {script{"MAIL": "530 log in first"}, temporary, "530"},
		"MAIL 550":                  {script{"MAIL": "550 not from you"}, permanent, "550"},
		"MAIL dropped":              {script{"MAIL": "drop"}, temporary, "MAIL FROM"},
		"RCPT 450":                  {script{"RCPT": "450 greylisted"}, temporary, "450"},
		"RCPT 550":                  {script{"RCPT": "550 nobody here"}, permanent, "550"},
		"RCPT hangs":                {script{"RCPT": "hang"}, temporary, "in time|i/o timeout"},
		"DATA 452":                  {script{"DATA": "452 full"}, temporary, "452"},
		"DATA 554":                  {script{"DATA": "554 no"}, permanent, "554"},
		"hangs after DATA":          {script{"DATA": "hang"}, temporary, "in time|i/o timeout"},
		"drops after DATA":          {script{"DATA": "drop"}, temporary, "DATA"},
		"dot 421":                   {script{".": "421 going down"}, temporary, "421"},
		"dot 451":                   {script{".": "451 later"}, temporary, "451"},
		"dot 552":                   {script{".": "552 too large"}, permanent, "552"},
		"dot 554 quotes the link":   {script{".": "554 spam: https://hub.example.com/register?token=" + token}, permanent, `\[token\]`},
		"drops after the dot":       {script{".": "drop"}, unclear, "DATA"},
		"hangs after the dot":       {script{".": "hang"}, unclear, "in time|i/o timeout"},
		"nonsense after the dot":    {script{".": "OK"}, unclear, "DATA"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFakeSMTP(t, nil, c.script)
			s := newSMTPSender(t, "smtp://user:hunter2secret@"+f.addr+"?starttls=off")
			begin := time.Now()
			_, err := s.Send(t.Context(), newMail(t))
			assert.Less(t, time.Since(begin), 30*time.Second, "it hangs")
			failure := requireSendError(t, err)
			assert.Regexp(t, c.reason, failure.Reason)
			assert.NotContains(t, failure.Reason, "hunter2")
			got := *failure
			got.Reason = ""
			assert.Equal(t, c.want, got, failure.Reason)
		})
	}
}

func TestSMTPSender_taken_is_taken(t *testing.T) {
	for _, end := range []string{"drop", "hang", "500 what?"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			f := startFakeSMTP(t, nil, script{"QUIT": end})
			receipt, err := newSMTPSender(t, "smtp://"+f.addr+"?starttls=off").Send(t.Context(), newMail(t))
			require.NoError(t, err)
			assert.True(t, receipt.Sent)
		})
	}
}

func TestSMTPSender_busy_three_times_then_accepts(t *testing.T) {
	busy := script{"RCPT": "451 busy"}
	f := startFakeSMTP(t, nil, busy, script{"hello": "421 busy"}, script{".": "451 busy"}, script{})
	s := newSMTPSender(t, "smtp://"+f.addr+"?starttls=off")
	for range 3 {
		_, err := s.Send(t.Context(), newMail(t))
		failure := requireSendError(t, err)
		assert.False(t, failure.Permanent)
		assert.True(t, failure.NotSent)
	}
	f.got()
	receipt, err := s.Send(t.Context(), newMail(t))
	require.NoError(t, err)
	assert.True(t, receipt.Sent)
	got := f.got()
	assert.Equal(t, 1, strings.Count(got, "RCPT TO:"))
	assert.Contains(t, got, "MAIL FROM:<hub@mail.example.com> BODY=8BITMIME\n", "nothing in it needs SMTPUTF8")
	assert.Contains(t, got, "Message-ID: "+newMail(t).MessageID)
}

func TestSMTPSender_refused_connection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := listener.Addr().String()
	require.NoError(t, listener.Close())
	_, err = newSMTPSender(t, "smtp://"+addr).Send(t.Context(), newMail(t))
	failure := requireSendError(t, err)
	assert.False(t, failure.Permanent)
	assert.True(t, failure.NotSent)
}

func TestSMTPSender_never_falls_back_to_plain_text(t *testing.T) {
	config, pool := certificate(t)
	_, stranger := certificate(t)
	cases := map[string]struct {
		scheme string
		config *tls.Config
		roots  *x509.CertPool
		script script
	}{
		"starttls missing":            {"smtp", nil, pool, script{}},
		"starttls refused":            {"smtp", config, pool, script{"STARTTLS": "454 not now"}},
		"starttls, wrong certificate": {"smtp", config, stranger, script{}},
		"smtps at a plain server":     {"smtps", nil, pool, script{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFakeSMTP(t, c.config, c.script)
			s := newSMTPSender(t, c.scheme+"://user:hunter2secret@"+f.addr)
			s.roots = c.roots
			_, err := s.Send(t.Context(), newMail(t))
			failure := requireSendError(t, err)
			assert.False(t, failure.Permanent)
			assert.True(t, failure.NotSent)
			got := f.got()
			for _, never := range []string{"AUTH", "MAIL", "ada@", token} {
				assert.NotContains(t, got, never)
			}
		})
	}
	t.Run("smtps, wrong certificate", func(t *testing.T) {
		_, addr := startRecorder(t, config, true)
		s := newSMTPSender(t, "smtps://"+addr)
		s.roots = stranger
		_, err := s.Send(t.Context(), newMail(t))
		failure := requireSendError(t, err)
		assert.Contains(t, failure.Reason, "certificate")
		assert.True(t, failure.NotSent)
		assert.False(t, failure.Permanent)
	})
}

func TestSMTPSender_logs_in_over_TLS(t *testing.T) {
	config, pool := certificate(t)
	f := startFakeSMTP(t, config, script{})
	s := newSMTPSender(t, "smtp://user%40example.com:p%23ss%20word@"+f.addr)
	s.roots = pool
	_, err := s.Send(t.Context(), newMail(t))
	require.NoError(t, err)
	assert.Contains(t, f.got(), "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00user@example.com\x00p#ss word")))
}

func TestSMTPSender_ends_when_cancelled(t *testing.T) {
	f := startFakeSMTP(t, nil, script{"MAIL": "hang"})
	s := newSMTPSender(t, "smtp://"+f.addr+"?starttls=off")
	s.sendTimeout = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := s.Send(ctx, newMail(t))
	assert.True(t, requireSendError(t, err).NotSent)
	assert.Less(t, time.Since(begin), 30*time.Second, "it hangs")
}
