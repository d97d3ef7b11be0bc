package attacks_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	triesPerMinute = 20
	wrongPassword  = "Not the right 1"
)

// flood sends n tries that cost the server nothing, and wants at least the least of them to come through, and no more than the most and
// what the limit has given back in the time that they took.
func flood(t *testing.T, s *server, n, least, most int, path string, headers func(i int) []string) {
	t.Helper()
	start, through := time.Now(), 0
	for i := range n {
		a := s.anonymous().post(t, path, "{", headers(i)...)
		if a.Status == http.StatusTooManyRequests {
			a.refuses(t, http.StatusTooManyRequests, "request")
			continue
		}
		a.refuses(t, http.StatusBadRequest, "request")
		through++
	}
	regained := int(time.Since(start)*triesPerMinute/time.Minute) + 1
	require.LessOrEqual(t, through, most+regained)
	require.GreaterOrEqual(t, through, least)
}

// always gives the same headers to every request.
func always(headers ...string) func(int) []string { return func(int) []string { return headers } }

// attackThrottling: guessing is slow, whoever an attacker says he is, and does not lock the owner out.
func attackThrottling(t *testing.T, s *server) {
	t.Run("address", func(t *testing.T) { attackAddress(t, s.beside(t, fmt.Sprintf("AUTH_RATE_LIMIT=%d", triesPerMinute))) })
	t.Run("proxy", func(t *testing.T) {
		attackBehindProxy(t, s.beside(t, fmt.Sprintf("AUTH_RATE_LIMIT=%d", triesPerMinute), "TRUSTED_PROXIES=127.0.0.1"))
	})

	atOnce := func(t *testing.T, refused int, call func(i int) answer) {
		t.Helper()
		start := time.Now()
		counts := tally(race(30, call))
		most := 10 // are free; then each doubles the wait, from a second
		for wait := time.Second; wait <= time.Since(start); wait *= 2 {
			most++
		}
		require.LessOrEqual(t, counts[refused], most, counts)
		require.Positive(t, counts[http.StatusTooManyRequests], counts)
		require.Equal(t, 30, counts[refused]+counts[http.StatusTooManyRequests]+counts[http.StatusServiceUnavailable], counts)
	}
	t.Run("account/thirty at once", func(t *testing.T) {
		c := s.newUser(t, user)
		atOnce(t, http.StatusUnauthorized, func(int) answer {
			return s.anonymous().crowded().post(t, "/auth/login", j{"email": c.email, "password": wrongPassword})
		})
		c.alive(t)
	})
	t.Run("account/a stranger's is counted alike", func(t *testing.T) {
		email := s.unique("stranger") + "@example.com"
		atOnce(t, http.StatusUnauthorized, func(i int) answer {
			return s.anonymous().crowded().post(t, "/auth/login", j{"email": []string{email, strings.ToUpper(email)}[i%2], "password": wrongPassword})
		})
	})
	t.Run("account/the current password by a stolen session", func(t *testing.T) {
		c := s.newUser(t, user)
		atOnce(t, http.StatusBadRequest, func(int) answer {
			return c.crowded().put(t, "/auth/password", j{"currentPassword": wrongPassword, "newPassword": "Quite another 1"})
		})
	})
}

// attackAddress is about a server that no proxy stands before. Its users have used up some tries of the one address that there is.
func attackAddress(t *testing.T, s *server) {
	t.Run("twenty a minute", func(t *testing.T) {
		const ofTheUsers = 4
		flood(t, s, 60, triesPerMinute-ofTheUsers, triesPerMinute, "/auth/login", always())
	})
	for _, header := range []string{
		"X-Forwarded-For", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "Forwarded-For", "X-Forwarded", "X-Originating-Ip", "X-Remote-Ip", "X-Remote-Addr", "Fastly-Client-Ip",
		"X-Appengine-Remote-Addr", "X-Azure-Clientip", "Client-Ip", "Via",
	} {
		t.Run("spoofed/"+header, func(t *testing.T) {
			flood(t, s, 15, 0, 0, "/auth/login", func(i int) []string { return []string{header, fmt.Sprintf("198.51.100.%d", i)} })
		})
	}
	for name, headers := range map[string]func(i int) []string{
		"Forwarded": func(i int) []string { return []string{"Forwarded", fmt.Sprintf("for=198.51.100.%d;proto=https", i)} },
		"all at once": func(i int) []string {
			return []string{"X-Forwarded-For", fmt.Sprint("10.0.0.", i), "X-Real-IP", fmt.Sprint("10.0.0.", i), "Forwarded", fmt.Sprint("for=10.0.0.", i)}
		},
		"the proxy's own address": always("X-Forwarded-For", "127.0.0.1"),
		"many in a row": func(i int) []string {
			return []string{"X-Forwarded-For", strings.Repeat("10.1.1.1, ", 50) + fmt.Sprint("10.0.0.", i)}
		},
		"another Host": func(i int) []string { return []string{"Host", fmt.Sprintf("host%d.example.com", i)} },
		"another browser": func(i int) []string {
			return []string{"User-Agent", fmt.Sprint("Mozilla ", i), "Cookie", fmt.Sprint("id=", i)}
		},
		"another origin": func(i int) []string { return []string{"Origin", fmt.Sprintf("https://%d.example.com", i)} },
		"a token":        func(int) []string { return []string{"Authorization", "Bearer " + s.admin.access} },
	} {
		t.Run("spoofed/"+name, func(t *testing.T) { flood(t, s, 15, 0, 0, "/auth/login", headers) })
	}
	for _, path := range []string{"/auth/register", "/auth/refresh", "/auth/forgot", "/auth/reset", "/auth/login?x=1"} {
		t.Run("shared with "+path, func(t *testing.T) { flood(t, s, 15, 0, 0, path, always()) })
	}
	t.Run("who is signed in goes on", func(t *testing.T) {
		s.admin.alive(t)
		s.product(t, 1)
	})
	t.Run("the audit log tells the socket's address", func(t *testing.T) {
		entries := s.admin.get(t, "/audit?pageSize=100").wants(t, http.StatusOK).json(t)["audit"].([]any)
		require.NotEmpty(t, entries)
		for _, entry := range entries {
			require.Contains(t, []any{"127.0.0.1", "command line"}, entry.(map[string]any)["address"])
		}
	})
	t.Run("logs", func(t *testing.T) { readLogs(t, s) })
}

// attackBehindProxy is about a server that believes one proxy, from where all of these requests come.
func attackBehindProxy(t *testing.T, s *server) {
	const forwarded = "X-Forwarded-For"
	t.Run("each client counts alone", func(t *testing.T) {
		flood(t, s, 60, 60, 60, "/auth/login", func(i int) []string { return []string{forwarded, fmt.Sprintf("192.0.2.%d", i)} })
	})
	for name, headers := range map[string]func(i int) []string{
		"one client":                   always(forwarded, "203.0.113.1"),
		"what the client wrote before": func(i int) []string { return []string{forwarded, fmt.Sprintf("198.51.100.%d, 203.0.113.2", i)} },
		"what the client wrote by itself": func(i int) []string {
			return []string{forwarded, fmt.Sprintf("198.51.100.%d", i), forwarded, "203.0.113.3"}
		},
		"the proxy's address before": func(i int) []string {
			return []string{forwarded, fmt.Sprintf("198.51.100.%d, 127.0.0.1, 203.0.113.4", i)}
		},
		"X-Real-IP beside": func(i int) []string {
			return []string{forwarded, "203.0.113.5", "X-Real-Ip", fmt.Sprintf("198.51.100.%d", i)}
		},
		"Forwarded beside": func(i int) []string {
			return []string{forwarded, "203.0.113.6", "Forwarded", fmt.Sprintf("for=198.51.100.%d", i)}
		},
		"garbage before":    func(i int) []string { return []string{forwarded, fmt.Sprintf("%d<script>, 203.0.113.7", i)} },
		"a mapped address":  func(i int) []string { return []string{forwarded, []string{"203.0.113.8", "::ffff:203.0.113.8"}[i%2]} },
		"one IPv6 customer": func(i int) []string { return []string{forwarded, fmt.Sprintf("2001:db8:1:1::%x", i)} },
		"nothing that can be an address": func(i int) []string {
			return []string{forwarded, []string{"x", "", "1.2.3", "1.2.3.4.5", "::1::2", "-", "unknown", "_hidden", "999.1.1.1"}[i%9]}
		},
		"an address with a port":      func(i int) []string { return []string{forwarded, fmt.Sprintf("203.0.113.9:%d", 1000+i)} },
		"an IPv6 address with a port": func(i int) []string { return []string{forwarded, fmt.Sprintf("[2001:db8:2:1::1]:%d", 1000+i)} },
		"an IPv6 address with a zone": func(i int) []string { return []string{forwarded, fmt.Sprintf("fe80::1%%eth%d", i)} },
		"another Forwarded header's names": func(i int) []string {
			return []string{forwarded, "203.0.113.10", "True-Client-Ip", fmt.Sprint("10.0.0.", i), "Cf-Connecting-Ip", fmt.Sprint("10.0.0.", i)}
		},
	} {
		t.Run("counted together/"+name, func(t *testing.T) { flood(t, s, 50, 0, triesPerMinute, "/auth/login", headers) })
	}
	t.Run("each IPv6 customer counts alone", func(t *testing.T) {
		flood(t, s, 40, 40, 40, "/auth/login", func(i int) []string { return []string{forwarded, fmt.Sprintf("2001:db8:3:%x::1", i)} })
	})

	const home = "203.0.113.77"
	owner := s.admin
	login := func(password, from string) answer {
		return s.anonymous().crowded().post(t, "/auth/login", j{"email": owner.email, "password": password}, forwarded, from)
	}
	t.Run("account/guessed from fifty addresses", func(t *testing.T) {
		login(owner.password, home).wants(t, http.StatusOK)
		counts := map[int]int{}
		for round := range 3 {
			for status, n := range tally(race(50, func(i int) answer {
				return login(fmt.Sprintf("%s of round %d", wrongPassword, round), fmt.Sprintf("198.51.100.%d", i+1))
			})) {
				counts[status] += n
			}
		}
		require.LessOrEqual(t, counts[http.StatusUnauthorized], 100, counts)
		require.Positive(t, counts[http.StatusTooManyRequests], counts)
		login(owner.password, home).wants(t, http.StatusOK)
	})
	t.Run("account/the right password from a new address has to wait", func(t *testing.T) {
		login(owner.password, "198.51.100.200").refuses(t, http.StatusTooManyRequests, "request")
	})
	t.Run("account/the owner's address is not his who only says so", func(t *testing.T) {
		login(owner.password, home+", 198.51.100.201").refuses(t, http.StatusTooManyRequests, "request")
	})
	t.Run("account/the session goes on", func(t *testing.T) { owner.alive(t) })
	t.Run("the audit log tells the last hop", func(t *testing.T) {
		login(wrongPassword, "192.0.2.250, 198.51.100.250")
		s.anonymous().post(t, "/auth/login", j{"email": "nobody@example.com", "password": wrongPassword}, forwarded, "192.0.2.250, 198.51.100.251").refuses(t, http.StatusUnauthorized, "credentials")
		log := s.admin.get(t, "/audit?pageSize=100").wants(t, http.StatusOK).Body
		require.Contains(t, log, `"198.51.100.251"`)
		require.NotContains(t, log, "192.0.2.250")
	})
	t.Run("logs", func(t *testing.T) { readLogs(t, s) })
}
