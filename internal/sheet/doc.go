// Package sheet reads and writes the CSV files that go in and out, for HTTP and for the command line alike. It stands at the edge: it knows the form of
// a file, and nothing of who may have it or what becomes of it.
package sheet
