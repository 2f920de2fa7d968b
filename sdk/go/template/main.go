// Command {{name}} is a plugin of cdcd.
package main

import (
	"encoding/json"

	cdcd "github.com/cdcd-project/cdcd/sdk/go"
)

// The columns, as plugin.yaml declares them.
const (
	status = iota
	total
)

var threshold = "1000"

func init() {
	cdcd.Init(configure)
	cdcd.Filter(judge)
}

// configure takes the configuration of the rule, which fits the schema in plugin.yaml.
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

// judge is asked about every change.
func judge(e *cdcd.Event) cdcd.Verdict {
	if !e.Changed(status) || e.After(status).Text() != "paid" {
		return cdcd.Drop
	}
	if v := e.After(total); v.Kind() == cdcd.KindDecimal && cdcd.CompareDecimals(v.Text(), threshold) >= 0 { // NULL is no number
		e.Tag("big")
	}
	return cdcd.Keep
}

func main() {}
