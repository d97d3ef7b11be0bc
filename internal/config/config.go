// Package config reads the settings from the environment into one struct. Only the commands import it; every part is
// handed the values it needs.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/joho/godotenv"
)

// Config holds all settings. .env.example explains each one.
type Config struct {
	HTTPAddr        string        `env:"HTTP_ADDR" envDefault:":8080"`
	DatabaseURL     string        `env:"DATABASE_URL" envDefault:"sqlite://data/inventoryhub.db"`
	DirectURL       string        `env:"DATABASE_DIRECT_URL"`
	ReplicaURLs     []string      `env:"DATABASE_REPLICA_URLS"`
	RabbitMQURL     string        `env:"RABBITMQ_URL"`
	ImagesURL       string        `env:"IMAGES_URL" envDefault:"file://data/images"`
	ImagesBaseURL   string        `env:"IMAGES_BASE_URL"`
	MailProvider    string        `env:"MAIL_PROVIDER" envDefault:"file"`
	MailFrom        string        `env:"MAIL_FROM" envDefault:"inventory-hub@localhost"`
	MailDir         string        `env:"MAIL_DIR" envDefault:"data/mail"`
	SMTPURL         string        `env:"SMTP_URL"`
	AzureConnection string        `env:"AZURE_COMMUNICATION_CONNECTION_STRING"`
	MailMaxRetries  int           `env:"MAIL_MAX_RETRIES" envDefault:"100"`
	MailRetryDelay  time.Duration `env:"MAIL_RETRY_DELAY" envDefault:"2s"`
	MailRetryMax    time.Duration `env:"MAIL_RETRY_MAX_DELAY" envDefault:"15m"`
	AppURL          string        `env:"APP_URL" envDefault:"http://localhost:8080"`
	JWTSecret       string        `env:"JWT_SECRET"`
	AccessTokenTTL  time.Duration `env:"ACCESS_TOKEN_TTL" envDefault:"15m"`
	RefreshTokenTTL time.Duration `env:"REFRESH_TOKEN_TTL" envDefault:"168h"`
	SessionTTL      time.Duration `env:"SESSION_TTL" envDefault:"720h"`
	InvitationTTL   time.Duration `env:"INVITATION_TTL" envDefault:"72h"`
	PasswordMin     int           `env:"PASSWORD_MIN_LENGTH" envDefault:"8"`
	AdminEmail      string        `env:"ADMIN_EMAIL" envDefault:"admin@example.com"`
	AdminPassword   string        `env:"ADMIN_PASSWORD"`
	CORSOrigins     []string      `env:"CORS_ORIGINS"`
	AuthRateLimit   int           `env:"AUTH_RATE_LIMIT" envDefault:"20"`
	UserRateLimit   int           `env:"USER_RATE_LIMIT" envDefault:"0"`
	RequireFactor   []string      `env:"REQUIRE_2FA_ROLES"`
	TrustedProxies  []string      `env:"TRUSTED_PROXIES"`
	MetricsAddr     string        `env:"METRICS_ADDR"`
	OTLPEndpoint    string        `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
	LogLevel        slog.Level    `env:"LOG_LEVEL" envDefault:"info"`
	LogFormat       string        `env:"LOG_FORMAT"`

	unknown []string // names in the file .env that no setting has
}

// beside are the names that .env.example has for docker compose alone, and what the names begin with that other programs read.
var (
	beside = []string{
		"POSTGRES_PASSWORD", "POSTGRES_DB", "RABBITMQ_PASSWORD", "PUBLISH",
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_CONNECTION_STRING",
	}
	foreign = []string{"OTEL_", "COMPOSE_", "DOCKER_"}
	// likeSetting is what a misspelt setting still looks like, and a line of a secret that was broken does not.
	likeSetting = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$`)
)

// Load reads the file .env of the working directory, if there is one, and the environment, which wins. An empty variable
// counts as not set. The error is one line that names the setting and never holds a secret.
func Load(environ []string) (Config, error) {
	values, err := godotenv.Read(".env")
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			return Config{}, errors.New("the file .env cannot be read: it must hold lines of the form NAME=value")
		}
		values = map[string]string{}
	}
	unknown := unknownAmong(values)
	for name, value := range env.ToMap(environ) {
		if strings.TrimSpace(value) != "" {
			values[name] = value
		}
	}
	for name, value := range values {
		if strings.TrimSpace(value) == "" {
			delete(values, name)
		}
	}
	c, err := env.ParseAsWithOptions[Config](env.Options{Environment: values})
	if err != nil {
		return Config{}, unreadable(err)
	}
	for _, list := range [][]string{c.ReplicaURLs, c.CORSOrigins, c.TrustedProxies, c.RequireFactor} {
		for i := range list {
			list[i] = strings.TrimSpace(list[i])
		}
	}
	c.unknown = unknown
	return c, c.check()
}

// unknownAmong gives the names that look like a setting's, but are none.
func unknownAmong(values map[string]string) []string {
	known := slices.Clone(beside)
	for f := range reflect.TypeFor[Config]().Fields() {
		known = append(known, f.Tag.Get("env"))
	}
	var unknown []string
	for name := range values {
		isForeign := slices.ContainsFunc(foreign, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
		if likeSetting.MatchString(name) && !isForeign && !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// Warnings says in a sentence each what is no fault on a machine of one's own, but hardly meant where others are served. mails says whether
// it is this program that sends the mails. No sentence holds a secret.
func (c Config) Warnings(mails bool) []string {
	var all []string
	if len(c.unknown) > 0 {
		all = append(all, "the file .env has names that are no settings: "+strings.Join(c.unknown, ", "))
	}
	if !mails {
		return all
	}
	if c.OnPostgres() && c.MailProvider == "file" {
		all = append(all, "MAIL_PROVIDER is file: mails reach nobody, and are only written to the directory "+c.MailDir)
	}
	if c.OnPostgres() && c.appIsHere() {
		all = append(all, "APP_URL is an address of this machine alone: the links in mails lead nobody else anywhere")
	}
	if c.MailProvider != "file" && strings.Contains(c.MailFrom, "@localhost") {
		all = append(all, "MAIL_FROM is an address at localhost: most mail servers refuse such mails")
	}
	return all
}

// appIsHere says whether APP_URL leads everybody to their own machine.
func (c Config) appIsHere() bool {
	u, err := url.Parse(c.AppURL)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return strings.EqualFold(u.Hostname(), "localhost") || (err == nil && ip.IsLoopback())
}

// unreadable says which setting is of the wrong type, without its value.
func unreadable(err error) error {
	var aggregate env.AggregateError
	var parse env.ParseError
	if errors.As(err, &aggregate) {
		for _, e := range aggregate.Errors {
			if errors.As(e, &parse) {
				field, _ := reflect.TypeFor[Config]().FieldByName(parse.Name)
				return fmt.Errorf("%s must be %s", field.Tag.Get("env"), kindOf(parse.Type))
			}
		}
	}
	return errors.New("the settings cannot be read")
}

func kindOf(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration such as 30s, 15m or 72h"
	case reflect.TypeFor[slog.Level]():
		return "one of debug, info, warn, error"
	}
	return "a whole number"
}

// check refuses what cannot work, the first fault first.
func (c Config) check() error {
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"MAIL_RETRY_DELAY", c.MailRetryDelay}, {"MAIL_RETRY_MAX_DELAY", c.MailRetryMax}, {"ACCESS_TOKEN_TTL", c.AccessTokenTTL},
		{"REFRESH_TOKEN_TTL", c.RefreshTokenTTL}, {"SESSION_TTL", c.SessionTTL}, {"INVITATION_TTL", c.InvitationTTL},
	} {
		if d.value <= 0 {
			return fmt.Errorf("%s must be longer than nothing", d.name)
		}
	}
	switch {
	case c.MailRetryMax < c.MailRetryDelay:
		return errors.New("MAIL_RETRY_MAX_DELAY must not be shorter than MAIL_RETRY_DELAY")
	case c.MailMaxRetries < 0:
		return errors.New("MAIL_MAX_RETRIES must not be negative")
	case c.AuthRateLimit < 0:
		return errors.New("AUTH_RATE_LIMIT must not be negative; 0 switches it off")
	case c.UserRateLimit < 0:
		return errors.New("USER_RATE_LIMIT must not be negative; 0 switches it off")
	case c.PasswordMin < 8 || c.PasswordMin > 64:
		return errors.New("PASSWORD_MIN_LENGTH must be from 8 to 64")
	case c.LogFormat != "" && c.LogFormat != "text" && c.LogFormat != "json":
		return errors.New("LOG_FORMAT must be text or json")
	}
	for _, role := range c.RequireFactor {
		if !slices.Contains([]string{"Admin", "Manager", "User", "ReadonlyUser"}, role) {
			return errors.New("REQUIRE_2FA_ROLES must be roles such as Admin,Manager")
		}
	}
	for _, check := range []func() error{c.checkAddresses, c.checkDatabase, c.checkMail, c.checkHTTP} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c Config) checkAddresses() error {
	for name, addr := range map[string]string{"HTTP_ADDR": c.HTTPAddr, "METRICS_ADDR": c.MetricsAddr} {
		if addr == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("%s must be host:port or :port", name)
		}
	}
	return nil
}

func (c Config) checkDatabase() error {
	if embedded := hasScheme(c.DatabaseURL, "sqlite") && len(c.DatabaseURL) > len("sqlite://"); !embedded && !c.OnPostgres() {
		return errors.New("DATABASE_URL must begin with sqlite:// or postgres://")
	}
	if c.DirectURL != "" && (!onPostgres(c.DirectURL) || !c.OnPostgres()) {
		return errors.New("DATABASE_DIRECT_URL must begin with postgres://, and is for a DATABASE_URL that does, too")
	}
	for _, replica := range c.ReplicaURLs {
		if !onPostgres(replica) || !c.OnPostgres() {
			return errors.New("DATABASE_REPLICA_URLS must be postgres:// URLs, separated by commas, and are for a DATABASE_URL that is one, too")
		}
	}
	if c.JWTSecret != "" && len(c.JWTSecret) < 32 {
		return errors.New("JWT_SECRET must have 32 bytes or more")
	}
	if c.RabbitMQURL != "" && !hasScheme(c.RabbitMQURL, "amqp", "amqps") {
		return errors.New("RABBITMQ_URL must begin with amqp:// or amqps://")
	}
	if !hasScheme(c.ImagesURL, "file", "s3", "azblob") {
		return errors.New("IMAGES_URL must begin with file://, s3:// or azblob://")
	}
	return nil
}

// OnPostgres says whether the database is a server that other instances may share.
func (c Config) OnPostgres() bool { return onPostgres(c.DatabaseURL) }

func onPostgres(url string) bool { return hasScheme(url, "postgres", "postgresql") }

// Operator gives the URL of the database for an operator's commands, which may run for long and need a session of their own.
func (c Config) Operator() string {
	if c.DirectURL != "" {
		return c.DirectURL
	}
	return c.DatabaseURL
}

func (c Config) checkMail() error {
	switch c.MailProvider {
	case "file":
	case "smtp":
		if !hasScheme(c.SMTPURL, "smtp", "smtps") {
			return errors.New("SMTP_URL must begin with smtp:// or smtps:// when MAIL_PROVIDER is smtp")
		}
	case "azure":
		if c.AzureConnection == "" {
			return errors.New("AZURE_COMMUNICATION_CONNECTION_STRING must be set when MAIL_PROVIDER is azure")
		}
	default:
		return errors.New("MAIL_PROVIDER must be one of file, smtp, azure")
	}
	return nil
}

func (c Config) checkHTTP() error {
	if u, err := url.Parse(c.AppURL); err != nil || u.Host == "" || !hasScheme(c.AppURL, "http", "https") || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("APP_URL must be an http:// or https:// address without query")
	}
	if u, err := url.Parse(c.ImagesBaseURL); err != nil || (c.ImagesBaseURL != "" && (u.Host == "" || !hasScheme(c.ImagesBaseURL, "http", "https") || u.RawQuery != "" || u.Fragment != "")) {
		return errors.New("IMAGES_BASE_URL must be an http:// or https:// address without query")
	}
	if u, err := url.Parse(c.OTLPEndpoint); err != nil || (c.OTLPEndpoint != "" && (u.Host == "" || !hasScheme(c.OTLPEndpoint, "http", "https") || u.User != nil || u.RawQuery != "" || u.Fragment != "")) {
		return errors.New("OTEL_EXPORTER_OTLP_ENDPOINT must be an http:// or https:// address without user and query")
	}
	for _, origin := range c.CORSOrigins {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || origin != u.Scheme+"://"+u.Host || !hasScheme(origin, "http", "https") || strings.Contains(origin, "*") {
			return errors.New("CORS_ORIGINS must be origins such as https://app.example.com, separated by commas")
		}
	}
	for _, proxy := range c.TrustedProxies {
		_, errAddr := netip.ParseAddr(proxy)
		if _, errPrefix := netip.ParsePrefix(proxy); errAddr != nil && errPrefix != nil {
			return errors.New("TRUSTED_PROXIES must be IP addresses or networks such as 10.0.0.0/8, separated by commas")
		}
	}
	return nil
}

func hasScheme(raw string, schemes ...string) bool {
	for _, s := range schemes {
		if strings.HasPrefix(raw, s+"://") {
			return true
		}
	}
	return false
}
