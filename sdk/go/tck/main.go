// Command tck is the plugin of wasm/tck/PLUGIN.md, in Go.
package main

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	cdcd "github.com/cdcd-project/cdcd/sdk/go"
)

func main() {}

func init() {
	cdcd.Init(configure)
	cdcd.Filter(judge)
}

// The columns: do, then those of the kinds, then v_optional.
const (
	do       = 0
	optional = int(cdcd.KindVector)
)

func column(kind cdcd.Kind) int { return int(kind) - 1 }
func edit(kind cdcd.Kind) int   { return int(kind) - 2 }

var (
	config []byte
	count  int      // what a plugin must not have
	kept   [][]byte // what grow and hoard have taken
)

func configure(text []byte) error {
	config = text
	var c struct {
		Refuse string
		Trap   bool
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	if c.Trap {
		panic("told to")
	}
	if c.Refuse != "" {
		return errors.New(c.Refuse)
	}
	return nil
}

func judge(e *cdcd.Event) cdcd.Verdict {
	j := judgement{Event: e, verdict: cdcd.Drop, image: cdcd.After}
	if !e.HasAfter() {
		j.image = cdcd.Before
	}
	for line := range strings.Lines(j.value(do).Text()) {
		word, argument, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !j.obey(word, argument) {
			return e.Error("no such command: " + word)
		}
	}
	return j.verdict
}

// judgement is an event while its commands are obeyed.
type judgement struct {
	*cdcd.Event
	verdict cdcd.Verdict
	image   cdcd.Image // that edits alter
}

// value reads a column of the image after, or before where there is none.
func (j *judgement) value(column int) cdcd.Value {
	if j.HasAfter() {
		return j.After(column)
	}
	return j.Before(column)
}

// obey does what a command says; false if there is no such command.
func (j *judgement) obey(word, argument string) bool {
	switch word {
	case "keep":
		j.verdict = cdcd.Keep
	case "drop":
		j.verdict = cdcd.Drop
	case "error":
		j.verdict = j.Error(argument)

	case "before":
		j.image = cdcd.Before
	case "after":
		j.image = cdcd.After
	case "echo":
		j.copy(func(v cdcd.Value) cdcd.Value { return v })
	case "rebuild":
		j.copy(rebuild)
	case "null":
		j.SetNull(j.image, edit(kindOf(argument)))
	case "without":
		j.DropColumn(j.image, edit(kindOf(argument)))
	case "text":
		j.Set(j.image, edit(cdcd.KindString), cdcd.String(argument))
	case "fill":
		j.Set(j.image, edit(cdcd.KindString), cdcd.String(strings.Repeat("x", int(number(argument)))))
	case "tag":
		j.Tag(argument)
	case "tags":
		for i := range number(argument) {
			j.Tag("t" + strconv.FormatInt(i, 10))
		}
	case "reason":
		j.Reason(argument)
	case "route":
		j.Route(argument)

	case "describe":
		j.Reason(j.Op().String() + " " + j.Schema() + " " + j.Table() + " " + strconv.FormatUint(j.No(), 10) + " " +
			strconv.FormatInt(j.CommitTime(), 10))
	case "kinds":
		var kinds []string
		for i := column(cdcd.KindBool); i <= optional; i++ {
			kinds = append(kinds, j.value(i).Kind().String())
		}
		j.Reason(strings.Join(kinds, ","))
	case "changed":
		var changed []string
		for kind := cdcd.KindBool; kind <= cdcd.KindVector; kind++ {
			if j.Changed(column(kind)) {
				changed = append(changed, kind.String())
			}
		}
		if changed == nil {
			changed = []string{"-"}
		}
		j.Reason(strings.Join(changed, ","))
	case "json":
		j.Set(j.image, edit(cdcd.KindJSON), cdcd.JSON(string(j.JSON())))
	case "config":
		j.Reason(string(config))

	case "log":
		level, text, _ := strings.Cut(argument, " ")
		cdcd.Log(cdcd.Level(number(level)), text)
	case "logs":
		for i := range number(argument) {
			cdcd.Log(cdcd.Info, "line "+strconv.FormatInt(i, 10))
		}
	case "metric":
		place, delta, _ := strings.Cut(argument, " ")
		cdcd.Metric(int(number(place)), number(delta))

	case "count":
		count++
		j.Reason(strconv.Itoa(count))
	case "grow":
		for range number(argument) {
			take()
		}
	case "spin":
		x := uint64(0)
		for range number(argument) {
			x = x*6364136223846793005 + 1442695040888963407
		}
		j.Reason(strconv.FormatUint(x, 10))

	case "trap":
		panic("told to")
	case "loop":
		//lint:ignore SA5002 it is what the suite asks for
		for {
		}
	case "recurse":
		j.Reason(strconv.Itoa(recurse(1)))
	case "hoard":
		for {
			take()
		}

	default:
		return false
	}
	return true
}

// copy sets the edits of both images to what their columns have, made over.
func (j *judgement) copy(made func(cdcd.Value) cdcd.Value) {
	for kind := cdcd.KindBool; kind <= cdcd.KindVector; kind++ {
		j.copyOne(cdcd.Before, kind, j.Before(column(kind)), made)
	}
	for kind := cdcd.KindBool; kind <= cdcd.KindVector; kind++ {
		j.copyOne(cdcd.After, kind, j.After(column(kind)), made)
	}
}

func (j *judgement) copyOne(image cdcd.Image, kind cdcd.Kind, v cdcd.Value, made func(cdcd.Value) cdcd.Value) {
	switch {
	case v.IsAbsent():
	case v.IsNull():
		j.SetNull(image, edit(kind))
	default:
		j.Set(image, edit(kind), made(v))
	}
}

// rebuild takes a value apart and makes it anew.
func rebuild(v cdcd.Value) cdcd.Value {
	switch v.Kind() {
	case cdcd.KindBool:
		return cdcd.Bool(v.Bool())
	case cdcd.KindInt64:
		return cdcd.Int(v.Int())
	case cdcd.KindUint64:
		return cdcd.Uint(v.Uint())
	case cdcd.KindFloat64:
		return cdcd.Float(v.Float())
	case cdcd.KindDecimal:
		return cdcd.Decimal(v.Text())
	case cdcd.KindString:
		return cdcd.String(v.Text())
	case cdcd.KindBytes:
		return cdcd.Bytes(v.Bytes())
	case cdcd.KindDate:
		return cdcd.Date(v.Civil())
	case cdcd.KindTime:
		return cdcd.Time(v.Micros())
	case cdcd.KindDatetime:
		return cdcd.Datetime(v.Civil())
	case cdcd.KindTimestamp:
		return cdcd.Timestamp(v.Micros())
	case cdcd.KindJSON:
		return cdcd.JSON(v.Text())
	case cdcd.KindEnum:
		return cdcd.Enum(v.Text())
	case cdcd.KindSet:
		return cdcd.Set(v.Text())
	case cdcd.KindBit:
		return cdcd.Bit(v.Uint())
	case cdcd.KindGeometry:
		return cdcd.Geometry(v.Bytes())
	case cdcd.KindVector:
		return cdcd.Vector(v.Bytes())
	}
	panic("a value of no kind")
}

// kindOf returns the kind of a name.
func kindOf(name string) cdcd.Kind {
	for kind := cdcd.KindBool; kind <= cdcd.KindVector; kind++ {
		if kind.String() == name {
			return kind
		}
	}
	panic("no such kind: " + name)
}

// take allocates a block of memory for good.
func take() {
	block := make([]byte, 64<<10)
	block[0] = 1
	kept = append(kept, block)
}

// recurse never ends, and cannot be made a loop, since there is something to do afterwards.
//
//go:noinline
func recurse(n int) int {
	//lint:ignore SA5007 it is what the suite asks for
	return recurse(n+1) + n
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}
