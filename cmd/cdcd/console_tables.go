package main

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// tableShapes keeps for a moment what the server said about its tables: people look from one to the next.
type tableShapes struct {
	mu     sync.Mutex // guards all; held while the server is asked, so that it is asked once
	asked  time.Time
	tables []mysql.Description
	err    error
}

const shapesFor = 10 * time.Second

// described returns what the server says of its tables.
func (d *consoleDesk) described(ctx context.Context) ([]mysql.Description, error) {
	s := &d.shapes
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.asked.IsZero() && time.Since(s.asked) < shapesFor {
		return s.tables, s.err
	}
	ctx, cancel := context.WithTimeout(ctx, shapesFor)
	defer cancel()
	tables, err := d.p.describeTables(ctx, d.p.cfg)
	if err != nil && ctx.Err() != nil {
		return nil, err // who asked has gone; the next one asks again
	}
	s.asked, s.tables, s.err = time.Now(), tables, err
	return tables, err
}

// Tables implements console.Tables.
func (d *consoleDesk) Tables(ctx context.Context) (api.TableList, error) {
	list := api.TableList{Tables: []api.Table{}, From: "server"}
	described, err := d.described(ctx)
	if err == nil {
		for i := range described {
			list.Tables = append(list.Tables, tableInfoOf(&described[i]))
		}
		return list, nil
	}
	no := api.ErrorOf(err)
	list.From, list.Error = "stream", &no
	for _, t := range d.p.rules.knownTables() {
		list.Tables = append(list.Tables, seenTableInfo(t))
	}
	return list, nil
}

// seenTableInfo says of a table what changes of it tell.
func seenTableInfo(t *cdc.Table) api.Table {
	info := api.Table{Table: t.String(), Captured: true, Key: []string{}, Columns: len(t.Columns)}
	for _, i := range t.Key() {
		info.Key = append(info.Key, t.Columns[i].Name)
	}
	return info
}

// Table implements console.Tables.
func (d *consoleDesk) Table(ctx context.Context, name string) (api.TableDetail, error) {
	detail := api.TableDetail{From: "server", Broken: []api.BrokenRule{}, Rules: []string{}}
	described, err := d.described(ctx)
	seen := d.p.rules.knownTables()
	var names []string
	for i := range described {
		names = append(names, described[i].String())
	}
	for _, t := range seen {
		if err != nil {
			names = append(names, t.String())
		}
	}
	found, err := findTable(name, names)
	if err != nil {
		return detail, noTable(err)
	}
	if i := slices.IndexFunc(described, func(t mysql.Description) bool { return t.String() == found }); i >= 0 {
		detail.Table = tableInfoOf(&described[i])
		detail.Fields = columnInfos(&described[i])
	} else {
		t := seen[slices.IndexFunc(seen, func(t *cdc.Table) bool { return t.String() == found })]
		detail.From, detail.Table = "stream", seenTableInfo(t)
		for i := range t.Columns {
			detail.Fields = append(detail.Fields, columnOf(&t.Columns[i]))
		}
	}
	d.live.seenOf(ctx, &detail)
	return detail, d.rulesAbout(ctx, &detail)
}

// noTable makes of a mistake in the command line one of an address.
func noTable(err error) error {
	one := api.ErrorOf(err)
	e := cdc.Errorf(codeNothing, "%s", one.Message)
	if one.Fix != "" && !strings.Contains(one.Fix, "cdcd schema") {
		return e.WithFix("%s", one.Fix)
	}
	return e
}

// rulesAbout adds the rules that name a table.
func (d *consoleDesk) rulesAbout(ctx context.Context, detail *api.TableDetail) error {
	st, err := d.p.desk.book.store.Newest(ctx)
	if err != nil || st.Revision == (cdc.Revision{}) {
		return err
	}
	set, err := d.p.desk.book.set(st)
	if err != nil {
		return nil // said where the rules are
	}
	schema, table, _ := strings.Cut(detail.Table.Table, ".")
	broken, _ := d.p.rules.rulesState()
	for _, r := range set.Rules() {
		if !slices.ContainsFunc(r.Tables, func(text string) bool {
			g, err := cdc.ParseTableGlob(text)
			return err == nil && g.Match(schema, table)
		}) || r.Mode == rules.Off {
			continue
		}
		detail.Rules = append(detail.Rules, r.Name)
		for _, b := range broken.Broken {
			if b.Rule == r.Name {
				detail.Broken = append(detail.Broken, b)
			}
		}
	}
	return nil
}
