package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/cloudevents"
	"inventoryhub/internal/domain"
	"inventoryhub/internal/rabbitmq"
)

const jane = "jane@example.com"

// TestInvite_killed cuts the server off around the commit of an invitation.
func TestInvite_killed(t *testing.T) {
	t.Parallel()
	h := newSharedHub(t)
	h.startWorker()

	api := h.startAPI()
	g := h.closeGate("INSERT", "outbox", "true")
	answered := make(chan error, 1)
	go func() { answered <- h.try(api, jane) }()
	g.reached(1)
	g.crash(api)
	require.Error(t, <-answered)
	g.open()
	require.Zero(t, h.count("users WHERE email = $1", jane), "before the commit, nothing has happened")
	require.Zero(t, h.count("outbox"))

	api = h.startAPI()
	g = h.closeGate("UPDATE", "outbox", "NEW.due_at <> OLD.due_at") // the relay takes the event up
	h.invite(api, jane)
	g.reached(1)
	g.crash(api)
	g.open()
	require.Empty(t, h.mails.to(jane))
	h.requireSettled(h.startAPI(), settled{})
}

// TestRelay_killed ends the server when the broker has confirmed an event and the outbox does not know it: the event is published twice.
func TestRelay_killed(t *testing.T) {
	t.Parallel()
	h := newSharedHub(t)
	h.startWorker()
	api := h.startAPI()
	g := h.closeGate("UPDATE", "outbox", "NEW.state = 'Sent'")
	h.invite(api, jane)
	g.reached(1)
	g.crash(api)
	g.open()
	h.mails.only(jane)
	require.Equal(t, 1, h.count("outbox WHERE state = 'Pending'"))
	h.endLeases()
	h.requireSettled(h.startAPI(), settled{})
}

// TestWorker_killed ends the worker at each point of a mail's way where it makes a difference.
func TestWorker_killed(t *testing.T) {
	t.Parallel()

	t.Run("before the server has the mail", func(t *testing.T) {
		t.Parallel()
		h := newSharedHub(t)
		api, worker := h.startAPI(), h.startWorker()
		hold, begun, release := h.mails.held()
		h.mails.on(jane, reaction{early: true, do: hold})
		h.invite(api, jane)
		<-begun
		worker.kill()
		release()
		left := h.invitation(api, jane)
		left.ExpiresAt = nil
		require.Equal(t, invitation{State: domain.InvitationQueued, Attempts: 1}, left)
		h.endLeases()
		h.startWorker()
		h.requireSettled(api, settled{})
		require.Equal(t, 2, h.mails.triesFor(jane))
	})

	// SMTP cannot tell whether a mail was taken: it may be mailed again, under the same Message-ID.
	t.Run("before the record", func(t *testing.T) {
		t.Parallel()
		h := newSharedHub(t)
		api, worker := h.startAPI(), h.startWorker()
		g := h.closeGate("UPDATE", "deliveries", "NEW.state = 'Sent'")
		h.invite(api, jane)
		g.reached(1)
		g.crash(worker)
		g.open()
		h.mails.only(jane)
		h.endLeases()
		h.startWorker()
		h.requireSettled(api, settled{twice: []string{jane}})
		require.Equal(t, 2, h.invitation(api, jane).Attempts)
	})

	t.Run("before the broker knows", func(t *testing.T) {
		t.Parallel()
		h := newSharedHub(t)
		l := newLink(t, h.broker)
		api, worker := h.startAPI(), h.startWorker("RABBITMQ_URL="+l.url)
		hold, begun, release := h.mails.held()
		h.mails.on(jane, reaction{do: hold})
		h.invite(api, jane)
		<-begun
		l.deafen()
		release()
		eventually(t, "not recorded", func() bool { return h.invitation(api, jane).State == domain.InvitationSent })
		worker.kill()
		h.startWorker()
		h.requireSettled(api, settled{})
		require.Equal(t, 1, h.mails.triesFor(jane))
	})
}

// TestWorker_killedTooOften ends the worker again and again while it handles the same events. The broker puts them aside in the end, and
// nothing is lost.
func TestWorker_killedTooOften(t *testing.T) {
	t.Parallel()
	h := newSharedHub(t)
	api := h.startAPI()
	g := h.closeGate("INSERT", "deliveries", "true")
	doomed := numbered("doomed", 5) // as many as a worker handles at a time
	h.invite(api, doomed...)
	deaths, dead := 0, func() bool {
		depth, err := h.queues.Depth(t.Context())
		return err == nil && depth.Dead == len(doomed)
	}
	for ; !dead(); deaths++ {
		worker := h.startWorker()
		eventually(t, "the worker has nothing to do", func() bool { return g.waiting() == len(doomed) || dead() })
		g.crash(worker)
	}
	require.Greater(t, deaths, 20)
	g.open()
	require.Equal(t, len(doomed), strings.Count(h.operate("dead", "list"), "delivery_limit"))

	h.startWorker()
	require.Equal(t, "5 requeued\n", h.operate("dead", "requeue"))
	h.requireSettled(api, settled{})
}

// load invites steadily until it is stopped, which gives what went wrong.
func (h *hub) load(pause time.Duration, apis ...*program) (stop func() []error) {
	ctx, cancel := context.WithCancel(context.Background())
	h.t.Cleanup(cancel)
	done := make(chan []error, 1)
	go func() {
		var failed []error
		for i := 0; ctx.Err() == nil; i++ {
			if err := h.try(apis[i%len(apis)], uuid.NewString()+"@example.com"); err != nil {
				failed = append(failed, err)
			}
			time.Sleep(pause)
		}
		done <- failed
	}()
	return sync.OnceValue(func() []error {
		cancel()
		return <-done
	})
}

// accepts waits until so many invitations were accepted.
func (h *hub) accepts(n int) {
	h.t.Helper()
	eventually(h.t, "too few invitations are accepted", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.accepted) >= n
	})
}

// TestBroker_away stops and kills the broker under invitations. OUTAGE says how long it stays away; the automatic tests cannot spend the
// minute that a restart may take elsewhere.
func TestBroker_away(t *testing.T) {
	t.Parallel()
	outage := 5 * time.Second
	if setting := os.Getenv("OUTAGE"); setting != "" {
		var err error
		outage, err = time.ParseDuration(setting)
		require.NoError(t, err)
	}
	n, err := startNode()
	require.NoError(t, err)
	t.Cleanup(n.end)
	h := newHub(t, n)
	watched := "METRICS_ADDR=" + freeAddress(t)
	api, worker := h.startAPI(), h.startWorker(watched)
	ready := func() bool {
		status, _, err := h.send(api, "", http.MethodGet, "/readyz", nil)
		_, workerErr := operate(t, []string{watched}, "healthcheck")
		return err == nil && status == http.StatusOK && workerErr == nil
	}
	eventually(t, "not ready", ready)

	stop := h.load(outage/100, api)
	n.Stop()
	require.False(t, ready())
	time.Sleep(outage / 2)
	require.Positive(t, h.count("outbox WHERE state = 'Pending'"), "accepted events wait")
	worker.stop() // who starts now waits for the broker, too
	h.startWorker(watched)
	second := h.startAPI()
	h.invite(second, jane)
	second.stop()
	time.Sleep(outage / 2)
	require.NoError(t, n.Start())
	eventually(t, "not ready again", ready)
	require.Empty(t, stop())
	h.requireSettled(api, settled{})

	stop = h.load(25*time.Millisecond, api)
	for range 2 {
		n.Kill()
		require.NoError(t, n.Start())
		eventually(t, "not ready again", ready)
	}
	require.Empty(t, stop())
	h.requireSettled(api, settled{})

	// Out of memory, the broker lives but takes nothing.
	_, err = n.Ctl("set_vm_memory_high_watermark", "0")
	require.NoError(t, err)
	stop = h.load(50*time.Millisecond, api)
	eventually(t, "still ready", func() bool { return !ready() })
	eventually(t, "nothing waits", func() bool { return h.count("outbox WHERE state = 'Pending'") > 10 })
	require.Empty(t, stop())
	_, err = n.Ctl("set_vm_memory_high_watermark", "absolute", "512MiB")
	require.NoError(t, err)
	eventually(t, "not ready again", ready)
	h.requireSettled(api, settled{})
}

// goroutines asks a program how many it has.
func goroutines(t *testing.T, metrics string) int {
	t.Helper()
	answer, err := http.Get("http://" + metrics + "/metrics")
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	found := regexp.MustCompile(`(?m)^go_goroutines (\d+)$`).FindSubmatch(text)
	require.NotNil(t, found)
	n, err := strconv.Atoi(string(found[1]))
	require.NoError(t, err)
	return n
}

// TestBroker_linkCut cuts the connections to the broker again and again, then leaves them half open.
func TestBroker_linkCut(t *testing.T) {
	t.Parallel()
	h := newSharedHub(t)
	links, watched := []*link{newLink(t, h.broker), newLink(t, h.broker)}, []string{freeAddress(t), freeAddress(t)}
	api := h.startAPI("RABBITMQ_URL="+links[0].url, "METRICS_ADDR="+watched[0])
	h.startWorker("RABBITMQ_URL="+links[1].url, "METRICS_ADDR="+watched[1])
	h.requireSettled(api, settled{})
	before := []int{goroutines(t, watched[0]), goroutines(t, watched[1])}

	stop := h.load(30*time.Millisecond, api)
	for i := range 16 {
		time.Sleep(500 * time.Millisecond)
		links[i%2].cut()
	}
	require.Empty(t, stop())
	h.requireSettled(api, settled{})

	for _, l := range links {
		l.deafen()
		h.invite(api, numbered("deaf"+strconv.Itoa(rand.Int()), 10)...)
		h.requireSettled(api, settled{})
	}
	for i, metrics := range watched {
		eventually(t, "goroutines leak", func() bool { return goroutines(t, metrics) <= before[i]+10 })
	}
}

// TestBroker_misused takes from the broker what our programs need of it. They say so, hold what they have, and go on by themselves when they
// can.
func TestBroker_misused(t *testing.T) {
	t.Parallel()
	h := newSharedHub(t)
	ctl := func(args ...string) {
		t.Helper()
		_, err := h.node.Ctl(args...)
		require.NoError(t, err)
	}
	const queue = "inventoryhub.mail.v1"
	api := h.startAPI()
	pending := func() bool { return h.count("outbox WHERE state = 'Pending' AND last_error <> ''") > 0 }

	// Full, the queue refuses what comes.
	ctl("set_policy", "-p", h.vhost, "full", "^"+queue+"$", `{"max-length":1,"overflow":"reject-publish"}`, "--apply-to", "queues")
	h.invite(api, numbered("full", 20)...)
	eventually(t, "nothing was refused", pending)
	worker := h.startWorker()
	h.requireSettled(api, settled{})
	ctl("clear_policy", "-p", h.vhost, "full")

	// Without its binding, the queue gets nothing.
	unbind := `rabbit_binding:remove({binding, {resource, <<"%[1]s">>, exchange, <<"inventoryhub.events">>}, <<"user.*">>, {resource, <<"%[1]s">>, queue, <<"%[2]s">>}, []}, <<"test">>).`
	ctl("eval", fmt.Sprintf(unbind, h.vhost, queue))
	h.invite(api, "unbound@example.com")
	h.requireSettled(api, settled{})
	require.Contains(t, api.out.String(), "message came back", "the operator must hear of it")

	ctl("delete_queue", "-p", h.vhost, queue)
	h.invite(api, "deleted@example.com")
	h.requireSettled(api, settled{})

	ctl("clear_permissions", "-p", h.vhost, "guest")
	ctl("close_all_connections", "-p", h.vhost, "a test")
	h.invite(api, "forbidden@example.com")
	eventually(t, "it went out all the same", pending)
	ctl("set_permissions", "-p", h.vhost, "guest", ".*", ".*", ".*")
	h.requireSettled(api, settled{})
	require.Contains(t, worker.out.String(), "no connection to the broker")
}

// TestPoison sends what no worker can read. It is put aside with the reason, and holds up nobody.
func TestPoison(t *testing.T) {
	t.Parallel()
	h := newSharedHub(t)
	api := h.startAPI()
	h.startWorker()
	good, err := domain.NewEvent(domain.EventUserInvited, domain.NewID(), time.Now(), domain.UserInvited{
		Email: "mallory@example.com", FirstName: "M", LastName: "M", Role: domain.RoleUser, Token: "secret", ExpiresAt: time.Now().Add(time.Hour),
	})
	require.NoError(t, err)
	readable, err := cloudevents.Encode(good)
	require.NoError(t, err)
	for id, body := range map[string]string{
		"no-json":      `{"specversion":`,
		"other-type":   strings.Replace(string(readable), `"user.invited"`, `"user.praised"`, 1),
		"new-version":  strings.Replace(string(readable), `"specversion":"1.0"`, `"specversion":"2.0"`, 1),
		"other-fields": strings.Replace(string(readable), `"email":`, `"mail":`, 1),
		"empty":        "",
		"binary":       "\x00\xff\xfe",
	} {
		require.NoError(t, h.queues.Publish(t.Context(), rabbitmq.Message{ID: id, Type: "user.invited", ContentType: cloudevents.ContentType, Body: []byte(body)}))
		h.invite(api, id+"@example.com")
	}
	h.requireSettled(api, settled{dead: 6})

	listed := h.operate("dead", "list")
	require.Equal(t, 7, strings.Count(listed, "\n"), listed)
	require.Regexp(t, `(?m)^other-type +user\.invited +\S+Z  \S+.*$`, listed)
	require.NotContains(t, listed, "secret")
	require.Equal(t, "1 requeued\n", h.operate("dead", "requeue", "no-json"))
	h.requireSettled(api, settled{dead: 6})
	require.Equal(t, "1 dropped\n", h.operate("dead", "drop", "empty"))
	said, err := operate(t, h.settings, "dead", "drop", "empty")
	require.Error(t, err)
	require.Equal(t, "emailworker: no event with the id \"empty\" was put aside\n", said)
	h.requireSettled(api, settled{dead: 5})
}

// TestSMTP meets all that a mail server may do.
func TestSMTP(t *testing.T) {
	t.Parallel()
	h := newSharedHub(t)
	api := h.startAPI()
	h.startWorker()
	hold, _, release := h.mails.held()
	t.Cleanup(release)
	for to, reactions := range map[string][]reaction{
		"busy@example.com":    {refuses(451), refuses(421), refusesRecipient(450)},
		"full@example.com":    slices.Repeat([]reaction{refuses(452)}, 1000),
		"unknown@example.com": {refusesRecipient(550)},
		"spam@example.com":    {refuses(554)},
		"cut@example.com":     {{early: true, do: hangsUp}, {do: hangsUp}},
		"silent@example.com":  {{do: hangsUp, keep: true}},
		"hanging@example.com": {{do: hold}},
	} {
		h.mails.on(to, reactions...)
		h.invite(api, to)
	}
	h.invite(api, numbered("well", 50)...)
	eventually(t, "one bad mail holds up the others", func() bool { return h.mails.has(numbered("well", 50)) })

	eventually(t, "451 and the like are for a while", func() bool { return h.mails.has([]string{"busy@example.com"}) })
	require.Equal(t, 4, h.mails.triesFor("busy@example.com"))

	eventually(t, "the inviter sees the retries", func() bool {
		seen := h.invitation(api, "full@example.com")
		return seen.State == domain.InvitationRetrying && seen.Attempts > 1 && seen.LastError != nil && strings.Contains(*seen.LastError, "452")
	})
	h.mails.on("full@example.com")

	listed := h.operate("dead", "list")
	for to, code := range map[string]string{"unknown@example.com": "550", "spam@example.com": "554"} {
		require.Equal(t, 1, h.mails.triesFor(to))
		refused := h.invitation(api, to)
		require.Equal(t, domain.InvitationFailed, refused.State)
		require.Contains(t, *refused.LastError, code)
		require.Contains(t, listed, *refused.LastError)
	}
	require.Equal(t, "2 requeued\n", h.operate("dead", "requeue"), "the mailboxes are there now")

	// Without an answer in half a minute, the mail is tried again.
	h.requireSettled(api, settled{twice: []string{"silent@example.com"}})
	require.Equal(t, 2, len(h.mails.to("silent@example.com")))
	require.Equal(t, 2, h.mails.triesFor("hanging@example.com"))

	h.mails.close()
	h.invite(api, numbered("closed", 20)...)
	eventually(t, "not tried", func() bool { return h.count("deliveries WHERE state = 'Retrying' AND attempts > 1") == 20 })
	h.mails.reopen()
	h.requireSettled(api, settled{twice: []string{"silent@example.com"}})
}

// keepEvents makes the database keep a copy of each event from now on, as a broker's backup might.
func (h *hub) keepEvents() {
	h.t.Helper()
	h.exec("CREATE TABLE copies AS SELECT id, type, subject, occurred_at, data FROM outbox WHERE false")
	h.exec("CREATE FUNCTION copy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO copies VALUES (NEW.id, NEW.type, NEW.subject, NEW.occurred_at, NEW.data); RETURN NEW; END'")
	h.exec("CREATE TRIGGER copy AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION copy()")
}

// keptEvents gives the copies as they were published, oldest first.
func (h *hub) keptEvents() []rabbitmq.Message {
	h.t.Helper()
	rows, err := h.db.QueryContext(context.Background(), "SELECT id, type, subject, occurred_at, data FROM copies ORDER BY id")
	require.NoError(h.t, err)
	defer func() { _ = rows.Close() }()
	var all []rabbitmq.Message
	for rows.Next() {
		var e domain.Event
		var data string
		require.NoError(h.t, rows.Scan(&e.ID, &e.Type, &e.Subject, &e.At, &data))
		e.Data = []byte(data)
		body, err := cloudevents.Encode(e)
		require.NoError(h.t, err)
		all = append(all, rabbitmq.Message{ID: e.ID.String(), Type: string(e.Type), ContentType: cloudevents.ContentType, Body: body})
	}
	require.NoError(h.t, rows.Err())
	return all
}

// TestDuplicates delivers each event a hundred times, in no order, to two workers, with superseded invitations among them.
func TestDuplicates(t *testing.T) {
	t.Parallel()
	h := newSharedHub(t)
	h.shortenLeases(3 * time.Second) // which a copy waits for when the mail is in other hands
	h.keepEvents()
	api := h.startAPI()
	h.invite(api, numbered("jane", 15)...)
	h.invite(api, numbered("jane", 5)...) // anew
	events := h.keptEvents()
	require.Len(t, events, 20)
	copies := slices.Repeat(events, 100)
	rand.Shuffle(len(copies), func(i, j int) { copies[i], copies[j] = copies[j], copies[i] })
	work := make(chan rabbitmq.Message)
	var publishing sync.WaitGroup
	for range 16 {
		publishing.Go(func() {
			for m := range work {
				assert.NoError(t, h.queues.Publish(context.Background(), m))
			}
		})
	}
	for _, m := range copies {
		work <- m
	}
	close(work)
	publishing.Wait()
	h.startWorker()
	h.startWorker()
	h.requireSettled(api, settled{dropped: 5})
	for _, email := range numbered("jane", 15) {
		h.register(api, h.mails.only(email).token(t), strings.TrimSuffix(email, "@example.com"))
	}
}

// TestStale has mails wait until they make no sense any more.
func TestStale(t *testing.T) {
	t.Parallel()
	h := newSharedHub(t)
	api, hasty := h.startAPI(), h.startAPI("INVITATION_TTL=1s")
	worker := h.startWorker()
	g := h.closeGate("UPDATE", "deliveries", "NEW.state = 'Sent'")
	h.invite(api, "used@example.com")
	g.reached(1)
	g.crash(worker) // after the mail, before the record
	g.open()
	h.register(api, h.mails.only("used@example.com").token(t), "used")

	h.invite(api, "superseded@example.com", "revoked@example.com")
	h.invite(hasty, "expired@example.com")
	h.must(http.StatusNoContent, api, http.MethodDelete, "/users/"+h.user("revoked@example.com").String(), nil, nil)
	h.invite(api, "superseded@example.com")
	eventually(t, "an invitation does not expire", func() bool { return time.Now().After(*h.invitation(api, "expired@example.com").ExpiresAt) })
	delete(h.accepted, "used@example.com")

	h.endLeases()
	h.startWorker()
	h.requireSettled(api, settled{unsent: []string{"revoked@example.com", "expired@example.com"}, dropped: 4})
	h.register(api, h.mails.only("superseded@example.com").token(t), "superseded")
	h.mails.only("used@example.com")
	require.Equal(t, domain.InvitationFailed, h.invitation(api, "expired@example.com").State)
}

// TestStop ends servers and workers in order, under load. Each goes with 0, nothing that was accepted is lost and nothing is mailed twice.
func TestStop(t *testing.T) {
	t.Parallel()
	for name, broker := range map[string]bool{"with a broker": true, "in process": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var n *node
			if broker {
				var err error
				n, err = sharedNode()
				require.NoError(t, err)
			}
			h := newHub(t, n)
			h.mails.slow = 50 * time.Millisecond
			h.client.Transport = &http.Transport{DisableKeepAlives: true} // a server that stops may end a connection before it hears of a request
			for round := range 3 {
				api := h.startAPI()
				var workers []*program
				if broker {
					workers = append(workers, h.startWorker(), h.startWorker())
				}
				var stops []func() []error
				for range 4 {
					stops = append(stops, h.load(0, api))
				}
				h.accepts(12 * (round + 1))
				api.stop()
				for _, w := range workers {
					w.stop()
				}
				for _, stop := range stops {
					for _, err := range stop() {
						require.True(t, errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF), err)
					}
				}
				require.Zero(t, h.count("users WHERE email = ANY ($1)", h.refused), "a request was cut off in the middle")
				require.Zero(t, h.count("deliveries WHERE lease_until IS NOT NULL"), "a mail was left in the middle")
			}
			if broker {
				h.startWorker()
			}
			h.requireSettled(h.startAPI(), settled{})
		})
	}
}

// TestInProcess has two servers mail by themselves, on one Postgres and without a broker.
func TestInProcess(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	h.settings = h.with("MAIL_MAX_RETRIES=3")
	one := h.startAPI()

	// One dies in the middle of a mail, and another one takes it over.
	hold, begun, release := h.mails.held()
	h.mails.on(jane, reaction{early: true, do: hold})
	h.invite(one, jane)
	<-begun
	one.kill()
	release()
	one = h.startAPI()
	two := h.startAPI()
	h.endLeases()
	h.requireSettled(one, settled{})
	require.Equal(t, 2, h.mails.triesFor(jane))

	stops := []func() []error{h.load(0, one, two), h.load(0, two, one)}
	h.accepts(100)
	for _, stop := range stops {
		require.Empty(t, stop())
	}
	h.requireSettled(two, settled{})

	h.mails.on("busy@example.com", slices.Repeat([]reaction{refuses(451)}, 4)...)
	h.mails.on("unknown@example.com", refuses(550))
	h.mails.on("nobody@example.com", refuses(550))
	h.invite(one, "busy@example.com", "unknown@example.com", "nobody@example.com")
	h.requireSettled(one, settled{dead: 3, unsent: []string{"busy@example.com", "unknown@example.com", "nobody@example.com"}})
	require.Equal(t, 4, h.mails.triesFor("busy@example.com"))
	require.Equal(t, domain.InvitationFailed, h.invitation(one, "busy@example.com").State)
	listed := h.operate("dead", "list")
	require.Regexp(t, `(?m)^\S{36} +user\.invited +\S+Z +gave up after 3 retries: .*451`, listed)
	var unknown, nobody string
	for email, id := range map[string]*string{"unknown@example.com": &unknown, "nobody@example.com": &nobody} {
		require.NoError(t, h.db.QueryRowContext(t.Context(), "SELECT id FROM outbox WHERE subject = $1", h.user(email)).Scan(id))
	}
	require.Equal(t, "1 dropped\n", h.operate("dead", "drop", nobody))
	require.Equal(t, "1 requeued\n", h.operate("dead", "requeue", unknown))
	h.requireSettled(two, settled{dead: 1, unsent: []string{"busy@example.com", "nobody@example.com"}})
	require.Equal(t, "1 requeued\n", h.operate("dead", "requeue"))
	h.requireSettled(two, settled{unsent: []string{"nobody@example.com"}})
	for _, wrong := range []string{"nonsense", unknown} {
		said, err := operate(t, h.settings, "dead", "requeue", wrong)
		require.Error(t, err)
		require.Contains(t, said, "was put aside")
	}
}

// TestSwizzle does it all at once, by chance: two servers and two workers, whose links to broker and database are held, cut and lost, and
// which are killed and stopped. SEED repeats a run as far as chance goes.
func TestSwizzle(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if setting := os.Getenv("SEED"); setting != "" {
		var err error
		seed, err = strconv.ParseUint(setting, 10, 64)
		require.NoError(t, err)
	}
	t.Log("SEED", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	h := newSharedHub(t)
	h.shortenLeases(10 * time.Second)
	h.startAPI().stop()

	const each = 2
	var links []*link
	var programs [2 * each]*program
	var settings [2 * each][]string
	start := func(i int) {
		if i < each {
			programs[i] = h.startAPI(settings[i]...)
		} else {
			programs[i] = h.startWorker(settings[i]...)
		}
	}
	for i := range programs {
		broker, database := newLink(t, h.broker), newLink(t, h.database)
		links = append(links, broker, database)
		settings[i] = []string{"RABBITMQ_URL=" + broker.url, "DATABASE_URL=" + database.url, "HTTP_ADDR=" + freeAddress(t)}
		start(i)
	}
	stops := []func() []error{h.load(100*time.Millisecond, programs[0], programs[1]), h.load(100*time.Millisecond, programs[1], programs[0])}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Duration(chance.IntN(300)) * time.Millisecond) {
		l := links[chance.IntN(len(links))]
		switch chance.IntN(10) {
		case 0:
			i := chance.IntN(len(programs))
			programs[i].kill()
			start(i)
		case 1:
			i := chance.IntN(len(programs))
			programs[i].stop()
			start(i)
		case 2, 3:
			l.cut()
		case 4:
			l.deafen()
		default:
			l.pause()
			time.AfterFunc(time.Duration(chance.IntN(1500))*time.Millisecond, l.resume)
		}
	}
	for _, stop := range stops {
		_ = stop() // who was cut off knows no answer
	}
	for _, l := range links {
		l.resume()
		l.cut()
	}
	h.mu.Lock()
	var all []string
	for email := range h.accepted {
		all = append(all, email)
	}
	h.mu.Unlock()
	require.NotEmpty(t, all)
	time.Sleep(2 * time.Second) // a connection that was in use less than a second ago is trusted once more
	h.requireSettled(programs[0], settled{twice: all})
	twice := 0
	for _, email := range all {
		twice += len(h.mails.to(email)) - 1
	}
	t.Logf("%d invitations, %d mails repeated", len(all), twice)
}
