package rowimage

import (
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
)

// tableMapOfCompressed is what MariaDB 10.11 writes of a table of twelve columns, COMPRESSED ones among them.
const tableMapOfCompressed = "04 73686f70 00 01 61 00 0c 03 8d 8d 8d 8c 8c 8c fe 0f 8d 8d 8d 13 9101 2d01 3300 02 04 01 f701 0a00 0001 ff00 2900 fe07 " +
	"01 01 00 03 0a 2d 08 3f 08 3f 2d 09 08 08 2d 04 1c 02 6964 01 76 01 77 01 78 01 79 01 7a 02 7474 01 65 01 6e 02 7662 02 7663 01 64 " +
	"0a 01 2d 06 05 02 01 61 01 62 08 01 00"

func TestATableMapIsReadWhole(t *testing.T) {
	got, err := ParseTableMap(hexBytes(t, tableMapOfCompressed), gomysql.MariaDBFlavor)
	if err != nil {
		t.Fatal(err)
	}
	packed := func(name string, meta uint16, collation uint64) logged {
		return logged{name: name, tp: typeVarcharCompressed, size: int(meta), meta: meta, nullable: true, collation: collation}
	}
	blob := func(name string, meta uint16, collation uint64) logged {
		return logged{name: name, tp: typeBlobCompressed, size: int(meta), meta: meta, nullable: true, collation: collation}
	}
	last := packed("d", 41, 45)
	last.nullable = false
	want := &TableMap{Schema: "shop", Table: "a", named: true, signs: true, columns: []logged{
		{name: "id", tp: gomysql.MYSQL_TYPE_LONG, key: 1}, packed("v", 401, 45), packed("w", 301, 8), packed("x", 51, 63), blob("y", 2, 8), blob("z", 4, 63),
		blob("tt", 1, 45), {name: "e", tp: gomysql.MYSQL_TYPE_ENUM, size: 1, meta: 0xf701, nullable: true, collation: 45, members: []string{"a", "b"}},
		{name: "n", tp: gomysql.MYSQL_TYPE_VARCHAR, size: 10, meta: 10, nullable: true, collation: 9}, packed("vb", 256, 8), packed("vc", 255, 8), last}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}

func TestTableMapsThatContradictThemselvesAreRefused(t *testing.T) {
	const head = "01 73 00 01 74 00 "
	for name, body := range map[string]string{
		"nothing":                              "",
		"no table":                             "01 73 00",
		"fewer types than columns":             head + "03 03 03",
		"more columns than a table can have":   head + "fc 01 10" + strings.Repeat(" 03", 4097) + " 00" + strings.Repeat(" 00", 513),
		"no length of the metadata":            head + "01 03",
		"too little metadata":                  head + "01 0f 01 28 00",
		"too much metadata":                    head + "01 03 01 28 00",
		"no bitmap of what can be NULL":        head + "01 03 00",
		"a field without a length":             head + "01 03 00 00 04",
		"a field that is cut short":            head + "01 03 00 00 04 02 01",
		"a field twice":                        head + "01 03 00 00 01 01 00 01 01 00",
		"fewer signs than numbers":             head + "09 03 03 03 03 03 03 03 03 03 00 00 00 01 01 00",
		"fewer names than columns":             head + "02 03 03 00 00 04 02 01 61",
		"more names than columns":              head + "01 03 00 00 04 04 01 61 01 62",
		"fewer collations than text columns":   head + "02 0f 0f 04 2800 2800 00 03 01 2d",
		"more collations than text columns":    head + "01 0f 02 2800 00 03 02 2d 2d",
		"no members of an ENUM":                head + "02 fe fe 04 f701 f701 00 06 03 01 01 61",
		"members without end":                  head + "01 fe 02 f701 00 06 0a fe ff ff ff ff ff ff ff 7f 00",
		"a member that is longer than the map": head + "01 fe 02 f701 00 06 0a 01 fe ff ff ff ff ff ff ff ff",
		"a field that is longer than the map":  head + "01 03 00 00 04 fe ff ff ff ff ff ff ff ff 01 61",
		"a NULL for a length":                  head + "01 03 00 00 04 fb",
		"a key of a column that is not there":  head + "01 03 00 00 08 01 01",
		"a column twice in the key":            head + "01 03 00 00 08 02 00 00",
		"a key without its prefix":             head + "01 03 00 00 09 01 00",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := ParseTableMap(hexBytes(t, body), gomysql.MariaDBFlavor)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: got %+v", name, m)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: it took %d bytes", name, n)
		}
	}
}

// Cut anywhere, a map is refused, or says less: its fields can be left out.
func TestATableMapThatIsCutShort(t *testing.T) {
	whole := hexBytes(t, tableMapOfCompressed)
	var accepted []int
	for n := range whole {
		if _, err := ParseTableMap(whole[:n], gomysql.MariaDBFlavor); err == nil {
			accepted = append(accepted, n)
		}
	}
	if want := []int{44, 47, 59, 89, 92, 99}; !slices.Equal(accepted, want) {
		t.Errorf("accepted when cut at %v, want %v", accepted, want)
	}
}
