package mysql_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/mask"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

func newMask(t *testing.T, m mask.Method) *mask.Mask {
	t.Helper()
	keys, err := mask.NewKeyset(m)
	if err != nil {
		t.Fatal(err)
	}
	out, err := mask.New(m, keys)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// treated is a configuration with every kind of treatment, and its masks.
func treated(t *testing.T, s *testenv.Server) (cfg mysql.Config, hmac, encrypt *mask.Mask) {
	cfg = config(s)
	hmac, encrypt = newMask(t, mask.HMAC), newMask(t, mask.Encrypt)
	cfg.ExcludeTables = []string{"shop.hidden"}
	cfg.DropColumns = []string{"shop.customers.SSN", "*.*.*Password*"}
	cfg.MaskColumns = []mysql.ColumnMask{
		{Columns: "shop.*.email", Mask: hmac}, {Columns: "shop.customers.plan", Mask: hmac},
		{Columns: "shop.customers.Phone", Mask: encrypt}, {Columns: "*.*.doc", Mask: encrypt}, {Columns: "*.*.email", Mask: encrypt},
	}
	return cfg, hmac, encrypt
}

const treatedTables = `CREATE TABLE shop.customers (id INT PRIMARY KEY, ssn VARCHAR(40), email VARCHAR(80) CHARACTER SET latin1,
	phone VARCHAR(40), old_password_hash BLOB, plan ENUM('SECRETfree', 'SECRETpaid'), doc JSON, n INT)`

func TestDroppedAndMaskedColumnsNeverReachAFrame(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", treatedTables, "CREATE TABLE shop.people (email VARCHAR(80) PRIMARY KEY, v INT)",
			"CREATE TABLE shop.hidden (id INT PRIMARY KEY, v TEXT)")
		cfg, hmac, encrypt := treated(t, s)
		r := begin(t, cfg, cdc.Checkpoint{}, nil)
		partial := "SET @nothing = 1"
		if s.Flavor == "mysql" {
			partial = "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'"
		}
		s.Exec(t, "SET NAMES utf8mb4",
			`INSERT INTO shop.customers VALUES (1, 'SECRET-1', 'SECRET-ü@b.c', 'SECRET-2', 'SECRET-3', 'SECRETpaid', '{"SECRET":4,"n":1.50}', 5), (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`,
			"INSERT INTO shop.people VALUES ('SECRET-ü@b.c', 1)", "INSERT INTO shop.hidden VALUES (1, 'SECRET-hidden')",
			"UPDATE shop.customers SET email = 'SECRET-new', n = 6 WHERE id = 1",
			"SET SESSION binlog_row_image = 'MINIMAL'",
			"UPDATE shop.customers SET n = 7, ssn = 'SECRET-8' WHERE id = 1", "UPDATE shop.customers SET phone = NULL, ssn = NULL WHERE id = 1",
			"UPDATE shop.people SET v = 2", "SET SESSION binlog_row_image = 'FULL'", partial,
			`UPDATE shop.customers SET doc = JSON_SET(doc, '$.SECRET', 'SECRET-9') WHERE id = 1`,
			"DELETE FROM shop.customers WHERE id = 2")
		events := r.wait(t, 9)
		r.mu.Lock()
		frames := r.frames
		r.mu.Unlock()
		for _, b := range frames {
			for _, secret := range []string{"SECRET", "ssn", "password", "hidden"} {
				if bytes.Contains(b.Frame(), []byte(secret)) {
					t.Errorf("%q is in a frame", secret)
				}
			}
		}

		h := func(text string) string {
			v, err := hmac.Value("", &cdc.Column{}, cdc.TextValue(cdc.KindString, text))
			if err != nil {
				t.Fatal(err)
			}
			return v.Text()
		}
		revealed := make([]string, len(events))
		for i, e := range short(events) {
			e = strings.ReplaceAll(e, h("SECRET-ü@b.c"), "H(old)")
			e = strings.ReplaceAll(e, h("SECRET-new"), "H(new)")
			revealed[i] = reveal(t, encrypt, strings.ReplaceAll(e, h("SECRETpaid"), "H(paid)"))
		}
		one := func(email, phone, doc string, n int) string {
			return fmt.Sprintf(`{"id":1,"email":"%s","phone":%s,"plan":"H(paid)","doc":"E(%s)","n":%d}`, email, phone, doc, n)
		}
		const null = `{"id":2,"email":null,"phone":null,"plan":null,"doc":null,"n":null}`
		doc, after := `{"SECRET":4,"n":1.50}`, `{"SECRET": "SECRET-9", "n": 1.50}`
		if s.Flavor == "mysql" { // which keeps documents in an order and form of its own
			doc, after = `{"n":1.5,"SECRET":4}`, `{"n":1.5,"SECRET":"SECRET-9"}`
		}
		compare(t, revealed, []string{
			`insert shop.customers {"id":1} null -> ` + one("H(old)", `"E(SECRET-2)"`, doc, 5),
			`insert shop.customers {"id":2} null -> ` + null,
			`insert shop.people {"email":"H(old)"} null -> {"email":"H(old)","v":1}`,
			`update shop.customers {"id":1} ` + one("H(old)", `"E(SECRET-2)"`, doc, 5) + ` -> ` + one("H(new)", `"E(SECRET-2)"`, doc, 6),
			`update shop.customers {"id":1} {"id":1} -> {"n":7}`,
			`update shop.customers {"id":1} {"id":1} -> {"phone":null}`,
			`update shop.people {"email":"H(old)"} {"email":"H(old)"} -> {"v":2}`,
			`update shop.customers {"id":1} ` + one("H(new)", "null", doc, 7) + ` -> ` + one("H(new)", "null", after, 7),
			`delete shop.customers {"id":2} ` + null + ` -> null`,
		})
		compare(t, fileEvents(t, s, cfg, frames[0].Checkpoint()).list(), events)
	})
}

// The rows that are there already are treated as their changes are, in frames and in what a checkpoint keeps of keys.
func TestDroppedAndMaskedColumnsAreInNoSnapshot(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "SET NAMES utf8mb4", "CREATE DATABASE shop", treatedTables, "CREATE TABLE shop.people (email VARCHAR(80) PRIMARY KEY, v INT)",
			"CREATE TABLE shop.hidden (id INT PRIMARY KEY, v TEXT)", "CREATE TABLE shop.bare (password TEXT, email TEXT)",
			`INSERT INTO shop.customers VALUES (1, 'SECRET-1', 'SECRET-ü@b.c', 'SECRET-2', 'SECRET-3', 'SECRETpaid', '{"SECRET":4}', 5), (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`,
			"INSERT INTO shop.people VALUES ('SECRET-ü@b.c', 1), ('SECRET-b', 2), ('SECRET-c', 3)", "INSERT INTO shop.hidden VALUES (1, 'SECRET-hidden')",
			"INSERT INTO shop.bare VALUES ('SECRET', 'SECRET')")
		cfg, hmac, encrypt := treated(t, s)
		cfg.Snapshot, cfg.SnapshotRows, cfg.FrameRows = true, 1, 1
		m := newMirror()
		var events []string
		m.fail = func(_ int, b *cdc.Batch) error {
			for _, secret := range []string{"SECRET", "534543524554", "ssn", "password"} { // the number is SECRET in hexadecimal
				if bytes.Contains(b.Frame(), []byte(secret)) {
					t.Errorf("%q is in a frame: %+v", secret, b.Checkpoint())
				}
			}
			for i := range b.Len() {
				events = append(events, string(cdc.AppendEvent(nil, b.Event(i))))
			}
			return nil
		}
		r := read(t, cfg, m)
		m.complete(t)
		r.stop(t)
		h := func(text string) string {
			v, err := hmac.Value("", &cdc.Column{}, cdc.TextValue(cdc.KindString, text))
			if err != nil {
				t.Fatal(err)
			}
			return v.Text()
		}
		names := strings.NewReplacer(h("SECRET-ü@b.c"), "H(ü)", h("SECRET-b"), "H(b)", h("SECRET-c"), "H(c)", h("SECRETpaid"), "H(paid)", h("SECRET"), "H")
		got := short(events)
		for i := range got {
			got[i] = reveal(t, encrypt, names.Replace(got[i]))
		}
		slices.Sort(got)
		compare(t, got, []string{
			`snapshot shop.bare null null -> {"email":"H"}`,
			`snapshot shop.customers {"id":1} null -> {"id":1,"email":"H(ü)","phone":"E(SECRET-2)","plan":"H(paid)","doc":"E({"SECRET":4})","n":5}`,
			`snapshot shop.customers {"id":2} null -> {"id":2,"email":null,"phone":null,"plan":null,"doc":null,"n":null}`,
			`snapshot shop.people {"email":"H(b)"} null -> {"email":"H(b)","v":2}`, `snapshot shop.people {"email":"H(c)"} null -> {"email":"H(c)","v":3}`,
			`snapshot shop.people {"email":"H(ü)"} null -> {"email":"H(ü)","v":1}`,
		})
	})
}

// reveal puts E(…) in the place of what is encrypted in shop.customers.
func reveal(t *testing.T, m *mask.Mask, event string) string {
	t.Helper()
	for column, at := "", 0; ; {
		next := strings.IndexByte(event[at:], '"')
		if next < 0 {
			return event
		}
		at += next + 1
		end := at + strings.IndexByte(event[at:], '"')
		word := event[at:end]
		at = end + 1
		if text, err := m.Reveal("shop.customers."+column, word); err == nil {
			event = event[:end-len(word)] + "E(" + text + ")" + event[end:]
			at += len("E()") + len(text) - len(word)
		}
		column = word
	}
}

func TestSchemaShowsTablesAsFramesHaveThem(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", treatedTables, "CREATE TABLE shop.hidden (id INT PRIMARY KEY)")
		cfg, _, _ := treated(t, s)
		tables, err := mysql.Schema(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, table := range tables {
			for _, c := range table.Columns {
				got = append(got, fmt.Sprintf("%s.%s %s %s %d %v", table, c.Name, c.Type, c.Kind, c.Key, c.Members))
			}
			got = append(got, fmt.Sprintf("%s without %s", table, table.Dropped))
		}
		compare(t, got, []string{"shop.customers.id int int64 1 []", "shop.customers.email char(64) string 0 []", "shop.customers.phone text string 0 []",
			"shop.customers.plan char(64) string 0 []", "shop.customers.doc text string 0 []", "shop.customers.n int int64 0 []",
			"shop.customers without [ssn old_password_hash]"})
	})
}

func TestAKeyThatWouldBeDroppedStopsCheckAndCapture(t *testing.T) {
	t.Parallel()
	s := testenv.MariaDB(t)
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)", "CREATE TABLE shop.keyless (id INT, v INT)")
	cfg := config(s)
	cfg.DropColumns = []string{"*.*.id"}
	var coded *cdc.Error
	if _, err := mysql.Schema(t.Context(), cfg); !errors.As(err, &coded) || coded.Code != "CDCD-1212" {
		t.Errorf("Schema: %v", err)
	}
	r := begin(t, cfg, cdc.Checkpoint{}, nil)
	s.Exec(t, "INSERT INTO shop.keyless VALUES (1, 2)")
	compare(t, short(r.wait(t, 1)), []string{`insert shop.keyless null null -> {"v":2}`})
	s.Exec(t, "INSERT INTO shop.a VALUES (1, 2)")
	r.ends(t, "CDCD-1212")
}

func TestColumnsThatAppearLaterAreTreatedFromTheirFirstRowOn(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.customers (id INT PRIMARY KEY, ssn VARCHAR(40))")
		cfg, _, _ := treated(t, s)
		r := begin(t, cfg, cdc.Checkpoint{}, nil)
		s.Exec(t, "INSERT INTO shop.customers VALUES (1, 'SECRET')", "ALTER TABLE shop.customers ADD new_password VARCHAR(40), ADD email VARCHAR(80)",
			"INSERT INTO shop.customers VALUES (2, 'SECRET', 'SECRET', NULL)", "ALTER TABLE shop.customers DROP ssn, CHANGE new_password word VARCHAR(40)",
			"INSERT INTO shop.customers VALUES (3, 'shown', NULL)")
		compare(t, short(r.wait(t, 3)), []string{`insert shop.customers {"id":1} null -> {"id":1}`,
			`insert shop.customers {"id":2} null -> {"id":2,"email":null}`,
			`insert shop.customers {"id":3} null -> {"id":3,"word":"shown","email":null}`})
	})
}

func TestPatternsOfColumnsThatAreNoneAreRefused(t *testing.T) {
	for _, cfg := range []mysql.Config{
		{Tables: []string{"*.*"}, DropColumns: []string{"shop.orders"}},
		{Tables: []string{"*.*"}, MaskColumns: []mysql.ColumnMask{{Columns: "email"}}},
	} {
		var coded *cdc.Error
		if _, err := mysql.New(cfg); !errors.As(err, &coded) || coded.Code != "CDCD-1213" {
			t.Error(err)
		}
	}
}

func TestADroppedColumnMayHaveACharacterSetThatIsNotSupported(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, a TEXT CHARACTER SET armscii8, b CHAR(9) CHARACTER SET hp8, v VARCHAR(9) CHARACTER SET utf8mb4)")
		cfg := config(s)
		from := begin(t, cfg, cdc.Checkpoint{}, nil).checkpoint()
		s.Exec(t, "INSERT INTO shop.a VALUES (1, 'a', 'b', 'c'), (2, NULL, 'b', 'ü')")
		cfg.DropColumns = []string{"shop.a.a"}
		launch(t, cfg, from, nil).ends(t, "CDCD-1308")
		cfg.DropColumns = []string{"shop.*.a", "shop.*.b"}
		r := launch(t, cfg, from, nil)
		want := []string{`insert shop.a {"id":1} null -> {"id":1,"v":"c"}`, `insert shop.a {"id":2} null -> {"id":2,"v":"ü"}`}
		compare(t, short(r.wait(t, 2)), want)
		cfg.Snapshot = true
		r = launch(t, cfg, cdc.Checkpoint{}, nil)
		events := short(r.wait(t, 2))
		for i := range events {
			events[i] = strings.Replace(events[i], "snapshot ", "insert ", 1)
		}
		compare(t, events, want)
	})
}
