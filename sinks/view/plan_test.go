package view

import (
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

func TestRulesThatArePublishedAgainAndAgainLeaveNothingBehind(t *testing.T) {
	v, err := New(Config{Feed: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	at := place{table: &cdc.Table{Schema: "shop", Name: "orders"}}
	for range 3 * maxNodes {
		v.next(v.root(at), &cdc.Show{}) // each publication has its own
	}
	kept := 0
	for _, n := range v.roots {
		kept += 1 + len(n.next)
	}
	if kept > maxNodes+2 {
		t.Errorf("%d nodes are kept, want %d at most", kept, maxNodes)
	}
}
