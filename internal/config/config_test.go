package config_test

import (
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/config"
)

// defaults is what nobody has to set.
func defaults() config.Config {
	return config.Config{
		HTTPAddr:    ":8080",
		DatabaseURL: "sqlite://data/inventoryhub.db",
		ImagesURL:   "file://data/images",

		MailProvider:   "file",
		MailFrom:       "inventory-hub@localhost",
		MailDir:        "data/mail",
		MailMaxRetries: 100,
		MailRetryDelay: 2 * time.Second,
		MailRetryMax:   15 * time.Minute,

		AppURL:          "http://localhost:8080",
		AccessTokenTTL:  15 * time.Minute,
		RefreshTokenTTL: 168 * time.Hour,
		SessionTTL:      720 * time.Hour,
		InvitationTTL:   72 * time.Hour,
		PasswordMin:     8,
		AdminEmail:      "admin@example.com",
		AuthRateLimit:   20,
		LogLevel:        slog.LevelInfo,
	}
}

// secret is 32 bytes long.
const secret = "0123456789abcdef0123456789abcdef"

// load reads settings in a directory of their own, whose .env has the content, if any.
func load(t *testing.T, file string, environ ...string) (config.Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if file != "" {
		require.NoError(t, os.WriteFile(".env", []byte(file), 0o600))
	}
	return config.Load(environ)
}

func TestLoad_defaults(t *testing.T) {
	for name, environ := range map[string][]string{
		"nothing set":        nil,
		"unknown variables":  {"HOME=/root", "PATH=/bin", "inventoryhub=x", "=C:=x", "http_addr=:1"},
		"all set to nothing": emptyVariables(),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := load(t, "", environ...)
			require.NoError(t, err)
			require.Equal(t, defaults(), c)
		})
	}
}

// emptyVariables sets every setting to nothing, or to a blank, which is the same.
func emptyVariables() []string {
	var all []string
	for i, name := range names() {
		all = append(all, name+"="+strings.Repeat(" ", i%2))
	}
	return all
}

func names() []string {
	var all []string
	for f := range reflect.TypeFor[config.Config]().Fields() {
		if name := f.Tag.Get("env"); name != "" {
			all = append(all, name)
		}
	}
	return all
}

// everything is one value for each setting that is not its default.
var everything = `
HTTP_ADDR=127.0.0.1:9090
DATABASE_URL=postgres://u:p@db:5432/hub?sslmode=verify-full
DATABASE_DIRECT_URL=postgres://u:p@primary:5432/hub
DATABASE_REPLICA_URLS=postgres://u:p@one:5432/hub, postgresql://u:p@two:5432/hub
RABBITMQ_URL=amqps://u:p@mq:5671/
IMAGES_URL=s3://bucket/prefix?region=eu-central-1
IMAGES_BASE_URL=https://cdn.example.com/pictures
MAIL_PROVIDER=smtp
MAIL_FROM="Inventory Hub <hub@example.com>"
MAIL_DIR=/var/mail
SMTP_URL=smtps://u:p@smtp.example.com:465
AZURE_COMMUNICATION_CONNECTION_STRING="endpoint=https://hub.communication.azure.com/;accesskey=c2VjcmV0"
MAIL_MAX_RETRIES=0
MAIL_RETRY_DELAY=1m30s
MAIL_RETRY_MAX_DELAY=2h
APP_URL=https://hub.example.com/app
JWT_SECRET=` + secret + `
ACCESS_TOKEN_TTL=5m
REFRESH_TOKEN_TTL=24h
SESSION_TTL=48h
INVITATION_TTL=12h
PASSWORD_MIN_LENGTH=15
ADMIN_EMAIL=root@example.com
ADMIN_PASSWORD='Tolya$123!'
CORS_ORIGINS=https://a.example.com,http://localhost:3000
AUTH_RATE_LIMIT=0
USER_RATE_LIMIT=600
REQUIRE_2FA_ROLES=Admin, Manager
TRUSTED_PROXIES=10.0.0.0/8,192.0.2.1,2001:db8::/32
METRICS_ADDR=[::1]:9100
OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318
LOG_LEVEL=debug
LOG_FORMAT=json
`

func everythingLoaded() config.Config {
	return config.Config{
		HTTPAddr:        "127.0.0.1:9090",
		DatabaseURL:     "postgres://u:p@db:5432/hub?sslmode=verify-full",
		DirectURL:       "postgres://u:p@primary:5432/hub",
		ReplicaURLs:     []string{"postgres://u:p@one:5432/hub", "postgresql://u:p@two:5432/hub"},
		RabbitMQURL:     "amqps://u:p@mq:5671/",
		ImagesURL:       "s3://bucket/prefix?region=eu-central-1",
		ImagesBaseURL:   "https://cdn.example.com/pictures",
		MailProvider:    "smtp",
		MailFrom:        "Inventory Hub <hub@example.com>",
		MailDir:         "/var/mail",
		SMTPURL:         "smtps://u:p@smtp.example.com:465",
		AzureConnection: "endpoint=https://hub.communication.azure.com/;accesskey=c2VjcmV0",
		MailMaxRetries:  0,
		MailRetryDelay:  90 * time.Second,
		MailRetryMax:    2 * time.Hour,
		AppURL:          "https://hub.example.com/app",
		JWTSecret:       secret,
		AccessTokenTTL:  5 * time.Minute,
		RefreshTokenTTL: 24 * time.Hour,
		SessionTTL:      48 * time.Hour,
		InvitationTTL:   12 * time.Hour,
		PasswordMin:     15,
		AdminEmail:      "root@example.com",
		AdminPassword:   "Tolya$123!",
		CORSOrigins:     []string{"https://a.example.com", "http://localhost:3000"},
		AuthRateLimit:   0,
		UserRateLimit:   600,
		RequireFactor:   []string{"Admin", "Manager"},
		TrustedProxies:  []string{"10.0.0.0/8", "192.0.2.1", "2001:db8::/32"},
		MetricsAddr:     "[::1]:9100",
		OTLPEndpoint:    "http://collector:4318",
		LogLevel:        slog.LevelDebug,
		LogFormat:       "json",
	}
}

func TestLoad_everythingFromTheFile(t *testing.T) {
	for _, name := range names() {
		require.Contains(t, everything, "\n"+name+"=", "a setting that this test does not know")
	}
	c, err := load(t, everything)
	require.NoError(t, err)
	require.Equal(t, everythingLoaded(), c)
}

func TestLoad_everythingFromTheEnvironment(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(everything), "\n")
	for i, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		lines[i] = name + "=" + strings.Trim(value, `'"`)
	}
	c, err := load(t, "", lines...)
	require.NoError(t, err)
	require.Equal(t, everythingLoaded(), c)
}

func TestLoad_theEnvironmentWins(t *testing.T) {
	c, err := load(t, "# a comment\nHTTP_ADDR=:1111\nexport MAIL_DIR=/file\nLOG_LEVEL=\nPASSWORD_MIN_LENGTH=nonsense\n", "HTTP_ADDR=:2222", "PASSWORD_MIN_LENGTH=9")
	require.NoError(t, err)
	want := defaults()
	want.HTTPAddr, want.MailDir, want.PasswordMin = ":2222", "/file", 9
	require.Equal(t, want, c)
}

func TestLoad_unreadableFile(t *testing.T) {
	_, err := load(t, "JWT_SECRET "+secret+"\n")
	require.EqualError(t, err, "the file .env cannot be read: it must hold lines of the form NAME=value")
}

// TestLoad_wrong sets one setting wrong at a time. The line must name it, and not show what it was set to.
func TestLoad_wrong(t *testing.T) {
	const hidden = "S3cret" // in every value that may hold a password
	for _, c := range []struct {
		setting string
		with    []string // what else must be set
		wrong   []string
	}{
		{setting: "HTTP_ADDR", wrong: []string{"8080", "localhost", "http://localhost:8080", "::1:80"}},
		{setting: "METRICS_ADDR", wrong: []string{"9100", "on"}},
		{setting: "OTEL_EXPORTER_OTLP_ENDPOINT", wrong: []string{"collector:4318", "on", "grpc://collector:4317", "http://", "http://u:S3cret@collector", "http://collector?token=S3cret"}},
		{setting: "DATABASE_URL", wrong: []string{"sqlite://", "sqlite:x", "data/hub.db", "mysql://u:S3cret@db/hub", "u:S3cret@db", "Postgres://u:S3cret@db"}},
		{setting: "DATABASE_DIRECT_URL", wrong: []string{"postgres://u:S3cret@db/hub"}},
		{setting: "DATABASE_DIRECT_URL", with: []string{"DATABASE_URL=postgres://db/hub"}, wrong: []string{"db:5432", "sqlite://hub.db", "mysql://u:S3cret@db/hub"}},
		{setting: "DATABASE_REPLICA_URLS", wrong: []string{"postgres://u:S3cret@db/hub"}},
		{setting: "DATABASE_REPLICA_URLS", with: []string{"DATABASE_URL=postgres://db/hub"}, wrong: []string{"db:5432", "postgres://one/hub,mysql://u:S3cret@two/hub", "postgres://one/hub,"}},
		{setting: "RABBITMQ_URL", wrong: []string{"mq:5672", "http://u:S3cret@mq", "amqp:S3cret"}},
		{setting: "IMAGES_URL", wrong: []string{"data/images", "gs://bucket", "https://k:S3cret@bucket", "/srv/images"}},
		{setting: "IMAGES_BASE_URL", wrong: []string{"cdn.example.com", "/pictures", "ftp://cdn.example.com", "javascript://x", "https://", "https://cdn.example.com/?x=1", "https://cdn.example.com/#x", "https://cdn example.com"}},
		{setting: "MAIL_PROVIDER", wrong: []string{"sendgrid", "SMTP", "file,smtp"}},
		{setting: "SMTP_URL", with: []string{"MAIL_PROVIDER=smtp"}, wrong: []string{"", "smtp.example.com:587", "http://u:S3cret@smtp.example.com"}},
		{setting: "AZURE_COMMUNICATION_CONNECTION_STRING", with: []string{"MAIL_PROVIDER=azure"}, wrong: []string{""}},
		{setting: "MAIL_MAX_RETRIES", wrong: []string{"-1", "many", "1.5", "9223372036854775808"}},
		{setting: "MAIL_RETRY_DELAY", wrong: []string{"0s", "-2s", "2", "soon", "1d"}},
		{setting: "MAIL_RETRY_MAX_DELAY", wrong: []string{"0s", "1s", "15"}},
		{setting: "APP_URL", wrong: []string{"localhost:8080", "/app", "ftp://hub.example.com", "javascript:alert(1)", "https://", "https://hub.example.com?x=1", "https://hub.example.com/#/", "https://[::1"}},
		{setting: "JWT_SECRET", wrong: []string{"S3cret", "S3cret" + secret[:25]}},
		{setting: "ACCESS_TOKEN_TTL", wrong: []string{"0", "0s", "-15m", "15", "quarter"}},
		{setting: "REFRESH_TOKEN_TTL", wrong: []string{"0s", "-1h", "7d"}},
		{setting: "SESSION_TTL", wrong: []string{"0s", "-1h", "30d"}},
		{setting: "INVITATION_TTL", wrong: []string{"0s", "-1h", "3d"}},
		{setting: "PASSWORD_MIN_LENGTH", wrong: []string{"7", "0", "-8", "65", "eight"}},
		{setting: "CORS_ORIGINS", wrong: []string{
			"*", "a.example.com", "https://a.example.com/", "https://a.example.com/app", "https://a.example.com,*", "https://*.example.com", "https://*",
			"ftp://a.example.com", "null", "https://a.example.com,", "https://u:S3cret@a.example.com",
		}},
		{setting: "AUTH_RATE_LIMIT", wrong: []string{"-1", "off", "0.5"}},
		{setting: "USER_RATE_LIMIT", wrong: []string{"-1", "off", "0.5"}},
		{setting: "REQUIRE_2FA_ROLES", wrong: []string{"admin", "Admin,Root", "Admin;Manager", "Admin,,Manager"}},
		{setting: "TRUSTED_PROXIES", wrong: []string{"proxy", "10.0.0.0/33", "10.0.0.256", "*", "10.0.0.0/8,proxy", "10.0.0.0/8,"}},
		{setting: "LOG_LEVEL", wrong: []string{"loud", "3"}},
		{setting: "LOG_FORMAT", wrong: []string{"xml", "JSON"}},
	} {
		for _, value := range c.wrong {
			t.Run(c.setting+"="+strings.ReplaceAll(value, "/", "|"), func(t *testing.T) {
				_, err := load(t, "", append(c.with, c.setting+"="+value)...)
				require.ErrorContains(t, err, c.setting)
				require.NotContains(t, err.Error(), "\n")
				require.NotContains(t, err.Error(), hidden)
				require.Equal(t, c.setting, strings.FieldsFunc(err.Error(), func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' })[0], "the first setting in the line")
			})
		}
	}
}

func TestConfig_Operator(t *testing.T) {
	require.Equal(t, "postgres://pooler/hub", config.Config{DatabaseURL: "postgres://pooler/hub"}.Operator())
	require.Equal(t, "postgres://db/hub", config.Config{DatabaseURL: "postgres://pooler/hub", DirectURL: "postgres://db/hub"}.Operator())
}

func TestLoad_right(t *testing.T) {
	for _, set := range []string{
		"HTTP_ADDR=[::1]:8080", "HTTP_ADDR=127.0.0.1:0",
		"DATABASE_URL=sqlite:///var/lib/hub.db", "DATABASE_URL=postgresql://db/hub",
		"RABBITMQ_URL=amqp://mq", "IMAGES_URL=azblob://container", "IMAGES_URL=file:///srv/images",
		"MAIL_RETRY_DELAY=15m", "PASSWORD_MIN_LENGTH=64", "AUTH_RATE_LIMIT=1", "TRUSTED_PROXIES=::1,fd00::/8",
		"JWT_SECRET=" + secret, "JWT_SECRET=ßßßßßßßßßßßßßßßß", // 16 letters, but 32 bytes
		"LOG_LEVEL=WARN", "LOG_LEVEL=error", "LOG_FORMAT=text", "CORS_ORIGINS=http://[::1]:3000",
	} {
		t.Run(strings.ReplaceAll(set, "/", "|"), func(t *testing.T) {
			_, err := load(t, "", set)
			require.NoError(t, err)
		})
	}
}

func TestConfig_OnPostgres(t *testing.T) {
	for url, want := range map[string]bool{
		"postgres://db/hub": true, "postgresql://db/hub": true, "sqlite://postgres://": false, "sqlite://hub.db": false,
	} {
		require.Equal(t, want, config.Config{DatabaseURL: url}.OnPostgres(), url)
	}
}

// TestConfig_Warnings shows what is told at the start: of the mails only by the program that sends them.
func TestConfig_Warnings(t *testing.T) {
	const (
		onFile  = "MAIL_PROVIDER is file: mails reach nobody, and are only written to the directory data/mail"
		onHere  = "APP_URL is an address of this machine alone: the links in mails lead nobody else anywhere"
		onFrom  = "MAIL_FROM is an address at localhost: most mail servers refuse such mails"
		unknown = "the file .env has names that are no settings: ADMIN_MAIL, RABBIT_URL"
	)
	postgres := []string{"DATABASE_URL=postgres://u:p@db/hub"}
	smtp := []string{"MAIL_PROVIDER=smtp", "SMTP_URL=smtp://u:p@mail"}
	for name, c := range map[string]struct {
		file    string
		environ []string
		want    []string // of the program that mails
		without []string // of one that does not
	}{
		"nothing set":                     {},
		"Postgres":                        {environ: postgres, want: []string{onFile, onHere}},
		"Postgres, localhost in capitals": {environ: append(postgres, "APP_URL=https://LOCALHOST/app"), want: []string{onFile, onHere}},
		"Postgres, loopback":              {environ: append(postgres, "APP_URL=http://[::1]:8080"), want: []string{onFile, onHere}},
		"Postgres, an application":        {environ: append(postgres, "APP_URL=https://hub.example.com"), want: []string{onFile}},
		"Postgres, mails":                 {environ: append(append(postgres, smtp...), "MAIL_FROM=hub@example.com", "APP_URL=https://localhost.example.com")},
		"SQLite, mails":                   {environ: smtp, want: []string{onFrom}},
		"Azure":                           {environ: []string{"MAIL_PROVIDER=azure", "AZURE_COMMUNICATION_CONNECTION_STRING=x", "MAIL_FROM=Hub <hub@localhost>"}, want: []string{onFrom}},
		"misspelt": {
			file: "RABBIT_URL=amqp://u:p@mq\nADMIN_MAIL=\nLOG_LEVEL=info\nOTEL_SERVICE_NAME=hub\nCOMPOSE_PROJECT_NAME=hub\nMIIEowIBAAKCAQEA=\nlower_case=x\n", environ: []string{"ADMIN_EMIAL=x@example.com"},
			want: []string{unknown}, without: []string{unknown},
		},
	} {
		t.Run(name, func(t *testing.T) {
			loaded, err := load(t, c.file, c.environ...)
			require.NoError(t, err)
			require.Equal(t, c.want, loaded.Warnings(true))
			require.Equal(t, c.without, loaded.Warnings(false))
		})
	}
}
