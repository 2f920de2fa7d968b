package cdcd_test

import (
	"fmt"

	cdcd "github.com/cdcd-project/cdcd/sdk/go"
	"github.com/cdcd-project/cdcd/sdk/go/cdcdtest"
)

// The columns that plugin.yaml declares, in its order.
const (
	status = iota
	total
)

func judge(e *cdcd.Event) cdcd.Verdict {
	if !e.Changed(status) || e.After(status).Text() != "paid" {
		return cdcd.Drop
	}
	if cdcd.CompareDecimals(e.After(total).Text(), "1000") >= 0 {
		e.Tag("big")
	}
	return cdcd.Keep
}

func init() { cdcd.Filter(judge) }

// A plugin is registered where its program begins; main is empty. Package cdcdtest shows what it does.
func Example() {
	answer := cdcdtest.Judge(cdcdtest.Change{
		Op: cdcd.Update, Table: "shop.orders",
		Before: []cdcd.Value{cdcd.Enum("new"), cdcd.Decimal("1200.00")},
		After:  []cdcd.Value{cdcd.Enum("paid"), cdcd.Decimal("1200.00")},
	})
	fmt.Println(answer.Verdict, answer.Tags)
	// Output: keep [big]
}
