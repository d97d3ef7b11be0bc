package repository

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"
)

// catalogueTable is a table as the database itself describes it.
type catalogueTable struct {
	name    string
	columns []catalogueColumn
	key     []string // the primary key
	refers  []string // the tables that it refers to
}

type catalogueColumn struct {
	name string
	kind columnKind
}

// columnKind is what a column holds, whatever the engine calls it.
type columnKind string

const (
	kindText    columnKind = "text"
	kindInteger columnKind = "integer"
	kindTime    columnKind = "time"
	kindBoolean columnKind = "boolean"
)

// columnKinds are the names of types that the migrations may use.
var columnKinds = map[string]columnKind{
	"TEXT": kindText, "INTEGER": kindInteger, "DATETIME": kindTime, "BOOLEAN": kindBoolean,
	"text": kindText, "uuid": kindText, "bigint": kindInteger, "integer": kindInteger, "timestamp with time zone": kindTime, "boolean": kindBoolean,
}

// catalogueQueries ask for columns and for references, on SQLite without the tables that an index for searches consists of.
var catalogueQueries = map[bool][2]string{
	true: {
		`SELECT t.name AS table_name, c.name AS column_name, c.type AS type_name, c.pk AS key_place
			FROM pragma_table_list t JOIN pragma_table_info(t.name) c
			WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND t.name <> 'goose_db_version' ORDER BY t.name, c.cid`,
		`SELECT t.name AS table_name, f."table" AS column_name
			FROM sqlite_master t JOIN pragma_foreign_key_list(t.name) f WHERE t.type = 'table'`,
	},
	false: {
		`SELECT t.relname AS table_name, a.attname AS column_name, format_type(a.atttypid, NULL) AS type_name, COALESCE(array_position(k.conkey, a.attnum), 0) AS key_place
			FROM pg_class t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
			LEFT JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'p'
			WHERE t.relkind IN ('r', 'p') AND t.relnamespace = current_schema()::regnamespace AND t.relname <> 'goose_db_version' ORDER BY t.relname, a.attnum`,
		`SELECT t.relname AS table_name, f.relname AS column_name
			FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class f ON f.oid = c.confrelid
			WHERE c.contype = 'f' AND t.relnamespace = current_schema()::regnamespace`,
	},
}

// catalogue lists all tables, each after those that it refers to. It asks the database instead of a list in the code, so that a table or column
// that a migration adds cannot be forgotten.
func catalogue(ctx context.Context, db *gorm.DB) ([]catalogueTable, error) {
	queries := catalogueQueries[db.Name() == sqliteName]
	var rows, references []struct {
		TableName, ColumnName, TypeName string
		KeyPlace                        int
	}
	if err := db.WithContext(ctx).Raw(queries[0]).Scan(&rows).Error; err != nil {
		return nil, fail("read the catalogue", err)
	}
	if err := db.WithContext(ctx).Raw(queries[1]).Scan(&references).Error; err != nil {
		return nil, fail("read the catalogue", err)
	}
	var tables []catalogueTable
	for _, r := range rows {
		if len(tables) == 0 || tables[len(tables)-1].name != r.TableName {
			tables = append(tables, catalogueTable{name: r.TableName})
		}
		t := &tables[len(tables)-1]
		kind, known := columnKinds[r.TypeName]
		if !known {
			return nil, fmt.Errorf("the column %s.%s is of the type %s, which this program does not know", r.TableName, r.ColumnName, r.TypeName)
		}
		t.columns = append(t.columns, catalogueColumn{name: r.ColumnName, kind: kind})
		if r.KeyPlace > 0 {
			t.key = slices.Insert(t.key, min(r.KeyPlace-1, len(t.key)), r.ColumnName)
		}
	}
	for _, r := range references {
		if i := slices.IndexFunc(tables, func(t catalogueTable) bool { return t.name == r.TableName }); i >= 0 {
			tables[i].refers = append(tables[i].refers, r.ColumnName)
		}
	}
	return inOrder(tables)
}

// inOrder puts each table after those that it refers to. Rows that refer to rows of their own table cannot be put in order by that.
func inOrder(tables []catalogueTable) ([]catalogueTable, error) {
	var done []catalogueTable
	isDone := func(name string) bool {
		return slices.ContainsFunc(done, func(t catalogueTable) bool { return t.name == name })
	}
	for len(tables) > 0 {
		i := slices.IndexFunc(tables, func(t catalogueTable) bool {
			return !slices.ContainsFunc(t.refers, func(name string) bool { return !isDone(name) })
		})
		if i < 0 {
			return nil, fmt.Errorf("the table %s refers to itself in a circle", tables[0].name)
		}
		done = append(done, tables[i])
		tables = slices.Delete(tables, i, i+1)
	}
	return done, nil
}
