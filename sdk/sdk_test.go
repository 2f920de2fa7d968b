// Package sdk_test judges the SDKs by what plugins written with them do.
package sdk_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/guest"
	"github.com/cdcd-project/cdcd/internal/pluginkit"
	"github.com/cdcd-project/cdcd/internal/toolchain"
	"github.com/cdcd-project/cdcd/wasm"
)

var update = flag.Bool("update", false, "write the modules in testdata anew")

// fixtures are languages whose example is small enough to be kept here as it is built, for tests that are to run without tools.
var fixtures = []string{"assemblyscript", "c", "rust"}

var orders = &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
	{Name: "id", Kind: cdc.KindInt64, Key: 1},
	{Name: "note", Kind: cdc.KindString, Nullable: true},
	{Name: "status", Kind: cdc.KindEnum, Nullable: true, Members: []string{"new", "paid", "shipped"}},
	{Name: "total", Kind: cdc.KindDecimal, Nullable: true, Precision: 65, Scale: 25},
}}

const columnNote, columnStatus, columnTotal = 1, 2, 3

// paidOrders is what the example paid-orders does, in whatever language.
func paidOrders(e cdc.Event, threshold string) cdc.Verdict {
	before, after := e.Before(), e.After()
	if e.Op() != cdc.OpUpdate || before.Equal(after, columnStatus) || after.Value(columnStatus).Text() != "paid" {
		return cdc.Verdict{}
	}
	total, ok := new(big.Rat).SetString(after.Value(columnTotal).Text())
	if least, _ := new(big.Rat).SetString(threshold); !ok || total.Cmp(least) < 0 {
		return cdc.Verdict{}
	}
	edits := &cdc.Edits{Tags: []string{"big"}}
	for _, image := range []struct {
		cdc.Row
		before bool
	}{{before, true}, {after, false}} {
		if image.Value(columnNote).Text() != "" {
			edits.Columns = append(edits.Columns, cdc.ColumnEdit{Column: "note", Before: image.before, Value: cdc.TextValue(cdc.KindString, "***")})
		}
	}
	return cdc.Verdict{Keep: true, Edits: edits}
}

// changes returns a batch of random changes of orders. Many totals are close to the threshold.
func changes(t *testing.T, r *rand.Rand, n int, threshold string) []cdc.Event {
	t.Helper()
	notes := []cdc.Value{{}, cdc.NullValue(), cdc.TextValue(cdc.KindString, ""), cdc.TextValue(cdc.KindString, "ring twice"),
		cdc.TextValue(cdc.KindString, strings.Repeat("ü世🦀", r.IntN(30)))}
	status := []cdc.Value{{}, cdc.NullValue()}
	for _, text := range []string{"new", "paid", "paid", "paid", "paid", "shipped", "", "Paid", "paid ", "mislaid"} { // the server has members that this table does not know
		status = append(status, cdc.TextValue(cdc.KindEnum, text))
	}
	least, _ := new(big.Rat).SetString(threshold)
	total := func() cdc.Value {
		switch r.IntN(12) {
		case 0:
			return cdc.Value{}
		case 1:
			return cdc.NullValue()
		case 2:
			return cdc.TextValue(cdc.KindDecimal, []string{"0", "0.00", "-0.00", strings.Repeat("9", 40) + "." + strings.Repeat("9", 25),
				"-" + strings.Repeat("9", 40) + ".5"}[r.IntN(5)])
		case 3, 4:
			return cdc.TextValue(cdc.KindDecimal, fmt.Sprintf("%d.%02d", r.Int64N(1<<r.IntN(62))-r.Int64N(1<<r.IntN(62)), r.IntN(100)))
		}
		scale := r.IntN(26)
		step := new(big.Rat).SetFrac(big.NewInt(r.Int64N(3)-1), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
		return cdc.TextValue(cdc.KindDecimal, step.Add(least, step).FloatString(max(scale, 2)))
	}

	var b cdc.Builder
	b.Reset(cdc.Header{Source: "shop", Partitions: 1})
	tx := b.AddTx(cdc.Tx{CommitTime: time.UnixMicro(1795226400123456)})
	table := b.AddTable(orders)
	image := func() uint32 {
		b.BeginRow(len(orders.Columns))
		b.SetInt(0, r.Int64())
		b.Set(columnNote, notes[r.IntN(len(notes))])
		b.Set(columnStatus, status[r.IntN(len(status))])
		b.Set(columnTotal, total())
		return b.EndRow()
	}
	for i := range n {
		e := cdc.EventInfo{No: uint64(i), Tx: tx, Table: table, Op: cdc.OpUpdate}
		if r.IntN(4) == 0 {
			e.Op = []cdc.Op{cdc.OpInsert, cdc.OpDelete, cdc.OpSnapshot}[r.IntN(3)]
		}
		if e.Op == cdc.OpUpdate || e.Op == cdc.OpDelete {
			e.Before = image()
		}
		if e.Op != cdc.OpDelete {
			e.After = image()
		}
		b.AddEvent(e)
	}
	batch, err := cdc.Open(b.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	events := make([]cdc.Event, batch.Len())
	for i := range events {
		events[i] = batch.Event(i)
	}
	return events
}

func TestTheExampleDecidesTheSameInEveryLanguage(t *testing.T) {
	modules := map[string][]byte{}
	for _, language := range guest.Languages() {
		modules[language] = guest.Module(t, language, "examples/paid-orders")
	}
	for _, language := range fixtures {
		file := filepath.Join("testdata", "paid-orders-"+language+".wasm")
		if *update {
			if err := os.WriteFile(file, modules[language], 0o644); err != nil {
				t.Fatal(err)
			}
		}
		module, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("%v; go test ./sdk -update makes it", err)
		}
		modules[file] = module
	}
	host, err := wasm.NewHost(wasm.Config{Dir: guest.Compiled(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	for name, module := range modules {
		for _, config := range []struct{ text, threshold string }{{`{}`, "1000"}, {`{"threshold":25}`, "25"}, {`{"threshold":1e2}`, "100"},
			{`{"threshold":0}`, "0"}, {`{"threshold":-12.50}`, "-12.50"}} {
			t.Run(name+" "+config.text, func(t *testing.T) {
				judgesAlike(t, host, module, config.text, config.threshold)
			})
		}
	}
}

func TestTheExamplesPassTheirTests(t *testing.T) {
	for _, language := range guest.Languages() {
		folders, err := filepath.Glob(filepath.Join(guest.SDK(language), "examples", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, folder := range folders {
			example := "examples/" + filepath.Base(folder)
			t.Run(language+"/"+example, func(t *testing.T) {
				project, err := pluginkit.Open(folder)
				if err != nil {
					t.Fatal(err)
				}
				tests, err := pluginkit.ReadTests(must(project.TestFiles(nil)), nil)
				if err != nil {
					t.Fatal(err)
				}
				results, err := pluginkit.RunTests(t.Context(), guest.Module(t, language, example), tests, pluginkit.Engines{Dir: guest.Compiled(t)})
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range results {
					if !r.Passed {
						t.Errorf("%s: %v", r.Test, r.Findings)
					}
				}
			})
		}
	}
}

// Unit tests and the examples in comments.
func TestTheCrateTestsItself(t *testing.T) {
	env, _, err := toolchain.Find("rust")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cargo", "test", "--quiet")
	cmd.Dir = guest.SDK("rust")
	cmd.Env = append(append(os.Environ(), "CARGO_TARGET_DIR="+filepath.Join(filepath.Dir(guest.Compiled(t)), "rust")), env...)
	for _, v := range env {
		if path, ok := strings.CutPrefix(v, "PATH="); ok { // the compiler's own cargo
			cmd.Path = must(exec.LookPath(filepath.Join(filepath.SplitList(path)[0], "cargo")))
			cmd.Err = nil
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The first example of each README is a whole plugin, if it is put where the template has its source.
func TestTheExamplesInREADMEsAreBuilt(t *testing.T) {
	sources := map[string]struct{ fence, file string }{
		"assemblyscript": {"ts", "assembly/index.ts"}, "c": {"c", "plugin.c"}, "go": {"go", "main.go"}, "rust": {"rust", "src/lib.rs"},
	}
	for _, language := range guest.Languages() {
		t.Run(language, func(t *testing.T) {
			readme, err := os.ReadFile(filepath.Join(guest.SDK(language), "README.md"))
			if err != nil {
				t.Fatal(err)
			}
			_, code, ok := strings.Cut(string(readme), "\n```"+sources[language].fence+"\n")
			code, _, closed := strings.Cut(code, "\n```\n")
			if !ok || !closed {
				t.Fatalf("no example in %s", language)
			}
			dir := guest.Template(t, language, "readme")
			if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(sources[language].file)), []byte(code+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := wasm.Inspect(guest.Build(t, language, dir)); err != nil {
				t.Error(err)
			}
		})
	}
}

func judgesAlike(t *testing.T, host *wasm.Host, module []byte, config, threshold string) {
	ctx := context.Background()
	plugin, err := host.Load(ctx, module, wasm.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer plugin.Close()
	filter, err := plugin.Filter(ctx, json.RawMessage(config))
	if err != nil {
		t.Fatal(err)
	}
	defer filter.Close()
	if err := filter.Check(orders); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	kept := 0
	for range 20 {
		events := changes(t, r, 1+r.IntN(500), threshold)
		verdicts := make([]cdc.Verdict, len(events))
		if err := filter.Judge(ctx, events, verdicts); err != nil {
			t.Fatal(err)
		}
		for i, e := range events {
			if want := paidOrders(e, threshold); !reflect.DeepEqual(verdicts[i], want) {
				t.Fatalf("%s\ngot  %+v\nwant %+v", cdc.AppendEvent(nil, e), verdicts[i], want)
			}
			if verdicts[i].Keep {
				kept++
			}
		}
	}
	if kept == 0 {
		t.Error("nothing was kept")
	}
	if n := plugin.Stats().Metrics["big"]; n != int64(kept) {
		t.Errorf("the plugin has counted %d of %d", n, kept)
	}
}
