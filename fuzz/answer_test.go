package fuzz

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cdcd-project/cdcd/cdc"
	asm "github.com/cdcd-project/cdcd/internal/wasmasm"
	"github.com/cdcd-project/cdcd/internal/wasmbin"
	"github.com/cdcd-project/cdcd/wasm"
)

const answeringManifest = `{"abi": "cdc1", "name": "fuzz", "version": "1.0.0", "columns": ["id", "note"], "images": "both",
	"edits": ["note", "total", "id", "nowhere"], "metrics": ["one"]}`

// script is what a plugin answers, as an input says.
type script struct{ in []byte }

func (s *script) byte() byte {
	if len(s.in) == 0 {
		return 0
	}
	b := s.in[0]
	s.in = s.in[1:]
	return b
}

// number is a number that the host is given: one that is right, nearly right, or any.
func (s *script) number(right int32) int32 {
	switch b := s.byte(); {
	case b < 160:
		return right
	case b < 200:
		return right + int32(int8(s.byte()))
	case b < 210:
		return 0
	case b < 220:
		return -int32(s.byte())
	default:
		var word [4]byte
		s.in = s.in[copy(word[:], s.in):]
		return int32(binary.LittleEndian.Uint32(word[:]))
	}
}

const (
	answerOut = 1024
	answerLog = 4096
	answerIn  = 1 << 16
)

// answering makes a plugin that answers as an input says.
func answering(in []byte, events int) []byte {
	s := &script{in: in}
	numbers := func(right ...int32) (code []byte) {
		for _, n := range right {
			code = append(code, asm.Const32(s.number(n))...)
		}
		return code
	}
	arena := asm.Seq(numbers(answerOut, answerIn), asm.Get(0), asm.Select)
	var code []byte
	for range s.byte() % 4 {
		switch s.byte() % 8 {
		case 0:
			code = append(code, asm.Seq(numbers(1, answerLog, 20), asm.Call(0))...) // log
		case 1:
			code = append(code, asm.Seq(numbers(0), asm.Const64(5), asm.Call(1))...) // metric
		case 2:
			code = append(code, asm.Seq(numbers(0, 1<<15, 1<<14), asm.Call(2), asm.Drop)...) // json
		case 3:
			code = append(code, asm.Seq(numbers(1, answerLog, 1, 512), asm.Call(3), asm.Drop)...) // fd_write
		case 4:
			code = append(code, asm.Seq(numbers(answerLog, 2048, 1, 512), asm.Call(4), asm.Drop)...) // poll_oneoff
		case 5:
			code = append(code, asm.Seq(numbers(1), asm.MemoryGrow, asm.Drop)...)
		case 6:
			code = append(code, asm.Seq(asm.Const32(answerOut), numbers(int32(events)/2), asm.Store32(0))...) // the cursor, meanwhile
		case 7:
			code = append(code, asm.Seq(numbers(answerIn, 7, 100), asm.MemoryFill)...)
		}
	}
	for i := range events {
		code = append(code, asm.Seq(asm.Const32(answerOut+16+int32(i)), asm.Const32(int32(s.byte()%5)), asm.Store8(0))...)
	}
	fail := s.byte()
	length := max(0, len(s.in)-16) / 8 * 8
	code = append(code, asm.Seq(
		asm.Const32(answerOut), numbers(int32(events)), asm.Store32(0),
		asm.Const32(answerOut), numbers(answerLog), asm.Store32(4),
		asm.Const32(answerOut), numbers(int32(length)), asm.Store32(8))...)
	if fail > 240 {
		code = append(code, asm.Unreachable...)
	}
	if code = append(code, numbers(0)...); len(s.in) > 2048 {
		s.in = s.in[:2048]
	}
	m := asm.Module{
		Imports: []asm.Import{
			{Module: "cdc1", Name: "log", Params: asm.I32 + asm.I32 + asm.I32},
			{Module: "cdc1", Name: "metric", Params: asm.I32 + asm.I64},
			{Module: "cdc1", Name: "json", Params: asm.I32 + asm.I32 + asm.I32, Results: asm.I32},
			{Module: "wasi_snapshot_preview1", Name: "fd_write", Params: asm.I32 + asm.I32 + asm.I32 + asm.I32, Results: asm.I32},
			{Module: "wasi_snapshot_preview1", Name: "poll_oneoff", Params: asm.I32 + asm.I32 + asm.I32 + asm.I32, Results: asm.I32},
		},
		Pages:   3,
		Globals: []asm.Global{{Type: asm.I32}},
		Exports: []asm.Export{{Name: "cdc_abi_1", Kind: wasmbin.Global}},
		Funcs: []asm.Func{
			{Export: "cdc_arena", Params: asm.I32 + asm.I32, Results: asm.I32, Code: arena},
			{Export: "cdc_batch", Params: asm.I32, Results: asm.I32, Code: code},
		},
		Data:   []asm.Data{{Offset: answerLog, Bytes: s.in}},
		Custom: []asm.Custom{{Name: wasm.ManifestSection, Body: []byte(answeringManifest)}},
	}
	return m.Bytes()
}

var answered = &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
	{Name: "id", Kind: cdc.KindInt64, Type: "bigint", Key: 1},
	{Name: "note", Kind: cdc.KindString, Type: "varchar(10)", Nullable: true},
	{Name: "total", Kind: cdc.KindInt64, Type: "int"},
}}

// answeredEvents are an insert, an update and a delete, over and over.
func answeredEvents(t testing.TB, n int) []cdc.Event {
	t.Helper()
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop", FirstPartNo: 1})
	tx, table := w.AddTx(cdc.Tx{CommitTime: time.Unix(1_800_000_000, 0)}), w.AddTable(answered)
	row := func(id int64) uint32 {
		w.BeginRow(3)
		w.SetInt(0, id)
		w.SetText(1, cdc.KindString, "a note")
		w.SetInt(2, 7)
		return w.EndRow()
	}
	for i := range n {
		e := cdc.EventInfo{No: uint64(100 + i), Tx: tx, Table: table, Op: [...]cdc.Op{cdc.OpInsert, cdc.OpUpdate, cdc.OpDelete}[i%3]}
		if e.Op != cdc.OpInsert {
			e.Before = row(int64(i))
		}
		if e.Op != cdc.OpDelete {
			e.After = row(int64(i))
		}
		w.AddEvent(e)
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

// FuzzAnswer has plugins answer anything. What the host makes of it is always a verdict that rules and feeds can bear: edits that the
// table allows, texts that may be delivered, or an error with a code; the same the second time; and no memory stays behind.
func FuzzAnswer(f *testing.F) {
	entry := func(size, event uint32, what, image byte, column uint16, kind byte, number uint64, text string) []byte {
		b := binary.LittleEndian.AppendUint32(nil, size)
		b = binary.LittleEndian.AppendUint32(b, event)
		b = binary.LittleEndian.AppendUint16(append(b, what, image), column)
		b = binary.LittleEndian.AppendUint64(append(b, kind, 0, 0, 0), number)
		return append(b, text...)
	}
	quiet := make([]byte, 3)             // the arenas, and no calls
	verdicts := []byte{2, 2, 1, 3, 0}    // of five events
	rest := make([]byte, 1+3+1)          // it does not fail, the answer is where it should be, 0
	seed := func(log ...[]byte) []byte { // the last 16 bytes are not of the log
		return slices.Concat(quiet, verdicts, rest, slices.Concat(log...), make([]byte, 16))
	}
	f.Add([]byte{})
	f.Add(seed(entry(32, 0, 1, 2, 0, byte(cdc.KindString), 5, "hello\x00\x00\x00"), entry(24, 1, 2, 2, 0, 0, 0, ""), entry(32, 3, 7, 0, 0, 0, 3, "why\x00\x00\x00\x00\x00")))
	f.Add(seed(entry(24, 0, 1, 2, 1, byte(cdc.KindInt64), 9, ""), entry(24, 1, 3, 1, 1, 0, 0, ""), entry(32, 1, 4, 0, 0, 0, 3, "tag\x00\x00\x00\x00\x00"), entry(32, 1, 6, 0, 0, 0, 4, "acme\x00\x00\x00\x00")))
	f.Add(seed(entry(24, 0, 1, 2, 2, byte(cdc.KindInt64), 9, ""), entry(24, 1, 2, 2, 3, 0, 0, "")))
	for n := range byte(40) { // hosts' functions, and answers that are not right
		f.Add(append([]byte{0, 0, 3, n, 255 - n, n * 7, n * 11, n * 13, n * 17}, seed(entry(32, uint32(n%5), n%9, n%3, uint16(n%5), n, uint64(n), "12345678"))...))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		const n = 5
		events := answeredEvents(t, n)
		module := answering(in, n)
		h, err := wasm.NewHost(wasm.Config{Interpreter: true, Log: func(l wasm.Line) {
			if !utf8.ValidString(l.Text) || len(l.Text) > 8192 || strings.ContainsFunc(l.Text, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x202e }) {
				t.Errorf("a line %q", l.Text)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := h.Load(t.Context(), module, wasm.Limits{Memory: 5, Fuel: 100_000, BatchFuel: 500_000, Start: 100_000, Failures: -1})
		if err != nil {
			t.Fatalf("the plugin is not one: %v", err)
		}
		plugin, err := p.Filter(t.Context(), nil)
		if err != nil {
			if cdc.CodeOf(err) == "" {
				t.Fatalf("it does not begin: %v", err)
			}
			return
		}
		first, second := make([]cdc.Verdict, n), make([]cdc.Verdict, n)
		for _, verdicts := range [][]cdc.Verdict{first, second} {
			if err := plugin.Judge(t.Context(), events, verdicts); err != nil {
				t.Fatalf("nothing is wrong with the world: %v", err)
			}
		}
		for i := range first {
			if what := unbearable(events[i], first[i]); what != "" {
				t.Errorf("event %d: %s: %+v", i, what, first[i])
			}
			if a, b := fmt.Sprint(first[i].Keep, first[i].Err), fmt.Sprint(second[i].Keep, second[i].Err); a != b || !reflect.DeepEqual(first[i].Edits, second[i].Edits) {
				t.Errorf("event %d: first %s, then %s", i, a, b)
			}
		}
		if err := plugin.Close(); err != nil {
			t.Fatal(err)
		}
		if used := h.Memory(); used != 0 {
			t.Errorf("%d bytes of memory stay behind", used)
		}
		h.Close()
	})
}

// unbearable says what is wrong with a verdict.
func unbearable(e cdc.Event, v cdc.Verdict) string {
	if v.Err != nil {
		switch {
		case cdc.CodeOf(v.Err) == "":
			return "an error without a code"
		case v.Keep || v.Edits != nil:
			return "an error, and yet something else"
		case !utf8.ValidString(v.Err.Error()) || len(v.Err.Error()) > 8192:
			return "an error that cannot be shown"
		}
		return ""
	}
	if v.Edits == nil {
		return ""
	}
	if !v.Keep {
		return "edits of what is dropped"
	}
	for _, c := range v.Edits.Columns {
		at := e.Table().Column(c.Column)
		row := e.After()
		if c.Before {
			row = e.Before()
		}
		switch {
		case at < 0 || c.Column == "id":
			return "an edit of column " + c.Column
		case !row.Exists():
			return "an edit of an image that there is not"
		case !c.Drop && e.Table().Columns[at].Check(c.Value) != nil:
			return "a value that the column cannot have"
		}
	}
	if len(v.Edits.Tags) > 16 {
		return "too many tags"
	}
	for _, text := range slices.Concat(v.Edits.Tags, []string{v.Edits.Reason}) {
		if !utf8.ValidString(text) || len(text) > 256 {
			return "a tag or reason that cannot be delivered"
		}
	}
	for i, to := range v.Edits.To {
		if to == "" || !utf8.ValidString(to) || i > 0 && v.Edits.To[i-1] >= to {
			return "feeds that are not names in order"
		}
	}
	return ""
}
