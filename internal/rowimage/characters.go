package rowimage

import (
	_ "embed"
	"strconv"
	"strings"
)

// charactersText lists, by character set, the characters that both servers read otherwise than golang.org/x/text does.
// Each line is a name and pairs of bytes and code point, in hexadecimal; a pair with a count at its end stands for that
// many that follow each other. It is written by `go test ./sources/mysql -run EveryCharset -update`, which asks a server.
//
//go:embed characters.txt
var charactersText string

var otherCharacters = parseCharacters(charactersText)

func parseCharacters(text string) map[string]map[uint32]rune {
	out := map[string]map[uint32]rune{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		m := out[fields[0]] // a line that was added later adds to the one before
		if m == nil {
			m = map[uint32]rune{}
		}
		for _, field := range fields[1:] {
			parts := strings.Split(field, ":")
			number := func(i, base int) uint32 {
				n, err := strconv.ParseUint(parts[i], base, 32)
				if err != nil {
					panic("characters.txt: " + err.Error())
				}
				return uint32(n)
			}
			count := uint32(1)
			if len(parts) > 2 {
				count = number(2, 10)
			}
			from, to := number(0, 16), number(1, 16)
			for i := range count {
				m[from+i] = rune(to + i)
			}
		}
		out[fields[0]] = m
	}
	return out
}
