package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"inventoryhub/internal/testservers"
)

//go:embed catalogue.sql
var catalogueSQL string

// Who calls. The Admin holds the token of all requests; the till only logs in, since a hundred logins end the oldest session of whoever makes them.
const (
	adminEmail = "admin@bench.example.com"
	tillEmail  = "till@bench.example.com"
	password   = "the stock is counted twice"
	secret     = "bench.bench.bench.bench.bench.bench."
)

// world is all that runs: Postgres, with the databases in it, and the servers.
type world struct {
	dir       string
	tell      io.Writer
	api       string // the program that is measured
	reference string // the program that it is measured against
	postgres  *testservers.Postgres
	running   []*server
	slices    uint64 // how many were driven
}

// newWorld builds both programs and starts a Postgres that is as safe as in production, where a commit is on the disk.
func newWorld(ctx context.Context, tell io.Writer) (*world, error) {
	dir, err := os.MkdirTemp("", "inventoryhub-bench-")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, tell: tell, api: filepath.Join(dir, "api"), reference: filepath.Join(dir, "reference")}
	for program, source := range map[string]string{w.api: "inventoryhub/cmd/api", w.reference: "inventoryhub/bench/reference"} {
		if err := build(ctx, program, source); err != nil {
			w.close()
			return nil, err
		}
	}
	data := filepath.Join(dir, "postgres")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	w.postgres, err = testservers.StartPostgres(data, "fsync=on", "full_page_writes=on", "synchronous_commit=on", "shared_buffers=512MB")
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// build makes a program as it is shipped, whatever flags the tests themselves are built with.
func build(ctx context.Context, program, source string) error {
	compile := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", program, source)
	compile.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0")
	if said, err := compile.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", source, err, said)
	}
	return nil
}

func (w *world) say(form string, args ...any) { fmt.Fprintf(w.tell, "bench: "+form+"\n", args...) }

// close ends everything and removes the data.
func (w *world) close() {
	for _, s := range w.running {
		s.program.Kill()
	}
	if w.postgres != nil {
		w.postgres.Stop()
	}
	_ = os.RemoveAll(w.dir)
}

// database gives the URL of one of the cluster's databases.
func (w *world) database(name string) string {
	u, err := url.Parse(w.postgres.URL())
	if err != nil {
		panic(err) // we made it
	}
	u.Path = "/" + name
	return u.String()
}

// load makes a database with our own program, fills it with a catalogue, and looks at what there is to ask for.
func (w *world) load(ctx context.Context, products, orders int) (*catalogue, error) {
	begun, name := time.Now(), fmt.Sprintf("products_%d", products)
	cluster, err := pgx.Connect(ctx, w.postgres.URL())
	if err != nil {
		return nil, err
	}
	_, err = cluster.Exec(ctx, "CREATE DATABASE "+name)
	if err := errors.Join(err, cluster.Close(ctx)); err != nil {
		return nil, err
	}
	made := &catalogue{url: w.database(name)}
	s, err := w.startOurs(ctx, "the schema of "+name, made.url) // makes the schema and the Admin
	if err != nil {
		return nil, err
	}
	if err := w.stop(s); err != nil {
		return nil, err
	}
	db, err := pgx.Connect(ctx, made.url)
	if err != nil {
		return nil, err
	}
	defer db.Close(ctx)
	settings := fmt.Sprintf("SET bench.products = %d; SET bench.orders = %d;", products, orders)
	for _, sql := range []string{settings, catalogueSQL, addTill, "VACUUM ANALYZE", "CHECKPOINT"} {
		if _, err := db.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			return nil, fmt.Errorf("load %s: %w", name, err)
		}
	}
	w.say("loaded %d products and %d orders in %s", products, orders, time.Since(begun).Round(time.Second))
	made.stock, err = look(ctx, db, products)
	return made, err
}

// addTill makes a second user, with the Admin's password.
const addTill = `INSERT INTO users (id, email, email_key, username, username_key, first_name, first_name_key, last_name, last_name_key,
		role, status, password_hash, created_at, updated_at)
	SELECT gen_random_uuid(), '` + tillEmail + `', '` + tillEmail + `', 'till', 'till', 'Till', 'till', 'One', 'one',
		'User', status, password_hash, now(), now() FROM users`

// server is a program that answers.
type server struct {
	name       string
	address    string
	token      string
	onPostgres bool
	program    *testservers.Subject
	began      time.Time
}

var greeting = regexp.MustCompile(`answers at http://(\S+)\n`)

const startPatience = time.Minute

// start runs a program until it says where it answers.
func (w *world) start(ctx context.Context, name, program string, env ...string) (*server, error) {
	log := filepath.Join(w.dir, fmt.Sprintf("%d-%s.log", len(w.running), strings.ReplaceAll(name, " ", "-")))
	cmd := exec.Command(program) //nolint:noctx // it is stopped by name
	cmd.Dir, cmd.Env = w.dir, append([]string{"PATH=" + os.Getenv("PATH"), "HTTP_ADDR=127.0.0.1:0", "JWT_SECRET=" + secret}, env...)
	s := &server{name: name, onPostgres: true, began: time.Now()}
	var err error
	if s.program, err = testservers.StartSubject(cmd, log); err != nil {
		return nil, err
	}
	w.running = append(w.running, s)
	for until := s.began.Add(startPatience); ; time.Sleep(time.Millisecond) {
		said, err := os.ReadFile(log)
		if err != nil {
			return nil, err
		}
		if found := greeting.FindSubmatch(said); found != nil {
			s.address = string(found[1])
			return s, nil
		}
		if s.program.HasEnded() || time.Now().After(until) || ctx.Err() != nil {
			return nil, fmt.Errorf("%s does not start: %s", name, said)
		}
	}
}

func (w *world) startOurs(ctx context.Context, name, database string) (*server, error) {
	s, err := w.start(ctx, name, w.api,
		"DATABASE_URL="+database, "IMAGES_URL=file://"+w.images(), "MAIL_DIR="+filepath.Join(w.dir, "mail"), "LOG_FORMAT=json",
		"ADMIN_EMAIL="+adminEmail, "ADMIN_PASSWORD="+password, "AUTH_RATE_LIMIT=0", "ACCESS_TOKEN_TTL=24h", "REFRESH_TOKEN_TTL=48h")
	if s != nil {
		s.onPostgres = !strings.HasPrefix(database, "sqlite")
	}
	return s, err
}

// ourPool is how many connections our server has to Postgres, and so how many the reference gets.
const ourPool = "16"

func (w *world) startReference(ctx context.Context, database string) (*server, error) {
	return w.start(ctx, "reference", w.reference, "DATABASE_URL="+database, "IMAGES_DIR="+w.images(), "POOL="+ourPool)
}

func (w *world) images() string { return filepath.Join(w.dir, "images") }

// stop asks a server to end.
func (w *world) stop(s *server) error {
	const patience = 40 * time.Second
	if code := s.program.Stop(patience); code > 0 { // the reference may be killed
		return fmt.Errorf("%s ended with the status %d", s.name, code)
	}
	return nil
}

// reply is an answer with what is compared of it.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// ask sends one request, outside of what is measured.
func (s *server) ask(ctx context.Context, r request) (reply, error) {
	sent, err := http.NewRequestWithContext(ctx, r.method, "http://"+s.address+r.path, strings.NewReader(r.body))
	if err != nil {
		return reply{}, err
	}
	sent.Header.Set("Authorization", "Bearer "+s.token)
	if r.body != "" {
		sent.Header.Set("Content-Type", "application/json")
	}
	if r.ifNoneMatch != "" {
		sent.Header.Set("If-None-Match", r.ifNoneMatch)
	}
	answer, err := http.DefaultClient.Do(sent)
	if err != nil {
		return reply{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return reply{answer.StatusCode, answer.Header, body}, err
}

// fetch asks for JSON that must be given.
func (s *server) fetch(ctx context.Context, r request, into any) (http.Header, error) {
	answer, err := s.ask(ctx, r)
	if err != nil {
		return nil, err
	}
	if answer.status != http.StatusOK {
		return nil, fmt.Errorf("%s: %s %s was answered with %d: %s", s.name, r.method, r.path, answer.status, answer.body)
	}
	return answer.header, json.Unmarshal(answer.body, into)
}

// logIn gives the server's clients the Admin's token.
func (s *server) logIn(ctx context.Context) error {
	var tokens struct{ AccessToken string }
	_, err := s.fetch(ctx, login(adminEmail), &tokens)
	s.token = tokens.AccessToken
	return err
}

// firstAnswer waits for the first page of products and says how long after its start the server gave it.
func (s *server) firstAnswer(ctx context.Context) (time.Duration, error) {
	_, err := s.fetch(ctx, get("/products"), &struct{}{})
	return time.Since(s.began), err
}

// addPicture has a product get a picture, and learns its name and the product's entity tag.
func (s *server) addPicture(ctx context.Context, of *stock) error {
	type body struct {
		Name        string `json:"name"`
		Category    string `json:"category"`
		Description string `json:"description"`
		Image       string `json:"image"`
		ImageURL    string `json:"imageUrl,omitempty"`
	}
	var p body
	if _, err := s.fetch(ctx, get("/products/"+of.pictured), &p); err != nil {
		return err
	}
	p.Image = base64.StdEncoding.EncodeToString(picture())
	sent, err := json.Marshal(p)
	if err != nil {
		return err
	}
	header, err := s.fetch(ctx, request{method: http.MethodPut, path: "/products/" + of.pictured, body: string(sent)}, &p)
	of.image, of.tag = p.ImageURL, header.Get("ETag")
	return err
}

// picture makes one of about 20 kB.
func picture() []byte {
	const width, height = 320, 240
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for x := range width {
		for y := range height {
			img.Set(x, y, color.RGBA{uint8(x * y), uint8(x ^ y), uint8(x + y), 255})
		}
	}
	var b bytes.Buffer
	_ = jpeg.Encode(&b, img, nil) // into memory it cannot fail
	return b.Bytes()
}

// findCursors goes far into the lists and learns where they go on.
func (s *server) findCursors(ctx context.Context, of *stock) error {
	far := strconv.Itoa(min(500, of.size/20))
	for path, into := range map[string]*string{"/products": &of.after, "/products/orders": &of.afterOrder} {
		var page struct{ NextCursor string }
		if _, err := s.fetch(ctx, get(path, "page", far), &page); err != nil {
			return err
		}
		*into = page.NextCursor
	}
	return nil
}

// run has our program do something with a database, and gives what it says.
func (w *world) run(ctx context.Context, database string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, w.api, args...)
	cmd.Dir = w.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "JWT_SECRET=" + secret, "DATABASE_URL=" + database, "IMAGES_URL=file://" + w.images()}
	said, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("api %s: %w\n%s", strings.Join(args, " "), err, said)
	}
	return strings.TrimSpace(string(said)), nil
}
