// Command rules measures what many rules cost, beside a plain loop over cel-go programs and one over expr-lang programs
// of the same rules in the same run, and prints one table. It is a module of its own, so that the product depends on
// neither the competitor nor its measurement.
//
//	make bench-rules
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/rules"
)

var (
	maxRules = flag.Int("rules", 100_000, "the largest number of rules on the table")
	least    = flag.Duration("time", 300*time.Millisecond, "how long each figure is measured at least")
	only     = flag.String("only", "", "measure only the workloads whose name contains this")
	others   = flag.Bool("others", true, "measure cel-go and expr-lang, too")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-rules:", err)
		os.Exit(1)
	}
}

func run() error {
	fmt.Printf("One table of %d columns, updates; times are processor time of one event, the best of many rounds over the same %d events.\n\n", len(orders.Columns), len(orderRows))
	figures := map[string]figure{}
	fmt.Println("| rules | what | matches | cdcd | allocations | plain cel-go loop | | expr-lang loop | |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	for _, w := range workloads() {
		if w.n > *maxRules || !strings.Contains(w.name, *only) {
			continue
		}
		f, err := w.measure()
		if err != nil {
			return fmt.Errorf("%d rules, %s: %w", w.n, w.name, err)
		}
		figures[w.key()] = f
		fmt.Printf("| %s | %s | %.4g | %s | %.3g | %s | %s | %s | %s |\n", count(w.n), w.name, f.matches, nanos(f.own), f.allocs,
			nanos(f.cel), times(f.cel, f.own), nanos(f.expr), times(f.expr, f.own))
	}
	fmt.Println()
	if err := publishing(); err != nil {
		return err
	}
	bars(figures)
	return nil
}

// bars prints what is to be reached, and what is.
func bars(figures map[string]figure) {
	fmt.Println("\n| bar | figure | |")
	fmt.Println("|---|---|---|")
	bar := func(what, got string, reached bool) {
		verdict := "**missed**"
		if reached {
			verdict = "reached"
		}
		fmt.Printf("| %s | %s | %s |\n", what, got, verdict)
	}
	one, ok := figures["1 rare"]
	if !ok {
		return
	}
	bar("one rule, no match: ≤ 100 ns, stretch 50 ns", nanos(one.own), one.own <= 100)
	if many, ok := figures["10000 rare"]; ok {
		few := figures["10 rare"]
		bar("10,000 rules, at most one match: ≤ 2 µs, stretch 1 µs", nanos(many.own), many.own <= 2000)
		bar("the same: no allocation", fmt.Sprintf("%.3g", many.allocs), many.allocs == 0)
		bar("the same: ≤ 2 × the time of 10 rules", times(many.own, few.own), many.own <= 2*few.own)
	}
}

// figure is what was measured of a workload, in nanoseconds an event; 0 where it was not.
type figure struct {
	own, cel, expr, allocs, matches float64
}

func (w *workload) measure() (figure, error) {
	var f figure
	texts := make([]rule, w.n)
	for i := range texts {
		texts[i] = w.rule(i)
	}
	set, err := newSet(texts)
	if err != nil {
		return f, err
	}
	events := orderEvents(w.nulls)
	matches := 0
	for i, e := range events {
		d := set.Decide(e)
		if len(d.Errors) > 0 {
			return f, fmt.Errorf("event %d: rule %s: %w", i, d.Errors[0].Rule.Name, d.Errors[0].Err)
		}
		matches += len(d.Matches)
	}
	f.matches = float64(matches) / float64(len(events))
	if w.churn {
		f.own = churned(set, events)
		return f, nil
	}
	f.own, f.allocs = best(len(events), func(i int) { set.Decide(events[i]) })
	if !*others || w.n > 10_000 {
		return f, nil
	}
	programs, err := celPrograms(texts)
	if err != nil {
		return f, err
	}
	rows := orderMaps(w.nulls)
	if n := programs.count(rows); n != matches {
		return f, fmt.Errorf("cel-go says that %d match, cdcd that %d do", n, matches)
	}
	f.cel, _ = best(len(rows), func(i int) { programs.decide(rows[i]) })
	programs = nil
	runtime.GC()
	machines, err := exprPrograms(texts)
	if err != nil {
		return f, err
	}
	structs := orderStructs(w.nulls)
	if n := machines.count(structs); n != matches {
		return f, fmt.Errorf("expr-lang says that %d match, cdcd that %d do", n, matches)
	}
	f.expr, _ = best(len(structs), func(i int) { machines.decide(structs[i]) })
	return f, nil
}

// best returns the processor time of one event in the best of many rounds, and the allocations of one event. All rounds go
// through the same events, a few if each takes long, several times if each takes little.
func best(events int, decide func(i int)) (nanos, allocs float64) {
	begin := time.Now()
	for i := range min(events, 5) {
		decide(i)
	}
	once := time.Since(begin) / time.Duration(min(events, 5))
	round := max(3, min(events, int(100*time.Microsecond/max(once, 1))))
	again := max(1, int(200*time.Microsecond/(max(once, 1)*time.Duration(round))))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := 0
	fastest := time.Hour
	for begin = time.Now(); time.Since(begin) < *least; n += again * round {
		at := processor()
		for range again {
			for i := range round {
				decide((2*i + 1) * events / (2 * round))
			}
		}
		fastest = min(fastest, processor()-at)
	}
	runtime.ReadMemStats(&after)
	return float64(fastest) / float64(again*round), float64((after.Mallocs-before.Mallocs)*100/uint64(n)) / 100
}

// processor returns the processor time that this program has taken: unlike the clock, it stands still while others run.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// churned measures events while the set is exchanged for another one every 10 ms, which has to learn the table.
func churned(set *rules.Set, events []cdc.Event) float64 {
	begin, n := time.Now(), 0
	rs := set.Rules()
	at := processor()
	for next := begin.Add(10 * time.Millisecond); time.Since(begin) < 4**least; n++ {
		if n%16 == 0 && time.Now().After(next) {
			set = changedSet(set, rs, n)
			next = time.Now().Add(10 * time.Millisecond)
		}
		set.Decide(events[n%len(events)])
	}
	return float64(processor()-at) / float64(n)
}

// publishing prints what a rule takes in memory, and how long one takes to be published among others.
func publishing() error {
	const n = 10_000
	if n > *maxRules {
		return nil
	}
	texts := make([]rule, n)
	for i := range texts {
		texts[i] = rare(i)
	}
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before := heap()
	rs, err := parse(texts)
	if err != nil {
		return err
	}
	parsed := heap()
	begin := time.Now()
	set, err := rules.New(rs)
	if err != nil {
		return err
	}
	events := orderEvents(0)
	set.Decide(events[0])
	first := time.Since(begin)
	indexed := heap()
	shortest := time.Hour
	for i := range 5 {
		begin := time.Now()
		next := changedSet(set, rs, i)
		next.Decide(events[0])
		shortest = min(shortest, time.Since(begin))
		runtime.KeepAlive(next)
	}
	fmt.Printf("10,000 rules: %.0f bytes a rule as parsed, and %.0f more to be judged on one table and operation; %v until the first event is judged.\n",
		(parsed-before)/n, (indexed-parsed)/n, first.Round(time.Millisecond))
	fmt.Printf("One of them is changed: %v until the first event is judged by the new set (bar: 100 ms).\n", shortest.Round(time.Millisecond/10))
	runtime.KeepAlive(set)
	return nil
}

func count(n int) string {
	s := fmt.Sprint(n)
	if len(s) > 3 {
		s = s[:len(s)-3] + "," + s[len(s)-3:]
	}
	return s
}

func nanos(n float64) string {
	switch {
	case n == 0:
		return ""
	case n < 10_000:
		return fmt.Sprintf("%.0f ns", n)
	case n < 10_000_000:
		return fmt.Sprintf("%.0f µs", n/1000)
	}
	return fmt.Sprintf("%.0f ms", n/1e6)
}

func times(n, of float64) string {
	if n == 0 || of == 0 {
		return ""
	}
	if ratio := n / of; ratio >= 100 {
		return count(int(ratio+0.5)) + " ×"
	}
	return fmt.Sprintf("%.2g ×", n/of)
}
