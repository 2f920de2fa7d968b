// Command score is a plugin that adds up what the columns are worth: numbers themselves, a text 1 if it is 'paid'.
package main

import (
	"encoding/json"

	cdcd "github.com/cdcd-project/cdcd/sdk/go"
)

var columns, least int

func init() {
	cdcd.Init(configure)
	cdcd.Filter(judge)
}

func configure(config []byte) error {
	var c struct{ Columns, Least int }
	err := json.Unmarshal(config, &c)
	columns, least = c.Columns, c.Least
	return err
}

func judge(e *cdcd.Event) cdcd.Verdict {
	score := 0
	for i := range columns {
		if v := e.After(i); i%2 == 0 {
			score += int(v.Int())
		} else if v.Text() == "paid" {
			score++
		}
	}
	if score >= least {
		return cdcd.Keep
	}
	return cdcd.Drop
}

func main() {}
