// Package sdk_test judges the SDKs by what plugins written with them do.
package sdk_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
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
	{Name: "total", Kind: cdc.KindDecimal, Nullable: true, Precision: 12, Scale: 2},
}}

const columnNote, columnStatus, columnTotal = 1, 2, 3

// paidOrders is what the example paid-orders does, in whatever language.
func paidOrders(e cdc.Event, threshold int) cdc.Verdict {
	before, after := e.Before(), e.After()
	if e.Op() != cdc.OpUpdate || before.Value(columnStatus) == after.Value(columnStatus) || after.Value(columnStatus).Text() != "paid" {
		return cdc.Verdict{}
	}
	var cents int
	if _, err := fmt.Sscan(strings.Replace(after.Value(columnTotal).Text(), ".", "", 1), &cents); err != nil || cents < 100*threshold {
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

// changes returns a batch of random changes of orders.
func changes(t *testing.T, r *rand.Rand, n int) *cdc.Batch {
	t.Helper()
	var b cdc.Builder
	b.Reset(cdc.Header{Source: "shop", Partitions: 1})
	tx := b.AddTx(cdc.Tx{CommitTime: time.UnixMicro(1795226400123456)})
	table := b.AddTable(orders)
	image := func() uint32 {
		b.BeginRow(len(orders.Columns))
		b.SetInt(0, r.Int64())
		for i, texts := range [][]string{columnNote: {"", "ring twice", strings.Repeat("ü", r.IntN(300))}, columnStatus: {"new", "paid", "paid", "shipped"}} {
			if texts == nil {
				continue
			}
			if k := r.IntN(len(texts) + 1); k == len(texts) {
				b.Set(i, cdc.NullValue())
			} else {
				b.SetText(i, orders.Columns[i].Kind, texts[k])
			}
		}
		totals := []string{"999.99", "1000.00", "1000.01", fmt.Sprintf("%d.%02d", r.IntN(3000), r.IntN(100)), fmt.Sprintf("-%d.50", r.IntN(3000)), "0.00", "9999999999.99"}
		b.SetText(columnTotal, cdc.KindDecimal, totals[r.IntN(len(totals))])
		return b.EndRow()
	}
	for i := range n {
		e := cdc.EventInfo{No: uint64(i), Tx: tx, Table: table, Op: []cdc.Op{cdc.OpInsert, cdc.OpUpdate, cdc.OpUpdate, cdc.OpUpdate, cdc.OpDelete}[r.IntN(5)]}
		if e.Op != cdc.OpInsert {
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
	return batch
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
		for _, config := range []struct {
			text      string
			threshold int
		}{{`{}`, 1000}, {`{"threshold":25}`, 25}, {`{"threshold":1e2}`, 100}} {
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

func judgesAlike(t *testing.T, host *wasm.Host, module []byte, config string, threshold int) {
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
		batch := changes(t, r, 1+r.IntN(500))
		events, verdicts := make([]cdc.Event, batch.Len()), make([]cdc.Verdict, batch.Len())
		for i := range events {
			events[i] = batch.Event(i)
		}
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
