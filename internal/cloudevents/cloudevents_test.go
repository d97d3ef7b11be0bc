package cloudevents

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

const secret = "c2VjcmV0LXRva2Vu_-0123456789"

var at = time.Date(2026, 3, 4, 5, 6, 7, 123456000, time.UTC)

func invited() domain.UserInvited {
	return domain.UserInvited{
		Email: "ada@example.com", FirstName: "Ada", LastName: "Lovelace <b>", Role: domain.RoleManager,
		InvitedBy: "Charles Babbage", Token: secret, ExpiresAt: at.Add(72 * time.Hour),
	}
}

func event(t testing.TB, typ domain.EventType, data any) domain.Event {
	t.Helper()
	e, err := domain.NewEvent(typ, uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057"), at, data)
	require.NoError(t, err)
	return e
}

func events(t testing.TB) []domain.Event {
	return []domain.Event{
		event(t, domain.EventUserInvited, invited()),
		event(t, domain.EventPasswordReset, domain.PasswordReset{Email: "ada@example.com", FirstName: "Ada", Token: secret, ExpiresAt: at}),
		event(t, domain.EventEmailChanged, domain.EmailChanged{Email: "ada@example.com", FirstName: "Ada", LastName: "Lovelace"}),
		event(t, domain.EventStockLow, domain.StockLow{Email: "ada@example.com", ProductID: domain.NewID(), ProductName: "Nail", Quantity: 2, ReorderLevel: 5}),
	}
}

func TestEncode_round_trip(t *testing.T) {
	for _, e := range events(t) {
		t.Run(string(e.Type), func(t *testing.T) {
			body, err := Encode(e)
			require.NoError(t, err)
			got, err := Decode(body)
			require.NoError(t, err)
			assert.JSONEq(t, string(e.Data), string(got.Data))
			got.Data = e.Data
			assert.Equal(t, e, got)
		})
	}
}

func TestEncode_attributes(t *testing.T) {
	e := event(t, domain.EventUserInvited, invited())
	e.At = at.In(time.FixedZone("", 3600))
	body, err := Encode(e)
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(body, &got))
	delete(got, "data")
	assert.Equal(t, map[string]any{
		"specversion": "1.0", "id": e.ID.String(), "source": "/inventoryhub", "type": "user.invited",
		"subject": "01890a5d-ac96-774b-bcce-b302099a8057", "time": "2026-03-04T05:06:07.123456Z",
		"datacontenttype": "application/json", "dataschema": "urn:inventoryhub:event:user.invited:1",
	}, got)
}

// TestTraceParent: the trace travels as the attribute of CloudEvents' extension Distributed Tracing. What is no text is as good as none.
func TestTraceParent(t *testing.T) {
	e := event(t, domain.EventUserInvited, invited())
	e.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	body, err := Encode(e)
	require.NoError(t, err)
	require.Contains(t, string(body), `"traceparent":"`+e.TraceParent+`"`)
	got, err := Decode(body)
	require.NoError(t, err)
	require.Equal(t, e.TraceParent, got.TraceParent)
	got, err = Decode([]byte(strings.Replace(string(body), `"`+e.TraceParent+`"`, "[1]", 1)))
	require.NoError(t, err)
	require.Empty(t, got.TraceParent)
}

// The schemas must know what domain knows: each type and each role.
func TestSchemas_follow_domain(t *testing.T) {
	files, err := os.ReadDir("schemas")
	require.NoError(t, err)
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".json"))
	}
	want := []string{envelopeName}
	for _, e := range events(t) {
		want = append(want, string(e.Type))
	}
	slices.Sort(want)
	assert.Equal(t, want, names)
	for _, role := range domain.Roles {
		data := invited()
		data.Role = role
		_, err := Encode(event(t, domain.EventUserInvited, data))
		assert.NoError(t, err, role)
	}
}

func TestEncode_refuses(t *testing.T) {
	with := func(change func(*domain.UserInvited)) domain.Event {
		data := invited()
		change(&data)
		return event(t, domain.EventUserInvited, data)
	}
	cases := map[string]struct {
		e    domain.Event
		want string
	}{
		"unknown type":      {event(t, "user.vanished", invited()), "event/type: enum"},
		"data of another":   {event(t, domain.EventUserInvited, domain.EmailChanged{Email: "a@example.com"}), "event/data: required role, invitedBy, token, expiresAt"},
		"no data":           {domain.Event{ID: domain.NewID(), Type: domain.EventEmailChanged}, "event/data: type"},
		"broken data":       {domain.Event{ID: domain.NewID(), Type: domain.EventEmailChanged, Data: []byte(`{"token":"` + secret)}, "the data is not JSON"},
		"no id":             {domain.Event{Type: domain.EventEmailChanged, Data: []byte(`{}`)}, "event/id: pattern"},
		"bad address":       {with(func(d *domain.UserInvited) { d.Email = "ada" }), "event/data/email: format"},
		"line break":        {with(func(d *domain.UserInvited) { d.FirstName = "Ada\r\nBcc: e@example.com" }), "event/data/firstName: pattern"},
		"line separator":    {with(func(d *domain.UserInvited) { d.InvitedBy = "Ada\u2028" }), "event/data/invitedBy: pattern"},
		"unknown role":      {with(func(d *domain.UserInvited) { d.Role = "Blatnoi" }), "event/data/role: enum"},
		"token not for URL": {with(func(d *domain.UserInvited) { d.Token = secret + "&x" }), "event/data/token: pattern"},
		"too large":         {with(func(d *domain.UserInvited) { d.LastName = strings.Repeat("x", MaxBytes) }), "bytes are more than 65536"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Encode(c.e)
			require.ErrorContains(t, err, c.want)
			assertSilent(t, err)
		})
	}
}

func TestDecode_refuses(t *testing.T) {
	valid := func(change func(doc map[string]any)) []byte {
		body, err := Encode(event(t, domain.EventUserInvited, invited()))
		require.NoError(t, err)
		var doc map[string]any
		require.NoError(t, json.Unmarshal(body, &doc))
		change(doc)
		body, err = json.Marshal(doc)
		require.NoError(t, err)
		return body
	}
	set := func(key string, value any) []byte { return valid(func(doc map[string]any) { doc[key] = value }) }
	data := func(key string, value any) []byte {
		return valid(func(doc map[string]any) { doc["data"].(map[string]any)[key] = value })
	}
	cases := map[string]struct {
		body []byte
		want string
	}{
		"empty":                  {nil, "not one JSON object"},
		"null":                   {[]byte("null"), "not one JSON object"},
		"array":                  {[]byte("[]"), "not one JSON object"},
		"something follows":      {append(set("x", 1), '}'), "not one JSON object"},
		"not UTF-8":              {append(set("x", 1), 0xff), "not UTF-8"},
		"too large":              {[]byte(strings.Repeat(" ", MaxBytes) + "{}"), "bytes are more than"},
		"other specversion":      {set("specversion", "0.3"), "event/specversion: const"},
		"unknown type":           {set("type", secret), "event/type: enum"},
		"unknown schema":         {set("dataschema", "urn:inventoryhub:event:user.invited:2"), "event/dataschema: not the one of the type"},
		"schema of another type": {set("dataschema", "urn:inventoryhub:event:user.email-changed:1"), "event/dataschema"},
		"other content":          {set("datacontenttype", "text/xml"), "event/datacontenttype: const"},
		"malformed id":           {set("id", secret), "event/id: format"},
		"urn id":                 {set("id", "urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057"), "event/id: format"},
		"malformed subject":      {set("subject", "7"), "event/subject: format"},
		"malformed time":         {set("time", "yesterday"), "event/time: format"},
		"leap second":            {set("time", "1998-12-31T23:59:60Z"), "event/time: format"},
		"year 10000":             {set("time", "9999-12-31T23:59:59-01:00"), "event/time: format"},
		"data is text":           {set("data", secret), "event/data: type"},
		"attribute in capitals":  {valid(func(doc map[string]any) { doc["ID"] = doc["id"]; delete(doc, "id") }), "event: required id"},
		"token missing":          {valid(func(doc map[string]any) { delete(doc["data"].(map[string]any), "token") }), "event/data: required token"},
		"number for a name":      {data("firstName", 7), "event/data/firstName: type"},
		"line break in a name":   {data("lastName", secret+"\n"), "event/data/lastName: pattern"},
		"two faults":             {data("role", 7), "event/data/role: enum"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(c.body)
			require.ErrorContains(t, err, c.want)
			assertSilent(t, err)
		})
	}
}

func TestDecode_bears_newer_producers(t *testing.T) {
	body, err := Encode(event(t, domain.EventEmailChanged, domain.EmailChanged{Email: "ada@example.com"}))
	require.NoError(t, err)
	newer := strings.Replace(string(body), `"data":{`, `"traceparent":"00-1","data":{"locale":"en","n":12345678901234567890,`, 1)
	e, err := Decode([]byte(newer))
	require.NoError(t, err)
	assert.JSONEq(t, `{"email":"ada@example.com","firstName":"","lastName":"","locale":"en","n":12345678901234567890}`, string(e.Data))
	assert.Contains(t, string(e.Data), "12345678901234567890", "numbers keep all their digits")
}

func assertSilent(t *testing.T, err error) {
	t.Helper()
	for _, part := range []string{secret, secret[:12], "ada@", "Bcc"} {
		assert.NotContains(t, err.Error(), part)
	}
}

func FuzzDecode(f *testing.F) {
	for _, e := range events(f) {
		body, err := Encode(e)
		require.NoError(f, err)
		f.Add(body)
	}
	for _, s := range []string{``, `{}`, `[]`, `{"specversion":"1.0"}`, `{"type":"user.invited","data":null}`, `{"data":{"data":{}}}`, "{\"id\":\"\xff\"}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := Decode(body)
		if err != nil {
			require.Zero(t, e)
			require.NotContains(t, err.Error(), secret)
			return
		}
		require.LessOrEqual(t, len(body), MaxBytes)
		require.NotZero(t, e.ID)
		require.Equal(t, time.UTC, e.At.Location())
		again, err := Encode(e)
		if err != nil {
			require.ErrorContains(t, err, "bytes are more than", "escaping may lengthen it")
			return
		}
		second, err := Decode(again)
		require.NoError(t, err)
		require.Equal(t, e, second)
	})
}
