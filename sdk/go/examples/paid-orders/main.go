// Command paid-orders is a plugin that keeps orders when their status has become 'paid' and their total is at least a threshold. What
// customers have noted is masked.
package main

import (
	"encoding/json"

	cdcd "github.com/cdcd-project/cdcd/sdk/go"
)

// The columns, as plugin.yaml declares them.
const (
	status = iota
	total
	note
)

// What may be edited, and what is counted.
const (
	editNote  = 0
	metricBig = 0
)

var threshold = "1000"

func init() {
	cdcd.Init(configure)
	cdcd.Filter(judge)
}

func configure(config []byte) error {
	var c struct {
		Threshold json.Number // all digits of it
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return err
	}
	if c.Threshold != "" {
		threshold = c.Threshold.String()
	}
	return nil
}

func judge(e *cdcd.Event) cdcd.Verdict {
	if e.Op() != cdcd.Update || !e.Changed(status) || e.After(status).Text() != "paid" {
		return cdcd.Drop
	}
	if v := e.After(total); v.Kind() != cdcd.KindDecimal || cdcd.CompareDecimals(v.Text(), threshold) < 0 { // NULL is no number
		return cdcd.Drop
	}
	e.Tag("big")
	cdcd.Metric(metricBig, 1)
	if e.Before(note).Text() != "" {
		e.Set(cdcd.Before, editNote, cdcd.String("***"))
	}
	if e.After(note).Text() != "" {
		e.Set(cdcd.After, editNote, cdcd.String("***"))
	}
	return cdcd.Keep
}

func main() {}
