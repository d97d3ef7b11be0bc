// Package cloudevents is a tool: it writes a [domain.Event] as CloudEvents 1.0 JSON in structured mode and reads it
// back, checking both ways against the JSON Schemas in schemas/. It knows nothing of the broker that carries the bytes.
package cloudevents

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"inventoryhub/internal/domain"
)

// ContentType marks a message that [Encode] made (CloudEvents JSON format 1.0 section 3).
const ContentType = "application/cloudevents+json"

// MaxBytes bounds one encoded event. CloudEvents 1.0 asks intermediaries to carry at least 64 KiB, so nothing larger is
// made; ours are about 1 KiB.
const MaxBytes = 64 << 10

const (
	specVersion     = "1.0"
	source          = "/inventoryhub"
	dataContentType = "application/json"
)

type envelope struct {
	SpecVersion     string           `json:"specversion"`
	ID              uuid.UUID        `json:"id"`
	Source          string           `json:"source"`
	Type            domain.EventType `json:"type"`
	Subject         uuid.UUID        `json:"subject"`
	Time            string           `json:"time"`
	DataContentType string           `json:"datacontenttype"`
	DataSchema      string           `json:"dataschema"`
	TraceParent     string           `json:"traceparent,omitempty"` // the extension Distributed Tracing of CloudEvents
	Data            json.RawMessage  `json:"data"`
}

// Encode writes the event. It returns an error that names path and rule, never a value, for an event that [Decode]
// would refuse: an unknown type, data that does not fit the type's schema, more than [MaxBytes].
func Encode(e domain.Event) ([]byte, error) {
	body, err := json.Marshal(envelope{
		SpecVersion:     specVersion,
		ID:              e.ID,
		Source:          source,
		Type:            e.Type,
		Subject:         e.Subject,
		Time:            e.At.UTC().Format(time.RFC3339Nano),
		DataContentType: dataContentType,
		DataSchema:      schemaID(e.Type),
		TraceParent:     e.TraceParent,
		Data:            e.Data,
	})
	if err != nil {
		// json quotes what it stumbled over, and that may be a part of the token.
		return nil, errors.New("encode event: the data is not JSON")
	}
	if _, err := parse(body); err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return body, nil
}

// Decode reads an event. What a newer producer adds to the data or to the attributes is kept or ignored, but an unknown
// type, specversion or dataschema and data that does not fit the type's schema are errors. These name path and rule,
// never a value, because the data holds a secret token.
func Decode(body []byte) (domain.Event, error) {
	e, err := parse(body)
	if err != nil {
		return domain.Event{}, fmt.Errorf("decode event: %w", err)
	}
	return e, nil
}

func parse(body []byte) (domain.Event, error) {
	if len(body) > MaxBytes {
		return domain.Event{}, fmt.Errorf("%d bytes are more than %d", len(body), MaxBytes)
	}
	doc, err := object(body)
	if err != nil {
		return domain.Event{}, err
	}
	if err := checkEnvelope(doc); err != nil {
		return domain.Event{}, err
	}
	attr := func(name string) string {
		s, _ := doc[name].(string)
		return s
	}
	t := domain.EventType(attr("type"))
	if named, ok := doc["dataschema"]; ok && named != schemaID(t) {
		return domain.Event{}, errors.New("event/dataschema: not the one of the type")
	}
	if err := checkData(t, doc["data"]); err != nil {
		return domain.Event{}, err
	}
	id, errID := uuid.Parse(attr("id"))
	subject, errSubject := uuid.Parse(attr("subject"))
	at, errTime := time.Parse(time.RFC3339Nano, attr("time"))
	data, errData := json.Marshal(doc["data"])
	if errors.Join(errID, errSubject, errTime, errData) != nil || at.UTC().Year() > 9999 {
		// The schema's idea of a time is wider than Go's: it knows leap seconds, and offsets may lead out of RFC 3339's years.
		return domain.Event{}, errors.New("event/time: format")
	}
	return domain.Event{ID: id, Type: t, Subject: subject, At: at.UTC(), Data: data, TraceParent: attr("traceparent")}, nil
}

// object reads one JSON object with exactly the keys that stand there: decoding into a struct would also take `ID` for `id`.
func object(body []byte) (map[string]any, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("not UTF-8")
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	attributes, ok := doc.(map[string]any)
	if err != nil || !ok {
		return nil, errors.New("not one JSON object")
	}
	return attributes, nil
}
