package mysql_test

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// TestCharactersOfEveryCharset writes all characters that a character set has, and compares the stream with what the
// server makes of them.
func TestCharactersOfEveryCharset(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for c := rune(' '); c <= 0xffff; c++ {
		if utf8.ValidRune(c) && c != '\'' && c != '\\' {
			all.WriteRune(c)
		}
	}
	others := map[string][][2]uint32{} // by character set: bytes, and what they are
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		var columns, values, back, names []string
		for _, c := range charsetCases() {
			if name := c.sql[strings.LastIndexByte(c.sql, ' ')+1:]; !c.silent && (c.flavor == "" || c.flavor == s.Flavor) {
				names = append(names, name)
				columns = append(columns, name+" MEDIUMTEXT CHARACTER SET "+name)
				values = append(values, "REPLACE(CONVERT(@all USING "+name+"), '?', '')")
				back = append(back, "CONVERT("+name+" USING utf8mb4)")
			}
		}
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a ("+strings.Join(columns, ", ")+")")
		r := begin(t, config(s), cdc.Checkpoint{}, nil)
		s.Exec(t, "SET NAMES utf8mb4", "SET SESSION sql_mode = ''", "SET @all = '"+all.String()+"'", "INSERT INTO shop.a VALUES ("+strings.Join(values, ", ")+")")
		want := s.Query(t, "SELECT "+strings.Join(back, ", ")+" FROM shop.a")[0]
		row := event(r, t).After()
		for i, name := range names {
			got, want := []rune(row.Value(i).Text()), []rune(want[i])
			if len(want) < 90 {
				t.Errorf("%s: only %d characters", name, len(want))
			}
			var wrong []string
			for at := range max(len(got), len(want)) {
				if at >= len(got) || at >= len(want) {
					wrong = append(wrong, fmt.Sprintf("%d characters, want %d", len(got), len(want)))
					break
				}
				if got[at] != want[at] {
					wrong = append(wrong, fmt.Sprintf("%U for %U", got[at], want[at]))
				}
			}
			if *update {
				others[name] = append(others[name], otherCharacters(t, s, name, got, want)...)
			} else if len(wrong) > 0 {
				t.Errorf("%s: %d of %d characters are wrong: %s", name, len(wrong), len(want), strings.Join(wrong[:min(len(wrong), 12)], ", "))
			}
		}
	})
	if *update {
		writeCharacters(t, others)
	}
}

// otherCharacters returns the bytes of the characters that were not decoded as the server does.
func otherCharacters(t *testing.T, s *testenv.Server, charset string, got, want []rune) (others [][2]uint32) {
	t.Helper()
	var list []string
	var runes []rune
	ask := func() {
		if len(list) == 0 {
			return
		}
		for i, text := range s.Query(t, "SELECT "+strings.Join(list, ", "))[0] {
			n, err := strconv.ParseUint(text, 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			others = append(others, [2]uint32{uint32(n), uint32(runes[i])})
		}
		list, runes = nil, nil
	}
	for i, r := range want {
		if i < len(got) && len(got) == len(want) && got[i] == r {
			continue
		}
		list, runes = append(list, fmt.Sprintf("HEX(CONVERT(_utf8mb4 x'%x' USING %s))", string(r), charset)), append(runes, r)
		if len(list) == 500 {
			ask()
		}
	}
	ask()
	return others
}

func writeCharacters(t *testing.T, others map[string][][2]uint32) {
	t.Helper()
	const path = "../../internal/rowimage/characters.txt"
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b := bytes.NewBuffer(before) // what is there is right already, or would be among the others
	for _, name := range slices.Sorted(maps.Keys(others)) {
		list := others[name]
		slices.SortFunc(list, func(a, b [2]uint32) int { return cmp.Compare(a[0], b[0]) })
		list = slices.Compact(list)
		if len(list) == 0 {
			continue
		}
		b.WriteString(name)
		for i := 0; i < len(list); {
			n := 1
			for i+n < len(list) && list[i+n][0] == list[i][0]+uint32(n) && list[i+n][1] == list[i][1]+uint32(n) {
				n++
			}
			if fmt.Fprintf(b, " %x:%x", list[i][0], list[i][1]); n > 1 {
				fmt.Fprintf(b, ":%d", n)
			}
			i += n
		}
		b.WriteByte('\n')
	}
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}
