package rules

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/match"
)

// The functions that rules have beyond CEL's own. What each means is in the table of reference.go.

// Names that people cannot write, of what their functions become.
const (
	increasedFn = "@increased" // before, after, the column's number, an amount, 1 or -1
	wallFn      = "@wall"      // the time on a wall clock of a zone, as if it were UTC
)

// functionsV1 are the functions of version 1. What is in it never changes, in signature or in meaning: a change is
// another version, and rules of version 1 keep this one.
func functionsV1() []cel.EnvOption {
	text, instant, truth := types.StringType, types.TimestampType, types.BoolType
	return []cel.EnvOption{
		cel.Function(changedFn, cel.Overload("changed_column", []*types.Type{types.DynType, types.DynType, types.IntType},
			truth, cel.FunctionBinding(changed))),
		cel.Function(increasedFn, cel.Overload("increased_column", []*types.Type{types.DynType, types.DynType, types.IntType, types.DynType, types.IntType},
			truth, cel.FunctionBinding(increased))),

		textFunction("lowerAscii", func(s string) string { return mapASCII(s, 'A', 'Z') }),
		textFunction("upperAscii", func(s string) string { return mapASCII(s, 'a', 'z') }),
		textFunction("trim", strings.TrimSpace),
		ignoringCase("equalsIgnoreCase", func(s, t string) bool { return s == t }),
		ignoringCase("containsIgnoreCase", strings.Contains),
		ignoringCase("startsWithIgnoreCase", strings.HasPrefix),
		ignoringCase("endsWithIgnoreCase", strings.HasSuffix),

		cel.Function("timestamp", cel.Overload("civil_to_timestamp", []*types.Type{text, text}, instant, cel.BinaryBinding(civilToTimestamp))),
		cel.Function("date",
			cel.Overload("timestamp_to_date", []*types.Type{instant, text}, text, cel.BinaryBinding(dateIn)),
			cel.Overload("civil_to_date", []*types.Type{text}, text, cel.UnaryBinding(dateOf))),
		cel.Function("days", cel.Overload("int64_to_days", []*types.Type{types.IntType}, types.DurationType, cel.UnaryBinding(days))),
		cel.Function(wallFn, cel.Overload("timestamp_to_wall", []*types.Type{instant, text}, instant, cel.BinaryBinding(wall))),
	}
}

func textFunction(name string, f func(string) string) cel.EnvOption {
	return cel.Function(name, cel.MemberOverload("string_"+name, []*types.Type{types.StringType}, types.StringType,
		cel.UnaryBinding(func(v ref.Val) ref.Val {
			s, ok := v.(types.String)
			if !ok {
				return types.MaybeNoSuchOverloadErr(v)
			}
			return types.String(f(string(s)))
		})))
}

func ignoringCase(name string, f func(s, t string) bool) cel.EnvOption {
	return cel.Function(name, cel.MemberOverload("string_"+name, []*types.Type{types.StringType, types.StringType}, types.BoolType,
		cel.BinaryBinding(func(a, b ref.Val) ref.Val {
			s, ok1 := a.(types.String)
			t, ok2 := b.(types.String)
			if !ok1 || !ok2 {
				return types.MaybeNoSuchOverloadErr(a)
			}
			return types.Bool(f(foldCase(string(s)), foldCase(string(t))))
		})))
}

// foldCase makes texts alike that differ in case only.
func foldCase(s string) string { return string(match.AppendFolded(nil, s)) }

// mapASCII turns the letters from lo to hi into those of the other case, and nothing else: bytes that are not UTF-8 stay,
// too.
func mapASCII(s string, lo, hi byte) string {
	b := []byte(s)
	for i, c := range b {
		if c >= lo && c <= hi {
			b[i] = c ^ 0x20
		}
	}
	return string(b)
}

// bothImages returns a column of before and of after; ok is false when one of the images is not there.
func bothImages(args []ref.Val) (before, after *image, column int, ok bool, err error) {
	before, ok1 := args[0].(*image)
	after, ok2 := args[1].(*image)
	column = int(args[2].(types.Int))
	if !ok1 || !ok2 {
		return nil, nil, column, false, nil
	}
	for _, m := range [...]*image{before, after} {
		switch c, k := &m.row.Table().Columns[column], m.row.Kind(column); {
		case k == cdc.KindAbsent:
			return nil, nil, column, false, absentError{c.Name}
		case k != cdc.KindNull && k != c.Kind:
			return nil, nil, column, false, kindError(c, k)
		}
	}
	return before, after, column, true, nil
}

// increased is what increasedBy('col', amount) and decreasedBy become. NULL on either side is no difference.
func increased(args ...ref.Val) ref.Val {
	before, after, column, ok, err := bothImages(args)
	if err != nil {
		return types.WrapErr(err)
	}
	if !ok {
		return types.False
	}
	small, err := before.get(column)
	if err != nil {
		return types.WrapErr(err)
	}
	large, err := after.get(column)
	if err != nil {
		return types.WrapErr(err)
	}
	if args[4] != types.IntOne {
		small, large = large, small
	}
	if small == types.NullValue || large == types.NullValue {
		return types.False
	}
	return differsBy(small, large, args[3])
}

// differsBy reports whether large - small >= amount, exactly: the difference of two integers may be larger than either.
func differsBy(small, large, amount ref.Val) ref.Val {
	switch n := amount.(type) {
	case types.Int:
		a, ok1 := small.(types.Int)
		b, ok2 := large.(types.Int)
		if ok1 && ok2 {
			return types.Bool(b >= a && uint64(b)-uint64(a) >= uint64(n))
		}
	case types.Uint:
		a, ok1 := small.(types.Uint)
		b, ok2 := large.(types.Uint)
		if ok1 && ok2 {
			return types.Bool(b >= a && b-a >= n)
		}
	case types.Double:
		a, ok1 := small.(types.Double)
		b, ok2 := large.(types.Double)
		if ok1 && ok2 {
			return types.Bool(b-a >= n)
		}
	case decimal:
		a, ok1 := small.(decimal)
		b, ok2 := large.(decimal)
		if ok1 && ok2 {
			difference := b.Subtract(a)
			if d, ok := difference.(decimal); ok {
				return types.Bool(d.compare(n) >= 0)
			}
			return difference
		}
	}
	return types.MaybeNoSuchOverloadErr(large)
}

// days returns a duration of so many times 24 hours.
func days(v ref.Val) ref.Val {
	n, ok := v.(types.Int)
	if !ok {
		return types.MaybeNoSuchOverloadErr(v)
	}
	const most = math.MaxInt64 / int64(24*time.Hour)
	if int64(n) > most || int64(n) < -most {
		return types.NewErr("%d days are more than a duration can hold", int64(n))
	}
	return types.Duration{Duration: time.Duration(n) * 24 * time.Hour}
}

var civilText8601 = regexp.MustCompile(`^(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}):(\d{2}):(\d{2})(\.\d{1,9})?)?$`)

var errNoCivil = errors.New("is no date such as 2026-01-31 or 2026-01-31T12:30:00")

// civilToTimestamp is timestamp('2026-01-31T12:30:00', 'Europe/Berlin').
func civilToTimestamp(a, b ref.Val) ref.Val {
	text, ok := a.(types.String)
	zone, err := zoneOf(b)
	if !ok || err != nil {
		return noZone(a, err)
	}
	m := civilText8601.FindStringSubmatch(string(text))
	if m == nil {
		return types.NewErr("'%s' %v", clip(string(text)), errNoCivil)
	}
	if m[1] == "0000" && m[2] == "00" && m[3] == "00" {
		return types.Timestamp{Time: time.Time{}} // the zero date, as TIMESTAMP columns have it
	}
	n := func(i int) int { v, _ := strconv.Atoi(m[i]); return v }
	at := time.Date(n(1), time.Month(n(2)), n(3), n(4), n(5), n(6), 0, time.UTC)
	if at.Month() != time.Month(n(2)) || at.Day() != n(3) || n(1) == 0 {
		return types.NewErr("'%s' is no day of the calendar", clip(string(text)))
	}
	if m[7] != "" {
		nanos, _ := strconv.Atoi((m[7][1:] + "00000000")[:9])
		at = at.Add(time.Duration(nanos))
	}
	return types.Timestamp{Time: instantOf(at, zone)}
}

// instantOf returns when the clocks of a zone show a time, which is given as if it were UTC. When they show it twice it
// is the first of the two; when they skip it, it is as long after the change as it would have been without one.
func instantOf(wall time.Time, zone *time.Location) time.Time {
	const around = 26 * time.Hour // no zone is farther from UTC, and none changes twice within so short a time
	_, before := wall.Add(-around).In(zone).Zone()
	_, after := wall.Add(around).In(zone).Zone()
	first := wall.Add(-time.Duration(before) * time.Second)
	second := wall.Add(-time.Duration(after) * time.Second)
	shows := func(t time.Time) bool {
		_, offset := t.In(zone).Zone()
		return t.Add(time.Duration(offset) * time.Second).Equal(wall)
	}
	switch {
	case shows(first) && shows(second) && second.Before(first):
		return second
	case !shows(first) && shows(second):
		return second
	}
	return first
}

// dateIn is date(now, 'Europe/Berlin').
func dateIn(a, b ref.Val) ref.Val {
	at, ok := a.(types.Timestamp)
	zone, err := zoneOf(b)
	if !ok || err != nil {
		return noZone(a, err)
	}
	return types.String(at.In(zone).Format(time.DateOnly))
}

// dateOf is date(x) of a DATE or DATETIME.
func dateOf(a ref.Val) ref.Val {
	text, ok := a.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(a)
	}
	if !civilText8601.MatchString(string(text)) {
		return types.NewErr("'%s' %v", clip(string(text)), errNoCivil)
	}
	return text[:len(time.DateOnly)]
}

// wall returns the time that the clocks of a zone show, as if it were UTC, for asking for its hour or its weekday.
func wall(a, b ref.Val) ref.Val {
	at, ok := a.(types.Timestamp)
	zone, err := zoneOf(b)
	if !ok || err != nil {
		return noZone(a, err)
	}
	_, offset := at.In(zone).Zone()
	return types.Timestamp{Time: at.UTC().Add(time.Duration(offset) * time.Second)}
}

func noZone(v ref.Val, err error) ref.Val {
	if err != nil {
		return types.WrapErr(err)
	}
	return types.MaybeNoSuchOverloadErr(v)
}

func zoneOf(v ref.Val) (*time.Location, error) {
	name, ok := v.(types.String)
	if !ok {
		return nil, errors.New("a time zone is a text")
	}
	return loadZone(string(name))
}

// zones remembers the time zones that rules name; they are literals, so there are no more than rules have.
var zones sync.Map // name → *time.Location

var zoneOffset = regexp.MustCompile(`^([+-])(0\d|1\d|2[0-3]):([0-5]\d)$`)

// loadZone returns a time zone: Europe/Berlin, UTC or +02:00.
func loadZone(name string) (*time.Location, error) {
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location), nil
	}
	zone := time.UTC
	if m := zoneOffset.FindStringSubmatch(name); m != nil {
		hours, _ := strconv.Atoi(m[2])
		minutes, _ := strconv.Atoi(m[3])
		seconds := (hours*60 + minutes) * 60
		if m[1] == "-" {
			seconds = -seconds
		}
		zone = time.FixedZone(name, seconds)
	} else if name != "UTC" {
		var err error
		if zone, err = time.LoadLocation(name); err != nil || name == "" || name == "Local" {
			return nil, fmt.Errorf("there is no time zone '%s'", clip(name))
		}
	}
	zones.Store(name, zone)
	return zone, nil
}
