// Command wasm measures what plugins cost: a call of wazero that does nothing, our call in four languages, the same guests in wazero as
// it is and with its way of interrupting them, the same filter as a plugin of Extism, and what metering adds, all in one run. It is a
// module of its own, so that the product depends on neither the competitor nor its measurement.
//
//	make bench-wasm
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cdcd-project/cdcd/internal/guest"
)

var (
	least     = flag.Duration("time", 200*time.Millisecond, "how long each figure is measured at least")
	languages = flag.String("languages", strings.Join(guest.Languages(), ","), "measure only these")
)

func main() {
	flag.Parse()
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bench-wasm:", err)
		os.Exit(1)
	}
}

// batches are how many changes a call is given, widths how many columns a filter reads.
var (
	batches = []int{1, 16, 256}
	widths  = []int{1, 3, 12}
)

func run(ctx context.Context) error {
	work, err := os.MkdirTemp("", "bench-wasm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	modules, err := build(work)
	if err != nil {
		return err
	}
	fmt.Println("Times are processor time of this program for one change, in the best of many rounds.")
	if err := calls(ctx, modules); err != nil {
		return err
	}
	rust, err := filters(ctx, work, modules)
	if err != nil {
		return err
	}
	metering, err := metered(ctx, work)
	if err != nil {
		return err
	}
	if err := starts(ctx, modules); err != nil {
		return err
	}
	fmt.Println("\n| bar | figure | |")
	fmt.Println("|---|---|---|")
	if rust > 0 {
		bar("Rust, batches of 256, 3 columns, all in: ≤ 200 ns, stretch 60 ns", nanos(rust), rust <= 200)
	}
	bar("metering on filters of the SDKs: ≤ 5 %, stretch 2 %", percent(metering)+" at most", metering <= 1.05)
	return nil
}

// calls prints what a call takes that does nothing.
func calls(ctx context.Context, modules *modules) error {
	fmt.Print("\n| a call that does nothing | | |\n|---|---|---|\n")
	var bare float64
	for _, w := range []struct {
		what  string
		begin func() (call func() error, end func(), err error)
	}{
		{"wazero", func() (func() error, func(), error) { return rawNoop(ctx, modules.noop, false) }},
		{"wazero, `WithCloseOnContextDone`", func() (func() error, func(), error) { return rawNoop(ctx, modules.noop, true) }},
		{"Extism", func() (func() error, func(), error) { return extismNoop(ctx, modules.noop, 0) }},
		{"Extism with a timeout", func() (func() error, func(), error) { return extismNoop(ctx, modules.noop, time.Minute) }},
	} {
		call, end, err := w.begin()
		if err != nil {
			return fmt.Errorf("%s: %w", w.what, err)
		}
		took, err := best(1, call)
		end()
		if err != nil {
			return fmt.Errorf("%s: %w", w.what, err)
		}
		if bare == 0 {
			bare = took
		}
		fmt.Printf("| %s | %s | %s |\n", w.what, nanos(took), times(took, bare))
	}
	return nil
}

// filters prints the tables of filters, and returns the figure that there is a bar for.
func filters(ctx context.Context, work string, modules *modules) (rust float64, err error) {
	fmt.Print("\n| filter in | columns | 1 a call | 16 a call | 256 a call |\n|---|---|---|---|---|\n")
	own := map[string][]float64{} // by language and columns
	var alone strings.Builder
	for _, language := range strings.Split(*languages, ",") {
		for _, columns := range widths {
			f, err := filterFigures(ctx, work, modules.score[language], columns)
			if err != nil {
				return 0, fmt.Errorf("%s, %d columns: %w", language, columns, err)
			}
			own[fmt.Sprint(language, columns)] = f.ours
			fmt.Printf("| %s | %d |", language, columns)
			fmt.Fprintf(&alone, "| %s | %d |", language, columns)
			for i := range batches {
				fmt.Printf(" %s |", nanos(f.ours[i]))
				fmt.Fprintf(&alone, " %s | %s: %s |", nanos(f.alone[i]), nanos(f.interruptible[i]), times(f.interruptible[i], f.alone[i]))
			}
			fmt.Println()
			fmt.Fprintln(&alone)
		}
	}
	fmt.Print("\n| wazero as it is | columns | 1 a call | interruptible | 16 a call | interruptible | 256 a call | interruptible |\n")
	fmt.Print("|---|---|---|---|---|---|---|---|\n", alone.String())
	fmt.Print("\n| the filter on Extism, in C, a change a call | columns | | beside ours in C: 1 | 256 a call |\n|---|---|---|---|---|\n")
	for _, w := range []struct {
		name, function string
		encode         func(columns int) [][]byte
		timeout        time.Duration
	}{
		{"words and texts", "flat", flat, 0},
		{"JSON", "json", jsons, 0},
		{"JSON, with a timeout", "json", jsons, time.Minute},
	} {
		for _, columns := range widths {
			took, err := extismFigure(ctx, modules.extism, w.function, w.encode(columns), columns, w.timeout)
			if err != nil {
				return 0, fmt.Errorf("Extism, %s, %d columns: %w", w.name, columns, err)
			}
			beside := append(own[fmt.Sprint("c", columns)], 0, 0, 0)
			fmt.Printf("| %s | %d | %s | %s | %s |\n", w.name, columns, nanos(took), times(took, beside[0]), times(took, beside[len(batches)-1]))
		}
	}
	if rust := own["rust3"]; rust != nil {
		return rust[len(batches)-1], nil
	}
	return 0, nil
}

// judging returns a call that has a batch judged of so many changes.
type judging func(batch int) (call func() error, err error)

type figures struct{ ours, alone, interruptible []float64 } // each by batches

func filterFigures(ctx context.Context, work string, module []byte, columns int) (f figures, err error) {
	for _, way := range []struct {
		into  *[]float64
		begin func() (judging, func(), error)
	}{
		{&f.ours, func() (judging, func(), error) { return ours(ctx, work, module, columns) }},
		{&f.alone, func() (judging, func(), error) { return rawFilter(ctx, module, columns, false) }},
		{&f.interruptible, func() (judging, func(), error) { return rawFilter(ctx, module, columns, true) }},
	} {
		judging, end, err := way.begin()
		if err != nil {
			return f, err
		}
		for _, batch := range batches {
			judge, err := judging(batch)
			if err != nil {
				return f, err
			}
			took, err := best(batch, judge)
			if err != nil {
				return f, err
			}
			*way.into = append(*way.into, took)
		}
		end()
	}
	return f, nil
}

// best returns the processor time of one change in the best of many rounds of some milliseconds, in which garbage is collected, too,
// if there is much. A call judges so many changes.
func best(changes int, call func() error) (float64, error) {
	took, err := turns(*least, changes, call)
	if err != nil {
		return 0, err
	}
	return took[0], nil
}

// turns does the same for several, in turns, so that what else goes on here is the same for all.
func turns(least time.Duration, changes int, calls ...func() error) ([]float64, error) {
	round := 1
	for _, call := range calls { // what is needed first is there after it
		begin := processor()
		for n := 1; processor()-begin < 10*time.Millisecond; n++ {
			if err := call(); err != nil {
				return nil, err
			}
			round = max(round, n/5)
		}
	}
	fastest := slices.Repeat([]time.Duration{time.Hour}, len(calls))
	for begin := time.Now(); time.Since(begin) < least*time.Duration(len(calls)); {
		for i, call := range calls {
			at := processor()
			for range round {
				if err := call(); err != nil {
					return nil, err
				}
			}
			fastest[i] = min(fastest[i], processor()-at)
		}
	}
	each := make([]float64, len(calls))
	for i, f := range fastest {
		each[i] = float64(f) / float64(round*changes)
	}
	return each, nil
}

// processor returns the processor time that this program has taken: unlike the clock, it stands still while others run.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func bar(what, got string, reached bool) {
	verdict := "**missed**"
	if reached {
		verdict = "reached"
	}
	fmt.Printf("| %s | %s | %s |\n", what, got, verdict)
}

func nanos(n float64) string {
	for _, unit := range []struct {
		of   float64
		name string
	}{{1, "ns"}, {1e3, "µs"}, {1e6, "ms"}} {
		if n < 999.5*unit.of {
			return fmt.Sprintf("%.3g %s", n/unit.of, unit.name)
		}
	}
	return fmt.Sprintf("%.3g s", n/1e9)
}

func times(n, of float64) string {
	switch ratio := n / of; {
	case of == 0:
		return ""
	case ratio >= 100:
		return fmt.Sprintf("%.0f ×", ratio)
	default:
		return fmt.Sprintf("%.2g ×", ratio)
	}
}

func percent(ratio float64) string { return fmt.Sprintf("%+.1f %%", 100*(ratio-1)) }
