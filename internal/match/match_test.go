package match

import (
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

func TestDecimalsCompareByValue(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"12.5", "12.50", 0}, {"-0.00", "0", 0}, {"007", "7", 0}, {"9", "10", -1}, {"-9", "-10", 1}, {"0.09", "0.1", -1},
		{"-1", "0", -1}, {"0", "-0.01", 1}, {"1.10", "1.1000", 0}, {"1.1", "1.11", -1}, {"99999999999999999999", "100000000000000000000", -1},
	} {
		if got := compareDecimals(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %d, want %d", c.a, c.b, got, c.want)
		}
		if got := compareDecimals(c.b, c.a); got != -c.want {
			t.Errorf("%s and %s: %d, want %d", c.b, c.a, got, -c.want)
		}
	}
}

// atomTable has a column of each kind that atoms look at.
var atomTable = &cdc.Table{Schema: "shop", Name: "t", Columns: []cdc.Column{
	{Name: "n", Kind: cdc.KindInt64, Nullable: true}, {Name: "f", Kind: cdc.KindFloat64}, {Name: "d", Kind: cdc.KindDecimal},
	{Name: "s", Kind: cdc.KindString}, {Name: "at", Kind: cdc.KindDatetime, Fsp: 3}, {Name: "ts", Kind: cdc.KindTimestamp},
}}
