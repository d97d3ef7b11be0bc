package cloudevents

import (
	"embed"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"inventoryhub/internal/domain"
)

//go:embed schemas/*.json
var schemaFiles embed.FS

const envelopeName = "envelope"

// schemas compiles the embedded files once. They are a part of the program, so a broken one is a panic, in the first test.
var schemas = sync.OnceValue(func() map[string]*jsonschema.Schema {
	files, err := schemaFiles.ReadDir("schemas")
	if err != nil {
		panic(err)
	}
	compiled := make(map[string]*jsonschema.Schema, len(files))
	for _, f := range files {
		compiled[strings.TrimSuffix(f.Name(), ".json")] = compile(path.Join("schemas", f.Name()))
	}
	return compiled
})

func compile(file string) *jsonschema.Schema {
	content, err := schemaFiles.Open(file)
	if err != nil {
		panic(err)
	}
	doc, err := jsonschema.UnmarshalJSON(content)
	if err != nil {
		panic(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	url := "embed:///" + file
	if err := c.AddResource(url, doc); err != nil {
		panic(err)
	}
	return c.MustCompile(url)
}

// schemaID names the schema of a type's data, version 1. A change that old readers cannot bear gets a new number; an
// added field does not.
func schemaID(t domain.EventType) string { return "urn:inventoryhub:event:" + string(t) + ":1" }

func checkEnvelope(doc map[string]any) error {
	return faults("event", schemas()[envelopeName].Validate(doc))
}

func checkData(t domain.EventType, data any) error {
	schema, ok := schemas()[string(t)]
	if !ok {
		return errors.New("event/type: enum")
	}
	return faults("event/data", schema.Validate(data))
}

// faults turns a validator's error into one that holds paths and rules alone: the validator's own text quotes values.
// The paths are made of names in our schemas, since only those are checked.
func faults(at string, err error) error {
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return fmt.Errorf("%s: not checkable", at)
	}
	var found []string
	var walk func(*jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 {
			found = append(found, strings.Join(append([]string{at}, e.InstanceLocation...), "/")+": "+rule(e.ErrorKind))
		}
		for _, cause := range e.Causes {
			walk(cause)
		}
	}
	walk(invalid)
	slices.Sort(found)
	return errors.New(strings.Join(found, "; "))
}

func rule(k jsonschema.ErrorKind) string {
	if missing, ok := k.(*kind.Required); ok {
		return "required " + strings.Join(missing.Missing, ", ")
	}
	return strings.Join(k.KeywordPath(), "/")
}
