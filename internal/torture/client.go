package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"inventoryhub/internal/domain"
)

// call is one request before it is sent.
type call struct {
	op      *operation
	role    domain.Role
	method  string
	path    string
	body    map[string]any
	key     string // Idempotency-Key, or empty
	version int64  // If-Match, or 0
	id      string // X-Request-Id: finds it in the log

	stepwise bool // the role suffices for some orders only
	repeated bool // an earlier try may have been carried out
}

// answer is what came of a call.
type answer struct {
	status   int // 0 when there was none
	header   http.Header
	body     []byte
	replayed bool
}

func (a answer) ok() bool { return a.status >= 200 && a.status < 300 }

// unknown says that the call may have been carried out or not.
func (a answer) unknown() bool { return a.status == 0 || a.status >= 500 }

// blames says whether the error is about the field.
func (a answer) blames(field string) bool {
	var e struct{ Errors map[string][]string }
	return json.Unmarshal(a.body, &e) == nil && len(e.Errors[field]) > 0
}

// version reads the entity tag.
func (a answer) version() int64 {
	v, _ := strconv.ParseInt(strings.Trim(a.header.Get("ETag"), `"v`), 10, 64)
	return v
}

// client calls the API, one operation after the other.
type client struct {
	world  *world
	number uint64
	http   *http.Client
	tokens map[domain.Role]string
	open   []*creation // those of its creations that have no answer yet
}

// requestPatience is longer than the server's own deadline for a request.
const requestPatience = 20 * time.Second

func (w *world) newClients() []*client {
	shared := &http.Client{Timeout: requestPatience, Transport: &http.Transport{MaxIdleConnsPerHost: w.config.Clients}}
	tokens := map[domain.Role]string{}
	clients := make([]*client, w.config.Clients)
	for i := range clients {
		clients[i] = &client{world: w, number: uint64(i), http: shared, tokens: tokens}
	}
	return clients
}

// breath is what a client takes after a 503. It is much shorter than what Retry-After asks for, but leaves the processor to the others.
const breath = 50 * time.Millisecond

// run carries out the client's plan until the storm is over. Its last request may take longer.
func (c *client) run(ctx, storm context.Context) {
	for step := uint64(0); storm.Err() == nil; step++ {
		dice := c.world.config.dice(c.number, step)
		c.perform(ctx, step, dice)
		if len(c.open) > 0 {
			c.repeatOldest(ctx, dice.IntN(c.world.config.Instances))
		}
	}
}

// repeatPause is how long a creation without an answer is left alone.
const repeatPause = time.Second

// repeatOldest sends the creation that has waited longest once more, under the same key and to any instance.
func (c *client) repeatOldest(ctx context.Context, instance int) {
	oldest := c.open[0]
	if time.Since(oldest.tried) < repeatPause {
		return
	}
	c.open = c.open[1:]
	c.try(ctx, oldest, instance)
}

// finish repeats all creations until each has an answer.
func (c *client) finish(ctx context.Context) {
	for n := 0; len(c.open) > 0; n++ {
		if wait := repeatPause - time.Since(c.open[0].tried); wait > 0 && !sleep(ctx, wait) {
			break
		}
		c.repeatOldest(ctx, n%c.world.config.Instances)
	}
	for _, left := range c.open {
		c.world.tally.violate("%s with the key %s has no answer in the end", left.call.op.name, left.call.key)
	}
}

// login gets the access tokens of all roles.
func (c *client) login(ctx context.Context) error {
	for _, role := range domain.Roles {
		a := c.send(ctx, call{op: logIn, method: http.MethodPost, path: "/auth/login",
			body: map[string]any{"email": string(role) + emailDomain, "password": usersPassword}, id: "login"}, 0)
		var tokens struct{ AccessToken string }
		if err := json.Unmarshal(a.body, &tokens); err != nil || a.status != http.StatusOK {
			return fmt.Errorf("log in: status %d: %s", a.status, a.body)
		}
		c.tokens[role] = tokens.AccessToken
	}
	return nil
}

// send makes the call at an instance, or at the next one that is up, and counts what came of it.
func (c *client) send(ctx context.Context, call call, instance int) answer {
	request, err := c.request(ctx, call, c.address(ctx, instance))
	if err != nil {
		c.world.tally.violate("%s cannot be sent: %v", call.op.name, err)
		return answer{}
	}
	a := answer{}
	if response, err := c.http.Do(request); err == nil {
		a = read(response)
	}
	c.world.tally.operation(call.op.name, outcome(a))
	if a.status == http.StatusServiceUnavailable {
		sleep(ctx, breath)
	}
	return a
}

func read(response *http.Response) answer {
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{} // cut in the middle is no answer
	}
	return answer{status: response.StatusCode, header: response.Header, body: body, replayed: response.Header.Get("Idempotent-Replayed") == "true"}
}

func outcome(a answer) string {
	switch {
	case a.status == 0:
		return "no answer"
	case a.replayed:
		return strconv.Itoa(a.status) + " again"
	}
	return strconv.Itoa(a.status)
}

// address waits until an instance is up.
func (c *client) address(ctx context.Context, instance int) string {
	for {
		for n := range c.world.instances {
			if url := c.world.instances[(instance+n)%len(c.world.instances)].address(); url != "" {
				return url
			}
		}
		if !sleep(ctx, 5*time.Millisecond) {
			return ""
		}
	}
}

func (c *client) request(ctx context.Context, call call, url string) (*http.Request, error) {
	var body []byte
	if call.body != nil {
		body, _ = json.Marshal(call.body) // texts and numbers alone
	}
	r, err := http.NewRequestWithContext(ctx, call.method, url+call.path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Request-Id", call.id)
	if token := c.tokens[call.role]; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if call.key != "" {
		r.Header.Set("Idempotency-Key", call.key)
	}
	if call.version != 0 {
		r.Header.Set("If-Match", fmt.Sprintf(`"v%d"`, call.version))
	}
	return r, nil
}
