package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/rules"
)

// smallFigures measures single steps on captured rows, and runs the benchmarks of package cdc.
func (r *report) smallFigures(s *sourced) {
	defer r.step("single steps")()
	b := r.b
	batches := sample(b, s)
	r.section("single steps, one processor")
	miss := "after.status == 'sent' && after.total > 1000000 && changed('status')"
	one := decide(b, batches, 1, miss)
	r.judge(one <= 100, "one rule of four comparisons, no match", "≤ 100 ns/event", "%.0f ns/event", one)
	r.add("one rule of three comparisons, match", "%.0f ns/event", decide(b, batches, 1, "after.total >= 0 && after.items >= 0"))
	for _, n := range []int{10, 1000} {
		r.add(fmt.Sprintf("%d rules on the table, no match", n), "%.0f ns/event", decide(b, batches, n, miss))
	}
	out, err := exec.Command("go", "test", "github.com/cdcd-project/cdcd/cdc", "-run", "^$", "-bench", "^Benchmark(Build|Open|ReadThreeColumns|AppendRecord)$", "-benchtime", "300ms").CombinedOutput()
	if err != nil {
		b.Fatalf("benchmarks of cdc: %v\n%s", err, out)
	}
	found := regexp.MustCompile(`(?m)^Benchmark(\S+?)-\d+\s.*?([\d.]+) ns/row`).FindAllSubmatch(out, -1)
	if len(found) != 5 {
		b.Fatalf("benchmarks of cdc: %d figures, want 5\n%s", len(found), out)
	}
	for _, f := range found {
		what, ok := map[string]string{
			"Build":                   "frame: built, a row of two images",
			"Open/tables_known=true":  "frame: opened, a row",
			"Open/tables_known=false": "frame: opened, table not seen before, a row",
			"ReadThreeColumns":        "frame: three columns read, a row",
			"AppendRecord":            "record: rendered as JSON",
		}[string(f[1])]
		if !ok {
			b.Fatalf("benchmarks of cdc: what is %s?", f[1])
		}
		r.add(what, "%s ns", f[2])
	}
}

// sample returns captured frames of some ten thousand events.
func sample(b *testing.B, s *sourced) (batches []*cdc.Batch) {
	tables := new(cdc.Tables)
	err := newSource(b, s.db).Run(b.Context(), s.from, until(10_000, func(_ context.Context, batch *cdc.Batch) error {
		opened, err := cdc.Open(bytes.Clone(batch.Frame()), tables)
		batches = append(batches, opened)
		return err
	}))
	if !errors.Is(err, errEnough) {
		b.Fatal(err)
	}
	return batches
}

// decide returns how many nanoseconds an event takes to be judged by n rules like when, no two of which are equal.
func decide(b *testing.B, batches []*cdc.Batch, n int, when string) float64 {
	b.Helper()
	var file bytes.Buffer
	fmt.Fprintln(&file, "version: 1\nrules:")
	for i := range n {
		fmt.Fprintf(&file, "  - {name: rule-%d, tables: [bench.*], on: [insert, update], when: \"%s && after.customer_id >= -%d\", to: [acme]}\n", i, when, i)
	}
	parsed, err := rules.Parse("bench.yaml", file.Bytes())
	if err != nil {
		b.Fatal(err)
	}
	set, err := rules.New(parsed)
	if err != nil {
		b.Fatal(err)
	}
	judged, matched := 0, 0
	judge := func() {
		for _, batch := range batches {
			for i := range batch.Len() {
				d := set.Decide(batch.Event(i))
				if len(d.Errors) > 0 {
					b.Fatalf("rule %s: %v", d.Errors[0].Rule.Name, d.Errors[0].Err)
				}
				judged, matched = judged+1, matched+len(d.Matches)
			}
		}
	}
	set.Decide(batches[0].Event(0)) // compiles the rules for the table
	began := time.Now()
	for judge(); time.Since(began) < 300*time.Millisecond; {
		judge()
	}
	took := time.Since(began)
	if matched != 0 && matched != judged {
		b.Fatalf("%d of %d events matched %s, want all or none", matched, judged, when)
	}
	return float64(took.Nanoseconds()) / float64(judged)
}
