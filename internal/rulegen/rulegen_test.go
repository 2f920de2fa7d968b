package rulegen

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestShrinkFindsTheSmallestPartThatFails(t *testing.T) {
	r := Rule{Name: "r", When: "((after.a == 1 && !(after.b in [1, 2] || changed('c'))) ? (after.d > 5 || false) : has(after.e))"}
	got := Shrink(r, func(r Rule) bool { return strings.Contains(r.When, "changed('c')") })
	if got.When != "changed('c')" {
		t.Errorf("%s", got.When)
	}
	if got := Shrink(r, func(other Rule) bool { return other.When == r.When }); got.When != r.When {
		t.Errorf("what cannot be made smaller became %s", got.When)
	}
}

func TestTheSameDataMakeTheSameCase(t *testing.T) {
	data := []byte("some data, which are used up soon")
	a, b := New(data).Case(10, 10), New(bytes.Clone(data)).Case(10, 10)
	if a.Source() != b.Source() || !reflect.DeepEqual(a.Table, b.Table) || !bytes.Equal(a.Events[0].Batch().Frame(), b.Events[0].Batch().Frame()) {
		t.Error("two cases of the same data differ")
	}
	if other := New([]byte("other data")).Case(10, 10); other.Source() == a.Source() {
		t.Error("other data make the same case")
	}
}
