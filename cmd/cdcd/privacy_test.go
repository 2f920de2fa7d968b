package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/mask"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sinks/form"
	sinknats "github.com/cdcd-project/cdcd/sinks/nats"
	"github.com/cdcd-project/cdcd/sinks/trigger"
	"github.com/cdcd-project/cdcd/sinks/view"
)

// shelf is a store in memory.
type shelf map[string]shelved

type shelved struct {
	body []byte
	meta map[string]string
}

func (shelf) String() string { return "memory://acme" }

func (b shelf) Put(_ context.Context, key string, body []byte, meta map[string]string) (bool, error) {
	if _, there := b[key]; there {
		return false, nil
	}
	b[key] = shelved{bytes.Clone(body), maps.Clone(meta)}
	return true, nil
}

func (b shelf) Head(_ context.Context, key string) (map[string]string, int64, bool, error) {
	o, ok := b[key]
	return o.meta, int64(len(o.body)), ok, nil
}

func (b shelf) Get(_ context.Context, key string) ([]byte, bool, error) {
	o, ok := b[key]
	return o.body, ok, nil
}

func (b shelf) List(_ context.Context, prefix, after string, yield func(string, int64) bool) error {
	for _, key := range slices.Sorted(maps.Keys(b)) {
		if strings.HasPrefix(key, prefix) && key > after && !yield(key, int64(len(b[key].body))) {
			break
		}
	}
	return nil
}

// all is every byte that is in the store.
func (b shelf) all() []byte {
	var out []byte
	for _, key := range slices.Sorted(maps.Keys(b)) {
		out = fmt.Appendf(out, "%s %q\n%s\n", key, b[key].meta, b[key].body)
	}
	return out
}

// hidden is a mask that tells nothing at all.
type hidden struct{}

func (hidden) Value(string, *cdc.Column, cdc.Value) (cdc.Value, error) {
	return cdc.TextValue(cdc.KindString, "masked"), nil
}

// secretColumns has columns that a feed may not see, as SQL types. id and zone are no secrets; n stands for different values.
var secretColumns = []struct {
	name, sql string
	value     func(n int) cdc.Value
}{
	{"id", "bigint", func(n int) cdc.Value { return cdc.Int64Value(int64(70_000_000 + n)) }},
	{"name", "varchar(80)", func(n int) cdc.Value { return cdc.TextValue(cdc.KindString, fmt.Sprintf("SECRET \"%d\"", n)) }},
	{"account", "bigint unsigned", func(n int) cdc.Value { return cdc.Uint64Value(uint64(5_000_000_000 + n)) }},
	{"salary", "decimal(18,2)", func(n int) cdc.Value { return cdc.TextValue(cdc.KindDecimal, fmt.Sprintf("%d.25", 81_000_000+n)) }},
	{"score", "double", func(n int) cdc.Value { return cdc.Float64Value(float64(n) + 0.125) }},
	{"born", "date", func(n int) cdc.Value {
		return cdc.CivilValue(cdc.KindDate, cdc.Civil{Year: 1900 + n%100, Month: 5, Day: 17})
	}},
	{"seen", "timestamp(6)", func(n int) cdc.Value { return cdc.TimestampValue(1_600_000_000_000_000 + int64(n)) }},
	{"tier", "enum('SECRET-a','SECRET-b','SECRET-c')", func(n int) cdc.Value {
		return cdc.TextValue(cdc.KindEnum, []string{"SECRET-a", "SECRET-b", "SECRET-c"}[n%3])
	}},
	{"notes", "json", func(n int) cdc.Value { return cdc.TextValue(cdc.KindJSON, fmt.Sprintf(`{"SECRET":%d}`, n)) }},
	{"photo", "varbinary(40)", func(n int) cdc.Value { return cdc.TextValue(cdc.KindBytes, fmt.Sprintf("SECRET %d", n)) }},
	{"zone", "varchar(9)", func(n int) cdc.Value { return cdc.TextValue(cdc.KindString, "north") }},
}

// secretTable makes a table of these columns. The key is id and, of some tables, name.
func secretTable(name string, wide bool) *cdc.Table {
	t := &cdc.Table{Schema: "shop", Name: name}
	for i, c := range secretColumns {
		column, ok := cdc.ParseType(c.sql)
		if !ok {
			panic(c.sql)
		}
		if column.Name, column.Nullable = c.name, i > 0; i == 0 || wide && i == 1 {
			column.Key = uint16(i + 1)
		}
		t.Columns = append(t.Columns, column)
	}
	return t
}

// secretChange is a change by what its images have of each column: the number of a value, -1 for NULL, -2 for nothing at all.
type secretChange struct {
	op            cdc.Op
	before, after []int
}

func secretBatch(t testing.TB, table *cdc.Table, changes []secretChange, value func(column, n int) cdc.Value) *cdc.Batch {
	t.Helper()
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop", FirstPartNo: 1, Created: time.Unix(1_795_226_401, 0)})
	tx := w.AddTx(cdc.Tx{Server: "0-1", GTID: "0-1-17", File: "binlog.000003", Pos: 154, Rows: 1, Ends: true, CommitTime: time.Unix(1_795_226_400, 0)})
	image := func(numbers []int) uint32 {
		if numbers == nil {
			return 0
		}
		w.BeginRow(len(numbers))
		for column, n := range numbers {
			if n == -1 {
				w.SetNull(column)
			} else if n >= 0 {
				w.Set(column, value(column, n))
			}
		}
		return w.EndRow()
	}
	for i, c := range changes {
		w.AddEvent(cdc.EventInfo{No: uint64(i + 1), Row: uint32(i), Tx: tx, Table: w.AddTable(table), Op: c.op, Before: image(c.before), After: image(c.after)})
	}
	next := uint64(len(changes) + 1)
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{Flavor: "mariadb", NextNo: next, PartNos: []uint64{next}}), nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// privateFeed is a feed of one form and one view, with a rule and the changes that it delivers.
type privateFeed struct {
	form    feedConfig
	view    view.Config
	show    *cdc.Show
	changes []secretChange
	tables  [2]*cdc.Table // whose changes are delivered, and in which something is looked up
	store   chain.Store
}

// deliver delivers the changes, and returns what is told of the objects.
func (p *privateFeed) deliver(t testing.TB, value func(column, n int) cdc.Value) (told []byte) {
	t.Helper()
	b := secretBatch(t, p.tables[0], p.changes, value)
	row := secretBatch(t, p.tables[1], []secretChange{{op: cdc.OpSnapshot, after: p.changes[0].after}}, value).Event(0).After()
	var ds []cdc.Decision
	for i := range b.Len() {
		m := cdc.RuleMatch{Name: "all", Version: "sha256:1", To: []string{"acme"}, Show: p.show}
		if i%2 == 0 {
			m.Lookups = []cdc.Looked{{Name: "partner", Rows: []cdc.Row{row}}, {Name: "friends", Many: true, Rows: []cdc.Row{row, row}}}
		}
		ds = append(ds, cdc.Decision{Event: b.Event(i), RuleSet: "sha256:rules", Matches: []cdc.RuleMatch{m}})
	}
	return p.write(t, b, ds)
}

// write has a chain write decisions, and returns what is told of its objects.
func (p *privateFeed) write(t testing.TB, b *cdc.Batch, ds []cdc.Decision) (told []byte) {
	t.Helper()
	f := &feed{name: "acme", cfg: &p.form}
	var err error
	if f.view, err = view.New(p.view); err != nil {
		t.Fatal(err)
	}
	if err := f.openForm(); err != nil {
		t.Fatal(err)
	}
	c := chain.Config{Source: "shop", Feed: "acme", Store: p.store, Writer: "w", Every: time.Hour, Now: func() time.Time { return time.Unix(1_795_226_402, 0) },
		Committed: func(_ context.Context, o cdc.Object) error {
			event, err := json.Marshal(trigger.ObjectEvent(o, "", "", ""))
			told = append(append(told, event...), '\n')
			return err
		}}
	new(pipeline).shape(f, &c)
	opened, err := chain.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- opened.Run(ctx) }()
	sink := viewed{f.view, opened}
	if err := sink.Write(ctx, b, ds); err != nil {
		t.Fatal(err)
	}
	if err := sink.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	stop()
	<-ran
	return told
}

// privateForms are all forms that a feed can have.
func privateForms() map[string]feedConfig {
	all := map[string]feedConfig{}
	for name, c := range map[string]feedConfig{
		"cdcd": {}, "debezium": {Envelope: form.Debezium, Form: formConfig{Debezium: &debeziumConfig{SchemasEnable: true}}}, "cloudevents": {Envelope: form.CloudEvents},
		"csv": {Form: formConfig{Format: form.CSV}}, "parquet": {Form: formConfig{Format: form.Parquet}},
	} {
		c.Compress, c.Form.Manifest = "none", true
		all[name] = c
	}
	return all
}

// drawPrivate draws changes and who may not see what of them. NULL is no secret, nor is that a value is not there.
func drawPrivate(t *rapid.T) (p privateFeed, secret map[string]bool) {
	wide := rapid.Bool().Draw(t, "wide key")
	p = privateFeed{tables: [2]*cdc.Table{secretTable("customers", wide), secretTable("partners", wide)}, show: &cdc.Show{}, view: view.Config{Feed: "acme"}}
	secret = map[string]bool{}
	selects := rapid.Bool().Draw(t, "select")
	for _, c := range secretColumns[:len(secretColumns)-1] {
		how := rapid.SampledFrom([]string{"", "redact", "hmac", "encrypt", "drop", "unselected"}).Draw(t, c.name)
		isKey := c.name == "id" || wide && c.name == "name"
		if how == "unselected" && (!selects || isKey) { // a primary key is delivered in any case
			how = ""
		}
		byRule := rapid.Bool().Draw(t, "by rule")
		switch {
		case how == "drop":
			p.view.Drop = append(p.view.Drop, "*.*."+c.name)
		case how != "" && how != "unselected" && byRule:
			for _, of := range []string{"before", "after", "partner", "friends"} {
				p.show.Mask = append(p.show.Mask, cdc.MaskPath{Path: cdc.Path{Of: of, Column: c.name}, Method: how})
			}
		case how != "" && how != "unselected":
			p.view.Mask = append(p.view.Mask, view.ColumnMask{Columns: "*.*." + c.name, Method: how})
		}
		if secret[c.name] = how != ""; selects && how != "unselected" {
			p.view.Select = append(p.view.Select, "shop.*."+c.name)
		}
	}
	if selects {
		p.view.Select = append(p.view.Select, "shop.*.zone")
	}
	for _, op := range []cdc.Op{cdc.OpInsert, cdc.OpUpdate, cdc.OpDelete, cdc.OpSnapshot} {
		image := func() []int {
			numbers := make([]int, len(secretColumns))
			for i := range numbers {
				if numbers[i] = rapid.IntRange(1, 90).Draw(t, "n"); i > 1 && i < len(numbers)-1 {
					numbers[i] = rapid.SampledFrom([]int{-2, -1, numbers[i], numbers[i], numbers[i]}).Draw(t, "or nothing")
				}
			}
			return numbers
		}
		c := secretChange{op: op}
		if op == cdc.OpUpdate || op == cdc.OpDelete {
			c.before = image()
		}
		if op != cdc.OpDelete {
			c.after = image()
		}
		p.changes = append(p.changes, c)
	}
	return p, secret
}

// plainly is the value with that number; salted is another one of columns that are secret.
func plainly(column, n int) cdc.Value { return secretColumns[column].value(n) }

func salted(secret map[string]bool) func(column, n int) cdc.Value {
	return func(column, n int) cdc.Value {
		if secret[secretColumns[column].name] {
			n += 1
		}
		return plainly(column, n)
	}
}

// Whatever the form: with masks that tell nothing, what is stored and told is the same bytes whatever the masked values are.
func TestNothingThatIsDeliveredDependsOnWhatIsHidden(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p, secret := drawPrivate(rt)
		p.view.Keys = func(string) (view.Mask, error) { return hidden{}, nil }
		for name, c := range privateForms() {
			var all [2][]byte
			for i, value := range []func(int, int) cdc.Value{plainly, salted(secret)} {
				store := shelf{}
				p.form, p.store = c, store
				told := p.deliver(t, value)
				if all[i] = append(store.all(), told...); !bytes.Contains(all[i], []byte("north")) {
					rt.Fatalf("%s: nothing was delivered:\n%s", name, all[i])
				}
			}
			if !bytes.Equal(all[0], all[1]) {
				rt.Fatalf("%s:\n%s\nand\n%s", name, all[0], all[1])
			}
		}
	})
}

// realMasks has keys of its own.
func realMasks(t testing.TB) func(string) (view.Mask, error) {
	t.Helper()
	masks := map[string]*mask.Mask{}
	for _, m := range []mask.Method{mask.HMAC, mask.Encrypt} {
		keys, err := mask.NewKeyset(m)
		if err != nil {
			t.Fatal(err)
		}
		if masks[string(m)], err = mask.New(m, keys); err != nil {
			t.Fatal(err)
		}
	}
	return func(method string) (view.Mask, error) { return masks[method], nil }
}

// With every column masked for the feed, none of the values is anywhere: not in objects of any form, nor beside them, nor in the
// messages of a feed to NATS and their headers.
func TestAMaskedValueIsNowhere(t *testing.T) {
	srv, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		JetStreamMaxStore: 1 << 34})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	full := make([]int, len(secretColumns))
	for i := range full {
		full[i] = 31 + i
	}
	p := privateFeed{tables: [2]*cdc.Table{secretTable("customers", true), secretTable("partners", true)},
		changes: []secretChange{{cdc.OpInsert, nil, full}, {cdc.OpUpdate, full, full}, {cdc.OpDelete, full, nil}, {cdc.OpSnapshot, nil, full}}}
	var values [][]byte
	for i, c := range p.tables[0].Columns[:len(secretColumns)-1] {
		value := secretColumns[i].value(full[i])
		values = append(values, cdc.AppendText(nil, &c, value), []byte(strings.Trim(string(cdc.AppendJSON(nil, &c, value)), `"`)))
	}
	values = append(values, []byte("SECRET"), []byte("U0VDUkVU")) // the second is the first in base64
	for _, method := range []string{"redact", "hmac", "encrypt"} {
		p.view = view.Config{Feed: "acme", Keys: realMasks(t)}
		for _, c := range secretColumns[:len(secretColumns)-1] {
			p.view.Mask = append(p.view.Mask, view.ColumnMask{Columns: "*.*." + c.name, Method: method})
		}
		for name, c := range privateForms() {
			store := shelf{}
			p.form, p.store = c, store
			all := append(p.deliver(t, plainly), store.all()...)
			if c.Form.Format == "" {
				subject := "acme." + method + "." + name
				sub, err := nc.SubscribeSync(subject + ".>")
				if err != nil {
					t.Fatal(err)
				}
				messages, err := sinknats.Open(sinknats.Config{URL: srv.ClientURL() + "/" + subject, Source: "shop", Feed: "acme"})
				if err != nil {
					t.Fatal(err)
				}
				p.store, p.form.Form.Manifest = messages, false
				all = append(all, p.deliver(t, plainly)...)
				messages.Close()
				for range p.changes {
					m, err := sub.NextMsg(10 * time.Second)
					if err != nil {
						t.Fatal(err)
					}
					all = fmt.Appendf(all, "%s %q\n%s\n", m.Subject, m.Header, m.Data)
				}
			}
			for _, value := range values {
				if i := bytes.Index(all, value); i >= 0 {
					t.Errorf("%s, %s: %q is in …%q…", method, name, value, all[max(0, i-120):min(len(all), i+60)])
				}
			}
		}
	}
}
