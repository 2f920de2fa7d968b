package person_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/person"
)

// memory is a store of keys.
type memory struct {
	keys   map[string][]byte
	erased map[string]bool
	during func() // called before Create returns
	err    error
}

func (m *memory) Create(_ context.Context, ids []string, keys [][]byte) ([][]byte, error) {
	kept := make([][]byte, len(ids))
	for i, id := range ids {
		if m.keys[id] == nil && !m.erased[id] {
			m.keys[id] = keys[i]
		}
		kept[i] = m.keys[id]
	}
	if m.during != nil {
		m.during()
	}
	return kept, m.err
}

var orders = &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
	{Name: "id", Kind: cdc.KindInt64, Type: "bigint", Key: 1},
	{Name: "customer_id", Kind: cdc.KindInt64, Nullable: true},
	{Name: "email", Kind: cdc.KindString, Type: "varchar(80)", Nullable: true},
	{Name: "total", Kind: cdc.KindDecimal, Precision: 10, Scale: 2},
}}

var other = &cdc.Table{Schema: "shop", Name: "products", Columns: []cdc.Column{{Name: "id", Kind: cdc.KindInt64, Key: 1}, {Name: "email", Kind: cdc.KindString}}}

func order(id, customer int64, email string) []cdc.Value {
	v := []cdc.Value{cdc.Int64Value(id), cdc.NullValue(), cdc.TextValue(cdc.KindString, email), cdc.TextValue(cdc.KindDecimal, "12.50")}
	if customer != 0 {
		v[1] = cdc.Int64Value(customer)
	}
	return v
}

type change struct {
	table         *cdc.Table
	op            cdc.Op
	before, after []cdc.Value
}

func batch(t *testing.T, changes ...change) *cdc.Batch {
	t.Helper()
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop", Writer: "w", Epoch: 7, FirstPartNo: 5, Created: time.Unix(9, 0)})
	first := w.AddTx(cdc.Tx{Server: "s", GTID: "0-1-1", File: "b.1", Pos: 4, CommitTime: time.Unix(1, 0), Rows: 2, Ends: true})
	second := w.AddTx(cdc.Tx{Server: "s", GTID: "0-1-2", File: "b.1", Pos: 400, CommitTime: time.Unix(2, 0), Rows: 9})
	for i, c := range changes {
		info := cdc.EventInfo{No: uint64(70 + i), Tx: first, Row: uint32(i), Table: w.AddTable(c.table), Op: c.op}
		if i > 1 {
			info.Tx = second
		}
		for image, values := range [][]cdc.Value{c.before, c.after} {
			if values == nil {
				continue
			}
			w.BeginRow(len(values))
			for n, v := range values {
				if !v.IsAbsent() {
					w.Set(n, v)
				}
			}
			*[]*uint32{&info.Before, &info.After}[image] = w.EndRow()
		}
		w.AddEvent(info)
	}
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{Flavor: "mariadb", GTIDSet: "0-1-1", NextNo: 90, PartNos: []uint64{8}, Snapshot: "at work"}), nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func kinds(t *testing.T, columns ...string) []person.Kind {
	t.Helper()
	k := person.Kind{Name: "customer", Subjects: map[string]string{"shop.orders": "customer_id"}}
	for _, c := range columns {
		g, err := cdc.ParseColumnGlob(c)
		if err != nil {
			t.Fatal(err)
		}
		k.Columns = append(k.Columns, g)
	}
	return []person.Kind{k}
}

func ring(t *testing.T) ([]byte, *person.Keyring) {
	t.Helper()
	text, err := person.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	r, err := person.Open(text)
	if err != nil {
		t.Fatal(err)
	}
	return text, r
}

func TestSealing(t *testing.T) {
	absent := order(1, 42, "ann@shop.example")
	absent[1] = cdc.Value{}
	b := batch(t,
		change{orders, cdc.OpInsert, nil, order(1, 42, "ann@shop.example")},
		change{orders, cdc.OpUpdate, order(1, 42, "ann@shop.example"), order(1, 43, "ann@shop.example")},
		change{other, cdc.OpInsert, nil, []cdc.Value{cdc.Int64Value(1), cdc.TextValue(cdc.KindString, "sales@shop.example")}},
		change{orders, cdc.OpInsert, nil, order(2, 0, "nobody@shop.example")},
		change{orders, cdc.OpUpdate, order(1, 42, "ann@shop.example"), absent},
		change{orders, cdc.OpInsert, nil, order(3, 44, "gone@shop.example")},
	)
	_, r := ring(t)
	store := &memory{keys: map[string][]byte{}, erased: map[string]bool{r.ID("customer", "44"): true}}
	s := person.New(kinds(t, "shop.*.email", "*.*.customer_id"), r, store)
	sealed, err := s.Seal(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(sealed.Frame()), "ann@") || strings.Contains(string(sealed.Frame()), "gone@") {
		t.Error("a value is in the frame as it was")
	}
	email := func(i int, image func(cdc.Event) cdc.Row) string {
		v, _ := image(sealed.Event(i)).Get("email")
		return v.Text()
	}
	ann := email(0, cdc.Event.After)
	for what, got := range map[string][2]string{
		"the same person":         {email(1, cdc.Event.Before), ann},
		"an image without person": {email(4, cdc.Event.After), ann},
		"nobody":                  {email(3, cdc.Event.After), "***"},
		"an erased person":        {email(5, cdc.Event.After), person.Erased},
		"another table":           {email(2, cdc.Event.After), "sales@shop.example"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: got %s, want %s", what, got[0], got[1])
		}
	}
	if email(1, cdc.Event.After) == ann {
		t.Error("two persons' values look alike")
	}
	if v, _ := sealed.Event(0).After().Get("customer_id"); v.Int64() != 42 {
		t.Errorf("the subject itself is %v", v)
	}
	id := r.ID("customer", "42")
	if text, err := r.Reveal(id, store.keys[id], "shop.orders.email", ann); err != nil || text != "ann@shop.example" {
		t.Errorf("revealed %q, %v", text, err)
	}
	for what, err := range map[string]error{
		"of another person": second(r.Reveal(r.ID("customer", "43"), store.keys[r.ID("customer", "43")], "shop.orders.email", ann)),
		"of another column": second(r.Reveal(id, store.keys[id], "shop.orders.note", ann)),
		"no base64":         second(r.Reveal(id, store.keys[id], "shop.orders.email", "!")),
		"another's key":     second(r.Reveal(id, store.keys[r.ID("customer", "43")], "shop.orders.email", ann)),
	} {
		if err == nil {
			t.Errorf("%s: it was revealed", what)
		}
	}

	// All else is as it was.
	if sealed.Header() != b.Header() || sealed.Txs() != b.Txs() || sealed.Len() != b.Len() {
		t.Errorf("header %+v, was %+v", sealed.Header(), b.Header())
	}
	was, is := b.Checkpoint(), sealed.Checkpoint()
	if was.Snapshot != is.Snapshot || was.NextNo != is.NextNo || was.GTIDSet != is.GTIDSet || is.PartNos[0] != was.PartNos[0] {
		t.Errorf("checkpoint %+v, was %+v", is, was)
	}
	for i := range b.Len() {
		x, y := b.Event(i), sealed.Event(i)
		if x.Position() != y.Position() || x.No() != y.No() || x.PartNo() != y.PartNo() || x.TxEnds() != y.TxEnds() || x.Op() != y.Op() {
			t.Errorf("event %d is at %v, was at %v", i, y.Position(), x.Position())
		}
		for n, c := range x.Table().Columns {
			if c.Name != "email" && (x.After().Value(n) != y.After().Value(n) || x.Before().Value(n) != y.Before().Value(n)) {
				t.Errorf("event %d: %s has changed", i, c.Name)
			}
		}
	}
	if got := person.Table(kinds(t, "*.*.email"), orders).Columns[2]; got.Type != "text" || got.Kind != cdc.KindString || !got.Nullable {
		t.Errorf("the column is described as %+v", got)
	}
}

func second(_ string, err error) error { return err }

func TestABatchWithoutPersonsStaysWhatItIs(t *testing.T) {
	_, r := ring(t)
	s := person.New(kinds(t, "*.*.email"), r, &memory{err: errors.New("must not be asked")})
	b := batch(t, change{other, cdc.OpInsert, nil, []cdc.Value{cdc.Int64Value(1), cdc.TextValue(cdc.KindString, "x")}})
	if got, err := s.Seal(t.Context(), b); got != b || err != nil {
		t.Errorf("got %p, %v; want %p", got, err, b)
	}
}

// Who is erased while a batch of theirs is being sealed must not be remembered.
func TestAKeyThatIsDestroyedMeanwhileIsAskedForAgain(t *testing.T) {
	_, r := ring(t)
	id := r.ID("customer", "42")
	store := &memory{keys: map[string][]byte{}, erased: map[string]bool{}}
	s := person.New(kinds(t, "*.*.email"), r, store)
	store.during = func() {
		delete(store.keys, id)
		store.erased[id] = true
		s.Forget(id)
	}
	b := batch(t, change{orders, cdc.OpInsert, nil, order(1, 42, "a@b.c")})
	for i, sealed := range []bool{true, false} {
		got, err := s.Seal(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := got.Event(0).After().Get("email"); (v.Text() != person.Erased) != sealed {
			t.Errorf("batch %d: %s", i, v.Text())
		}
		store.during = nil
	}
}

func TestWithoutTheStoreNothingIsSealed(t *testing.T) {
	_, r := ring(t)
	down := errors.New("the store is down")
	s := person.New(kinds(t, "*.*.email"), r, &memory{keys: map[string][]byte{}, err: down})
	if _, err := s.Seal(t.Context(), batch(t, change{orders, cdc.OpInsert, nil, order(1, 42, "a@b.c")})); !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
}

func TestARotatedKeyringReadsOldKeysAndAForeignOneDoesNot(t *testing.T) {
	text, r := ring(t)
	store := &memory{keys: map[string][]byte{}}
	b := batch(t, change{orders, cdc.OpInsert, nil, order(1, 42, "a@b.c")})
	first, err := person.New(kinds(t, "*.*.email"), r, store).Seal(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := person.Rotate(text)
	if err != nil {
		t.Fatal(err)
	}
	r2, err := person.Open(rotated)
	if err != nil || r2.Name() == r.Name() || r2.ID("a", "b") != r.ID("a", "b") {
		t.Fatalf("rotated to %v, %v", r2, err)
	}
	again, err := person.New(kinds(t, "*.*.email"), r2, store).Seal(t.Context(), b)
	if err != nil || string(again.Frame()) != string(first.Frame()) {
		t.Errorf("with the rotated keyring values are sealed otherwise: %v", err)
	}
	_, foreign := ring(t)
	store.keys[foreign.ID("customer", "42")] = store.keys[r.ID("customer", "42")]
	if _, err := person.New(kinds(t, "*.*.email"), foreign, store).Seal(t.Context(), b); cdc.CodeOf(err) != "CDCD-4211" {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{"", "{}", "SECRET", `{"ids":{},"keys":"SECRET"}`} {
		if _, err := person.Open([]byte(bad)); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
