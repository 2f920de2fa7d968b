package mysql

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestXATransactionsAreInDoubtUntilTheyAreDone(t *testing.T) {
	type step struct {
		told   decisions
		server string // what it has as prepared then
		after  time.Duration
		doubt  string
	}
	words := func(s string) map[string]bool {
		set := map[string]bool{}
		for _, one := range strings.Fields(s) {
			set[one] = true
		}
		return set
	}
	for name, steps := range map[string][]step{
		"at first all that capture does not know": {
			{decisions{prepared: []string{"a"}}, "a b c", 0, "b c"}, {decisions{}, "a c d", 0, "c"}, {decisions{}, "a d", 0, ""}},
		"those that were prepared behind the first request": {
			{decisions{}, "a b", 0, "a b"}, {decisions{prepared: []string{"a", "b"}}, "a b", 0, ""}},
		"a commit": {
			{decisions{}, "", 0, ""}, {decisions{committed: []string{"a", "b"}}, "b c", 0, "b"}, {decisions{}, "b", 0, "b"}, {decisions{}, "c", 0, ""}},
		"an id that was used again": {
			{decisions{}, "", 0, ""}, {decisions{committed: []string{"a"}, prepared: []string{"a"}}, "a", 0, ""}, {decisions{committed: []string{"a"}}, "a", 0, "a"}},
		"those that nobody knows, for a while": {
			{decisions{}, "a b", 0, "a b"}, {decisions{committed: []string{"b"}}, "a b", time.Second, "a b"}, {decisions{}, "a b", 3 * time.Second, "b"}},
		"too many to be told": {
			{decisions{}, "", 0, ""}, {decisions{committed: []string{"a"}}, "a", 0, "a"}, {decisions{anew: true, prepared: []string{"c"}}, "b c", 0, "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			var d doubts
			now := time.Unix(1, 0)
			for i, s := range steps {
				d.take(s.told)
				now = now.Add(s.after)
				done := d.look(words(s.server), now)
				if got := strings.Join(slices.Sorted(maps.Keys(d.ids)), " "); got != s.doubt || done != (s.doubt == "") {
					t.Fatalf("step %d: %q in doubt (%v), want %q", i, got, done, s.doubt)
				}
			}
		})
	}
}

func TestManyCommitsBetweenTwoRequestsAreNotAllRemembered(t *testing.T) {
	n := &snapshots{reader: &snapshotReader{}}
	for range maxDecisions + 5 {
		n.decided("x")
	}
	if n.xa.anew != true || len(n.xa.committed) != 0 {
		t.Errorf("%v with %d", n.xa.anew, len(n.xa.committed))
	}
}
