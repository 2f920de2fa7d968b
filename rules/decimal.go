package rules

import (
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// decimalType is the CEL type of DECIMAL columns: exact, unlike a double, and with a point, unlike an int.
var decimalType = types.NewObjectType("decimal", traits.ComparerType|traits.AdderType|traits.SubtractorType|
	traits.MultiplierType|traits.NegatorType)

// decimal is an exact decimal number as text, as the server writes it: an optional '-', digits, optionally a point and
// more digits. Comparing two allocates nothing, which is what rules do most; arithmetic goes through big integers.
type decimal string

// maxDecimal bounds the digits of a result: MySQL's decimals have up to 65, and a rule must not grow one without end.
const maxDecimal = 400

// parseDecimal checks a number that a person or a program wrote.
func parseDecimal(s string) (decimal, error) {
	digits := strings.TrimPrefix(s, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	if !allDigits(whole) || !allDigits(fraction) || whole == "" || point && fraction == "" {
		return "", fmt.Errorf("'%s' is not a decimal number such as 12.50", clip(s))
	}
	if len(s) > maxDecimal {
		return "", fmt.Errorf("a decimal number of %d digits is too long", len(digits))
	}
	return decimal(s), nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// parts splits a decimal into its sign (-1, 0 or 1), its digits before the point without leading zeros, and those
// after it without trailing zeros.
func (d decimal) parts() (sign int, whole, fraction string) {
	s := string(d)
	sign = 1
	if strings.HasPrefix(s, "-") {
		sign, s = -1, s[1:]
	}
	whole = s
	if i := strings.IndexByte(s, '.'); i >= 0 {
		whole, fraction = s[:i], strings.TrimRight(s[i+1:], "0")
	}
	whole = strings.TrimLeft(whole, "0")
	if whole == "" && fraction == "" {
		sign = 0
	}
	return sign, whole, fraction
}

// compare returns -1, 0 or 1.
func (d decimal) compare(o decimal) int {
	if d == o {
		return 0
	}
	sign, whole, fraction := d.parts()
	oSign, oWhole, oFraction := o.parts()
	switch {
	case sign != oSign && sign < oSign:
		return -1
	case sign != oSign:
		return 1
	case len(whole) != len(oWhole) && len(whole) < len(oWhole):
		return -sign
	case len(whole) != len(oWhole):
		return sign
	}
	if c := strings.Compare(whole, oWhole); c != 0 {
		return sign * c
	}
	return sign * strings.Compare(fraction, oFraction) // of two with the same prefix, the longer is the larger
}

// unscaled returns d × 10^scale as an integer; scale must be at least the number of d's digits after the point.
func (d decimal) unscaled(scale int) *big.Int {
	sign, whole, fraction := d.parts()
	n, ok := new(big.Int).SetString("0"+whole+fraction+strings.Repeat("0", scale-len(fraction)), 10)
	if !ok {
		return new(big.Int)
	}
	if sign < 0 {
		n.Neg(n)
	}
	return n
}

func (d decimal) scale() int {
	_, _, fraction := d.parts()
	return len(fraction)
}

var errDecimalSize = errors.New("a decimal result has more than " + strconv.Itoa(maxDecimal) + " digits")

// scaled returns n / 10^scale.
func scaled(n *big.Int, scale int) ref.Val {
	digits := new(big.Int).Abs(n).String()
	if len(digits) > maxDecimal || scale > maxDecimal {
		return types.WrapErr(errDecimalSize)
	}
	if len(digits) <= scale {
		digits = strings.Repeat("0", scale-len(digits)+1) + digits
	}
	if scale > 0 {
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if n.Sign() < 0 {
		digits = "-" + digits
	}
	return decimal(digits)
}

// Compare implements the operators <, <=, > and >=.
func (d decimal) Compare(other ref.Val) ref.Val {
	o, ok := other.(decimal)
	if !ok {
		return types.MaybeNoSuchOverloadErr(other)
	}
	return types.Int(d.compare(o))
}

// Add implements +.
func (d decimal) Add(other ref.Val) ref.Val {
	o, ok := other.(decimal)
	if !ok {
		return types.MaybeNoSuchOverloadErr(other)
	}
	s := max(d.scale(), o.scale())
	return scaled(new(big.Int).Add(d.unscaled(s), o.unscaled(s)), s)
}

// Subtract implements -.
func (d decimal) Subtract(other ref.Val) ref.Val {
	o, ok := other.(decimal)
	if !ok {
		return types.MaybeNoSuchOverloadErr(other)
	}
	s := max(d.scale(), o.scale())
	return scaled(new(big.Int).Sub(d.unscaled(s), o.unscaled(s)), s)
}

// Multiply implements *.
func (d decimal) Multiply(other ref.Val) ref.Val {
	o, ok := other.(decimal)
	if !ok {
		return types.MaybeNoSuchOverloadErr(other)
	}
	return scaled(new(big.Int).Mul(d.unscaled(d.scale()), o.unscaled(o.scale())), d.scale()+o.scale())
}

// Negate implements the sign.
func (d decimal) Negate() ref.Val { return scaled(new(big.Int).Neg(d.unscaled(d.scale())), d.scale()) }

// Equal implements ==: 12.5 equals 12.50.
func (d decimal) Equal(other ref.Val) ref.Val {
	o, ok := other.(decimal)
	return types.Bool(ok && d.compare(o) == 0)
}

// ConvertToNative gives Go programs the text.
func (d decimal) ConvertToNative(t reflect.Type) (any, error) {
	if t.Kind() == reflect.String {
		return reflect.ValueOf(string(d)).Convert(t).Interface(), nil
	}
	return nil, fmt.Errorf("a decimal is not a %s", t)
}

// ConvertToType implements string(d), double(d) and type(d).
func (d decimal) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.StringType:
		return types.String(d)
	case types.DoubleType:
		f, err := strconv.ParseFloat(string(d), 64)
		if err != nil {
			return types.WrapErr(err)
		}
		return types.Double(f)
	case types.TypeType:
		return decimalType
	case decimalType:
		return d
	}
	return types.NewErr("a decimal cannot become a %s", t.TypeName())
}

// Type returns the CEL type.
func (d decimal) Type() ref.Type { return decimalType }

// Value returns the text.
func (d decimal) Value() any { return string(d) }

// toDecimal is the function decimal(x).
func toDecimal(x ref.Val) ref.Val {
	switch v := x.(type) {
	case decimal:
		return v
	case types.String:
		d, err := parseDecimal(string(v))
		if err != nil {
			return types.WrapErr(err)
		}
		return d
	case types.Int:
		return decimal(strconv.FormatInt(int64(v), 10))
	case types.Uint:
		return decimal(strconv.FormatUint(uint64(v), 10))
	}
	return types.MaybeNoSuchOverloadErr(x)
}
