package view_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/view"
)

// brackets is a mask that shows where it was made; a real one does not.
type brackets string

func (m brackets) Value(place string, c *cdc.Column, v cdc.Value) (cdc.Value, error) {
	return cdc.TextValue(cdc.KindString, fmt.Sprintf("<%s %s %d>", string(m), place, len(cdc.AppendText(nil, c, v)))), nil
}

func keys(method string) (view.Mask, error) { return brackets(method), nil }

var customers = &cdc.Table{Schema: "shop", Name: "customers", Columns: []cdc.Column{
	{Name: "id", Type: "bigint", Kind: cdc.KindInt64, Key: 1},
	{Name: "email", Type: "varchar(80)", Kind: cdc.KindString, Nullable: true},
	{Name: "phone", Type: "varchar(20)", Kind: cdc.KindString, Nullable: true},
	{Name: "birthday", Type: "date", Kind: cdc.KindDate, Nullable: true},
	{Name: "note", Type: "text", Kind: cdc.KindString, Nullable: true},
}}

var tiers = &cdc.Table{Schema: "crm", Name: "tiers", Columns: []cdc.Column{
	{Name: "tier", Type: "varchar(10)", Kind: cdc.KindString},
	{Name: "manager", Type: "varchar(80)", Kind: cdc.KindString, Nullable: true},
}}

func row(id int64, email, phone, birthday, note string) []cdc.Value {
	text := func(s string) cdc.Value {
		if s == "" {
			return cdc.NullValue()
		}
		return cdc.TextValue(cdc.KindString, s)
	}
	var c cdc.Civil
	fmt.Sscanf(birthday, "%d-%d-%d", &c.Year, &c.Month, &c.Day)
	return []cdc.Value{cdc.Int64Value(id), text(email), text(phone), cdc.CivilValue(cdc.KindDate, c), text(note)}
}

var (
	old = row(42, "ann@old.example", "+4912345678", "1980-05-17", "")
	now = row(42, "ann@new.example", "+4912345678", "1980-05-17", "calls at night")
)

// event makes an event of a table; images that are nil are not there.
func event(t testing.TB, table *cdc.Table, op cdc.Op, before, after []cdc.Value) cdc.Event {
	t.Helper()
	var b cdc.Builder
	b.Reset(cdc.Header{Source: "shop", FirstPartNo: 1})
	tx := b.AddTx(cdc.Tx{GTID: "0-1-1", CommitTime: time.Unix(1_700_000_000, 0), Rows: 1, Ends: true})
	info := cdc.EventInfo{No: 1, Op: op, Tx: tx, Table: b.AddTable(table)}
	for i, image := range [][]cdc.Value{before, after} {
		if image == nil {
			continue
		}
		b.BeginRow(len(image))
		for n, v := range image {
			b.Set(n, v)
		}
		*[]*uint32{&info.Before, &info.After}[i] = b.EndRow()
	}
	b.AddEvent(info)
	batch, err := cdc.Open(b.Seal(cdc.Checkpoint{PartNos: []uint64{2}}), nil)
	if err != nil {
		t.Fatal(err)
	}
	return batch.Event(0)
}

// shows is what a rule shows: "select" and then "mask" of paths, as rules have them.
func shows(selected string, masks ...string) *cdc.Show {
	path := func(s string) cdc.Path {
		of, column, _ := strings.Cut(s, ".")
		return cdc.Path{Of: of, Column: column}
	}
	s := &cdc.Show{}
	for _, text := range strings.Fields(selected) {
		s.Select = append(s.Select, path(text))
	}
	for _, text := range masks {
		p, method, _ := strings.Cut(text, ":")
		s.Mask = append(s.Mask, cdc.MaskPath{Path: path(p), Method: method})
	}
	return s
}

// delivered is what is rendered of a record from its key to its look-ups.
func delivered(v *view.View, d *cdc.Decision) string {
	var to cdc.Delivery
	cdc.Deliver(&to, "acme", d)
	v.Apply(&to)
	text := string(cdc.AppendDelivery(nil, &to))
	from, end := strings.Index(text, `"key":`), strings.Index(text, `,"commit_time"`)
	return text[from:end]
}

func TestWhatIsDelivered(t *testing.T) {
	update := event(t, customers, cdc.OpUpdate, old, now)
	deleted := event(t, customers, cdc.OpDelete, old, nil)
	tier := cdc.Looked{Name: "tier", Rows: []cdc.Row{event(t, tiers, cdc.OpSnapshot, nil,
		[]cdc.Value{cdc.TextValue(cdc.KindString, "gold"), cdc.TextValue(cdc.KindString, "Max Mustermann")}).After()}}
	none := cdc.Looked{Name: "tier"}
	match := func(show *cdc.Show, looked ...cdc.Looked) cdc.RuleMatch {
		return cdc.RuleMatch{Name: "r", Version: "sha256:0", To: []string{"acme"}, Show: show, Lookups: looked}
	}
	const (
		was = `{"id":42,"email":"ann@old.example","phone":"+4912345678","birthday":"1980-05-17","note":null}`
		is  = `{"id":42,"email":"ann@new.example","phone":"+4912345678","birthday":"1980-05-17","note":"calls at night"}`
	)
	for _, test := range []struct {
		name  string
		view  view.Config
		event cdc.Event
		rules []cdc.RuleMatch
		want  string
	}{
		{"everything, when nobody says anything", view.Config{}, update, []cdc.RuleMatch{match(nil)},
			`"key":{"id":42},"before":` + was + `,"after":` + is},
		{"what the rule selects, of the image it names", view.Config{}, update, []cdc.RuleMatch{match(shows("after.email"))},
			`"key":{"id":42},"before":null,"after":{"email":"ann@new.example"}`},
		{"of both images", view.Config{}, update, []cdc.RuleMatch{match(shows("row.email after.*"))},
			`"key":{"id":42},"before":{"email":"ann@old.example"},"after":` + is},
		{"nothing but the key of a delete whose after is selected", view.Config{}, deleted, []cdc.RuleMatch{match(shows("after.email"))},
			`"key":{"id":42},"before":null,"after":null`},
		{"the union of what the rules select", view.Config{}, update, []cdc.RuleMatch{match(shows("after.id")), match(shows("after.email before.phone"))},
			`"key":{"id":42},"before":{"phone":"+4912345678"},"after":{"id":42,"email":"ann@new.example"}`},
		{"everything, when one of the rules selects nothing", view.Config{}, deleted, []cdc.RuleMatch{match(shows("after.id")), match(nil)},
			`"key":{"id":42},"before":` + was + `,"after":null`},
		{"only what the feed may have", view.Config{Select: []string{"shop.*.ID", "*.customers.ph*"}}, deleted, []cdc.RuleMatch{match(nil)},
			`"key":{"id":42},"before":{"id":42,"phone":"+4912345678"},"after":null`},
		{"nothing of what the feed drops, also of the key", view.Config{Drop: []string{"shop.customers.id", "*.*.note", "*.*.email"}}, deleted,
			[]cdc.RuleMatch{match(shows("row.*"))}, `"key":{},"before":{"phone":"+4912345678","birthday":"1980-05-17"},"after":null`},
		{"masks of the rule, on both images whichever it names", view.Config{}, update,
			[]cdc.RuleMatch{match(shows("row.phone row.birthday", "after.phone:last4", "before.birthday:month"))},
			`"key":{"id":42},"before":{"phone":"***5678","birthday":"1980-05-01"},"after":{"phone":"***5678","birthday":"1980-05-01"}`},
		{"masks of the feed, and NULL as it is", view.Config{Mask: []view.ColumnMask{{"shop.customers.note", "redact"}, {"*.*.email", "hmac"}}}, update,
			[]cdc.RuleMatch{match(shows("row.email row.note"))},
			`"key":{"id":42},"before":{"email":"\u003chmac shop.customers.email 15\u003e","note":null},"after":{"email":"\u003chmac shop.customers.email 15\u003e","note":"***"}`},
		{"the method that gives less away, whoever says it", view.Config{Mask: []view.ColumnMask{{"*.*.phone", "truncate(5)"}, {"*.*.email", "encrypt"}}}, deleted,
			[]cdc.RuleMatch{match(shows("row.phone row.email", "row.phone:truncate(3)")), match(shows("row.phone", "row.phone:last4", "row.email:redact"))},
			`"key":{"id":42},"before":{"email":"***","phone":"+49"},"after":null`},
		{"masked although another rule shows it", view.Config{}, deleted, []cdc.RuleMatch{match(nil), match(shows("after.id", "row.*:redact"))},
			`"key":{"id":"***"},"before":{"id":"***","email":"***","phone":"***","birthday":"***","note":null},"after":null`},
		{"a masked key in the key, too", view.Config{Mask: []view.ColumnMask{{"*.*.id", "hmac"}}}, deleted, []cdc.RuleMatch{match(shows("row.id"))},
			`"key":{"id":"\u003chmac shop.customers.id 2\u003e"},"before":{"id":"\u003chmac shop.customers.id 2\u003e"},"after":null`},
		{"what a method does not fit is redacted", view.Config{Mask: []view.ColumnMask{{"*.*.birthday", "last4"}, {"*.*.email", "year"}}}, deleted,
			[]cdc.RuleMatch{match(shows("row.birthday row.email"))}, `"key":{"id":42},"before":{"email":"***","birthday":"***"},"after":null`},
		{"what a rule masks in a way that is not known is redacted", view.Config{}, deleted, []cdc.RuleMatch{match(shows("row.email", "row.email:rot13"))},
			`"key":{"id":42},"before":{"email":"***"},"after":null`},
		{"a look-up that is not selected is not there", view.Config{}, deleted, []cdc.RuleMatch{match(shows("row.id"), tier)},
			`"key":{"id":42},"before":{"id":42},"after":null`},
		{"nor is one that was in vain", view.Config{}, deleted, []cdc.RuleMatch{match(shows("row.id"), none)},
			`"key":{"id":42},"before":{"id":42},"after":null`},
		{"a look-up of which some is selected", view.Config{}, deleted, []cdc.RuleMatch{match(shows("row.id tier.manager", "tier.manager:truncate(3)"), tier)},
			`"key":{"id":42},"before":{"id":42},"after":null,"lookup":{"tier":{"manager":"Max"}}`},
		{"one in vain that is selected", view.Config{}, deleted, []cdc.RuleMatch{match(shows("row.id tier.*"), none)},
			`"key":{"id":42},"before":{"id":42},"after":null,"lookup":{"tier":null}`},
		{"a look-up is shown by the rules that asked only", view.Config{}, deleted, []cdc.RuleMatch{match(nil), match(shows("row.id tier.tier"), tier)},
			`"key":{"id":42},"before":` + was + `,"after":null,"lookup":{"tier":{"tier":"gold"}}`},
		{"the feed's settings are about looked-up tables, too", view.Config{Drop: []string{"crm.*.tier"}, Mask: []view.ColumnMask{{"crm.tiers.manager", "encrypt"}}}, deleted,
			[]cdc.RuleMatch{match(shows("row.id tier.*"), tier)},
			`"key":{"id":42},"before":{"id":42},"after":null,"lookup":{"tier":{"manager":"\u003cencrypt crm.tiers.manager 14\u003e"}}`},
		{"a look-up of which the feed may have nothing is not there", view.Config{Select: []string{"shop.*.id"}}, deleted,
			[]cdc.RuleMatch{match(nil, tier)}, `"key":{"id":42},"before":{"id":42},"after":null`},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.view.Feed, test.view.Keys = "acme", keys
			v, err := view.New(test.view)
			if err != nil {
				t.Fatal(err)
			}
			d := cdc.Decision{Event: test.event, Matches: test.rules}
			for range 2 { // the second time from what was remembered
				if err := v.Prepare(t.Context(), test.event.Batch(), []cdc.Decision{d}); err != nil && !strings.Contains(test.name, "not known") {
					t.Fatal(err)
				}
				got, want := delivered(v, &d), strings.ReplaceAll(strings.ReplaceAll(test.want, `\u003c`, "<"), `\u003e`, ">")
				if got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			}
		})
	}
}

func TestWithoutAKeyNothingIsDelivered(t *testing.T) {
	missing := errors.New("there is no key file")
	var made bool
	v, err := view.New(view.Config{Feed: "acme", Keys: func(method string) (view.Mask, error) {
		if !made {
			return nil, missing
		}
		return brackets(method), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	e := event(t, customers, cdc.OpDelete, old, nil)
	d := cdc.Decision{Event: e, Matches: []cdc.RuleMatch{{Name: "r", To: []string{"acme"}, Show: shows("row.email", "row.email:hmac")}}}
	err = v.Prepare(context.Background(), e.Batch(), []cdc.Decision{d})
	if cdc.CodeOf(err) != "CDCD-4201" || !errors.Is(err, missing) {
		t.Fatalf("got %v", err)
	}
	made = true
	if err := v.Prepare(context.Background(), e.Batch(), []cdc.Decision{d}); err != nil {
		t.Fatal(err)
	}
	if got := delivered(v, &d); !strings.Contains(got, `"email":"<hmac shop.customers.email 15>"`) {
		t.Error(got)
	}
}

func TestSettingsThatCannotBeAreRefused(t *testing.T) {
	for _, test := range []struct {
		cfg  view.Config
		want string
	}{
		{view.Config{Select: []string{"email"}}, "CDCD-4202: select of feed acme: 'email' is not a pattern of columns: it does not have the three parts schema.table.column"},
		{view.Config{Drop: []string{"a..b"}}, "CDCD-4202: drop of feed acme: 'a..b' is not a pattern of columns: a name is missing beside the '.'"},
		{view.Config{Mask: []view.ColumnMask{{"a.b.c", "rot13"}}}, "CDCD-4202: mask of feed acme: 'rot13': there is no such method"},
		{view.Config{Mask: []view.ColumnMask{{"a.b.c", "hmac"}}}, "CDCD-4201: feed acme masks with hmac, and there is no key"},
	} {
		test.cfg.Feed = "acme"
		if _, err := view.New(test.cfg); err == nil || err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
	}
}

// counting is a mask that counts.
type counting int

func (m *counting) Value(place string, c *cdc.Column, v cdc.Value) (cdc.Value, error) {
	*m++
	return brackets("hmac").Value(place, c, v)
}

func TestWhatIsTheSameInBothImagesIsMaskedOnce(t *testing.T) {
	for _, test := range []struct {
		show *cdc.Show
		want string
		n    counting
	}{
		{nil, `"before":{"id":42,"email":"<hmac shop.customers.email 15>","phone":"<hmac shop.customers.phone 11>","birthday":"1980-05-17","note":null},` +
			`"after":{"id":42,"email":"<hmac shop.customers.email 15>","phone":"<hmac shop.customers.phone 11>","birthday":"1980-05-17","note":"<hmac shop.customers.note 14>"}`, 4},
		{shows("before.phone after.email"), `"before":{"phone":"<hmac shop.customers.phone 11>"},"after":{"email":"<hmac shop.customers.email 15>"}`, 2},
	} {
		var masked counting
		v, err := view.New(view.Config{Feed: "acme", Mask: []view.ColumnMask{{Columns: "shop.customers.email", Method: "hmac"},
			{Columns: "*.*.phone", Method: "hmac"}, {Columns: "*.*.note", Method: "hmac"}}, Keys: func(string) (view.Mask, error) { return &masked, nil }})
		if err != nil {
			t.Fatal(err)
		}
		d := cdc.Decision{Event: event(t, customers, cdc.OpUpdate, old, now), Matches: []cdc.RuleMatch{{Name: "r", To: []string{"acme"}, Show: test.show}}}
		if got := delivered(v, &d); !strings.HasSuffix(got, test.want) || masked != test.n {
			t.Errorf("masked %d times, want %d: %s", masked, test.n, got)
		}
	}
}

func TestNothingIsAllocatedWhereNothingIsMasked(t *testing.T) {
	e := event(t, customers, cdc.OpUpdate, old, now)
	d := cdc.Decision{Event: e, Matches: []cdc.RuleMatch{{Name: "r", To: []string{"acme"}, Show: shows("row.id after.email")}}}
	for name, cfg := range map[string]view.Config{"plain": {}, "with settings": {Drop: []string{"*.*.note"}}} {
		cfg.Feed = "acme"
		v, err := view.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		var to cdc.Delivery
		if n := testing.AllocsPerRun(100, func() {
			cdc.Deliver(&to, "acme", &d)
			v.Apply(&to)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// A manifest says of a table no more than its records do.
func TestATableIsDescribedAsItsRecordsAreShown(t *testing.T) {
	table := &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
		{Name: "id", Type: "bigint", Kind: cdc.KindInt64, Key: 1},
		{Name: "status", Type: "enum('SECRET','paid')", Kind: cdc.KindEnum, Members: []string{"SECRET", "paid"}},
		{Name: "total", Type: "int", Kind: cdc.KindInt64},
	}}
	masks, selects := shows("", "after.status:redact"), shows("after.total")
	for _, tt := range []struct {
		name string
		c    view.Config
		by   [][]*cdc.Show
		want string
	}{
		{"whole", view.Config{}, [][]*cdc.Show{{nil}}, "id bigint, status enum('SECRET','paid'), total int"},
		{"masked by the rule", view.Config{}, [][]*cdc.Show{{masks}}, "id bigint, status char(3), total int"},
		{"not selected by the rule", view.Config{}, [][]*cdc.Show{{selects}}, "id bigint, total int"},
		{"masked by one of two rules of a record", view.Config{}, [][]*cdc.Show{{nil, masks}}, "id bigint, status char(3), total int"},
		{"masked in some records", view.Config{}, [][]*cdc.Show{{masks}, {nil}}, "id bigint, status enum('SECRET','paid'), total int"},
		{"masked in some, not there in others", view.Config{}, [][]*cdc.Show{{selects}, {masks}}, "id bigint, status char(3), total int"},
		{"masked by the feed", view.Config{Mask: []view.ColumnMask{{Columns: "*.*.status", Method: "redact"}}}, [][]*cdc.Show{{nil}}, "id bigint, status char(3), total int"},
		{"dropped by the feed", view.Config{Drop: []string{"*.*.status"}}, [][]*cdc.Show{{nil}, {masks}}, "id bigint, total int"},
	} {
		tt.c.Feed = "acme"
		v, err := view.New(tt.c)
		if err != nil {
			t.Fatal(err)
		}
		var columns []string
		for _, c := range v.Table(table, tt.by).Columns {
			columns = append(columns, c.Name+" "+c.Type)
		}
		if got := strings.Join(columns, ", "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
