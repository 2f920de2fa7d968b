package sdk_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/guest"
	"github.com/cdcd-project/cdcd/wasm"
)

// The plugins of the suite are told to do things at random. wasm/tck says what is right; here it is only that all do the same,
// whatever comes together in a batch.
func TestRandomChangesComeToTheSameInEveryLanguage(t *testing.T) {
	host, err := wasm.NewHost(wasm.Config{Dir: guest.Compiled(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	filters := map[string]*wasm.Filter{}
	for _, language := range guest.Languages() {
		plugin, err := host.Load(t.Context(), guest.Module(t, language, "tck"), wasm.Limits{Failures: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer plugin.Close()
		if filters[language], err = plugin.Filter(t.Context(), []byte(`{"some":["configuration",1.50]}`)); err != nil {
			t.Fatal(err)
		}
		defer filters[language].Close()
	}
	r := rand.New(rand.NewPCG(9, 10))
	seen := map[string]int{}
	for range 12 {
		events := commands(t, r, 1+r.IntN(300))
		var first []cdc.Verdict
		for _, language := range guest.Languages() {
			verdicts := make([]cdc.Verdict, len(events))
			if err := filters[language].Judge(t.Context(), events, verdicts); err != nil {
				t.Fatalf("%s: %v", language, err)
			}
			if first == nil {
				first = verdicts
				for i := range verdicts {
					seen[outcome(&verdicts[i])]++
				}
			}
			for i, e := range events {
				if outcome(&verdicts[i]) != outcome(&first[i]) || !reflect.DeepEqual(verdicts[i].Edits, first[i].Edits) {
					t.Fatalf("%.2000s\n%s comes to   %.2000s %+v\n%s to %.2000s %+v", cdc.AppendEvent(nil, e), language, outcome(&verdicts[i]),
						verdicts[i].Edits, guest.Languages()[0], outcome(&first[i]), first[i].Edits)
				}
			}
		}
	}
	if seen["keep"] < 100 || seen["drop"] < 100 || seen["refused: Grüße"] < 5 || seen["unreachable: "] < 2 {
		t.Errorf("the changes are too much alike: %v", seen)
	}
}

// outcome is what a verdict says, without what differs by the name of the plugin.
func outcome(v *cdc.Verdict) string {
	if trap, ok := v.Err.(*wasm.Trap); ok {
		if trap.Kind == wasm.TrapExit { // how Go ends when it panics
			return "unreachable: "
		}
		return trap.Kind + ": " + trap.Said
	}
	return map[bool]string{true: "keep", false: "drop"}[v.Keep] + strings.TrimPrefix(fmt.Sprint(v.Err), "<nil>")
}

// cases is the table of the suite.
var cases = func() *cdc.Table {
	t := &cdc.Table{Schema: "tck", Name: "cases", Columns: []cdc.Column{{Name: "id", Kind: cdc.KindInt64, Key: 1}, {Name: "do", Kind: cdc.KindString},
		{Name: "v_optional", Kind: cdc.KindString, Nullable: true}}}
	for k := cdc.KindBool; k <= cdc.KindVector; k++ {
		c := cdc.Column{Kind: k, Nullable: true, Members: map[cdc.Kind][]string{cdc.KindEnum: {"new", "paid"}, cdc.KindSet: {"a", "b", "ü"}}[k]}
		for _, prefix := range []string{"v_", "e_"} {
			c.Name = prefix + k.String()
			t.Columns = append(t.Columns, c)
		}
	}
	return t
}()

func commands(t *testing.T, r *rand.Rand, n int) []cdc.Event {
	t.Helper()
	var b cdc.Builder
	b.Reset(cdc.Header{Source: "tck", Partitions: 1})
	var txs []int
	for range 3 {
		txs = append(txs, b.AddTx(cdc.Tx{CommitTime: time.UnixMicro(r.Int64N(1 << 51))}))
	}
	table := b.AddTable(cases)
	kind := func() cdc.Kind { return cdc.KindBool + cdc.Kind(r.IntN(17)) }
	program := func() string {
		var lines []string
		for range r.IntN(9) {
			lines = append(lines, []string{
				"keep", "keep", "keep", "drop", "error Grüße", "error", "echo", "rebuild", "before", "after", "null " + kind().String(), "without " + kind().String(),
				"text " + strings.Repeat("ü", r.IntN(20)), fmt.Sprintf("fill %d", r.IntN(1<<r.IntN(15))), "tag a b", fmt.Sprintf("tags %d", r.IntN(18)),
				"reason why not", "reason ", "route acme", "describe", "kinds", "changed", "json", "config", "metric 1 -3", "what is this", fmt.Sprintf("spin %d", r.IntN(9)),
			}[r.IntN(27)])
		}
		if r.IntN(60) == 0 {
			lines = append(lines, "trap")
		}
		if r.IntN(2) == 0 {
			lines = append(lines, []string{"keep", "keep", "drop", "error Grüße"}[r.IntN(4)])
		}
		return strings.Join(lines, "\n")
	}
	image := func(do string, whole bool) uint32 {
		b.BeginRow(len(cases.Columns))
		b.SetInt(0, 1)
		b.SetText(1, cdc.KindString, do)
		for i, c := range cases.Columns[2:] {
			switch {
			case r.IntN(10) == 0:
				b.Set(i+2, cdc.NullValue())
			case !whole && r.IntN(3) == 0:
			default:
				b.Set(i+2, random(r, &c))
			}
		}
		return b.EndRow()
	}
	for i := range n {
		e := cdc.EventInfo{No: r.Uint64(), Tx: txs[i*len(txs)/n], Table: table, Op: cdc.OpInsert + cdc.Op(r.IntN(4))}
		do := program()
		if do == "" {
			do = "keep"
		}
		whole := r.IntN(2) == 0
		if e.Op == cdc.OpUpdate || e.Op == cdc.OpDelete {
			e.Before = image(do, whole)
		}
		if e.Op != cdc.OpDelete {
			e.After = image(do, whole)
		}
		b.AddEvent(e)
	}
	batch := must(cdc.Open(b.Seal(cdc.Checkpoint{}), nil))
	if err := batch.Verify(); err != nil {
		t.Fatalf("the test is wrong: %v", err)
	}
	events := make([]cdc.Event, batch.Len())
	for i := range events {
		events[i] = batch.Event(i)
	}
	return events
}

// random is a value that a column of its kind can hold.
func random(r *rand.Rand, c *cdc.Column) cdc.Value {
	text := strings.Repeat([]string{"a", "ü", "世", "\"\\\x01"}[r.IntN(4)], r.IntN(1<<r.IntN(9)))
	civil := cdc.Civil{Year: r.IntN(10000), Month: r.IntN(13), Day: r.IntN(32)}
	switch c.Kind {
	case cdc.KindBool:
		return cdc.BoolValue(r.IntN(2) == 0)
	case cdc.KindInt64:
		return cdc.Int64Value(int64(r.Uint64()) >> r.IntN(64))
	case cdc.KindUint64:
		return cdc.Uint64Value(r.Uint64() >> r.IntN(64))
	case cdc.KindFloat64:
		return cdc.Float64Value([]float64{r.NormFloat64(), 0, math.Copysign(0, -1), math.MaxFloat64, math.SmallestNonzeroFloat64}[r.IntN(5)])
	case cdc.KindDecimal:
		return cdc.TextValue(c.Kind, fmt.Sprintf("%d.%05d", r.Int64()>>r.IntN(64), r.IntN(100000)))
	case cdc.KindString:
		return cdc.TextValue(c.Kind, text)
	case cdc.KindBytes:
		return cdc.TextValue(c.Kind, text+"\xff\x00")
	case cdc.KindDate:
		return cdc.CivilValue(c.Kind, civil)
	case cdc.KindTime:
		return cdc.TimeValue(r.Int64N(2*3_020_399_999_999) - 3_020_399_999_999)
	case cdc.KindDatetime:
		civil.Hour, civil.Minute, civil.Second, civil.Micro = r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1_000_000)
		return cdc.CivilValue(c.Kind, civil)
	case cdc.KindTimestamp:
		return cdc.TimestampValue(r.Int64N(1 << 51))
	case cdc.KindJSON:
		return cdc.TextValue(c.Kind, string(cdc.AppendString(nil, text)))
	case cdc.KindEnum:
		return cdc.TextValue(c.Kind, c.Members[r.IntN(2)])
	case cdc.KindSet:
		return cdc.TextValue(c.Kind, []string{"", "a", "a,b", "b,ü"}[r.IntN(4)])
	case cdc.KindBit:
		return cdc.BitValue(r.Uint64() >> r.IntN(64))
	case cdc.KindGeometry:
		point := binary.LittleEndian.AppendUint32(nil, r.Uint32())
		point = append(point, 1, 1, 0, 0, 0)
		for range 2 {
			point = binary.LittleEndian.AppendUint64(point, math.Float64bits(r.NormFloat64()))
		}
		return cdc.TextValue(c.Kind, string(point))
	default:
		return cdc.TextValue(c.Kind, strings.Repeat("\x00\x00\x80\x3f", r.IntN(20)))
	}
}
