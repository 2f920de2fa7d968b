package ledger

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// kind says how a column's value, which the ledger keeps as the text that the server shows, stands in SQL and in JSON.
type kind int

const (
	number    kind = iota // SQL and JSON number
	decimal               // JSON string
	text                  // JSON string; UTF-8
	binary                // JSON string, base64
	set                   // JSON array of strings
	datetime              // JSON string with T
	timestamp             // JSON string with T and Z
)

type column struct {
	name    string
	sqlType string
	kind    kind
}

type table struct {
	name    string
	columns []column
	key     []string // names of the primary key's columns, in its order

	version, changeNo int // indexes of the columns that every table has
}

// value is one column of a row: the text that the server shows for it in UTC, or NULL.
type value struct {
	text string
	null bool
}

type row []value

func newTable(name string, key []string, columns ...column) *table {
	columns = append(columns, column{"version", "INT UNSIGNED NOT NULL", number},
		column{"change_no", "BIGINT UNSIGNED NOT NULL", number})
	return &table{name: name, columns: columns, key: key, version: len(columns) - 2, changeNo: len(columns) - 1}
}

// The tables. Their columns are chosen for what often gets lost on the way: unsigned and large numbers, exact decimals,
// NULL, text beyond ASCII, bytes that are no text, fractions of seconds.
var (
	transactions = newTable("transactions", []string{"no"},
		column{"no", "BIGINT UNSIGNED NOT NULL", number},
		column{"worker", "SMALLINT NOT NULL", number})
	accounts = newTable("accounts", []string{"id"},
		column{"id", "BIGINT UNSIGNED NOT NULL", number},
		column{"owner", "VARCHAR(80) CHARACTER SET utf8mb4 NOT NULL", text},
		column{"balance", "DECIMAL(24,4) NOT NULL", decimal},
		column{"status", "ENUM('open','frozen','it''s closed') NOT NULL", text},
		column{"opened", "DATETIME(3) NOT NULL", datetime},
		column{"note", "TEXT CHARACTER SET utf8mb4 NULL", text})
	transfers = newTable("transfers", []string{"id"},
		column{"id", "BIGINT NOT NULL", number},
		column{"from_account", "BIGINT UNSIGNED NOT NULL", number},
		column{"to_account", "BIGINT UNSIGNED NOT NULL", number},
		column{"amount", "DECIMAL(12,4) NOT NULL", decimal},
		column{"reason", "VARBINARY(40) NULL", binary},
		column{"made", "TIMESTAMP(3) NOT NULL DEFAULT '2020-01-01 00:00:00'", timestamp})
	orderLines = newTable("order_lines", []string{"order_id", "line_no"},
		column{"line_no", "SMALLINT NOT NULL", number},
		column{"order_id", "BIGINT UNSIGNED NOT NULL", number},
		column{"sku", "VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL", text},
		column{"quantity", "INT NOT NULL", number},
		column{"weight", "DOUBLE NULL", number},
		column{"flags", "SET('gift','fragile','cold') NULL", set})

	tables = []*table{transactions, accounts, transfers, orderLines}
)

func tableNamed(name string) *table {
	for _, t := range tables {
		if t.name == name {
			return t
		}
	}
	return nil
}

func (t *table) column(name string) int {
	for i, c := range t.columns {
		if c.name == name {
			return i
		}
	}
	panic("ledger: no column " + name + " in " + t.name)
}

// create returns the table's CREATE TABLE statement.
func (t *table) create() string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (", t.name)
	for _, c := range t.columns {
		fmt.Fprintf(&b, "%s %s, ", c.name, c.sqlType)
	}
	fmt.Fprintf(&b, "PRIMARY KEY (%s)) ENGINE=InnoDB", strings.Join(t.key, ", "))
	return b.String()
}

func (t *table) names() string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

// where returns the condition that finds the row by its key.
func (t *table) where(r row) string {
	parts := make([]string, len(t.key))
	for i, name := range t.key {
		c := t.column(name)
		parts[i] = name + " = " + t.literal(c, r[c])
	}
	return strings.Join(parts, " AND ")
}

// literal returns the value of column c as it stands in a statement.
func (t *table) literal(c int, v value) string {
	switch {
	case v.null:
		return "NULL"
	case t.columns[c].kind == number || t.columns[c].kind == decimal:
		return v.text
	case t.columns[c].kind == text:
		if v.text == "" {
			return "''"
		}
		return "_utf8mb4 x'" + hex.EncodeToString([]byte(v.text)) + "'"
	case t.columns[c].kind == binary:
		return "x'" + hex.EncodeToString([]byte(v.text)) + "'"
	}
	return "'" + v.text + "'"
}

// rows reads a result of SELECT t.names().
func (t *table) rows(result *mysql.Result) ([]row, error) {
	rows := make([]row, result.RowNumber())
	for i := range rows {
		rows[i] = make(row, len(t.columns))
		for c := range t.columns {
			null, err := result.IsNull(i, c)
			if err != nil {
				return nil, err
			}
			s, err := result.GetString(i, c)
			if err != nil {
				return nil, err
			}
			rows[i][c] = value{text: s, null: null}
		}
	}
	return rows, nil
}

// json returns a column's value as json.Marshal's input.
func (t *table) json(c int, v value) any {
	if v.null {
		return nil
	}
	switch t.columns[c].kind {
	case number:
		return json.Number(v.text)
	case binary:
		return base64.StdEncoding.EncodeToString([]byte(v.text))
	case set:
		members := []string{}
		if v.text != "" {
			members = strings.Split(v.text, ",")
		}
		return members
	case datetime:
		return strings.Replace(v.text, " ", "T", 1)
	case timestamp:
		return strings.Replace(v.text, " ", "T", 1) + "Z"
	}
	return v.text
}

// image returns the row as a delivered line must show it, in canonical JSON.
func (t *table) image(r row) string {
	m := make(map[string]any, len(r))
	for c, v := range r {
		m[t.columns[c].name] = t.json(c, v)
	}
	return marshal(m)
}

// keyJSON returns the row's key as a delivered line must show it, in canonical JSON.
func (t *table) keyJSON(r row) string {
	m := make(map[string]any, len(t.key))
	for _, name := range t.key {
		c := t.column(name)
		m[name] = t.json(c, r[c])
	}
	return marshal(m)
}

// canonical returns JSON with sorted keys and no space, the digits of numbers untouched.
func canonical(raw json.RawMessage) (string, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return "", err
	}
	return marshal(v), nil
}

func marshal(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		panic("ledger: " + err.Error()) // only our own numbers could be wrong
	}
	return string(out)
}
