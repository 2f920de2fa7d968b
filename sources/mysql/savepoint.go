package mysql

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// savepoints are those of one transaction.
type savepoints struct {
	list []savepoint
	at   map[string]int // the present one of each name; others in list were set anew under their name
}

type savepoint struct {
	name     string
	held     int  // row events that were held then,
	bytes    int  // and what they take
	released bool // row events after it have left held
}

// set sets a savepoint. One of the same name is gone.
func (s *savepoints) set(name string, held, bytes int) {
	if s.at == nil {
		s.at = map[string]int{}
	}
	name = savepointName(name)
	delete(s.at, name)
	if len(s.list) > 2*len(s.at)+16 {
		s.compact()
	}
	s.at[name] = len(s.list)
	s.list = append(s.list, savepoint{name: name, held: held, bytes: bytes})
}

// back goes back to a savepoint: those that were set later are gone.
func (s *savepoints) back(name string) (savepoint, bool) {
	i, ok := s.at[savepointName(name)]
	if !ok {
		return savepoint{}, false
	}
	for at := i + 1; at < len(s.list); at++ {
		if s.at[s.list[at].name] == at {
			delete(s.at, s.list[at].name)
		}
	}
	s.list = s.list[:i+1]
	return s.list[i], true
}

// release is called when all row events that were held are no more.
func (s *savepoints) release() {
	for i := range s.list {
		s.list[i].released = true
	}
}

func (s *savepoints) compact() {
	kept := s.list[:0]
	for i, p := range s.list {
		if at, ok := s.at[p.name]; ok && at == i {
			s.at[p.name] = len(kept)
			kept = append(kept, p)
		}
	}
	clear(s.list[len(kept):])
	s.list = kept
}

// savepointName returns the name such that those are equal that servers take for the same: neither case nor accents
// count.
func savepointName(name string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(name) {
		if !unicode.Is(unicode.Mn, r) {
			b.WriteRune(unicode.ToUpper(r))
		}
	}
	return b.String()
}
