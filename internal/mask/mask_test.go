package mask_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/mask"
)

// Keysets with keys that count up from zero, as Tink writes them: number 7 for HMAC is the bytes 0 to 31, for AES-SIV 0 to 63.
const (
	hmacKeys = `{"primaryKeyId":7,"key":[{"keyData":{"typeUrl":"type.googleapis.com/google.crypto.tink.HmacPrfKey",
		"value":"EgIIAxogAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","keyMaterialType":"SYMMETRIC"},
		"status":"ENABLED","keyId":7,"outputPrefixType":"RAW"}]}`
	sivKeys = `{"primaryKeyId":7,"key":[{"keyData":{"typeUrl":"type.googleapis.com/google.crypto.tink.AesSivKey",
		"value":"EkAAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4/","keyMaterialType":"SYMMETRIC"},
		"status":"ENABLED","keyId":7,"outputPrefixType":"TINK"}]}`
	otherKeys = `{"primaryKeyId":7,"key":[{"keyData":{"typeUrl":"type.googleapis.com/google.crypto.tink.HmacPrfKey",
		"value":"EgIIBBogAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","keyMaterialType":"SYMMETRIC"},
		"status":"ENABLED","keyId":7,"outputPrefixType":"RAW"}]}`
)

func open(t *testing.T, m mask.Method, keys string) *mask.Mask {
	t.Helper()
	out, err := mask.New(m, []byte(keys))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The masks are a contract with whoever keeps or recomputes them. These were computed by other implementations: Python's
// hmac, and AESSIV of its cryptography package with the byte 1 and the key's number in front, as Tink has it.
func TestMasksNeverChange(t *testing.T) {
	str := cdc.TextValue
	for _, test := range []struct {
		name   string
		method mask.Method
		place  string
		column cdc.Column
		value  cdc.Value
		want   cdc.Value
	}{
		{"text", mask.HMAC, "shop.customers.email", cdc.Column{Kind: cdc.KindString}, str(cdc.KindString, "a@b.c"),
			str(cdc.KindString, "5d3509c9c1609c2488c425e74cd3ce8d9f5b2fa97c5f5a450e15bb6339fc9cb1")},
		{"the same text elsewhere", mask.HMAC, "shop.orders.email", cdc.Column{Kind: cdc.KindEnum}, str(cdc.KindEnum, "a@b.c"),
			str(cdc.KindString, "5d3509c9c1609c2488c425e74cd3ce8d9f5b2fa97c5f5a450e15bb6339fc9cb1")},
		{"UTF-8", mask.HMAC, "s.t.c", cdc.Column{Kind: cdc.KindString}, str(cdc.KindString, "Grüße"),
			str(cdc.KindString, "850e2e7a2b152cb7379adccf5c035bf2141c3f3d751c48fcc3d1276d0b3d427c")},
		{"decimal", mask.HMAC, "s.t.c", cdc.Column{Kind: cdc.KindDecimal}, str(cdc.KindDecimal, "-12.50"),
			str(cdc.KindString, "7bb1fa624b508d67701179c67706133e8122b861183247ba4cd52c590d978d14")},
		{"empty text", mask.HMAC, "s.t.c", cdc.Column{Kind: cdc.KindString}, str(cdc.KindString, ""),
			str(cdc.KindString, "d38b42096d80f45f826b44a9d5607de72496a415d3f4a1a8c88e3bb9da8dc1cb")},
		{"all digits of an integer", mask.HMAC, "s.t.c", cdc.Column{Kind: cdc.KindUint64}, cdc.Uint64Value(1<<64 - 1),
			str(cdc.KindString, "350af12a8b912a3a66dcbc95916cf2e8a21f7ee73ad2d38790bb791f9490bec0")},
		{"encrypted text", mask.Encrypt, "shop.customers.email", cdc.Column{Kind: cdc.KindString}, str(cdc.KindString, "a@b.c"),
			str(cdc.KindString, "AQAAAAd/WUinRMyJNe+gkRj8cLq+xSXqj60=")},
		{"NULL", mask.HMAC, "s.t.c", cdc.Column{Kind: cdc.KindString}, cdc.NullValue(), cdc.NullValue()},
		{"absent", mask.Encrypt, "s.t.c", cdc.Column{Kind: cdc.KindString}, cdc.Value{}, cdc.Value{}},
	} {
		keys := hmacKeys
		if test.method == mask.Encrypt {
			keys = sivKeys
		}
		got, err := open(t, test.method, keys).Value(test.place, &test.column, test.value)
		if err != nil || got != test.want {
			t.Errorf("%s: got %v, %v, want %v", test.name, got, err, test.want)
		}
	}
}

func TestEncryptedValuesAreBoundToTheirColumn(t *testing.T) {
	m := open(t, mask.Encrypt, sivKeys)
	c := &cdc.Column{Kind: cdc.KindString}
	seen := map[string]string{}
	for _, place := range []string{"shop.customers.email", "shop.orders.email"} {
		v, err := m.Value(place, c, cdc.TextValue(cdc.KindString, "a@b.c"))
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := m.Value(place, c, cdc.TextValue(cdc.KindString, "a@b.c")); again != v {
			t.Errorf("%s: first %v, then %v", place, v, again)
		}
		if other := seen[v.Text()]; other != "" {
			t.Errorf("%s and %s have the same mask", place, other)
		}
		seen[v.Text()] = place
		if text, err := m.Reveal(place, v.Text()); err != nil || text != "a@b.c" {
			t.Errorf("%s reveals %q, %v", place, text, err)
		}
		if text, err := m.Reveal("x.y.z", v.Text()); err == nil {
			t.Errorf("another column reveals %q", text)
		}
	}
	if _, err := open(t, mask.HMAC, hmacKeys).Reveal("s.t.c", "00"); err == nil {
		t.Error("an HMAC was revealed")
	}
}

func TestRotationMasksWithANewKeyAndRevealsWithTheOldOnes(t *testing.T) {
	for _, method := range []mask.Method{mask.HMAC, mask.Encrypt} {
		first, err := mask.NewKeyset(method)
		if err != nil {
			t.Fatal(err)
		}
		second, err := mask.Rotate(method, first)
		if err != nil {
			t.Fatal(err)
		}
		before, after := open(t, method, string(first)), open(t, method, string(second))
		if before.ID() == after.ID() || !strings.HasPrefix(after.ID(), string(method)+":") {
			t.Errorf("IDs %s and %s", before.ID(), after.ID())
		}
		c := &cdc.Column{Kind: cdc.KindInt64}
		old, _ := before.Value("s.t.c", c, cdc.Int64Value(42))
		now, _ := after.Value("s.t.c", c, cdc.Int64Value(42))
		if old == now {
			t.Errorf("%s: the new key gives the same mask %v", method, now)
		}
		if method == mask.HMAC {
			continue
		}
		for _, v := range []cdc.Value{old, now} {
			if text, err := after.Reveal("s.t.c", v.Text()); err != nil || text != "42" {
				t.Errorf("%v reveals %q, %v", v, text, err)
			}
		}
	}
}

// Whoever has the key can recompute an HMAC, with nothing but what every language has.
func TestAnHMACIsThatOfTheTextItself(t *testing.T) {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	for _, test := range []struct {
		text   string
		column cdc.Column
		value  cdc.Value
	}{
		{"-42", cdc.Column{Kind: cdc.KindInt64}, cdc.Int64Value(-42)},
		{"1.1", cdc.Column{Kind: cdc.KindFloat64, Float32: true}, cdc.Float64Value(float64(float32(1.1)))},
		{"2026-11-21", cdc.Column{Kind: cdc.KindDate}, cdc.CivilValue(cdc.KindDate, cdc.Civil{Year: 2026, Month: 11, Day: 21})},
		{"2026-11-21T03:04:05.120", cdc.Column{Kind: cdc.KindDatetime, Fsp: 3},
			cdc.CivilValue(cdc.KindDatetime, cdc.Civil{Year: 2026, Month: 11, Day: 21, Hour: 3, Minute: 4, Second: 5, Micro: 120000})},
		{"1970-01-01T00:00:01Z", cdc.Column{Kind: cdc.KindTimestamp}, cdc.TimestampValue(1_000_000)},
		{"-838:59:59", cdc.Column{Kind: cdc.KindTime}, cdc.TimeValue(-(838*3600 + 59*60 + 59) * 1_000_000)},
		{"AP8=", cdc.Column{Kind: cdc.KindBytes}, cdc.TextValue(cdc.KindBytes, "\x00\xff")},
		{`{"a":1}`, cdc.Column{Kind: cdc.KindJSON}, cdc.TextValue(cdc.KindJSON, `{"a":1}`)},
		{`["a","b"]`, cdc.Column{Kind: cdc.KindSet}, cdc.TextValue(cdc.KindSet, "a,b")},
		{`a"b\` + "\n", cdc.Column{Kind: cdc.KindString}, cdc.TextValue(cdc.KindString, `a"b\`+"\n")},
		{"5", cdc.Column{Kind: cdc.KindBit}, cdc.BitValue(5)},
	} {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(test.text))
		want := hex.EncodeToString(h.Sum(nil))
		got, err := open(t, mask.HMAC, hmacKeys).Value("s.t.c", &test.column, test.value)
		if err != nil || got.Text() != want {
			t.Errorf("%s: got %v, %v, want %s", test.text, got, err, want)
		}
	}
}

func TestAMaskedColumnIsAString(t *testing.T) {
	column := cdc.Column{Name: "plan", Type: "enum('free','paid')", Kind: cdc.KindEnum, Nullable: true, Key: 2, Collation: 45,
		Members: []string{"free", "paid"}}
	for method, want := range map[mask.Method]string{mask.HMAC: "char(64)", mask.Encrypt: "text"} {
		keys := hmacKeys
		if method == mask.Encrypt {
			keys = sivKeys
		}
		got := open(t, method, keys).Column(column)
		if got.Name != "plan" || got.Type != want || got.Kind != cdc.KindString || !got.Nullable || got.Key != 2 ||
			got.Collation != 0 || got.Members != nil {
			t.Errorf("%s: %+v", method, got)
		}
	}
}

func TestKeysetsThatDoNotFitAreRefusedWithoutShowingThem(t *testing.T) {
	for _, test := range []struct {
		name   string
		method mask.Method
		keys   string
		want   string
	}{
		{"empty", mask.HMAC, "", "it is not a keyset of Tink in JSON without encryption"},
		{"text", mask.HMAC, "MYSECRET", "it is not a keyset of Tink in JSON without encryption"},
		{"no key", mask.HMAC, "{}", "it is not a keyset of Tink in JSON without encryption"},
		{"of the other method", mask.HMAC, sivKeys, "its primary key is not one for hmac, which takes HMAC_SHA256_PRF"},
		{"the other way round", mask.Encrypt, hmacKeys, "its primary key is not one for encrypt, which takes AES256_SIV"},
		{"HMAC with another hash", mask.HMAC, otherKeys, "its primary key is not one for hmac, which takes HMAC_SHA256_PRF"},
		{"not a method", "rot13", hmacKeys, "its primary key is not one for rot13"},
	} {
		_, err := mask.New(test.method, []byte(test.keys))
		if err == nil || !strings.HasPrefix(err.Error(), test.want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
	}
}

func TestKeysetsAreRandom(t *testing.T) {
	a, err := mask.NewKeyset(mask.HMAC)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := mask.NewKeyset(mask.HMAC)
	if bytes.Equal(a, b) || open(t, mask.HMAC, string(a)).ID() == open(t, mask.HMAC, string(b)).ID() {
		t.Error("two keysets are the same")
	}
}
