package repository

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// column is one value of each of the rows that a statement is given.
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

// given makes a table of rows, under the name "given", for a statement to begin with. For several rows Postgres gets an array for each column, so that
// the text is the same however many there are: it plans each text anew and keeps the plan. A single row is given by itself, which it plans best.
func (cs columns[T]) given(db *gorm.DB, rows []T) (with string, args []any) {
	postgres := db.Name() != sqliteName
	places := make([]string, len(cs))
	for i, c := range cs {
		switch {
		case !postgres:
			places[i] = "?"
		case len(rows) == 1:
			places[i] = "CAST(? AS " + c.kind + ")"
		default:
			places[i] = "CAST(? AS " + c.kind + "[])"
			args = append(args, c.all(rows))
		}
	}
	place := strings.Join(places, ", ")
	with = "WITH given (" + cs.names() + ") AS "
	if postgres && len(rows) > 1 {
		return with + "(SELECT * FROM unnest(" + place + "))", args
	}
	for _, row := range rows {
		for _, c := range cs {
			args = append(args, c.of(row))
		}
	}
	if postgres {
		return with + "(SELECT " + place + ")", args
	}
	return with + "(VALUES (" + place + ")" + strings.Repeat(", ("+place+")", len(rows)-1) + ")", args
}

// write changes rows by what is given, under the name "given", and adds others for each that was changed: change ends by giving the ids of those,
// and key is which of them what is given belongs to. With an empty key all is added. On Postgres both are one statement, which spares a way there and
// back. The result says how many rows were added.
func (cs columns[T]) write(ctx context.Context, db *gorm.DB, rows []T, change string, args []any, add, key string) *gorm.DB {
	db = db.WithContext(ctx)
	with, values := cs.given(db, rows)
	if db.Name() != sqliteName {
		if key != "" {
			add += " WHERE " + key + " IN (SELECT id FROM changed)"
		}
		return db.Exec(with+", changed AS ("+change+") "+add, append(values, args...)...)
	}
	var changed []string
	if done := db.Raw(with+" "+change, append(values, args...)...).Scan(&changed); done.Error != nil {
		return done
	}
	if key != "" {
		add, values = add+" WHERE "+key+" IN ?", append(values, changed)
	}
	return db.Exec(with+" "+add, values...)
}

// insert is the statement that adds what is given to a table.
func (cs columns[T]) insert(table string) string {
	return "INSERT INTO " + table + " (" + cs.names() + ") SELECT " + cs.names() + " FROM given"
}

// oneOf gives the condition that a column has one of the ids, and its argument.
func oneOf(db *gorm.DB, name string, ids []uuid.UUID) (string, any) {
	switch {
	case len(ids) == 1:
		return name + " = ?", ids[0]
	case db.Name() == sqliteName:
		return name + " IN ?", ids
	}
	return name + " = ANY (?)", &ids
}
