package wasm

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// readable returns a line of a stack trace with the name of a Rust function as its author wrote it: plugin::score(i32) i32 for
// _ZN6plugin5score17h29c8b707c70668a4E(i32) i32. Other lines stay as they are.
func readable(line string) string {
	name, signature, _ := strings.Cut(line, "(")
	rest, ok := strings.CutPrefix(name, "_ZN")
	if !ok {
		return line
	}
	var path []string
	for !strings.HasPrefix(rest, "E") {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.Atoi(rest[:digits])
		if err != nil || n == 0 || n > len(rest)-digits {
			return line
		}
		path = append(path, unescaped(rest[digits:digits+n]))
		rest = rest[digits+n:]
	}
	if last := len(path) - 1; last > 0 && len(path[last]) == 17 && path[last][0] == 'h' { // a hash of the types
		path = path[:last]
	}
	return strings.Join(path, "::") + "(" + signature
}

var rustEscapes = strings.NewReplacer("..", "::", "$SP$", "@", "$BP$", "*", "$RF$", "&", "$LT$", "<", "$GT$", ">", "$LP$", "(", "$RP$", ")", "$C$", ",")

// unescaped returns a part of a mangled name as it was.
func unescaped(part string) string {
	part = rustEscapes.Replace(strings.TrimPrefix(part, "_"))
	for {
		before, behind, found := strings.Cut(part, "$u")
		digits, after, closed := strings.Cut(behind, "$")
		r, err := strconv.ParseUint(digits, 16, 21)
		if !found || !closed || err != nil || !utf8.ValidRune(rune(r)) || r < ' ' {
			return part
		}
		part = before + string(rune(r)) + after
	}
}
