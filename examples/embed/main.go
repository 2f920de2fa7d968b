// Command embed shows the engine as a library: events of a program's own, rules that call a function of its own, and what is
// relevant handed to a sink. There is no bus, no store, no database and no file.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/engine/events"
	"github.com/cdcd-project/cdcd/rules"
)

// Parcel is what the program's events are about. Pointers may be nil, which is NULL.
type Parcel struct {
	ID     int64    `cdc:"id,key"`
	Status string   `cdc:"status" sql:"enum('packed','sent','delivered','lost')"`
	Value  string   `cdc:"value" sql:"decimal(10,2)"`
	Lat    *float64 `cdc:"lat"`
	Lon    *float64 `cdc:"lon"`
}

const ruleFile = `version: 1
rules:
  - name: lost-and-dear
    description: Parcels that are lost and worth calling about
    tables: [post.parcels]
    on: [update]
    when: after.status == 'lost' && changed('status') && after.value >= 100
    to: [support]
    tests:
      - name: lost, and dear
        event: {op: update, before: {id: 1, status: sent, value: "100"}, after: {id: 1, status: lost, value: "100"}}
        expect: {match: true}
      - name: cheap
        base: lost, and dear
        set: {after.value: "99.99"}
        expect: {match: false}
  - name: near-the-depot
    tables: [post.parcels]
    where: row.lat != null && row.lon != null && km(row.lat, row.lon, 48.40, 9.99) < 5.0
    to: [depot]
`

// km is the distance of two places on the globe.
func km(args []any) (any, error) {
	rad := func(i int) float64 { return args[i].(float64) * math.Pi / 180 }
	lat1, lon1, lat2, lon2 := rad(0), rad(1), rad(2), rad(3)
	a := math.Pow(math.Sin((lat2-lat1)/2), 2) + math.Cos(lat1)*math.Cos(lat2)*math.Pow(math.Sin((lon2-lon1)/2), 2)
	return 12742 * math.Asin(math.Sqrt(a)), nil
}

// printer is a sink: one method.
type printer struct{ feed string }

func (p printer) Write(_ context.Context, _ *cdc.Batch, ds []cdc.Decision) error {
	for i := range ds {
		// The record that cdcd would deliver: it has only what the feed is to see.
		var r struct {
			ID, Op, Change string
			Rules          []struct{ Name string }
			Before, After  json.RawMessage
		}
		if err := json.Unmarshal(cdc.AppendRecord(nil, p.feed, &ds[i]), &r); err != nil {
			return err
		}
		fmt.Println(strings.TrimSpace(fmt.Sprintf("%s: %s %s by %s %s", p.feed, r.ID, r.Op, r.Rules[0].Name, r.Change)))
		fmt.Printf("  before %s\n  after  %s\n", r.Before, r.After)
	}
	return nil
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	parcels, err := events.TableOf("post.parcels", Parcel{})
	if err != nil {
		return err
	}
	set, err := readRules(parcels.Table())
	if err != nil {
		return err
	}
	eng, err := engine.New(engine.Config{Rules: set, Sinks: map[string]engine.Sink{"support": printer{"support"}, "depot": printer{"depot"}}})
	if err != nil {
		return err
	}

	// Two transactions of the program's own.
	sent := Parcel{ID: 7, Status: "sent", Value: "250.00", Lat: new(48.41), Lon: new(10.01)}
	moved, lost := sent, sent
	moved.Lat = new(48.78)
	lost.Status = "lost"
	w := events.NewWriter("post")
	if err := w.Insert(parcels, sent); err != nil {
		return err
	}
	batch, err := w.Batch("scan-1", time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC))
	if err != nil {
		return err
	}
	if err := eng.Handle(ctx, batch); err != nil {
		return err
	}
	if err := w.Update(parcels, sent, moved); err != nil {
		return err
	}
	if err := w.Update(parcels, sent, lost); err != nil {
		return err
	}
	if batch, err = w.Batch("scan-2", time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)); err != nil {
		return err
	}
	if err := eng.Handle(ctx, batch); err != nil {
		return err
	}

	// Why, or why not?
	why, err := set.Explain(batch.Event(0), "lost-and-dear")
	if err != nil {
		return err
	}
	fmt.Println()
	fmt.Print(why)
	return nil
}

// readRules parses, checks and tests the rules.
func readRules(table *cdc.Table) (*rules.Set, error) {
	lang, err := rules.NewLanguage(rules.Func{
		Name: "km", Args: []rules.Type{rules.Double, rules.Double, rules.Double, rules.Double}, Result: rules.Double, Version: 1, Call: km,
	})
	if err != nil {
		return nil, err
	}
	rs, err := lang.Parse("rules.yaml", []byte(ruleFile))
	if err != nil {
		return nil, err
	}
	set, err := rules.New(rs)
	if err != nil {
		return nil, err
	}
	tables := []*cdc.Table{table}
	if _, err := set.Check(tables); err != nil {
		return nil, err
	}
	for _, t := range set.Test(tables) {
		if !t.Passed {
			return nil, t.Failure
		}
		fmt.Printf("test of %s passed: %s\n", t.Rule, t.Name)
	}
	return set, nil
}
