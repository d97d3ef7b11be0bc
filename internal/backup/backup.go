// Package backup writes a whole installation into one archive, and makes one from it again, on either database. It knows the archive; what is in
// the database it leaves to the repository, and pictures to their store.
//
// The archive is a gzipped tar file, in this order:
//
//	manifest.json          what it is, and for each table the number of rows, the size and the SHA-256
//	tables/NAME.ndjson     the rows of each table, one JSON object a line
//	images/NAME            the pictures that products show
//	images.json            for each picture the size and the SHA-256, and those that were gone; nothing follows
package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"inventoryhub/internal/domain"
	"inventoryhub/internal/repository"
)

// Format is the version of the archive's layout that this program writes, and the only one that it reads.
const Format = 1

const (
	manifestName = "manifest.json"
	imagesName   = "images.json"
	tablesFolder = "tables/"
	tablesEnding = ".ndjson"
	imagesFolder = "images/"
)

// Manifest is the first file of an archive.
type Manifest struct {
	Program       string    `json:"program"` // always "Inventory Hub"
	Format        int       `json:"format"`  // see [Format]
	SchemaVersion int64     `json:"schemaVersion"`
	Engine        string    `json:"engine"`    // where it comes from: sqlite or postgres
	CreatedAt     time.Time `json:"createdAt"` // of the moment that it shows
	Tables        []Table   `json:"tables"`    // each after those that it refers to
	Images        int       `json:"images"`    // how many pictures products show
	Findings      Findings  `json:"findings"`  // what was wrong with the data already
}

// program is how a manifest of ours is known.
const program = "Inventory Hub"

// Table is one file of rows.
type Table struct {
	Name   string `json:"name"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // in hexadecimal
}

// Findings are what is wrong with data. A backup of broken data can be restored, and is as broken as they were.
type Findings struct {
	Drifts int    `json:"drifts"` // products whose quantity is not the sum of their ledger
	Audit  string `json:"audit"`  // what is wrong with the audit log; empty for nothing
}

// Any says whether anything is wrong.
func (f Findings) Any() bool { return f != Findings{} }

// String says what is wrong in one sentence.
func (f Findings) String() string {
	audit := "the audit log is whole"
	if f.Audit != "" {
		audit = "the audit log is broken: " + f.Audit
	}
	return fmt.Sprintf("%d products differ from their ledger, and %s", f.Drifts, audit)
}

// Images is the last file of an archive.
type Images struct {
	Images  []Image  `json:"images"`
	Missing []string `json:"missing"` // those that somebody replaced or deleted while the backup was taken
}

// Image is one picture.
type Image struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // in hexadecimal
}

// Progress is told how far the work is, in words for a person.
type Progress func(text string)

// inspect looks for what can be wrong with data.
func inspect(ctx context.Context, store *repository.Store) (Findings, error) {
	_, drifts, err := store.Stock.Drifts(ctx)
	if err != nil {
		return Findings{}, err
	}
	_, fault, err := store.Audit.Verify(ctx)
	if err != nil {
		return Findings{}, err
	}
	return Findings{Drifts: len(drifts), Audit: fault}, nil
}

func isKind(err error, kind domain.Kind) bool {
	var refused *domain.Error
	return errors.As(err, &refused) && refused.Kind == kind
}
