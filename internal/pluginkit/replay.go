package pluginkit

import (
	"context"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/wasm"
)

// Comparison is what two versions of a plugin make of the same events.
type Comparison struct {
	Versions   [2]Version   `json:"versions"` // the old one, the new one
	Events     int          `json:"events"`
	Same       int          `json:"same"`
	Different  int          `json:"different"`
	Gained     int          `json:"gained"` // kept by the new one only
	Lost       int          `json:"lost"`   // kept by the old one only
	Difference []Difference `json:"differences"`
}

// Version is one of two that are compared.
type Version struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Kept   int    `json:"kept"`
	Failed int    `json:"failed"` // events that it could not judge
	Fuel   int64  `json:"fuel"`   // of all events, each alone
}

// Difference is an event that two versions judge otherwise.
type Difference struct {
	Event string  `json:"event"`
	Old   Outcome `json:"old"`
	New   Outcome `json:"new"`
}

// Replay has two modules judge the events of tests, and lists at most so many differences.
func Replay(ctx context.Context, before, after []byte, tests []Test, e Engines, most int) (Comparison, error) {
	c := Comparison{Events: len(tests), Difference: []Difference{}}
	outcomes := [2][]Outcome{}
	for i, module := range [...][]byte{before, after} {
		v, all, err := judgeAll(ctx, module, tests, e)
		if err != nil {
			return c, err
		}
		c.Versions[i], outcomes[i] = v, all
	}
	for i := range tests {
		was, is := outcomes[0][i], outcomes[1][i]
		if was.Equal(is) {
			c.Same++
			continue
		}
		c.Different++
		switch {
		case was.Verdict == Keep && is.Verdict != Keep:
			c.Lost++
		case was.Verdict != Keep && is.Verdict == Keep:
			c.Gained++
		}
		if len(c.Difference) < most {
			c.Difference = append(c.Difference, Difference{tests[i].Name, was, is})
		}
	}
	return c, nil
}

// judgeAll has a module judge the events of tests, each alone.
func judgeAll(ctx context.Context, module []byte, tests []Test, e Engines) (v Version, all []Outcome, err error) {
	host, err := e.host(metered, nil)
	if err != nil {
		return v, nil, err
	}
	defer host.Close()
	plugin, err := host.Load(ctx, module, testLimits)
	if err != nil {
		return v, nil, err
	}
	v.Name, v.Digest = plugin.Manifest().Name+" "+plugin.Manifest().Version, plugin.Digest()
	filters := map[string]*wasm.Filter{}
	defer func() {
		for _, f := range filters {
			f.Close()
		}
	}()
	verdict := make([]cdc.Verdict, 1)
	for i := range tests {
		t := &tests[i]
		f := filters[string(t.Config)]
		if f == nil {
			if f, err = plugin.Filter(ctx, t.Config); err != nil {
				return v, nil, err
			}
			filters[string(t.Config)] = f
		}
		if err := f.Judge(ctx, []cdc.Event{t.Event}, verdict); err != nil {
			return v, nil, err
		}
		o := OutcomeOf(t.Event, &verdict[0])
		v.Fuel += f.Fuel()
		switch o.Verdict {
		case Keep:
			v.Kept++
		case Failed, Trapped:
			v.Failed++
		}
		all = append(all, o)
	}
	return v, all, nil
}
