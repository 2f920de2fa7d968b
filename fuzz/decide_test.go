package fuzz

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rulegen"
	"github.com/cdcd-project/cdcd/rules"
)

// FuzzDecide makes a table, many rules about it and changes of it, and compares what the index says of each rule and
// change with what the rule's condition gives as a CEL program of its own.
func FuzzDecide(f *testing.F) {
	for i := range uint64(20) {
		f.Add(binary.LittleEndian.AppendUint64(nil, i))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g := rulegen.New(data)
		c := g.Case(1+len(data)%40, 24)
		set := mustSet(t, c.Source())
		for i, e := range c.Events {
			compare(t, set, c, i, e)
		}
	})
}

// compare judges an event both ways and returns what is right.
func compare(t testing.TB, set *rules.Set, c rulegen.Case, i int, e cdc.Event) cdc.Decision {
	got, want := set.Decide(e), set.DecidePlainly(e)
	if classes(got) == classes(want) {
		return want
	}
	for _, r := range c.Rules {
		if a, b := class(got, r.Name), class(want, r.Name); a != b {
			t.Errorf("event %d: the index says %s, CEL says %s\n%s", i, a, b, repro(t, c, r, e))
		}
	}
	if !t.Failed() {
		t.Errorf("event %d: order: the index says %s, CEL says %s", i, classes(got), classes(want))
	}
	return want
}

func mustSet(t testing.TB, src string) *rules.Set {
	rs, err := rules.Parse("rules.yaml", []byte(src))
	if err != nil {
		t.Fatalf("%v\n%s", err, src)
	}
	set, err := rules.New(rs)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// classes says which rules matched and which failed, in order.
func classes(d cdc.Decision) string {
	var b strings.Builder
	for _, m := range d.Matches {
		fmt.Fprintf(&b, "%s%s ", m.Name, m.Change)
	}
	b.WriteString("| ")
	for _, e := range d.Errors {
		fmt.Fprintf(&b, "%s ", e.Rule.Name)
	}
	return b.String()
}

func class(d cdc.Decision, rule string) string {
	for _, e := range d.Errors {
		if e.Rule.Name == rule {
			return "failed"
		}
	}
	for _, m := range d.Matches {
		if m.Name == rule {
			return "match " + m.Change
		}
	}
	return "no match"
}

// repro returns the smallest condition that is still judged differently, if the rule alone is, and the event.
func repro(t testing.TB, c rulegen.Case, r rulegen.Rule, e cdc.Event) string {
	differs := func(r rulegen.Rule) bool {
		rs, err := rules.Parse("rules.yaml", []byte(rulegen.Source(r)))
		if err != nil {
			return false
		}
		set, _ := rules.New(rs)
		return class(set.Decide(e), r.Name) != class(set.DecidePlainly(e), r.Name)
	}
	var b strings.Builder
	if !differs(r) {
		b.WriteString("(only in the company of other rules)\n")
	}
	r = rulegen.Shrink(r, differs)
	b.WriteString(rulegen.Source(r))
	fmt.Fprintf(&b, "%s\n", e.Op())
	for i, col := range c.Table.Columns {
		if strings.Contains(r.When, col.Name) {
			fmt.Fprintf(&b, "  %s %s: %v (%s) → %v (%s)\n", col.Name, col.Type, e.Before().Value(i), e.Before().Kind(i), e.After().Value(i), e.After().Kind(i))
		}
	}
	return b.String()
}

var decideFor = flag.Duration("decide.for", time.Second, "how long TestDecideRandomly goes on; it prints how much it has tried")

// TestDecideRandomly is FuzzDecide with random data, which is much faster than with the fuzzer's: what matters here is not
// which code runs, but with which values.
//
//	go test ./fuzz -run TestDecideRandomly -decide.for 1h -timeout 0 -v
func TestDecideRandomly(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	var sets, rulesTried, pairs, matches, failures int
	begin, said := time.Now(), time.Now()
	for time.Since(begin) < *decideFor && !t.Failed() {
		data := make([]byte, random.IntN(4000))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		c := rulegen.New(data).Case(1+random.IntN(60), 60)
		set := mustSet(t, c.Source())
		for i, e := range c.Events {
			want := compare(t, set, c, i, e)
			matches, failures = matches+len(want.Matches), failures+len(want.Errors)
		}
		sets, rulesTried, pairs = sets+1, rulesTried+len(c.Rules), pairs+len(c.Rules)*len(c.Events)
		if time.Since(said) > time.Minute {
			said = time.Now()
			fmt.Printf("%v: %d sets, %d rules, %d pairs of a rule and a change: %d matches, %d failures\n", time.Since(begin).Round(time.Second), sets, rulesTried, pairs, matches, failures)
		}
	}
	t.Logf("seed %d, %v: %d sets, %d rules, %d pairs of a rule and a change: %d matches, %d failures", seed, time.Since(begin).Round(time.Second), sets, rulesTried, pairs, matches, failures)
}
