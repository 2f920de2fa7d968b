package main

import (
	"reflect"
	"testing"

	cdcd "github.com/cdcd-project/cdcd/sdk/go"
	"github.com/cdcd-project/cdcd/sdk/go/cdcdtest"
)

// What the built module does is tested by the files in tests; here is the place for what is easier to say in Go.
func TestAnOrderBecomesPaid(t *testing.T) {
	got := cdcdtest.Judge(cdcdtest.Change{
		Op: cdcd.Update, Table: "shop.orders",
		Before: []cdcd.Value{cdcd.Enum("new"), cdcd.Decimal("1200.00")},
		After:  []cdcd.Value{cdcd.Enum("paid"), cdcd.Decimal("1200.00")},
	})
	want := cdcdtest.Answer{Verdict: cdcd.Keep, Tags: []string{"big"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
