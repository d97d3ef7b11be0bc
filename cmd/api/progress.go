package main

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"inventoryhub/internal/backup"
	"inventoryhub/internal/daemon"
)

// progressEvery is how often the line is written anew: often enough to be seen moving, and seldom enough to be read.
const progressEvery = 100 * time.Millisecond

// newProgress shows how far the work is to a person at a terminal, on one line, and nothing to anybody else. What was shown is gone after end.
func newProgress(w io.Writer) (show backup.Progress, end func()) {
	if !daemon.IsTerminal(w) {
		return func(string) {}, func() {}
	}
	const clear = "\r\x1b[K" // ECMA-48: to the start of the line, and erase it
	var latest atomic.Pointer[string]
	done := make(chan struct{})
	var writing sync.WaitGroup
	// Apart from the work, which reports thousands of steps in a second, and then perhaps none for long.
	writing.Go(func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if text := latest.Swap(nil); text != nil {
					_, _ = fmt.Fprint(w, clear+fitting(*text, w))
				}
			case <-done:
				_, _ = fmt.Fprint(w, clear)
				return
			}
		}
	})
	return func(text string) { latest.Store(&text) }, sync.OnceFunc(func() { close(done); writing.Wait() })
}

// fitting cuts a text, which is ASCII, to the width of the terminal: of one that went on in a second line, the first would stay.
func fitting(text string, terminal io.Writer) string {
	if columns := daemon.Columns(terminal); columns > 0 && len(text) >= columns {
		return text[:columns-1]
	}
	return text
}
