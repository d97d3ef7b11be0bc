package imagestore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
)

const (
	// retries is how often a failed request to a remote storage is repeated, within answerLimit.
	retries = 2
	// cacheControl lets a CDN in front of the bucket keep what never changes under its name.
	cacheControl = "public, max-age=31536000, immutable"
)

// place is where a remote storage keeps pictures, as its URL says.
type place struct {
	user, secret string // empty: from the environment
	container    string
	prefix       string   // empty, or ending in "/"
	endpoint     *url.URL // nil: the provider's own
	region       string
}

var (
	containerNames = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$`)
	prefixes       = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$`)
)

// parsePlace reads a URL that may take the given parameters. Its errors never repeat a part of the URL: where a secret
// is not percent-encoded, any part may hold a piece of it.
func parsePlace(rawURL string, parameters ...string) (place, error) {
	fault := func(text string) (place, error) {
		return place{}, errors.New("the picture storage's URL " + text)
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Fragment != "" || !containerNames.MatchString(u.Host) {
		return fault("must name a bucket or container; special characters in the secret must be percent-encoded")
	}
	p := place{container: u.Host}
	if u.User != nil {
		p.user = u.User.Username()
		p.secret, _ = u.User.Password()
		if p.user == "" || p.secret == "" {
			return fault("must have both parts of KEY:SECRET@ or none")
		}
	}
	if prefix := strings.Trim(u.Path, "/"); prefix != "" {
		if !prefixes.MatchString(prefix) {
			return fault("has a prefix with characters other than letters, digits, '.', '_', '-' and '/'")
		}
		p.prefix = prefix + "/"
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fault("has parameters that cannot be read")
	}
	for _, name := range parameters {
		switch value := query.Get(name); {
		case value == "":
		case name == "region":
			p.region = value
		case name == "endpoint":
			if p.endpoint, err = parseEndpoint(value); err != nil {
				return fault(err.Error())
			}
		}
		query.Del(name)
	}
	if len(query) > 0 {
		return fault("takes no other parameters than " + strings.Join(parameters, " and "))
	}
	return p, nil
}

func parseEndpoint(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("has an endpoint that is not a plain http:// or https:// address")
	}
	return u, nil
}

// inMemory is a picture that was fetched whole.
type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

// fetch reads a picture whole, so that it can be served in ranges and no slow reader holds a connection.
func fetch(body io.Reader) (File, error) {
	data, err := io.ReadAll(io.LimitReader(body, maxKeptBytes+1))
	if err != nil {
		return File{}, err
	}
	if len(data) > maxKeptBytes {
		return File{}, fmt.Errorf("it is larger than %d bytes and was not put by this program", maxKeptBytes)
	}
	return File{ReadSeekCloser: inMemory{bytes.NewReader(data)}, Size: int64(len(data))}, nil
}
