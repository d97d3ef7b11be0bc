package service

import "time"

// GatherMoves has those who move orders wait for each other, as if somebody were at work: wait returns when so many wait, and release has them
// carried out.
func GatherMoves(s *Orders) (wait func(n int), release func()) { return s.moves.gather() }

// GatherPlaces is GatherMoves for those who place orders.
func GatherPlaces(s *Orders) (wait func(n int), release func()) { return s.places.gather() }

// GatherAdjusts is GatherMoves for those who change stock by hand.
func GatherAdjusts(s *Products) (wait func(n int), release func()) { return s.adjusts.gather() }

func (t *together[T]) gather() (wait func(n int), release func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = true
	wait = func(n int) {
		for t.waits() < n {
			time.Sleep(time.Millisecond)
		}
	}
	return wait, t.passOn
}

func (t *together[T]) waits() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waiting)
}
