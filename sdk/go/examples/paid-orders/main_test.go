package main

import (
	"reflect"
	"testing"

	cdcd "github.com/cdcd-project/cdcd/sdk/go"
	"github.com/cdcd-project/cdcd/sdk/go/cdcdtest"
)

func TestPaidOrders(t *testing.T) {
	order := func(status, total string, note cdcd.Value) []cdcd.Value {
		return []cdcd.Value{cdcd.Enum(status), cdcd.Decimal(total), note}
	}
	kept := cdcdtest.Answer{Verdict: cdcd.Keep, Tags: []string{"big"}, Metrics: map[int]int64{metricBig: 1}}
	masked := kept
	masked.Edits = []cdcdtest.Edit{{Image: cdcd.After, Column: editNote, Value: cdcd.String("***")}}
	dropped := cdcdtest.Answer{Verdict: cdcd.Drop}

	for _, c := range []struct {
		name   string
		config string
		cdcdtest.Change
		want cdcdtest.Answer
	}{
		{"becomes paid", `{}`, cdcdtest.Change{Op: cdcd.Update, Before: order("new", "1000.00", cdcd.Null()), After: order("paid", "1000.00", cdcd.Null())}, kept},
		{"is masked", `{}`, cdcdtest.Change{Op: cdcd.Update, Before: order("new", "1200.50", cdcd.Null()), After: order("paid", "1200.50", cdcd.String("ring twice"))}, masked},
		{"a cent too little", `{"threshold":1000.01}`, cdcdtest.Change{Op: cdcd.Update, Before: order("new", "1000.00", cdcd.Null()), After: order("paid", "1000.00", cdcd.Null())}, dropped},
		{"was paid before", `{}`, cdcdtest.Change{Op: cdcd.Update, Before: order("paid", "1000.00", cdcd.Null()), After: order("paid", "1200.00", cdcd.Null())}, dropped},
		{"insert", `{}`, cdcdtest.Change{Op: cdcd.Insert, After: order("paid", "1200.00", cdcd.Null())}, dropped},
	} {
		threshold = "1000"
		if err := cdcdtest.Configure(c.config); err != nil {
			t.Fatal(err)
		}
		if got := cdcdtest.Judge(c.Change); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, c.want)
		}
	}
}
