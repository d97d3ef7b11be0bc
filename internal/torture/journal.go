package torture

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"inventoryhub/internal/domain"
)

// The kinds of things.
const (
	kindCategory = "category"
	kindProduct  = "product"
	kindOrder    = "order"
	kindUser     = "user"
)

// arrows is the state diagram: from each state, and from none, where an order may go.
var arrows = map[domain.OrderState][]domain.OrderState{
	"":                    {domain.OrderDraft, domain.OrderPending},
	domain.OrderDraft:     {domain.OrderPending, domain.OrderCancelled},
	domain.OrderPending:   {domain.OrderReady, domain.OrderCancelled},
	domain.OrderReady:     {domain.OrderCompleted, domain.OrderCancelled},
	domain.OrderCompleted: nil,
	domain.OrderCancelled: nil,
}

// target is something to act on, with the marker of the step that made it.
type target struct{ id, marker string }

// fate is what became of a creation.
type fate int

const (
	fateOpen    fate = iota
	fateMade         // it was answered with success
	fateRefused      // it was refused: there must be nothing
	fateGone         // its answer was lost, and what it had made was deleted since
	fateUnknown      // without a key nobody can tell
)

// creation is a request that makes something, with all its tries.
type creation struct {
	kind   string
	marker string
	call   call
	tried  time.Time
	lost   bool // an answer is missing, or another try runs at the same time
	fate   fate
	id     string // what it made, as far as the answer tells
}

// adjustment is a change of stock by hand.
type adjustment struct {
	product string
	count   bool // amount is the new quantity and not the difference
	amount  int64
	answer  answer
}

// writing is a change of a description. Its version is 0 if nobody knows whether it was carried out.
type writing struct {
	marker  string
	version int64
}

// state names a thing in one of its versions.
type state struct {
	id      string
	version int64
}

// shown is what an answer tells of a thing that depends on its version alone.
type shown struct {
	State    domain.OrderState
	Quantity int64
}

// journal holds what the API has said so far. What contradicts it in an answer is a violation at once; the rest is compared with
// the database in the end.
type journal struct {
	tally *tally

	mu          sync.Mutex
	targets     map[string][]target // by kind, the newest last
	creations   []*creation
	versions    map[string]int64  // the highest that was told, by id
	values      map[state]shown   // what was told of each version
	kinds       map[string]string // of the ids
	missing     map[string]bool   // what was told to be gone
	deletions   map[string]string // what was deleted with success, and its kind
	transitions map[state]domain.OrderState
	granted     map[string]bool // order and state, once
	adjustments map[string]adjustment
	writings    map[string][]writing
}

func newJournal(t *tally) *journal {
	return &journal{
		tally: t, targets: map[string][]target{}, versions: map[string]int64{}, values: map[state]shown{}, kinds: map[string]string{}, missing: map[string]bool{},
		deletions: map[string]string{}, transitions: map[state]domain.OrderState{}, granted: map[string]bool{}, adjustments: map[string]adjustment{},
		writings: map[string][]writing{},
	}
}

// crowd is among how many of the newest things of a kind clients choose: few, so that they meet.
var crowd = map[string]int{kindCategory: 4, kindProduct: 8, kindOrder: 24}

// pick draws something to act on.
func (j *journal) pick(kind string, dice *rand.Rand) (target, bool) {
	n := dice.IntN(crowd[kind])
	j.mu.Lock()
	defer j.mu.Unlock()
	all := j.targets[kind]
	all = all[max(0, len(all)-crowd[kind]):]
	if len(all) == 0 {
		return target{}, false
	}
	return all[n%len(all)], true
}

// latest gives the highest version that was told, or 0.
func (j *journal) latest(id string) int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.versions[id]
}

// floor is what was known of a thing before a request was sent: the answer must not be older.
type floor struct {
	version int64
	missing bool
}

func (j *journal) floor(id string) floor {
	j.mu.Lock()
	defer j.mu.Unlock()
	return floor{j.versions[id], j.missing[id]}
}

// saw takes in an answer that shows a thing, or that says that there is none.
func (j *journal) saw(kind, id string, f floor, a answer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case a.status == 404:
		j.lose(kind, id)
	case a.ok():
		if f.missing {
			j.tally.violate("%s %s was gone and is back", kind, id)
		}
		if a.version() < f.version {
			j.tally.violate("%s %s is shown in version %d after version %d was", kind, id, a.version(), f.version)
		}
		j.note(kind, id, a)
	}
}

// note remembers what an answer tells of a version. The lock is held.
func (j *journal) note(kind, id string, a answer) {
	var value shown
	if err := json.Unmarshal(a.body, &value); err != nil {
		j.tally.violate("%s %s cannot be read: %v: %.200s", kind, id, err, a.body)
		return
	}
	if value.Quantity < 0 {
		j.tally.violate("%s %s has the quantity %d", kind, id, value.Quantity)
	}
	at := state{id, a.version()}
	if before, known := j.values[at]; known && before != value {
		j.tally.violate("version %d of %s %s is shown as %v and as %v", at.version, kind, id, before, value)
	}
	j.values[at], j.kinds[id] = value, kind
	j.versions[id] = max(j.versions[id], at.version)
}

// lose forgets a target. The lock is held.
func (j *journal) lose(kind, id string) {
	j.missing[id] = true
	j.targets[kind] = slices.DeleteFunc(j.targets[kind], func(t target) bool { return t.id == id })
}

// begin writes a creation down before it is sent.
func (j *journal) begin(made *creation, twice bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	made.lost, made.call.repeated = twice, twice
	j.creations = append(j.creations, made)
}

// attempt gives the call of a creation's next try.
func (j *journal) attempt(made *creation) call {
	j.mu.Lock()
	defer j.mu.Unlock()
	made.tried = time.Now()
	return made.call
}

func (j *journal) isOpen(made *creation) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return made.fate == fateOpen
}

// answered takes in what came of one try of a creation.
func (j *journal) answered(made *creation, a answer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	running := made.call.key != "" && a.status == 409 && a.blames("request")
	switch {
	case a.ok():
		j.made(made, a)
	case a.unknown():
		made.lost, made.call.repeated = true, true
		if made.call.key == "" {
			made.fate = fateUnknown
		}
	case running && !made.lost:
		j.tally.violate("the key %s is said to be in use, but was sent once", made.call.key)
	case running, made.fate == fateMade && a.status == 404:
	case made.fate == fateMade:
		j.tally.violate("the key %s was answered with success and then with %d %.200s", made.call.key, a.status, a.body)
	case a.status == 404:
		made.fate = fateGone
	default:
		made.fate = fateRefused
	}
}

// made takes in a success. The lock is held.
func (j *journal) made(made *creation, a answer) {
	var created struct{ ID string }
	if len(a.body) > 0 {
		if err := json.Unmarshal(a.body, &created); err != nil {
			j.tally.violate("an answer cannot be read: %v: %.200s", err, a.body)
		}
	}
	switch made.fate {
	case fateMade:
		if made.id != created.ID {
			j.tally.violate("the key %s made %s %s and then %s", made.call.key, made.kind, made.id, created.ID)
		}
	case fateRefused:
		j.tally.violate("the key %s was refused and then answered with success", made.call.key)
	default:
		made.fate, made.id = fateMade, created.ID
		if made.kind != kindUser && !j.missing[created.ID] {
			j.targets[made.kind] = append(j.targets[made.kind], target{created.ID, made.marker})
		}
	}
	if made.kind == kindProduct || made.kind == kindOrder {
		j.note(made.kind, created.ID, a)
	}
}

// moved takes in what came of a transition.
func (j *journal) moved(order string, to domain.OrderState, by domain.Role, a answer) {
	if !a.ok() {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if once := order + " to " + string(to); j.granted[once] {
		j.tally.violate("the transition of order %s was granted twice", once)
	} else {
		j.granted[once] = true
	}
	if by == domain.RoleUser && (to == domain.OrderReady || to == domain.OrderCompleted) {
		j.tally.violate("a User brought order %s to %s", order, to)
	}
	j.transitions[state{order, a.version()}] = to
}

// deleted takes in what came of a deletion.
func (j *journal) deleted(kind, id string, a answer) {
	if !a.ok() && a.status != 404 {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lose(kind, id)
	if !a.ok() {
		return
	}
	if j.deletions[id] != "" {
		j.tally.violate("%s %s was deleted twice", kind, id)
	}
	j.deletions[id], j.kinds[id] = kind, kind
}

// adjusted takes in what came of a change of stock.
func (j *journal) adjusted(marker string, by adjustment, a answer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	by.answer = a
	j.adjustments[marker] = by
}

// wrote takes in what came of a change of a description.
func (j *journal) wrote(id, marker string, a answer) {
	if !a.ok() && !a.unknown() {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	w := writing{marker: marker}
	if a.ok() {
		w.version = a.version()
	}
	j.writings[id] = append(j.writings[id], w)
}
