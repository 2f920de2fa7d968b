// Package cdcdtest calls a plugin's functions natively, so that `go test` can say what they do:
//
//	func TestPaidOrderIsKept(t *testing.T) {
//		if err := cdcdtest.Configure(`{"threshold": "1000"}`); err != nil {
//			t.Fatal(err)
//		}
//		got := cdcdtest.Judge(cdcdtest.Change{
//			Op: cdcd.Update, Table: "shop.orders",
//			Before: []cdcd.Value{cdcd.Enum("new"), cdcd.Decimal("1200.00")},
//			After:  []cdcd.Value{cdcd.Enum("paid"), cdcd.Decimal("1200.00")},
//		})
//		want := cdcdtest.Answer{Verdict: cdcd.Keep, Tags: []string{"big"}}
//		if !reflect.DeepEqual(got, want) {
//			t.Errorf("got %+v, want %+v", got, want)
//		}
//	}
//
// It is for the logic of a plugin. What is delivered is the module that `cdcd plugin test` runs. Tests that use the package must not
// run in parallel: a plugin judges one change at a time.
package cdcdtest

import (
	"encoding/binary"
	"strings"

	cdcd "github.com/cdcd-project/cdcd/sdk/go"
	"github.com/cdcd-project/cdcd/sdk/go/internal/native"
)

// Change is a row change. The values of an image are those of the manifest's columns, in its order; nil: there is no such image.
type Change struct {
	Op            cdcd.Op
	Table         string // with its database: shop.orders
	No            uint64
	CommitTime    int64 // in microseconds since 1970-01-01 UTC
	Before, After []cdcd.Value
	Incomplete    bool
	JSON          string // what Event.JSON is to return
}

// Answer is what a plugin said to a change.
type Answer struct {
	Verdict cdcd.Verdict
	Error   string
	Edits   []Edit
	Tags    []string
	Reason  string // the last one
	Routes  []string
	Log     []Line
	Metrics map[int]int64 // what was added, by place in the manifest
}

// Edit is an altered column.
type Edit struct {
	Image  cdcd.Image
	Column int        // its place in `edits` of the manifest
	Value  cdcd.Value // absent: the column is dropped
}

// Line is a line of the log.
type Line struct {
	Level cdcd.Level
	Text  string
}

// Configure calls the function that the plugin has registered with cdcd.Init.
func Configure(config string) error { return native.Configure([]byte(config)) }

// Judge has the plugin judge a change.
func Judge(c Change) Answer {
	var a Answer
	native.Log = func(level int32, text string) {
		a.Log = append(a.Log, Line{cdcd.Level(level), strings.Clone(text)})
	}
	native.Metric = func(metric int32, delta int64) {
		if a.Metrics == nil {
			a.Metrics = map[int]int64{}
		}
		a.Metrics[int(metric)] += delta
	}
	native.JSON = func(_ uint32, room []byte) int {
		if len(c.JSON) <= len(room) {
			copy(room, c.JSON)
		}
		return len(c.JSON)
	}
	verdicts, log := native.Judge(frame([]Change{c}))
	a.Verdict = cdcd.Verdict(verdicts[0])
	a.read(log)
	return a
}

// read takes the entries of the edit log over.
func (a *Answer) read(log []byte) {
	if a.Verdict == edited {
		a.Verdict = cdcd.Keep
	}
	for len(log) > 0 {
		size := binary.NativeEndian.Uint32(log)
		number := binary.NativeEndian.Uint64(log[16:])
		edit := Edit{Image: cdcd.Image(log[9]), Column: int(binary.NativeEndian.Uint16(log[10:]))}
		switch log[8] {
		case 1:
			edit.Value = value(cdcd.Kind(log[12]), number, log[24:])
			a.Edits = append(a.Edits, edit)
		case 2:
			edit.Value = cdcd.Null()
			a.Edits = append(a.Edits, edit)
		case 3:
			a.Edits = append(a.Edits, edit)
		case 4:
			a.Tags = append(a.Tags, string(log[24:24+number]))
		case 5:
			a.Reason = string(log[24 : 24+number])
		case 6:
			a.Routes = append(a.Routes, string(log[24:24+number]))
		case 7:
			a.Error = string(log[24 : 24+number])
		}
		log = log[size:]
	}
}

// edited is the verdict to keep with edits, which plugins do not see.
const edited cdcd.Verdict = 2

// value returns a value as it stands in the log.
func value(kind cdcd.Kind, number uint64, text []byte) cdcd.Value {
	if isText(kind) {
		return native.Value(uint8(kind), 0, string(text[:number])).(cdcd.Value)
	}
	return native.Value(uint8(kind), number, "").(cdcd.Value)
}

func isText(kind cdcd.Kind) bool {
	switch kind {
	case cdcd.KindDecimal, cdcd.KindString, cdcd.KindBytes, cdcd.KindJSON, cdcd.KindEnum, cdcd.KindSet, cdcd.KindGeometry, cdcd.KindVector:
		return true
	}
	return false
}
