package attacks_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a socket waits for a server that never ends what it should.
const patience = 2 * time.Minute

func (s *server) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

// replies are the answers on one connection, which the server closed in the end.
type replies []answer

// alone wants one answer, of the status.
func (r replies) alone(t *testing.T, status int) answer {
	t.Helper()
	require.Len(t, r, 1)
	return r[0].wants(t, status)
}

// raw sends bytes as they are and reads until the server closes the connection.
func (s *server) raw(t *testing.T, request string) replies {
	t.Helper()
	conn := s.dial(t)
	_, err := io.WriteString(conn, request)
	require.NoError(t, err)
	return s.replies(t, conn)
}

func (s *server) replies(t *testing.T, conn net.Conn) (all replies) {
	t.Helper()
	for reader := bufio.NewReader(conn); ; {
		if _, err := reader.Peek(1); err != nil {
			var timeout net.Error
			require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "the server did not close the connection")
			return all
		}
		response, err := http.ReadResponse(reader, nil)
		require.NoError(t, err)
		all = append(all, s.read(t, response, "raw", false))
	}
}

// beginSlowly opens connections that never send what they promise. They last as long as the other attacks; what it gives sees that the
// server has put an end to them.
func (s *server) beginSlowly(t *testing.T) func(*testing.T, *server) {
	t.Helper()
	starts := []struct{ name, bytes string }{
		{"nothing", ""},
		{"half a request line", "GET /heal"},
		{"half a header", "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "},
		{"headers without an end", "GET /healthz HTTP/1.1\r\nHost: x\r\n"},
		{"a body that does not come", "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"},
		{"half a body", "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"email\":"},
		{"chunks without an end", "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"ema\r\n"},
		{"a second request that does not come", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /heal"},
	}
	const id = "of-a-slow-client"
	s.note(s.ids, id)
	conns := make([]net.Conn, len(starts))
	for i, start := range starts {
		conns[i] = s.dial(t)
		_, err := io.WriteString(conns[i], strings.ReplaceAll(start.bytes, "Host: x\r\n", "Host: x\r\nX-Request-Id: "+id+"\r\n"))
		require.NoError(t, err)
	}
	return func(t *testing.T, s *server) {
		for i, start := range starts {
			t.Run(start.name, func(t *testing.T) {
				require.NoError(t, conns[i].SetDeadline(time.Now().Add(patience)))
				for _, a := range s.replies(t, conns[i]) {
					if strings.HasPrefix(start.bytes, "POST") {
						require.Contains(t, []int{http.StatusBadRequest, http.StatusRequestTimeout}, a.Status)
					}
				}
			})
		}
		t.Run("others are served", func(t *testing.T) { s.admin.alive(t) })
	}
}
