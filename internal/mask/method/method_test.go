package method_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/mask/method"
)

func text(s string) cdc.Value { return cdc.TextValue(cdc.KindString, s) }

func at(y, m, d, h int) cdc.Value {
	return cdc.CivilValue(cdc.KindDatetime, cdc.Civil{Year: y, Month: m, Day: d, Hour: h})
}

func day(y, m, d int) cdc.Value {
	return cdc.CivilValue(cdc.KindDate, cdc.Civil{Year: y, Month: m, Day: d})
}

func instant(y, m, d, h int) cdc.Value {
	return cdc.TimestampValue(time.Date(y, time.Month(m), d, h, 0, 0, 0, time.UTC).UnixMicro())
}

// Every method on every kind: what it makes of a value, or that it does not fit.
func TestMethodsByKind(t *testing.T) {
	values := map[cdc.Kind]cdc.Value{
		cdc.KindBool: cdc.BoolValue(true), cdc.KindInt64: cdc.Int64Value(-4912345678), cdc.KindUint64: cdc.Uint64Value(4912345678),
		cdc.KindFloat64: cdc.Float64Value(1.5), cdc.KindDecimal: cdc.TextValue(cdc.KindDecimal, "123456.78"), cdc.KindString: text("Grüße, Ann"),
		cdc.KindBytes: cdc.TextValue(cdc.KindBytes, "\x00\x01"), cdc.KindDate: day(1980, 5, 17), cdc.KindTime: cdc.TimeValue(5_000_000),
		cdc.KindDatetime: at(1980, 5, 17, 13), cdc.KindTimestamp: instant(1980, 5, 17, 13), cdc.KindJSON: cdc.TextValue(cdc.KindJSON, `{"a":1}`),
		cdc.KindEnum: cdc.TextValue(cdc.KindEnum, "platinum"), cdc.KindSet: cdc.TextValue(cdc.KindSet, "a,b"), cdc.KindBit: cdc.BitValue(5),
		cdc.KindGeometry: cdc.TextValue(cdc.KindGeometry, "\x00\x00\x00\x00x"), cdc.KindVector: cdc.TextValue(cdc.KindVector, "\x00\x00\x00\x00"),
	}
	fits := map[string]map[cdc.Kind]cdc.Value{
		"year":        {cdc.KindDate: day(1980, 1, 1), cdc.KindDatetime: at(1980, 1, 1, 0), cdc.KindTimestamp: instant(1980, 1, 1, 0)},
		"month":       {cdc.KindDate: day(1980, 5, 1), cdc.KindDatetime: at(1980, 5, 1, 0), cdc.KindTimestamp: instant(1980, 5, 1, 0)},
		"truncate(3)": {cdc.KindString: text("Grü"), cdc.KindEnum: text("pla")},
		"last4": {cdc.KindString: text("*** Ann"), cdc.KindEnum: text("***inum"), cdc.KindInt64: text("***5678"), cdc.KindUint64: text("***5678"),
			cdc.KindDecimal: text("***6.78")},
		"redact":  {},
		"hmac":    {},
		"encrypt": {},
	}
	for _, name := range []string{"redact", "hmac", "encrypt", "year", "month", "truncate(3)", "last4"} {
		m, err := method.Parse(name)
		if err != nil || m.String() != name {
			t.Fatalf("%s is read as %s, %v", name, m, err)
		}
		for kind, v := range values {
			c := cdc.Column{Name: "c", Type: "as it was", Kind: kind, Nullable: true, Key: 2}
			why, fix := m.Fits(&c)
			want, ok := fits[name][kind]
			switch {
			case len(fits[name]) == 0: // these fit everything
				ok, want = true, text(method.Redacted)
			}
			if (why == "") != ok || (fix == "") != ok {
				t.Errorf("%s of %s: it does not fit because %q, write %q", name, kind, why, fix)
			}
			if !ok {
				want = text(method.Redacted)
			}
			if m.Keyed() {
				continue
			}
			if got := m.Value(&c, v); got != want {
				t.Errorf("%s of %s: got %s, want %s", name, kind, got, want)
			}
			for _, nothing := range []cdc.Value{cdc.NullValue(), {}} {
				if got := m.Value(&c, nothing); got != nothing {
					t.Errorf("%s of %s makes %s of %s", name, kind, got, nothing)
				}
			}
			if masked := m.Column(c); ok && (masked.Name != "c" || !masked.Nullable || masked.Key != 2 || masked.Check(want) != nil) {
				t.Errorf("%s of %s makes column %+v, which cannot hold %s", name, kind, masked, want)
			}
		}
	}
}

func TestOddValues(t *testing.T) {
	for _, test := range []struct {
		method string
		kind   cdc.Kind
		value  cdc.Value
		want   cdc.Value
	}{
		{"last4", cdc.KindString, text("1234567"), text("***")},
		{"last4", cdc.KindString, text("12345678"), text("***5678")},
		{"last4", cdc.KindString, text("日本語日本語日本"), text("***本語日本")},
		{"last4", cdc.KindString, text(""), text("***")},
		{"last4", cdc.KindInt64, cdc.Int64Value(42), text("***")},
		{"truncate(2)", cdc.KindString, text("日本語"), text("日本")},
		{"truncate(2)", cdc.KindString, text("日"), text("日")},
		{"truncate(2)", cdc.KindString, text(""), text("")},
		{"truncate(1)", cdc.KindString, text("\xff\xfea"), text("\xff")},
		{"month", cdc.KindDate, day(0, 0, 0), day(0, 0, 0)},
		{"month", cdc.KindDate, day(1980, 0, 0), day(1980, 0, 0)},
		{"month", cdc.KindDate, day(1980, 5, 0), day(1980, 5, 0)},
		{"year", cdc.KindDate, day(1980, 5, 0), day(1980, 1, 0)},
		{"month", cdc.KindTimestamp, cdc.TimestampValue(0), cdc.TimestampValue(0)},
		{"month", cdc.KindTimestamp, instant(1970, 1, 20, 1), cdc.TimestampValue(1)}, // 0 is the zero date
		{"year", cdc.KindTimestamp, instant(2026, 12, 31, 23), instant(2026, 1, 1, 0)},
	} {
		m, err := method.Parse(test.method)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Value(&cdc.Column{Kind: test.kind}, test.value); got != test.want {
			t.Errorf("%s of %s: got %s, want %s", test.method, test.value, got, test.want)
		}
	}
}

func TestParse(t *testing.T) {
	const brackets, characters = "hmac takes nothing in brackets", "truncate says how many characters stay, 1 to 255: truncate(3)"
	for s, want := range map[string]string{
		"hmac": "", "truncate(1)": "", "truncate(255)": "", "hmac()": brackets, "hmac(3)": brackets, "truncate": characters, "truncate()": characters,
		"truncate(0)": characters, "truncate(256)": characters, "truncate(-1)": characters, "truncate(03)": characters, "truncate(x)": characters,
		"": "there is no such method", "HMAC": "there is no such method", "last 4": "there is no such method", "truncate(3": "there is no such method",
		"hmac\n": "there is no such method", "rot13": "there is no such method",
	} {
		if _, err := method.Parse(s); fmt.Sprint(err) != want && (want != "" || err != nil) {
			t.Errorf("%q: got %v, want %s", s, err, want)
		}
	}
}

func TestWhatGivesLessAwayWins(t *testing.T) {
	order := []string{"redact", "hmac", "encrypt", "year", "month", "truncate(1)", "truncate(9)", "last4"}
	for i, a := range order {
		for j, b := range order {
			ma, _ := method.Parse(a)
			mb, _ := method.Parse(b)
			if got := method.Stronger(ma, mb).String(); got != order[min(i, j)] {
				t.Errorf("of %s and %s, %s wins", a, b, got)
			}
		}
		m, _ := method.Parse(a)
		if method.Stronger(m, method.Method{}) != m || method.Stronger(method.Method{}, m) != m {
			t.Errorf("nothing wins over %s", a)
		}
	}
}
