package cdcdtest

import (
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"

	cdcd "github.com/cdcd-project/cdcd/sdk/go"
	"github.com/cdcd-project/cdcd/sdk/go/internal/native"
)

// judge is what the plugin under test does; each test says it anew.
var judge func(e *cdcd.Event) cdcd.Verdict

func init() {
	cdcd.Filter(func(e *cdcd.Event) cdcd.Verdict { return judge(e) })
	cdcd.Init(func(config []byte) error {
		if string(config) == "{}" {
			return nil
		}
		return errors.New("not empty: " + string(config))
	})
}

var civil = cdcd.Civil{Year: 2026, Month: 11, Day: 21, Hour: 23, Minute: 58, Second: 59, Micro: 999999}

// every is a value of each kind, by its number.
var every = []cdcd.Value{
	{}, cdcd.Null(), cdcd.Bool(true), cdcd.Int(-5), cdcd.Uint(1 << 63), cdcd.Float(-0.5), cdcd.Decimal("-12.50"), cdcd.String("für"),
	cdcd.Bytes([]byte{0, 255}), cdcd.Date(civil), cdcd.Time(-3_600_000_000), cdcd.Datetime(civil), cdcd.Timestamp(1795226400123456),
	cdcd.JSON(`{"a":1}`), cdcd.Enum("paid"), cdcd.Set("a,b"), cdcd.Bit(5), cdcd.Geometry([]byte("1234567")), cdcd.Vector([]byte("12345678")),
}

func TestEveryKindIsReadAsItWasWritten(t *testing.T) {
	judge = func(e *cdcd.Event) cdcd.Verdict {
		for i, want := range every {
			if got := e.After(i); got != want || got.Kind() != cdcd.Kind(i) {
				t.Errorf("column %d: got %v %v, want %v", i, got.Kind(), got, want)
			}
			if !e.Before(i).IsAbsent() {
				t.Errorf("column %d is in the image before, which there is not", i)
			}
		}
		return cdcd.Drop
	}
	Judge(Change{Op: cdcd.Insert, Table: "shop.orders", After: every})
}

func TestPartsOfValues(t *testing.T) {
	date := civil
	date.Hour, date.Minute, date.Second, date.Micro = 0, 0, 0, 0
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"null", []bool{every[1].IsNull(), every[1].IsAbsent()}, []bool{true, false}},
		{"absent", []bool{every[0].IsNull(), every[0].IsAbsent()}, []bool{false, true}},
		{"bool", every[2].Bool(), true},
		{"int", every[3].Int(), int64(-5)},
		{"uint", every[4].Uint(), uint64(1 << 63)},
		{"float", every[5].Float(), -0.5},
		{"text", every[7].Text(), "für"},
		{"text of a number", every[3].Text(), ""},
		{"bytes", every[8].Bytes(), []byte{0, 255}},
		{"date", every[9].Civil(), date},
		{"time", every[10].Micros(), int64(-3_600_000_000)},
		{"datetime", every[11].Civil(), civil},
		{"timestamp", every[12].Micros(), int64(1795226400123456)},
		{"bit", every[16].Uint(), uint64(5)},
		{"kind", cdcd.KindTimestamp.String() + " " + cdcd.Kind(77).String(), "timestamp kind(77)"},
		{"verdict", cdcd.Keep.String() + " " + cdcd.Failed.String() + " " + cdcd.Verdict(9).String(), "keep error verdict(9)"},
		{"image", cdcd.Before.String() + " " + cdcd.After.String() + " " + cdcd.Image(0).String(), "before after image(0)"},
		{"for people", fmt.Sprint(every), `[absent null true -5 9223372036854775808 -0.5 "-12.50" "für" "\x00\xff" 2026-11-21 -3600000000 ` +
			`2026-11-21 23:58:59.999999 1795226400123456 "{\"a\":1}" "paid" "a,b" 5 "1234567" "12345678"]`},
		{"operation", cdcd.Snapshot.String() + " " + cdcd.Op(9).String(), "snapshot op(9)"},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, c.got, c.want)
		}
	}
}

func TestAnEventSaysWhatItIs(t *testing.T) {
	judge = func(e *cdcd.Event) cdcd.Verdict {
		got := []any{e.Op(), e.Schema(), e.Table(), e.No(), e.CommitTime(), e.HasBefore(), e.HasAfter(), e.Incomplete(), string(e.JSON())}
		if want := []any{cdcd.Delete, "shop", "orders", uint64(1001), int64(77), true, false, true, `{"no":1001}`}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		return cdcd.Drop
	}
	Judge(Change{Op: cdcd.Delete, Table: "shop.orders", No: 1001, CommitTime: 77, Before: every, Incomplete: true, JSON: `{"no":1001}`})
}

func TestJSONLargerThanItsRoom(t *testing.T) {
	long := `{"no":1,"after":{"a":"` + strings.Repeat("x", 100_000) + `"}}`
	judge = func(e *cdcd.Event) cdcd.Verdict {
		if string(e.JSON()) != long {
			t.Error("not what the host has written")
		}
		return cdcd.Drop
	}
	Judge(Change{Op: cdcd.Insert, After: every, JSON: long})
}

func TestChanged(t *testing.T) {
	before := []cdcd.Value{cdcd.Int(1), cdcd.String("a"), cdcd.Null(), cdcd.Null(), {}, cdcd.String("same"), cdcd.Int(1)}
	after := []cdcd.Value{cdcd.Int(2), cdcd.String("b"), cdcd.Null(), cdcd.Int(0), {}, cdcd.String("same"), cdcd.Int(1)}
	for _, c := range []struct {
		name string
		Change
		want []bool
	}{
		{"update", Change{Op: cdcd.Update, Before: before, After: after}, []bool{true, true, false, true, false, false, false}},
		{"insert", Change{Op: cdcd.Insert, After: after}, []bool{true, true, true, true, true, true, true}},
		{"delete", Change{Op: cdcd.Delete, Before: before}, []bool{true, true, true, true, true, true, true}},
	} {
		judge = func(e *cdcd.Event) cdcd.Verdict {
			for i, want := range c.want {
				if got := e.Changed(i); got != want {
					t.Errorf("%s: column %d: got %v", c.name, i, got)
				}
			}
			return cdcd.Drop
		}
		Judge(c.Change)
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name  string
		judge func(e *cdcd.Event) cdcd.Verdict
		want  Answer
	}{
		{"drop", func(e *cdcd.Event) cdcd.Verdict { return cdcd.Drop }, Answer{Verdict: cdcd.Drop}},
		{"keep", func(e *cdcd.Event) cdcd.Verdict { return cdcd.Keep }, Answer{Verdict: cdcd.Keep}},
		{"everything", func(e *cdcd.Event) cdcd.Verdict {
			e.Tag("big")
			e.Tag("12345678")
			e.Reason("first")
			e.Reason("because")
			e.Route("finance")
			e.Set(cdcd.After, 0, cdcd.Int(-7))
			e.Set(cdcd.Before, 1, cdcd.String("für"))
			e.Set(cdcd.After, 2, cdcd.Null())
			e.SetNull(cdcd.After, 3)
			e.DropColumn(cdcd.After, 4)
			e.Set(cdcd.After, 5, cdcd.String(""))
			e.Set(cdcd.After, 6, e.After(0)) // absent
			return cdcd.Keep
		}, Answer{Verdict: cdcd.Keep, Tags: []string{"big", "12345678"}, Reason: "because", Routes: []string{"finance"}, Edits: []Edit{
			{cdcd.After, 0, cdcd.Int(-7)}, {cdcd.Before, 1, cdcd.String("für")}, {cdcd.After, 2, cdcd.Null()}, {cdcd.After, 3, cdcd.Null()},
			{cdcd.After, 4, cdcd.Value{}}, {cdcd.After, 5, cdcd.String("")},
		}}},
		{"a dropped change has no edits", func(e *cdcd.Event) cdcd.Verdict {
			e.Tag("big")
			return cdcd.Drop
		}, Answer{Verdict: cdcd.Drop}},
		{"an error has no edits", func(e *cdcd.Event) cdcd.Verdict {
			e.Tag("big")
			return e.Error("no currency")
		}, Answer{Verdict: cdcd.Failed, Error: "no currency"}},
		{"an error without a text", func(e *cdcd.Event) cdcd.Verdict { return e.Error("") }, Answer{Verdict: cdcd.Failed}},
		{"an error that is taken back", func(e *cdcd.Event) cdcd.Verdict {
			e.Error("no currency")
			e.Tag("big")
			return cdcd.Keep
		}, Answer{Verdict: cdcd.Keep, Tags: []string{"big"}}},
		{"an error of the change before is forgotten", func(e *cdcd.Event) cdcd.Verdict { return cdcd.Failed }, Answer{Verdict: cdcd.Failed}},
		{"log and metrics", func(e *cdcd.Event) cdcd.Verdict {
			cdcd.Log(cdcd.Warn, "careful")
			cdcd.Metric(1, 2)
			cdcd.Metric(1, 3)
			return cdcd.Drop
		}, Answer{Verdict: cdcd.Drop, Log: []Line{{cdcd.Warn, "careful"}}, Metrics: map[int]int64{1: 5}}},
	} {
		judge = c.judge
		if got := Judge(Change{Op: cdcd.Update, Before: every, After: every}); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

func TestTheLogGrows(t *testing.T) {
	long := strings.Repeat("x", 100_001)
	judge = func(e *cdcd.Event) cdcd.Verdict {
		for i := range 20 {
			e.Set(cdcd.After, i, cdcd.String(long[i:]))
		}
		return cdcd.Keep
	}
	got := Judge(Change{Op: cdcd.Insert, After: every})
	for i, edit := range got.Edits {
		if want := (Edit{cdcd.After, i, cdcd.String(long[i:])}); edit != want {
			t.Errorf("edit %d is not what was set", i)
		}
	}
	if len(got.Edits) != 20 {
		t.Errorf("got %d edits", len(got.Edits))
	}
}

func TestColumnsThatThereAreNot(t *testing.T) {
	for name, wrong := range map[string]func(e *cdcd.Event){
		"cdcd: there is no column 19: the manifest declares 19": func(e *cdcd.Event) { e.After(19) },
		"cdcd: there is no column -1: the manifest declares 19": func(e *cdcd.Event) { e.After(-1) },
		"cdcd: there is no edit -1":                             func(e *cdcd.Event) { e.SetNull(cdcd.After, -1) },
	} {
		judge = func(e *cdcd.Event) cdcd.Verdict {
			defer func() {
				if got := recover(); got != name {
					t.Errorf("got %v, want %v", got, name)
				}
			}()
			wrong(e)
			return cdcd.Drop
		}
		Judge(Change{Op: cdcd.Insert, After: every})
	}
}

func TestConfiguration(t *testing.T) {
	if err := Configure("{}"); err != nil {
		t.Error(err)
	}
	if err := Configure(`{"a":1}`); err == nil || err.Error() != `not empty: {"a":1}` {
		t.Errorf("got %v", err)
	}
}

func TestABatchIsJudgedEventByEvent(t *testing.T) {
	changes := make([]Change, 256)
	for i := range changes {
		changes[i] = Change{Op: cdcd.Insert, Table: "shop.orders", No: uint64(i), After: []cdcd.Value{cdcd.Int(int64(i))}}
	}
	judge = func(e *cdcd.Event) cdcd.Verdict {
		if e.After(0).Int() != int64(e.No()) {
			t.Errorf("event %d has the row of %d", e.No(), e.After(0).Int())
		}
		return cdcd.Verdict(e.No() % 2)
	}
	verdicts, _ := native.Judge(frame(changes))
	for i, v := range verdicts {
		if int(v) != i%2 {
			t.Errorf("verdict %d of event %d", v, i)
		}
	}
	if len(verdicts) != 256 {
		t.Errorf("%d verdicts", len(verdicts))
	}
}

func TestJudgingAllocatesNothing(t *testing.T) {
	changes := make([]Change, 256)
	for i := range changes {
		changes[i] = Change{Op: cdcd.Update, Table: "shop.orders", Before: every, After: every}
	}
	input := frame(changes)
	judge = func(e *cdcd.Event) cdcd.Verdict {
		if e.Op() != cdcd.Update || e.Table() != "orders" || e.Changed(7) || e.After(14).Text() != "paid" {
			return cdcd.Drop
		}
		if cdcd.CompareDecimals(e.After(6).Text(), "-100") > 0 {
			e.Tag("big")
		}
		e.Set(cdcd.After, 0, e.After(7))
		return cdcd.Keep
	}
	if n := testing.AllocsPerRun(10, func() { native.Judge(input) }); n != 0 {
		t.Errorf("%v allocations in a batch", n)
	}
}

func TestCompareDecimals(t *testing.T) {
	ordered := []string{"-1000", "-100.5", "-100.25", "-0.001", "0", "0.0009", "0.001", "0.05", "0.1e0", "0.5", "1", "9.99", "10", "99.99", "1e2", "100.001",
		"12345678901234567890123456789012345", "12345678901234567890123456789012345.000000000000000000000000000001"}
	for i, a := range ordered {
		for j, b := range ordered {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := cdcd.CompareDecimals(a, b); got != want {
				t.Errorf("%s, %s: got %d, want %d", a, b, got, want)
			}
		}
	}
	for _, same := range [][2]string{{"1", "1.00"}, {"0", "-0.00"}, {"007", "7"}, {"-1.50", "-01.5"}, {"0", ""}, {"1e3", "1000"}, {"1.5E+2", "150.0"},
		{"0.00125", "1.25e-3"}, {"0e99", "0"}, {"120", "1.2e2"}, {"1.", "1"}, {"1e99999999999999999999", "1E+99999999999999999999"}} {
		if got := cdcd.CompareDecimals(same[0], same[1]); got != 0 {
			t.Errorf("%q, %q: got %d", same[0], same[1], got)
		}
	}
}

func TestDecimalsAreComparedAsRationalsAre(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	number := func() string {
		s := []string{"", "-"}[r.IntN(2)] + strconv.Itoa(r.IntN(200)*r.IntN(2))
		if r.IntN(2) == 0 {
			s += "." + strconv.Itoa(r.IntN(30)) + "00"[:r.IntN(3)]
		}
		if r.IntN(4) == 0 {
			s += "e" + strconv.Itoa(r.IntN(7)-3)
		}
		return s
	}
	for range 10_000 {
		a, b := number(), number()
		x, ok := new(big.Rat).SetString(a)
		y, ok2 := new(big.Rat).SetString(b)
		if !ok || !ok2 {
			continue
		}
		if got := cdcd.CompareDecimals(a, b); got != x.Cmp(y) {
			t.Errorf("%s, %s: got %d", a, b, got)
		}
	}
}
