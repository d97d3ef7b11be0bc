package main

import (
	"bytes"
	"errors"
	"html"
	"io"
	"log"
	"mime"
	"mime/multipart"
	"net"
	netmail "net/mail"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"
)

// mailServer is a real SMTP server. It takes and keeps every mail, unless a test tells it how to react to a recipient's.
type mailServer struct {
	t       *testing.T
	address string
	ended   chan struct{}

	mu        sync.Mutex
	server    *smtp.Server
	slow      time.Duration         // how long it takes to accept a mail
	reactions map[string][]reaction // by recipient: one for each of the next tries
	tries     map[string]int
	mails     []mail
}

// mail is one that the server took.
type mail struct {
	to      string
	id      string // Message-ID
	at      time.Time
	content []byte
}

// reaction is what the server does with one try to hand it a mail.
type reaction struct {
	early bool // when it hears the recipient; otherwise when it has the mail
	keep  bool // takes the mail nevertheless
	do    func(net.Conn) error
}

// refuses answers with a code.
func refuses(code int) reaction {
	return reaction{do: func(net.Conn) error { return &smtp.SMTPError{Code: code, Message: "not now, or not ever"} }}
}

// refusesRecipient answers with a code before it sees the mail.
func refusesRecipient(code int) reaction {
	r := refuses(code)
	r.early = true
	return r
}

// hangsUp ends the connection instead of answering.
func hangsUp(conn net.Conn) error {
	_ = conn.Close()
	return io.ErrClosedPipe
}

// held gives a reaction that waits until release is called, and says when it has begun.
func (s *mailServer) held() (do func(net.Conn) error, begun <-chan struct{}, release func()) {
	began, released := make(chan struct{}), make(chan struct{})
	begin := sync.OnceFunc(func() { close(began) })
	return func(net.Conn) error {
		begin()
		select {
		case <-released:
		case <-s.ended:
		}
		return nil
	}, began, sync.OnceFunc(func() { close(released) })
}

func startMailServer(t *testing.T) *mailServer {
	t.Helper()
	s := &mailServer{t: t, ended: make(chan struct{}), reactions: map[string][]reaction{}, tries: map[string]int{}}
	s.serve(listen(t))
	t.Cleanup(func() {
		close(s.ended)
		s.close()
	})
	return s
}

func (s *mailServer) serve(listener net.Listener) {
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &mailSession{server: s, conn: c.Conn()}, nil }))
	server.Domain = "test"
	server.ErrorLog = log.New(io.Discard, "", 0)
	s.mu.Lock()
	s.server, s.address = server, listener.Addr().String()
	s.mu.Unlock()
	go func() { _ = server.Serve(listener) }()
}

// close ends all connections and takes no more.
func (s *mailServer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.server.Close()
}

// reopen takes connections again.
func (s *mailServer) reopen() {
	s.t.Helper()
	listener, err := net.Listen("tcp", s.address)
	require.NoError(s.t, err)
	s.serve(listener)
}

// on tells how to react to the next tries to mail to a recipient.
func (s *mailServer) on(to string, reactions ...reaction) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reactions[to] = reactions
}

// triesFor says how often somebody began to mail to a recipient.
func (s *mailServer) triesFor(to string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries[to]
}

// to gives the mails to a recipient.
func (s *mailServer) to(recipient string) []mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []mail
	for _, m := range s.mails {
		if m.to == recipient {
			found = append(found, m)
		}
	}
	return found
}

// has says whether all of them have been mailed to.
func (s *mailServer) has(recipients []string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	reached := map[string]bool{}
	for _, m := range s.mails {
		reached[m.to] = true
	}
	for _, r := range recipients {
		if !reached[r] {
			return false
		}
	}
	return true
}

// only waits for the first mail to a recipient and gives it.
func (s *mailServer) only(recipient string) mail {
	s.t.Helper()
	eventually(s.t, "no mail to "+recipient, func() bool { return s.has([]string{recipient}) })
	mails := s.to(recipient)
	require.Equal(s.t, 1, len(mails)) // and not Len, which prints them
	return mails[0]
}

func (s *mailServer) keep(to string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := mail{to: to, at: time.Now(), content: content}
	if parsed, err := netmail.ReadMessage(bytes.NewReader(content)); err == nil {
		m.id = parsed.Header.Get("Message-ID")
	}
	s.mails = append(s.mails, m)
}

// mailSession is one connection to the server.
type mailSession struct {
	server *mailServer
	conn   net.Conn
	to     string
	react  reaction
}

func (s *mailSession) Reset()                               {}
func (s *mailSession) Logout() error                        { return nil }
func (s *mailSession) Mail(string, *smtp.MailOptions) error { return nil }

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to, s.react = to, s.server.next(to)
	if s.react.early {
		return s.react.do(s.conn)
	}
	return nil
}

func (s *mailServer) next(to string) (r reaction) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries[to]++
	if left := s.reactions[to]; len(left) > 0 {
		r, s.reactions[to] = left[0], left[1:]
	}
	return r
}

func (s *mailSession) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.server.mu.Lock()
	slow := s.server.slow
	s.server.mu.Unlock()
	time.Sleep(slow)
	if s.react.do != nil && !s.react.early {
		if s.react.keep {
			s.server.keep(s.to, content)
			return s.react.do(s.conn)
		}
		if err := s.react.do(s.conn); err != nil {
			return err
		}
	}
	s.server.keep(s.to, content)
	return nil
}

// token reads the link of a mail as a mail program would, and gives the token in it. Text and HTML must have the same.
func (m mail) token(t *testing.T) string {
	t.Helper()
	message, err := netmail.ReadMessage(bytes.NewReader(m.content))
	require.NoError(t, err)
	kind, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	require.NoError(t, err)
	require.Equal(t, "multipart/alternative", kind)
	parts := multipart.NewReader(message.Body, params["boundary"])
	var links []string
	for {
		part, err := parts.NextPart() // undoes quoted-printable
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		body, err := io.ReadAll(part)
		require.NoError(t, err)
		links = append(links, linkIn(t, html.UnescapeString(string(body))))
	}
	require.Len(t, links, 2)
	require.Equal(t, links[0], links[1])
	return tokenOf(t, links[0])
}

// linkIn finds the link with a token in a text.
func linkIn(t *testing.T, text string) string {
	t.Helper()
	found := regexp.MustCompile(regexp.QuoteMeta(appURL) + `/(register|reset)\?token=[^"\s<]+`).FindString(text)
	require.NotEmpty(t, found, text)
	return found
}

func tokenOf(t *testing.T, link string) string {
	t.Helper()
	u, err := url.Parse(link)
	require.NoError(t, err)
	return u.Query().Get("token")
}

func subject(t *testing.T, m mail) string {
	t.Helper()
	message, err := netmail.ReadMessage(bytes.NewReader(m.content))
	require.NoError(t, err)
	return strings.TrimSpace(message.Header.Get("Subject"))
}
