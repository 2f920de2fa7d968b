package pluginkit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cdcd-project/cdcd/cdc"
)

// Redactor replaces what people wrote by something that looks alike and says nothing: letters by letters, digits by
// digits, all else as it is. Who does not have the key cannot tell what stood there; equal values stay equal.
type Redactor struct {
	Key  []byte
	Keep []string // columns that stay as they are
}

// Value returns what is shown in the place of a value. Numbers, times and the members of enums and sets stay as they are.
func (r *Redactor) Value(v cdc.Value) cdc.Value {
	switch v.Kind() {
	case cdc.KindString:
		return cdc.TextValue(v.Kind(), r.text(v.Text()))
	case cdc.KindJSON:
		var x any
		if err := decode([]byte(v.Text()), &x); err != nil {
			return cdc.TextValue(v.Kind(), "null")
		}
		return cdc.TextValue(v.Kind(), string(jsonOf(r.json(x))))
	case cdc.KindBytes:
		random := r.random(v.Text())
		text := []byte(v.Text())
		for i := range text {
			text[i] = byte(random.Uint32())
		}
		return cdc.TextValue(v.Kind(), string(text))
	case cdc.KindGeometry: // a point, with the reference system that it had
		random := r.random(v.Text())
		text := append([]byte(v.Text()[:min(4, len(v.Text()))]), 1, 1, 0, 0, 0)
		for range 2 {
			text = binary.LittleEndian.AppendUint64(text, math.Float64bits(float64(random.IntN(80))))
		}
		return cdc.TextValue(v.Kind(), string(text))
	case cdc.KindVector:
		random := r.random(v.Text())
		var text []byte
		for range len(v.Text()) / 4 {
			text = binary.LittleEndian.AppendUint32(text, math.Float32bits(2*random.Float32()-1))
		}
		return cdc.TextValue(v.Kind(), string(text))
	}
	return v
}

// json redacts the texts in a JSON value; the names of members stay.
func (r *Redactor) json(x any) any {
	switch x := x.(type) {
	case string:
		return r.text(x)
	case []any:
		for i := range x {
			x[i] = r.json(x[i])
		}
	case map[string]any:
		for name := range x {
			x[name] = r.json(x[name])
		}
	case json.Number:
	}
	return x
}

// Letters of two and three bytes, so that a text keeps its length in bytes and in characters.
var twoBytes, threeBytes = []rune("àáâäçèéêëìíîïñòóôöùúûüÿ"), []rune("一二三四五六七八九十上下左右")

func (r *Redactor) text(s string) string {
	random := r.random(s)
	var b strings.Builder
	for _, c := range s {
		n := random.IntN(1 << 30)
		switch {
		case c >= 'a' && c <= 'z':
			c = 'a' + rune(n%26)
		case c >= 'A' && c <= 'Z':
			c = 'A' + rune(n%26)
		case c >= '0' && c <= '9':
			c = '0' + rune(n%10)
		case c < utf8.RuneSelf || !unicode.IsLetter(c) && !unicode.IsDigit(c):
		case utf8.RuneLen(c) == 2:
			c = twoBytes[n%len(twoBytes)]
		case utf8.RuneLen(c) == 3:
			c = threeBytes[n%len(threeBytes)]
		default:
			c = '𝛂' + rune(n%24)
		}
		b.WriteRune(c)
	}
	return b.String()
}

// random returns a sequence that is a function of the key and a text.
func (r *Redactor) random(text string) *rand.Rand {
	mac := hmac.New(sha256.New, r.Key)
	mac.Write([]byte(text))
	return rand.New(rand.NewChaCha8([32]byte(mac.Sum(nil))))
}
