package hostile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/apart"
	asm "github.com/cdcd-project/cdcd/internal/wasmasm"
	"github.com/cdcd-project/cdcd/internal/wasmbin"
	"github.com/cdcd-project/cdcd/wasm"
)

func TestMain(m *testing.M) {
	apart.Main(map[string]apart.Work{"compile": func(ctx context.Context, args []string, module io.Reader) error {
		binary, err := io.ReadAll(module)
		if err != nil {
			return err
		}
		return wasm.Compile(ctx, binary, args[0])
	}})
	os.Exit(m.Run())
}

// compileApart is a Compiler as cdcd has it, with little patience.
func compileApart(ctx context.Context, module []byte, dir string) error {
	return apart.Run(ctx, "compile", []string{dir}, module, apart.Limits{Memory: 512 << 20, Time: 3 * time.Second})
}

// The functions of a plugin that this package makes, by number: what it imports, then its own.
const (
	hostLog = iota
	hostMetric
	hostJSON
	hostExit
	hostWrite
	hostRandom
	hostPoll
	fnArena
	fnBatch
	fnOther // the first one that a row adds
)

// Where things are in its memory of four pages.
const (
	atOut = 1024
	atLog = 8192
	atIn  = 1 << 16
)

const manifest = `{"abi": "cdc1", "name": "hostile", "version": "1.0.0", "columns": ["id"], "edits": ["note"], "metrics": ["one", "two"]}`

// harmless is a plugin that keeps all changes.
func harmless() *asm.Module {
	m := &asm.Module{
		Imports: []asm.Import{
			{Module: "cdc1", Name: "log", Params: asm.I32 + asm.I32 + asm.I32},
			{Module: "cdc1", Name: "metric", Params: asm.I32 + asm.I64},
			{Module: "cdc1", Name: "json", Params: asm.I32 + asm.I32 + asm.I32, Results: asm.I32},
			{Module: "wasi_snapshot_preview1", Name: "proc_exit", Params: asm.I32},
			{Module: "wasi_snapshot_preview1", Name: "fd_write", Params: asm.I32 + asm.I32 + asm.I32 + asm.I32, Results: asm.I32},
			{Module: "wasi_snapshot_preview1", Name: "random_get", Params: asm.I32 + asm.I32, Results: asm.I32},
			{Module: "wasi_snapshot_preview1", Name: "poll_oneoff", Params: asm.I32 + asm.I32 + asm.I32 + asm.I32, Results: asm.I32},
		},
		Pages:   4,
		Globals: []asm.Global{{Type: asm.I32}, {Type: asm.I32}},
		Exports: []asm.Export{{Name: "cdc_abi_1", Kind: wasmbin.Global}},
		Tables:  []asm.Table{{Min: 2, Max: 10_000_000}},
		Funcs: []asm.Func{
			{Export: "cdc_arena", Params: asm.I32 + asm.I32, Results: asm.I32, Code: asm.Seq(asm.Const32(atOut), asm.Const32(atIn), asm.Get(0), asm.Select)},
			{Export: "cdc_batch", Params: asm.I32, Results: asm.I32, Code: keepAll},
		},
		Custom: []asm.Custom{{Name: wasm.ManifestSection, Body: []byte(manifest)}},
	}
	return m
}

var (
	count   = asm.Seq(asm.Const32(atIn), asm.Load32(68)) // of events in the frame
	done    = asm.Seq(asm.Const32(atOut), count, asm.Store32(0), asm.Const32(0))
	keepAll = asm.Seq(asm.Const32(atOut+16), asm.Const32(1), asm.Const32(256), asm.MemoryFill, done)
	forever = asm.Loop(asm.Br(0))
)

// judging makes a plugin of which cdc_batch does this before it keeps all.
func judging(code ...[]byte) []byte {
	return with(func(m *asm.Module) { m.Funcs[1].Code = asm.Seq(asm.Seq(code...), keepAll) })
}

// answering makes a plugin of which cdc_batch does this and nothing else; it has to leave what it returns.
func answering(code ...[]byte) []byte {
	return with(func(m *asm.Module) { m.Funcs[1].Code = asm.Seq(code...) })
}

// with makes a plugin that is not quite harmless.
func with(change func(m *asm.Module)) []byte {
	m := harmless()
	change(m)
	return m.Bytes()
}

// out writes to the arena out: the cursor, where the log is, and how long.
func out(cursor, address, bytes int32) []byte {
	return asm.Seq(asm.Const32(atOut), asm.Const32(cursor), asm.Store32(0), asm.Const32(atOut), asm.Const32(address), asm.Store32(4),
		asm.Const32(atOut), asm.Const32(bytes), asm.Store32(8))
}

var orders = &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
	{Name: "id", Kind: cdc.KindInt64, Key: 1}, {Name: "note", Kind: cdc.KindString, Nullable: true}}}

// changes returns n inserts of one batch.
func changes(t testing.TB, n int) []cdc.Event {
	t.Helper()
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop", FirstPartNo: 1})
	tx := w.AddTx(cdc.Tx{GTID: "0-1-1", CommitTime: time.Unix(1_800_000_000, 0)})
	table := w.AddTable(orders)
	for i := range n {
		w.BeginRow(2)
		w.SetInt(0, int64(i))
		w.SetText(1, cdc.KindString, "a note")
		w.AddEvent(cdc.EventInfo{No: uint64(1 + i), Tx: tx, Table: table, Op: cdc.OpInsert, After: w.EndRow()})
	}
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	events := make([]cdc.Event, n)
	for i := range events {
		events[i] = b.Event(i)
	}
	return events
}

func newHost(t testing.TB, c wasm.Config) *wasm.Host {
	t.Helper()
	h, err := wasm.NewHost(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// begin loads a plugin and begins it.
func begin(t testing.TB, h *wasm.Host, module []byte, limits wasm.Limits) (*wasm.Filter, error) {
	t.Helper()
	p, err := h.Load(t.Context(), module, limits)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { p.Close() })
	f, err := p.Filter(t.Context(), json.RawMessage(nil))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { f.Close() })
	return f, nil
}

// verdicts are what a filter makes of changes, in a word each: keep, drop, or the kind of the trap; or the error of Judge.
func verdicts(t testing.TB, f *wasm.Filter, events []cdc.Event) (words []string) {
	t.Helper()
	all := make([]cdc.Verdict, len(events))
	if err := f.Judge(t.Context(), events, all); err != nil {
		return []string{code(err)}
	}
	for _, v := range all {
		var trap *wasm.Trap
		switch {
		case errors.As(v.Err, &trap):
			words = append(words, trap.Kind)
		case v.Err != nil:
			words = append(words, code(v.Err))
		case v.Keep:
			words = append(words, "keep")
		default:
			words = append(words, "drop")
		}
	}
	return words
}

func code(err error) string {
	if c := cdc.CodeOf(err); c != "" {
		return c
	}
	return fmt.Sprint(err)
}

func fix(err error) string {
	var coded *cdc.Error
	if errors.As(err, &coded) {
		return coded.Fix
	}
	return ""
}
