package email

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/url"
	"strconv"
	"time"

	"github.com/wneessen/go-mail"
)

const (
	smtpConnectTimeout = 10 * time.Second
	smtpSendTimeout    = 30 * time.Second // from connecting to the server's final answer
	smtpQuitTimeout    = 2 * time.Second  // for a courtesy
	smtpMaxAnswers     = 1 << 20          // bytes of answers in one session; a server that talks on is cut off
)

// SMTPSender hands mails to an SMTP server, one session each. It may be used by several goroutines.
type SMTPSender struct {
	from           *netmail.Address
	host           string
	port           int
	implicitTLS    bool
	startTLS       mail.TLSPolicy
	user           *url.Userinfo  // nil: no authentication
	roots          *x509.CertPool // nil: the system's
	connectTimeout time.Duration
	sendTimeout    time.Duration
}

// NewSMTPSender takes `smtp://user:password@host:587` (port 587 unless given), which insists on STARTTLS unless the URL
// says `?starttls=opportunistic` or `?starttls=off`, or `smtps://...` (port 465), TLS from the first byte without a
// fallback. User and password, percent-encoded, may be missing; a password is never sent in the clear except to localhost.
// The errors never quote the URL.
func NewSMTPSender(smtpURL, from string) (*SMTPSender, error) {
	sender, err := parseFrom(from)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(smtpURL)
	if err != nil || u.Hostname() == "" || (u.Path != "" && u.Path != "/") || u.Fragment != "" {
		return nil, errors.New("the SMTP URL must look like smtp://user:password@host:587, with the password percent-encoded")
	}
	s := &SMTPSender{
		from: sender, host: u.Hostname(), user: u.User,
		connectTimeout: smtpConnectTimeout, sendTimeout: smtpSendTimeout,
	}
	switch u.Scheme {
	case "smtp":
		s.port, s.startTLS = 587, mail.TLSMandatory
	case "smtps":
		s.port, s.implicitTLS = 465, true
	default:
		return nil, errors.New("the SMTP URL must begin with smtp:// or smtps://")
	}
	if err := s.parseOptions(u.Query()); err != nil {
		return nil, err
	}
	if u.Port() != "" {
		if s.port, err = strconv.Atoi(u.Port()); err != nil || s.port < 1 || s.port > 65535 {
			return nil, errors.New("the SMTP URL's port must be a number from 1 to 65535")
		}
	}
	return s, nil
}

func (s *SMTPSender) parseOptions(query url.Values) error {
	for name := range query {
		if name != "starttls" || s.implicitTLS {
			return errors.New("the SMTP URL takes one option only: starttls, with smtp://")
		}
	}
	switch query.Get("starttls") {
	case "", "required":
	case "opportunistic":
		s.startTLS = mail.TLSOpportunistic
	case "off":
		s.startTLS = mail.NoTLS
	default:
		return errors.New("the SMTP URL's starttls must be required, opportunistic or off")
	}
	return nil
}

// Send hands the mail over. It is Sent once the server has answered the final dot with 250. A 4xx is temporary, a 5xx
// about the mail permanent. Whatever goes wrong before the mail is begun (no connection, TLS, a refused password) is
// temporary, since it is the operator's to mend. No answer to the final dot leaves the outcome unclear.
func (s *SMTPSender) Send(ctx context.Context, m Mail) (Receipt, error) {
	msg, err := newMessage(m, s.from)
	if err != nil {
		return Receipt{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.sendTimeout)
	defer cancel()
	conn, err := s.connect(ctx)
	if err != nil {
		return Receipt{}, &SendError{NotSent: true, Reason: line("connect to the SMTP server: "+err.Error(), m.secret)}
	}
	defer func() { _ = conn.Close() }() // also after a failed handshake, where the library leaves it open
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := s.converse(ctx, conn, msg); err != nil {
		if ctx.Err() != nil {
			err.Reason = "no answer from the SMTP server in time: " + err.Reason
		}
		err.Reason = line(err.Reason, m.secret)
		return Receipt{}, err
	}
	return Receipt{Sent: true}, nil
}

func (s *SMTPSender) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.connectTimeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(s.host, strconv.Itoa(s.port)))
	if err != nil {
		return nil, err
	}
	conn = &boundedConn{Conn: conn, left: smtpMaxAnswers}
	if !s.implicitTLS {
		return conn, nil
	}
	secure := tls.Client(conn, s.tlsConfig())
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

func (s *SMTPSender) tlsConfig() *tls.Config {
	return &tls.Config{ServerName: s.host, RootCAs: s.roots, MinVersion: tls.VersionTLS12}
}

// converse runs the session on a connection. A nil answer means that the server took the mail.
func (s *SMTPSender) converse(ctx context.Context, conn net.Conn, msg *mail.Msg) *SendError {
	client, err := mail.NewClient(s.host, s.options(conn)...)
	if err != nil {
		return &SendError{NotSent: true, Reason: err.Error()}
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return &SendError{NotSent: true, Reason: fmt.Sprintf("begin the SMTP session: %v", err)}
	}
	if err := client.SendWithSMTPClient(session, msg); !msg.IsDelivered() {
		return smtpFailure(err)
	}
	// Taken is taken, however the goodbye ends.
	_ = conn.SetDeadline(time.Now().Add(smtpQuitTimeout))
	_ = session.Quit()
	return nil
}

func (s *SMTPSender) options(conn net.Conn) []mail.Option {
	options := []mail.Option{
		mail.WithPort(s.port),
		mail.WithTimeout(s.sendTimeout),
		mail.WithTLSPolicy(s.startTLS),
		mail.WithTLSConfig(s.tlsConfig()),
		mail.WithDialContextFunc(func(context.Context, string, string) (net.Conn, error) { return conn, nil }),
		mail.WithoutNoop(),
		mail.WithoutRset(),
		// Our headers and addresses are ASCII; asking for SMTPUTF8 would make servers bounce at a next one that lacks it.
		mail.WithoutSMTPUTF8(),
	}
	if s.implicitTLS {
		options = append(options, mail.WithSSL())
	}
	if s.user != nil {
		password, _ := s.user.Password()
		options = append(options, mail.WithUsername(s.user.Username()), mail.WithPassword(password),
			// The library's own search does not see that our connection is encrypted. It refuses the last two in the clear.
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthCramMD5, mail.SMTPAuthPlain, mail.SMTPAuthLogin))
	}
	return options
}

// smtpCredentialCodes are 5xx answers that are about us, not about the mail (RFC 4954 section 6, RFC 3207 section 4).
var smtpCredentialCodes = map[int]bool{530: true, 534: true, 535: true, 538: true}

// smtpFailure sorts an error of the mail transaction. The library's own IsTemp takes a broken connection for permanent,
// so the code decides; 0 means that the server said nothing.
func smtpFailure(err error) *SendError {
	var failure *mail.SendError
	if !errors.As(err, &failure) {
		return &SendError{Reason: fmt.Sprint(err)}
	}
	code := failure.ErrorCode()
	return &SendError{
		Permanent: code >= 500 && !smtpCredentialCodes[code],
		NotSent:   code != 0 || failure.Reason != mail.ErrSMTPDataClose,
		Reason:    failure.Error(),
	}
}

// boundedConn ends a connection that sends more than it should.
type boundedConn struct {
	net.Conn
	left int
}

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("the server sends too much")
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
