package email

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	netmail "net/mail"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/google/uuid"
)

const (
	azureAPIVersion      = "2025-09-01" // the newest stable one of the Email REST API
	azureExchangeTimeout = 30 * time.Second
	azureMaxAnswer       = 64 << 10 // bytes; a real answer has a few hundred
	// azureAskAfter is the least wait before asking for the final word. A custom domain may send 100 mails and ask 200 times
	// an hour (Azure's own domains 10 and 20), so there are two questions a mail, and one asked too early is wasted.
	azureAskAfter = 30 * time.Second
	// azureThrottleWait is how long to keep off after a 429 that does not say how long: the shortest limits count a minute.
	azureThrottleWait = time.Minute
	// azureMaxWait bounds what the service may ask for: its longest limits count an hour.
	azureMaxWait = time.Hour
)

// AzureSender hands mails to Azure Communication Services Email by its REST API, for which there is no Go SDK. A send is
// an operation that the service works off: it is Accepted at first and asked about later. It may be used by several goroutines.
type AzureSender struct {
	endpoint string // scheme and host
	from     *netmail.Address
	pipeline runtime.Pipeline
}

// NewAzureSender takes the connection string as the Azure portal shows it, `endpoint=https://...;accesskey=...`. The
// errors never quote it. From must be a sender address of the resource; a name before it is ignored, since the
// service has its own.
func NewAzureSender(connectionString, from string) (*AzureSender, error) {
	sender, err := parseFrom(from)
	if err != nil {
		return nil, err
	}
	endpoint, key, err := parseAzureConnection(connectionString)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = azureMaxAnswer
	return &AzureSender{
		endpoint: endpoint,
		from:     sender,
		pipeline: runtime.NewPipeline("inventoryhub", "", runtime.PipelineOptions{
			PerRetry: []policy.Policy{azureSigner{key: key}},
		}, &policy.ClientOptions{
			// The queue retries; a POST that is repeated here after a lost answer could mail twice.
			Retry:     policy.RetryOptions{MaxRetries: -1},
			Telemetry: policy.TelemetryOptions{Disabled: true},
			Transport: boundedTransport{&http.Client{
				Transport:     transport,
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			}},
		}),
	}, nil
}

func parseAzureConnection(s string) (endpoint string, key []byte, err error) {
	wrong := errors.New("the Azure connection string must look like endpoint=https://NAME.communication.azure.com/;accesskey=BASE64")
	parts := map[string]string{}
	for part := range strings.SplitSeq(strings.TrimSpace(s), ";") {
		name, value, _ := strings.Cut(part, "=") // the key itself may end in =
		parts[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	u, err := url.Parse(parts["endpoint"])
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return "", nil, wrong
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return "", nil, errors.New("the Azure connection string's endpoint must begin with https://")
	}
	key, err = base64.StdEncoding.DecodeString(parts["accesskey"])
	if err != nil || len(key) == 0 {
		return "", nil, wrong
	}
	return u.Scheme + "://" + u.Host, key, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// azureMail is the body of a send request.
type azureMail struct {
	SenderAddress string            `json:"senderAddress"`
	Headers       map[string]string `json:"headers"`
	Content       azureContent      `json:"content"`
	Recipients    azureRecipients   `json:"recipients"`
	NoTracking    bool              `json:"userEngagementTrackingDisabled"`
}

type azureContent struct {
	Subject   string `json:"subject"`
	PlainText string `json:"plainText"`
	HTML      string `json:"html"`
}

type azureRecipients struct {
	To []azureAddress `json:"to"`
}

type azureAddress struct {
	Address     string `json:"address"`
	DisplayName string `json:"displayName,omitempty"`
}

// azureAnswer is what the service answers: an operation or an error.
type azureAnswer struct {
	code   int
	header http.Header

	ID     string `json:"id"`
	Status string `json:"status"`
	Error  struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// Send begins the operation named by the mail's OperationID, or asks about it first if the mail says Resume. Once it is
// accepted, asking about it gives its final status: Succeeded is Sent, Failed and Canceled are permanent.
func (s *AzureSender) Send(ctx context.Context, m Mail) (Receipt, error) {
	if err := checkRecipient(m); err != nil {
		return Receipt{}, err
	}
	if m.Resume {
		answer, err := s.ask(ctx, m)
		if err != nil {
			return Receipt{}, err
		}
		// An operation that the service does not know was never begun, unless it had said so.
		if answer.code != http.StatusNotFound || m.Accepted {
			return answer.asked(m)
		}
	}
	answer, err := s.post(ctx, m)
	if err != nil {
		return Receipt{}, err
	}
	return answer.posted(m)
}

func (s *AzureSender) post(ctx context.Context, m Mail) (azureAnswer, error) {
	req, err := runtime.NewRequest(ctx, http.MethodPost, s.endpoint+"/emails:send?api-version="+azureAPIVersion)
	if err != nil {
		return azureAnswer{}, err
	}
	req.Raw().Header.Set("Operation-Id", m.OperationID.String())
	err = runtime.MarshalAsJSON(req, azureMail{
		SenderAddress: s.from.Address,
		// The service makes another one if it does not like it (Learn, "Adding Reserved Custom headers").
		Headers:    map[string]string{"Message-ID": m.MessageID},
		Content:    azureContent{Subject: m.Subject, PlainText: m.Text, HTML: m.HTML},
		Recipients: azureRecipients{To: []azureAddress{{Address: m.To, DisplayName: m.ToName}}},
		// Tracked links lead through somebody else's server, and ours hold tokens.
		NoTracking: true,
	})
	if err != nil {
		return azureAnswer{}, errors.New("encode the mail for Azure")
	}
	return s.exchange(ctx, req, m)
}

// ask builds the address from our own endpoint: the Operation-Location that the service sends is not trusted.
func (s *AzureSender) ask(ctx context.Context, m Mail) (azureAnswer, error) {
	operation := s.endpoint + "/emails/operations/" + m.OperationID.String()
	req, err := runtime.NewRequest(ctx, http.MethodGet, operation+"?api-version="+azureAPIVersion)
	if err != nil {
		return azureAnswer{}, err
	}
	return s.exchange(ctx, req, m)
}

func (s *AzureSender) exchange(ctx context.Context, req *policy.Request, m Mail) (azureAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, azureExchangeTimeout)
	defer cancel()
	resp, err := s.pipeline.Do(req.WithContext(ctx))
	if err != nil {
		var dial *net.OpError
		return azureAnswer{}, &SendError{
			NotSent: !m.Resume && errors.As(err, &dial) && dial.Op == "dial",
			Reason:  line("Azure: "+err.Error(), m.secret),
		}
	}
	defer func() { _ = resp.Body.Close() }()
	answer := azureAnswer{code: resp.StatusCode, header: resp.Header}
	body, err := runtime.Payload(resp)
	if err != nil {
		return azureAnswer{}, &SendError{Reason: line("Azure: "+err.Error(), m.secret)}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		// Whatever it was, it is no answer of the service; the status code alone counts, and an unknown operation's status.
		answer.ID, answer.Status = "", ""
	}
	return answer, nil
}

// posted reads the answer to a send request.
func (a azureAnswer) posted(m Mail) (Receipt, error) {
	switch {
	case a.code == http.StatusAccepted:
		return a.operation(m)
	case a.code == http.StatusTooManyRequests:
		return Receipt{}, &SendError{Throttled: true, NotSent: true, RetryAfter: a.wait(azureThrottleWait), Reason: a.reason(m)}
	case a.code == http.StatusUnauthorized, a.code == http.StatusForbidden:
		// A wrong key is the operator's to mend, and a good one is refused at times (Azure's clocks differ).
		return Receipt{}, &SendError{NotSent: true, Reason: a.reason(m)}
	case a.code == http.StatusRequestTimeout, a.code == http.StatusConflict, a.code < 400, a.code >= 500:
		return Receipt{}, &SendError{RetryAfter: a.wait(0), Reason: a.reason(m)}
	default:
		return Receipt{}, &SendError{Permanent: true, NotSent: true, Reason: a.reason(m)}
	}
}

// asked reads the answer to a question. Anything but a status says nothing about the mail.
func (a azureAnswer) asked(m Mail) (Receipt, error) {
	switch a.code {
	case http.StatusOK:
		return a.operation(m)
	case http.StatusTooManyRequests:
		return Receipt{}, &SendError{Throttled: true, RetryAfter: a.wait(azureThrottleWait), Reason: a.reason(m)}
	default:
		return Receipt{}, &SendError{RetryAfter: a.wait(0), Reason: a.reason(m)}
	}
}

// operation reads the status of an operation.
func (a azureAnswer) operation(m Mail) (Receipt, error) {
	switch a.Status {
	case "Succeeded":
		return Receipt{Sent: true}, nil
	case "NotStarted", "Running":
		id, err := uuid.Parse(a.ID)
		if err != nil {
			id = m.OperationID
		}
		return Receipt{OperationID: id, AskAfter: max(a.wait(0), azureAskAfter)}, nil
	case "Failed", "Canceled":
		return Receipt{}, &SendError{Permanent: true, NotSent: true, Reason: a.reason(m)}
	default:
		return Receipt{}, &SendError{Reason: a.reason(m)}
	}
}

// wait reads Retry-After (RFC 9110 section 10.2.3), seconds or a date, up to azureMaxWait.
func (a azureAnswer) wait(otherwise time.Duration) time.Duration {
	text := a.header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, azureMaxWait)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(time.Until(at), 0), azureMaxWait)
	}
	return otherwise
}

func (a azureAnswer) reason(m Mail) string {
	parts := []string{fmt.Sprintf("Azure answered %d", a.code)}
	code := a.Error.Code
	if code == "" {
		code = a.header.Get("x-ms-error-code")
	}
	for _, part := range []string{a.Status, code, a.Error.Message} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return line(strings.Join(parts, ": "), m.secret)
}

// boundedTransport cuts off answers that are too long. It stands below the pipeline, because that reads an error's
// body whole on its own.
type boundedTransport struct{ client *http.Client }

func (t boundedTransport) Do(req *http.Request) (*http.Response, error) {
	resp, err := t.client.Do(req)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, azureMaxAnswer), resp.Body}
	return resp, nil
}
