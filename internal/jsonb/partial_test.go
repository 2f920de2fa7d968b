package jsonb_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/cdcd-project/cdcd/internal/jsonb"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// countDiffs counts the differences of a column and what they do.
func countDiffs(t *testing.T, diffs []byte, count map[string]int) (n int) {
	t.Helper()
	for ; len(diffs) > 0; n++ {
		count[[]string{"replace", "insert", "remove"}[diffs[0]]]++
		parts := 2
		if diffs[0] == 2 {
			parts = 1
		}
		diffs = diffs[1:]
		for range parts {
			size, _, width := mysql.LengthEncodedInt(diffs)
			diffs = diffs[width+int(size):]
		}
	}
	return n
}

// padding makes the differences shorter than the document, without which the server logs the document.
var padding = strings.Repeat("padding ", 500)

// An update of two documents, as the server that logs only differences does them.
type update struct{ a, b string }

var updates = []update{
	{"JSON_SET(a, '$.n', 70000)", "b"},
	{"JSON_SET(a, '$.n', 1.0, '$.s', 'x', '$.fresh', CAST('[]' AS JSON))", "JSON_REMOVE(b, '$[0]', '$[0]', '$[last]')"},
	{"JSON_REPLACE(a, '$.list[1]', CAST('{\"k\":[1,2]}' AS JSON), '$.list[1].k[0]', 'deep', '$.none', 1)", "JSON_SET(b, '$[last]', 'end', '$[last-1]', NULL, '$[99]', 'behind')"},
	{"JSON_SET(JSON_REMOVE(JSON_REPLACE(a, '$.n', 5), '$.s'), '$.s', 'back', '$.list[0]', true)", "JSON_SET(JSON_SET(b, '$[0]', 1), '$[0]', 2)"},
	{"JSON_ARRAY_INSERT(a, '$.list[0]', 'first')", "JSON_ARRAY_INSERT(JSON_SET(b, '$[0]', 'set'), '$[1]', 'in')"},
	{"JSON_SET(a, '$.n[1]', 'wrapped', '$.n[2]', 'longer')", "JSON_REMOVE(b, '$[50]')"},
	{`JSON_SET(a, '$."a b"', 1, '$."a\\"b"', 2, '$.""', 3, '$."*"', 4, '$.ü', 5, '$."🚀"', 6, '$."\\n"', 7, '$."1"', 8, '$.$x', 9, '$."\\\\"', 10)`, "b"},
	{`JSON_REMOVE(JSON_SET(a, '$."a b"', 1, '$."a\\"b"', 2, '$.""', 3), '$."a b"', '$.""', '$."a\\"b"', '$.list')`, "JSON_SET(b, '$[1].x', 1)"},
	{"JSON_SET(a, '$.d', CAST(TIMESTAMP'2026-11-21 01:02:03.5' AS JSON), '$.e', CAST(CAST('1.50' AS DECIMAL(30,10)) AS JSON), '$.o.p.q', 1, '$.o', CAST('{\"p\":{}}' AS JSON), '$.o.p.q', 2)", "JSON_SET(b, '$[2]', REPEAT('y', 300))"},
	{"JSON_REMOVE(a, '$.nothing')", "JSON_SET(b, '$[3].deep.er', 2)"},
	{"NULL", "JSON_SET(b, '$[0]', 0)"},
	{"JSON_SET(a, '$.n', 1)", "JSON_SET(b, '$', JSON_ARRAY(1))"},
}

// randomUpdate changes a document {"k0": …} with lists in lists by many steps.
func randomUpdate(random *rand.Rand) update {
	side := func(doc, root string) string {
		for range 1 + random.IntN(12) {
			path := root
			for range 1 + random.IntN(3) {
				path += []string{fmt.Sprintf("[%d]", random.IntN(4)), "[last]", "[last-1]", fmt.Sprintf(".k%d", random.IntN(5))}[random.IntN(4)]
			}
			value := []string{"1", "NULL", "'text'", "JSON_ARRAY(1,JSON_ARRAY(2,3),4)", "JSON_OBJECT('k1',JSON_ARRAY(0),'k3',JSON_OBJECT())", "1.5e0"}[random.IntN(6)]
			switch random.IntN(3) {
			case 0:
				doc = fmt.Sprintf("JSON_SET(%s, '%s', %s)", doc, path, value)
			case 1:
				doc = fmt.Sprintf("JSON_REPLACE(%s, '%s', %s)", doc, path, value)
			default:
				doc = fmt.Sprintf("JSON_REMOVE(%s, '%s')", doc, path)
			}
		}
		return doc
	}
	return update{side("a", []string{"$", "$.list"}[random.IntN(2)]), side("b", "$")}
}

func TestPatchedIsWhatTheServerShows(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	all := updates
	for range 200 {
		all = append(all, randomUpdate(random))
	}
	s := testenv.MySQL(t, "--binlog-row-value-options=PARTIAL_JSON")
	conn := s.Conn(t)
	exec := func(t *testing.T, q string, args ...any) *mysql.Result {
		t.Helper()
		q = fmt.Sprintf(q, args...)
		r, err := conn.Execute(q)
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		return r
	}
	exec(t, "SET NAMES utf8mb4")
	exec(t, "CREATE DATABASE d")
	for _, row := range []string{"FULL", "NOBLOB", "MINIMAL"} {
		t.Run(row, func(t *testing.T) {
			exec(t, "SET binlog_row_image = %s", row)
			exec(t, "CREATE TABLE d.%s (id INT PRIMARY KEY, still JSON, a JSON, n INT, b JSON)", row)
			exec(t, "START TRANSACTION")
			a := `{"n":1,"s":"text","list":[0,[1,2],{"k1":[3],"k2":{"k3":4}}],"k1":[[1],[2]],"k2":{"k1":5},"o":{"p":1},"padding":"` + padding + `"}`
			b := `[[1,2,[3]],{"x":0,"k1":[1,2]},"two",{"deep":{}},4.0,"` + padding + `"]`
			var want []string
			for i, u := range all {
				exec(t, `INSERT INTO d.%s VALUES (%d, '{"still":true}', '%s', 0, '%s')`, row, i, a, b)
				exec(t, "UPDATE d.%s SET n = 1, a = %s, b = %s WHERE id = %d", row, u.a, u.b, i)
				r := exec(t, "SELECT CAST(a AS CHAR), CAST(b AS CHAR) FROM d.%s WHERE id = %d", row, i)
				for column := range 2 {
					text := "NULL"
					if null, _ := r.IsNull(0, column); !null {
						text, _ = r.GetString(0, column)
						text = compact(t, text)
					}
					want = append(want, text)
				}
			}
			exec(t, "COMMIT")
			var images []image
			for _, path := range s.BinlogFiles(t) {
				images = append(images, readRows(t, path, row)...)
			}
			if len(images) != 3*len(all) {
				t.Fatalf("%d images of %d rows", len(images), len(all))
			}
			count := map[string]int{}
			for i, u := range all {
				before, after := images[3*i].columns, images[3*i+2]
				if _, whole := images[3*i+1].columns[2]; whole == (row == "MINIMAL") {
					t.Fatalf("the first image holds the document: %v", whole)
				}
				for at, column := range []int{2, 4} {
					value, there := after.columns[column]
					switch {
					case !there: // it is as before
						value = before[column]
						count["absent"]++
					case after.partial[column]:
						n := countDiffs(t, value, count)
						count[fmt.Sprintf("column of %d", min(n, 3))]++
					default:
						count["whole"]++
					}
					text, err := []byte("NULL"), error(nil)
					switch {
					case value == nil:
					case after.partial[column]:
						text, err = jsonb.AppendPatched(nil, before[column], value)
					default:
						text, err = jsonb.AppendText(nil, value)
					}
					if err != nil || string(text) != want[2*i+at] {
						t.Errorf("row %d: %s\n got %.3000s, error %v\nwant %.3000s\ndiffs %q", i, []string{u.a, u.b}[at],
							strings.ReplaceAll(string(text), padding, ""), err, strings.ReplaceAll(want[2*i+at], padding, ""), value)
					}
				}
			}
			t.Log(count)
			for _, needed := range []string{"replace", "insert", "remove", "column of 1", "column of 3", "whole"} {
				if count[needed] == 0 {
					t.Errorf("no %s among %v", needed, count)
				}
			}
		})
	}
}
