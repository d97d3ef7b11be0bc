package repository

import (
	"errors"
	"fmt"
	"strings"

	"gorm.io/gorm"

	"inventoryhub/internal/tracing"
)

// maxTracedText bounds the text of a statement in a span, in bytes: one that writes many rows has a place for each value.
const maxTracedText = 2000

// traceKey is where a statement keeps its span.
const traceKey = "inventoryhub:span"

// traceStatements has every statement tell the trace of its context how long it took. The span bears the text with its places, never the values.
func traceStatements(db *gorm.DB) error {
	before := func(db *gorm.DB) {
		if _, span := tracing.BeginKind(db.Statement.Context, tracing.Client, "statement"); span.On() {
			db.InstanceSet(traceKey, span)
		}
	}
	after := func(db *gorm.DB) {
		kept, _ := db.InstanceGet(traceKey)
		if span, ok := kept.(tracing.Span); ok {
			describe(span, db.Name(), db.Statement.SQL.String(), db.Statement.Table, db.Error)
			span.End()
		}
	}
	c := db.Callback()
	return errors.Join(
		c.Create().Before("*").Register("trace:before", before), c.Create().After("*").Register("trace:after", after),
		c.Query().Before("*").Register("trace:before", before), c.Query().After("*").Register("trace:after", after),
		c.Update().Before("*").Register("trace:before", before), c.Update().After("*").Register("trace:after", after),
		c.Delete().Before("*").Register("trace:before", before), c.Delete().After("*").Register("trace:after", after),
		c.Row().Before("*").Register("trace:before", before), c.Row().After("*").Register("trace:after", after),
		c.Raw().Before("*").Register("trace:before", before), c.Raw().After("*").Register("trace:after", after),
	)
}

// describe gives the span the attributes of OpenTelemetry's conventions for databases.
func describe(span tracing.Span, engine, query, table string, err error) {
	text := strings.Join(strings.Fields(query), " ")
	operation, _, _ := strings.Cut(text, " ")
	span.Name(strings.TrimSpace(operation + " " + table))
	system := "postgresql"
	if engine == sqliteName {
		system = sqliteName
	}
	span.Set("db.system.name", system)
	span.Set("db.query.text", strings.ToValidUTF8(text[:min(len(text), maxTracedText)], ""))
	if err != nil && !isNoRow(err) {
		span.Set("error.type", fmt.Sprintf("%T", err))
		span.Fail("statement failed")
	}
}
