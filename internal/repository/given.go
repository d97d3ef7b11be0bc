package repository

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// column is one value of each of many rows that a statement is given.
type column[T any] struct {
	name, kind string // kind is Postgres' name of the type
	of         func(T) any
	all        func([]T) any
}

func col[T, V any](name, kind string, of func(T) V) column[T] {
	return column[T]{
		name: name, kind: kind,
		of: func(row T) any { return of(row) },
		all: func(rows []T) any {
			values := make([]V, len(rows))
			for i, row := range rows {
				values[i] = of(row)
			}
			return &values // GORM would make a list of parameters of the slice itself
		},
	}
}

// columns are what a statement is given of each row.
type columns[T any] []column[T]

func (cs columns[T]) names() string {
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

// given begins a statement with rows that it may name as a table: WITH given (...) AS (...). Postgres gets an array for each column, so that
// the statement is the same for any number of rows: each text is planned and kept on every connection. SQLite, which has no arrays, gets each value.
func (cs columns[T]) given(db *gorm.DB, rows []T) (with string, args []any) {
	places := make([]string, len(cs))
	if db.Name() == sqliteName {
		for i := range cs {
			places[i] = "?"
		}
		for _, row := range rows {
			for _, c := range cs {
				args = append(args, c.of(row))
			}
		}
		one := "(" + strings.Join(places, ", ") + ")"
		return "WITH given (" + cs.names() + ") AS (VALUES " + one + strings.Repeat(", "+one, len(rows)-1) + ") ", args
	}
	for i, c := range cs {
		places[i] = "CAST(? AS " + c.kind + "[])"
		args = append(args, c.all(rows))
	}
	return "WITH given (" + cs.names() + ") AS (SELECT * FROM unnest(" + strings.Join(places, ", ") + ")) ", args
}

// insert adds rows to a table by one statement.
func (cs columns[T]) insert(ctx context.Context, db *gorm.DB, table string, rows []T) error {
	with, args := cs.given(db, rows)
	return db.WithContext(ctx).Exec(with+"INSERT INTO "+table+" ("+cs.names()+") SELECT "+cs.names()+" FROM given", args...).Error
}

// update changes rows by what is given of each: set and where say how, in SQL that names the table and given. It returns how many it changed.
func (cs columns[T]) update(ctx context.Context, db *gorm.DB, table string, rows []T, set, where string) *gorm.DB {
	with, args := cs.given(db, rows)
	return db.WithContext(ctx).Exec(with+"UPDATE "+table+" SET "+set+" FROM given WHERE "+where, args...)
}

// oneOf gives the condition that a column has one of the ids, and its argument.
func oneOf(db *gorm.DB, name string, ids []uuid.UUID) (string, any) {
	if db.Name() == sqliteName {
		return name + " IN ?", ids
	}
	return name + " = ANY (?)", &ids
}
