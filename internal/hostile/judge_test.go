package hostile

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	asm "github.com/cdcd-project/cdcd/internal/wasmasm"
	"github.com/cdcd-project/cdcd/wasm"
)

// tree makes a function that calls the next one twice, which calls the next one twice, and so on: 2^n calls without a loop.
func tree(n int) []byte {
	return with(func(m *asm.Module) {
		m.Funcs[1].Code = asm.Seq(asm.Call(fnOther), keepAll)
		for i := range n {
			m.Funcs = append(m.Funcs, asm.Func{Code: asm.Seq(asm.Call(fnOther+i+1), asm.Call(fnOther+i+1))})
		}
		m.Funcs = append(m.Funcs, asm.Func{})
	})
}

// recursion makes a function that calls itself, with such a signature and such variables.
func recursion(results, locals string) []byte {
	return with(func(m *asm.Module) {
		drops := strings.Repeat(string(asm.Drop), len(results))
		m.Funcs[1].Code = asm.Seq(asm.Call(fnOther), []byte(drops), keepAll)
		m.Funcs = append(m.Funcs, asm.Func{Results: results, Locals: locals, Code: asm.Call(fnOther)})
	})
}

// indirect makes two functions that call each other through the table.
func indirect() []byte {
	return with(func(m *asm.Module) {
		call := asm.Seq(asm.Const32(0), asm.CallIndirect(m.Type("", ""), 0))
		m.Funcs[1].Code = asm.Seq(call, keepAll)
		m.Funcs = append(m.Funcs, asm.Func{Code: asm.Seq(asm.Const32(1), asm.CallIndirect(m.Type("", ""), 0))}, asm.Func{Code: call})
		m.Elements = []asm.Element{{Members: []int{fnOther, fnOther + 1}}}
	})
}

// entry is an entry of the edit log with text.
func entry(size, event uint32, what, image byte, column uint16, kind byte, number uint64, text string) []byte {
	b := make([]byte, 24)
	for i := range 4 {
		b[i], b[4+i] = byte(size>>(8*i)), byte(event>>(8*i))
	}
	b[8], b[9], b[10], b[11], b[12] = what, image, byte(column), byte(column>>8), kind
	for i := range 8 {
		b[16+i] = byte(number >> (8 * i))
	}
	return append(b, text...)
}

// editing makes a plugin that answers with this edit log, and a verdict for all events.
func editing(verdict int32, log []byte) []byte {
	return editingAt(verdict, atLog, int32(len(log)), log)
}

func editingAt(verdict, address, length int32, log []byte) []byte {
	return with(func(m *asm.Module) {
		m.Data = []asm.Data{{Offset: atLog, Bytes: log}}
		m.Funcs[1].Code = asm.Seq(asm.Const32(atOut+16), asm.Const32(verdict), asm.Const32(256), asm.MemoryFill, out(0, address, length), done)
	})
}

func line(level, address, bytes int32) []byte {
	return asm.Seq(asm.Const32(level), asm.Const32(address), asm.Const32(bytes), asm.Call(hostLog))
}

// flood fills the whole memory with one entry after the other, all for the first event, and says so.
func flood(what byte) []byte {
	const from = 1 << 20
	unit := entry(32, 0, what, 2, 0, 0, 1, "x\x00\x00\x00\x00\x00\x00\x00")
	return with(func(m *asm.Module) {
		m.Data = []asm.Data{{Offset: atLog, Bytes: unit}}
		m.Funcs[1].Locals = asm.I32 + asm.I32
		m.Funcs[1].Code = asm.Seq(
			asm.Const32(508), asm.MemoryGrow, asm.Drop,
			asm.Const32(from), asm.Const32(atLog), asm.Const32(32), asm.MemoryCopy,
			asm.Const32(32), asm.Set(1),
			asm.Loop( // double what is there
				asm.Const32(from), asm.Get(1), asm.Add32, asm.Const32(from), asm.Get(1), asm.MemoryCopy,
				asm.Get(1), asm.Get(1), asm.Add32, asm.Tee(1), asm.Const32(16<<20), asm.LtU32, asm.BrIf(0)),
			asm.Const32(atOut+16), asm.Const32(2), asm.Const32(1), asm.MemoryFill,
			asm.Const32(atOut+17), asm.Const32(1), asm.Const32(255), asm.MemoryFill,
			out(0, from, 16<<20), done)
	})
}

func TestHostilePluginsAreStopped(t *testing.T) {
	all := asm.V128
	for len(all) < 1000 {
		all += asm.V128
	}
	control := "\x1b[2J\x1b]0;owned\x07\u202e\r\n"
	for _, row := range []struct {
		name   string
		module []byte
		want   string // for each change
	}{
		{"a loop without end", judging(forever), "fuel"},
		{"calls that double, without a loop", tree(30), "fuel"},
		{"calls to itself", recursion("", ""), "depth"},
		{"calls to itself, with large frames", recursion("", strings.Repeat(asm.I64, 1000)), "depth"},
		{"calls to itself that return a lot", recursion(all, ""), "depth"},
		{"calls through a table, round and round", indirect(), "depth"},
		{"cdc_batch calls itself", answering(asm.Get(0), asm.Call(fnBatch)), "depth"},
		{"a table that grows", judging(asm.Op(0xd0, 0x70), asm.Const32(200_000), asm.Op(0xfc, 0x0f, 0), asm.Drop), "keep"}, // it gets -1
		{"a table that grows by millions", judging(asm.Op(0xd0, 0x70), asm.Const32(9_000_000), asm.Op(0xfc, 0x0f, 0), asm.Drop), "fuel"},
		{"a table that grows bit by bit", judging(asm.Loop(asm.Op(0xd0, 0x70), asm.Const32(1000), asm.Op(0xfc, 0x0f, 0), asm.Drop, asm.Br(0))), "fuel"},
		{"memory that grows", judging(asm.Const32(600), asm.MemoryGrow, asm.Drop), "keep"}, // it gets -1
		{"memory that grows by gigabytes", judging(asm.Const32(65535), asm.MemoryGrow, asm.Drop), "fuel"},
		{"memory that grows bit by bit", judging(asm.Loop(asm.Const32(1), asm.MemoryGrow, asm.Drop, asm.Br(0))), "fuel"},
		{"four gigabytes are filled", judging(asm.Const32(0), asm.Const32(1), asm.Const32(-1), asm.MemoryFill), "fuel"},
		{"more than there is is filled", judging(asm.Const32(0), asm.Const32(1), asm.Const32(1<<20), asm.MemoryFill), "bounds"},
		{"memory is copied again and again", judging(asm.Loop(asm.Const32(0), asm.Const32(8), asm.Const32(200_000), asm.MemoryCopy, asm.Br(0))), "fuel"},
		{"it gives up", judging(asm.Unreachable), "unreachable"},
		{"it divides by nothing", judging(asm.Const32(1), asm.Const32(0), asm.Op(0x6d), asm.Drop), "arithmetic"},
		{"it calls what is not there", with(func(m *asm.Module) {
			m.Funcs[1].Code = asm.Seq(asm.Const32(1), asm.CallIndirect(m.Type("", ""), 0), keepAll)
		}), "bounds"},
		{"it exits well", judging(asm.Const32(0), asm.Call(hostExit)), "exit"},
		{"it exits badly", judging(asm.Const32(1), asm.Call(hostExit)), "exit"},
		{"it says that it has failed", answering(asm.Const32(-1)), "failed"},

		{"a line of two gigabytes", judging(line(1, 0, -1<<31)), "bounds"},
		{"a line round the end of all addresses", judging(line(1, -16, 32)), "bounds"},
		{"a line beyond the memory", judging(line(1, 1<<18-1, 2)), "bounds"},
		{"lines without end", judging(asm.Loop(line(3, 0, 100_000), asm.Br(0))), "fuel"},
		{"lines of no known level", judging(line(-1, 0, 10)), "keep"},
		{"lines that would steer a terminal", with(func(m *asm.Module) {
			m.Data = []asm.Data{{Offset: atLog, Bytes: []byte(control)}}
			m.Funcs[1].Code = asm.Seq(line(1, atLog, int32(len(control))), keepAll)
		}), "keep"},
		{"empty lines to the standard output, by the million", with(func(m *asm.Module) {
			m.Data = []asm.Data{{Offset: atLog, Bytes: []byte{0, 0, 2, 0, 0, 0, 2, 0}}} // 128 KiB at 128 KiB
			m.Funcs[1].Code = asm.Seq(asm.Const32(1<<17), asm.Const32('\n'), asm.Const32(1<<17), asm.MemoryFill,
				asm.Loop(asm.Const32(1), asm.Const32(atLog), asm.Const32(1), asm.Const32(atLog+8), asm.Call(hostWrite), asm.Drop, asm.Br(0)))
			m.Funcs[1].Code = append(m.Funcs[1].Code, keepAll...)
		}), "fuel"},
		{"JSON beyond the memory", judging(asm.Const32(0), asm.Const32(1<<18-8), asm.Const32(-1), asm.Call(hostJSON), asm.Drop), "bounds"},
		{"JSON round the end of all addresses", judging(asm.Const32(0), asm.Const32(-8), asm.Const32(-1), asm.Call(hostJSON), asm.Drop), "bounds"},
		{"JSON of a change that there is not", judging(asm.Const32(-1), asm.Const32(0), asm.Const32(-1), asm.Call(hostJSON), asm.Drop), "keep"},
		{"JSON over its own answer", judging(asm.Const32(0), asm.Const32(atOut), asm.Const32(4096), asm.Call(hostJSON), asm.Drop), "keep"},
		{"JSON without end", judging(asm.Loop(asm.Const32(0), asm.Const32(atLog), asm.Const32(4096), asm.Call(hostJSON), asm.Drop, asm.Br(0))), "fuel"},
		{"a metric that there is not", judging(asm.Const32(2), asm.Const64(1), asm.Call(hostMetric)), "answer"},
		{"a metric far away", judging(asm.Const32(-1), asm.Const64(1), asm.Call(hostMetric)), "answer"},
		{"a metric that overflows", judging(asm.Const32(0), asm.Const64(1<<62), asm.Call(hostMetric)), "keep"},
		{"two gigabytes of random numbers", judging(asm.Const32(0), asm.Const32(-1), asm.Call(hostRandom), asm.Drop), "keep"}, // it gets an error
		{"random numbers without end", judging(asm.Loop(asm.Const32(1<<16), asm.Const32(1<<16), asm.Call(hostRandom), asm.Drop, asm.Br(0))), "fuel"},
		{"four billion things to wait for", judging(asm.Const32(0), asm.Const32(0), asm.Const32(-1), asm.Const32(0), asm.Call(hostPoll), asm.Drop), "keep"},

		{"the cursor beyond the changes", answering(out(257, 0, 0), asm.Const32(0)), "answer"},
		{"the cursor at four billion", answering(out(-1, 0, 0), asm.Const32(0)), "answer"},
		{"the cursor where it was", answering(asm.Const32(0)), "answer"},
		{"the cursor beyond the changes, and it gives up", answering(out(-1, 0, 0), asm.Unreachable), "answer"},
		{"a verdict that there is not", answering(asm.Const32(atOut+16), asm.Const32(4), asm.Const32(256), asm.MemoryFill, done), "answer"},
		{"edits that are not there", editing(2, nil), "answer"},
		{"an edit log that is not aligned", editingAt(2, atLog+4, 24, nil), "answer"},
		{"an edit log beyond the memory", editingAt(2, 1<<18-8, 24, nil), "answer"},
		{"an edit log round the end of all addresses", editingAt(2, -8, 24, nil), "answer"},
		{"an edit log of four gigabytes", editingAt(2, 0, -8, nil), "answer"},
		{"an edit log that is the answer itself", editingAt(2, atOut, 272, nil), "answer"},
		{"an edit log that is the changes", editingAt(2, atIn, 256, nil), "answer"},
		{"an entry of no size", editing(2, entry(0, 0, 4, 0, 0, 0, 1, "x")), "answer"},
		{"an entry of a size that is not a multiple of eight", editing(2, entry(25, 0, 4, 0, 0, 0, 1, "x")), "answer"},
		{"an entry of four gigabytes", editing(2, entry(1<<32-8, 0, 4, 0, 0, 0, 1, "xxxxxxxx")), "answer"},
		{"an entry with a text of the largest length", editing(2, entry(32, 0, 4, 0, 0, 0, 1<<64-1, "xxxxxxxx")), "answer"},
		{"an entry for a change that there is not", editing(2, entry(32, 1<<32-1, 4, 0, 0, 0, 1, "xxxxxxxx")), "answer"},
		{"half an entry", editing(2, make([]byte, 8)), "answer"},
		{"an entry that is nothing known", editing(2, entry(24, 0, 9, 0, 0, 0, 0, "")), "answer"},
		{"a column that is not declared", editing(2, entry(24, 0, 2, 2, 65535, 0, 0, "")), "answer"},
		{"an image that there is not", editing(2, entry(24, 0, 2, 7, 0, 0, 0, "")), "answer"},
		{"a value of no kind", editing(2, entry(24, 0, 1, 2, 0, 0, 0, "")), "answer"},
		{"a value of the last kind", editing(2, entry(24, 0, 1, 2, 0, 255, 0, "")), "answer"},
		{"a text that is not UTF-8", editing(2, entry(32, 0, 1, 2, 0, 9, 2, "\xff\xfe      ")), "answer"},
		{"an error of a megabyte", editing(3, entry(32+1<<16, 0, 7, 0, 0, 0, 1<<16, strings.Repeat("\x1b", 1<<16)+"        ")), "refused"},
		{"half a million tags", flood(4), "answer"},
		{"half a million routes", flood(6), "answer"},
		{"half a million times null", flood(2), "answer"},
		{"half a million reasons", flood(5), "answer"},

		{"memory that grows in the middle", judging(asm.Const32(1), asm.MemoryGrow, asm.Drop), "keep"},
		{"memory that grows, and it gives up", judging(asm.Const32(1), asm.MemoryGrow, asm.Drop, asm.Unreachable), "unreachable"},
		{"the changes are written over", judging(asm.Const32(atIn+112), asm.Const32(-1), asm.Const32(1000), asm.MemoryFill), "keep"},
		{"it begins anew in the middle", judging(asm.Const32(0), asm.Const32(1<<20), asm.Call(fnArena), asm.Drop), "keep"},
	} {
		t.Run(row.name, func(t *testing.T) {
			lines := 0
			h := newHost(t, wasm.Config{Log: func(l wasm.Line) {
				lines++
				if len(l.Text) > 6*1024 || strings.ContainsFunc(l.Text, func(r rune) bool { return r < ' ' || r == 0x202e || r == 0x7f }) {
					t.Errorf("a line of %d bytes: %.100q", len(l.Text), l.Text)
				}
			}})
			neighbour, err := begin(t, h, harmless().Bytes(), wasm.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			f, err := begin(t, h, row.module, wasm.Limits{Failures: -1, Fuel: 3_000_000, BatchFuel: 12_000_000})
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			began := time.Now()
			events := changes(t, 4)
			if strings.HasPrefix(row.name, "half a million") {
				events = events[:1]
			}
			got := verdicts(t, f, events)
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			want := slices.Repeat([]string{row.want}, len(events))
			if !slices.Equal(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
			if took > 3*time.Second {
				t.Errorf("it took %s", took)
			}
			t.Logf("%s, %d KiB of the heap, %d lines, %d units of fuel", took.Round(time.Millisecond), int64(after.HeapAlloc-before.HeapAlloc)>>10, lines, f.Fuel())
			if grew := int64(after.Sys - before.Sys); grew > 128<<20 {
				t.Errorf("the program has grown by %d MiB", grew>>20)
			}
			if lines > 200 {
				t.Errorf("%d lines", lines)
			}
			if got := verdicts(t, neighbour, changes(t, 3)); fmt.Sprint(got) != "[keep keep keep]" {
				t.Errorf("the neighbour: %s", got)
			}
		})
	}
}
