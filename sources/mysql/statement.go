package mysql

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cdcd-project/cdcd/internal/rowimage"
)

// statement is what is known of a statement in the log. Only what decides about rows is looked at.
type statement struct {
	kind stmtKind
	verb string // first word, upper case
	arg  string // of savepoints and XA: their name
	text string
	or   string // the text as it reads if it is UTF-8 after all; mostly ""
	session
}

// session is how the connection that ran a statement wrote its text.
type session struct {
	ansiQuotes  bool   // names may stand in double quotes
	noBackslash bool   // a backslash in a string is only that
	collation   uint16 // 0: not known
}

// sessionOf reads the status variables of an event with a statement. They come in the order of their codes, nearly: what
// is looked for stands in front.
func sessionOf(status []byte) (s session) {
	for len(status) > 0 {
		code, rest := status[0], status[1:]
		n := 0
		switch code {
		case 0, 3: // flags2, auto_increment
			n = 4
		case 1: // sql_mode
			n = 8
		case 4: // character set of the client, collations of the connection and the server
			n = 6
		case 2, 5, 6: // catalog, time zone
			if len(rest) == 0 {
				return s
			}
			if n = int(rest[0]) + 1; code == 2 {
				n++ // the old form ends with a zero
			}
		default:
			return s
		}
		if n > len(rest) {
			return s
		}
		switch code {
		case 1:
			mode := binary.LittleEndian.Uint64(rest)
			s.ansiQuotes, s.noBackslash = mode&(1<<2) != 0, mode&(1<<20) != 0
		case 4:
			s.collation = binary.LittleEndian.Uint16(rest)
		}
		status = rest[n:]
	}
	return s
}

type stmtKind uint8

const (
	stmtOther stmtKind = iota
	stmtBegin
	stmtCommit
	stmtRollback
	stmtSavepoint
	stmtRollbackTo
	stmtXAStart
	stmtXAEnd
	stmtXACommit
	stmtXARollback
	stmtDML
	stmtDDL
)

// read makes the statement's text UTF-8 and looks at its first words. Servers write text in the character set of the
// connection, but for what they have written themselves, which nothing tells apart: then both readings count.
func (s session) read(query []byte) statement {
	text, or := string(query), ""
	if !utf8.Valid(query) || s.collation != 0 && !rowimage.IsUTF8(s.collation, query) {
		if decoded, err := rowimage.DecodeText(s.collation, query); err == nil {
			if utf8.Valid(query) {
				or = text
			}
			text = decoded
		}
	}
	st := s.classify(text)
	st.or = or
	return st
}

// classify looks at a statement's first words.
func (s session) classify(text string) statement {
	t := tokens{text: text, session: s}
	st := statement{text: text, verb: strings.ToUpper(t.next()), session: s}
	switch st.verb {
	case "SET", "ANALYZE": // MariaDB's SET STATEMENT … FOR and ANALYZE run the statement behind them
		if t.toInner(st.verb) {
			return s.classify(t.rest())
		}
	case "BEGIN", "START":
		st.kind = stmtBegin
	case "COMMIT":
		st.kind = stmtCommit
	case "ROLLBACK":
		st.kind = stmtRollback
		if strings.EqualFold(t.next(), "TO") {
			st.kind, st.arg = stmtRollbackTo, t.next()
			if strings.EqualFold(st.arg, "SAVEPOINT") && !t.quoted {
				if name := t.next(); name != "" {
					st.arg = name
				}
			}
		}
	case "SAVEPOINT":
		st.kind, st.arg = stmtSavepoint, t.next()
	case "XA":
		word := strings.ToUpper(t.next())
		st.arg = strings.TrimSpace(t.rest())
		switch word {
		case "START", "BEGIN":
			st.kind = stmtXAStart
		case "END":
			st.kind = stmtXAEnd
		case "COMMIT":
			st.kind = stmtXACommit
		case "ROLLBACK":
			st.kind = stmtXARollback
		}
	case "INSERT", "REPLACE", "UPDATE", "DELETE", "LOAD", "WITH", "CALL", "SELECT", "DO": // the last two by a function
		st.kind = stmtDML
	case "CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE":
		st.kind = stmtDDL
	case "", "GRANT", "REVOKE", "FLUSH", "OPTIMIZE", "REPAIR", "CHECK", "RELEASE", "INSTALL", "UNINSTALL", "USE":
	default:
		st.kind = stmtDML // it may be one; the tables that it names decide
	}
	return st
}

// tokens returns a reader of the statement's words.
func (st statement) tokens() tokens { return tokens{text: st.text, session: st.session} }

// tables returns the tables that the statement may change as "schema\x00table", rather too many than too few: where
// the grammar does not make it plain, every name in the text.
func (st statement) tables(schema string) []string {
	all := st.tablesIn(schema)
	if st.or != "" {
		st.text, st.or = st.or, ""
		all = append(all, st.tablesIn(schema)...)
	}
	return all
}

func (st statement) tablesIn(schema string) []string {
	t := st.tokens()
	t.next()
	var all []string
	for {
		word := t.next()
		if word == "" {
			return all
		}
		if !t.name {
			continue
		}
		if !t.quoted && (keyword(word) || st.verb == "LOAD" && strings.EqualFold(word, "XML")) {
			continue
		}
		ref := schema + "\x00" + word
		if second, ok := t.qualified(); ok {
			ref = word + "\x00" + second
		}
		all = append(all, ref)
		if st.single() {
			return all
		}
	}
}

// renames returns the old and the new names of the tables that the statement renames, as "schema\x00table".
func (st statement) renames(schema string) (pairs [][2]string) {
	words := st.words(4)
	if st.verb != "ALTER" && !(st.verb == "RENAME" && strings.HasPrefix(words[1], "TABLE")) || st.verb == "ALTER" && !slices.Contains(words, "TABLE") {
		return nil
	}
	var names []string
	t := st.tokens()
	t.next()
	for word := t.next(); word != ""; word = t.next() {
		plain := strings.ToUpper(word)
		switch {
		case !t.name || !t.quoted && (keyword(word) || plain == "TO" || plain == "AS"):
			continue
		case !t.quoted && plain == "WAIT":
			t.next()
			continue
		case st.verb == "ALTER" && len(names) == 1:
			if t.quoted || plain != "RENAME" {
				continue
			}
			again := t
			if what := strings.ToUpper(again.next()); !again.quoted && slices.Contains([]string{"COLUMN", "INDEX", "KEY", "CONSTRAINT"}, what) {
				continue
			} else if again.quoted || what != "TO" && what != "AS" && what != "=" {
				again = t
			}
			t = again
			word = t.next()
		}
		ref := schema + "\x00" + word
		if second, ok := t.qualified(); ok {
			ref = word + "\x00" + second
		}
		if names = append(names, ref); len(names) == 2 {
			pairs, names = append(pairs, [2]string{names[0], names[1]}), nil
			if st.verb == "ALTER" {
				return pairs
			}
		}
	}
	return pairs
}

// words returns the first n words in upper case, names in quotes as "".
func (st statement) words(n int) []string {
	t := st.tokens()
	words := make([]string, n)
	for i := range words {
		if word := t.next(); !t.quoted {
			words[i] = strings.ToUpper(word)
		}
	}
	return words
}

// after returns the first name that follows the verb and any of the words.
func (st statement) after(words ...string) string {
	t := st.tokens()
	t.next()
	for {
		word := t.next()
		if word == "" || t.quoted || !slices.Contains(words, strings.ToUpper(word)) {
			return word
		}
	}
}

// fills reports a CREATE TABLE that copies rows, which the log has as text where it is not in row format.
func (st statement) fills() bool {
	w := st.words(4)
	if w[0] != "CREATE" || w[1] != "TABLE" && (w[1] != "OR" || w[3] != "TABLE") {
		return false // views and triggers select too
	}
	t := st.tokens()
	before, tables := "", 0
	for word := t.next(); word != ""; word = t.next() {
		if !t.name || t.quoted {
			before = ""
			continue
		}
		word = strings.ToUpper(word)
		switch {
		case word == "SELECT", word == "ROW" && before == "VALUES":
			return true
		case word == "TABLE":
			tables++
		}
		before = word
	}
	return tables > 1 // CREATE TABLE a TABLE b
}

// movesPartitions reports an ALTER TABLE that removes rows or puts others in their place, together with their partition
// or tablespace.
func (st statement) movesPartitions() bool {
	t := st.tokens()
	before := ""
	for word := t.next(); word != ""; word = t.next() {
		word = strings.ToUpper(word)
		if !t.quoted {
			switch before {
			case "DROP", "TRUNCATE", "EXCHANGE", "CONVERT":
				if word == "PARTITION" || word == "TABLE" && before == "CONVERT" {
					return true
				}
			case "DISCARD", "IMPORT":
				if word == "PARTITION" || word == "TABLESPACE" {
					return true
				}
			}
			before = word
		} else {
			before = ""
		}
	}
	return false
}

// single reports that the statement changes only the first table it names.
func (st statement) single() bool {
	switch st.verb {
	case "INSERT", "REPLACE", "TRUNCATE", "LOAD", "CREATE":
		return true
	case "ALTER":
		text := strings.ToUpper(st.text)
		return !strings.Contains(text, "EXCHANGE") && !strings.Contains(text, "CONVERT")
	case "DELETE":
		t := st.tokens()
		t.next()
		return strings.EqualFold(t.next(), "FROM") && !strings.Contains(strings.ToUpper(st.text), " USING ")
	}
	return false
}

func keyword(word string) bool {
	switch strings.ToUpper(word) {
	case "INTO", "FROM", "IGNORE", "OR", "REPLACE", "NOT", "ONLINE", "NOWAIT", "LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK", "TABLE", "TABLES", "IF", "EXISTS",
		"TEMPORARY", "DATABASE", "SCHEMA", "SET", "WHERE", "DATA", "LOCAL", "INFILE", "CONCURRENT", "INDEX", "VIEW":
		return true
	}
	return false
}

// tokens reads words, quoted names and signs from SQL text; comments and spaces are passed over.
type tokens struct {
	session
	text   string
	at     int
	quoted bool // the last one was a quoted name
	name   bool // the last one was a name, quoted or not
}

func (t *tokens) next() string {
	t.space()
	t.quoted, t.name = false, false
	if t.at >= len(t.text) {
		return ""
	}
	start := t.at
	switch ch := t.text[t.at]; {
	case ch == '`' || ch == '"' && t.ansiQuotes:
		var b strings.Builder
		for t.at++; t.at < len(t.text); t.at++ {
			if t.text[t.at] == ch {
				if t.at+1 >= len(t.text) || t.text[t.at+1] != ch {
					t.at++
					break
				}
				t.at++
			}
			b.WriteByte(t.text[t.at])
		}
		t.quoted, t.name = true, true
		return b.String()
	case ch == '\'' || ch == '"':
		for t.at++; t.at < len(t.text); t.at++ {
			if t.text[t.at] == '\\' && !t.noBackslash {
				t.at++
			} else if t.text[t.at] == ch {
				t.at++
				break
			}
		}
		t.at = min(t.at, len(t.text))
		return t.text[start:t.at]
	case wordByte(ch):
		for t.at < len(t.text) && wordByte(t.text[t.at]) {
			t.at++
		}
		t.name = true
		return t.text[start:t.at]
	}
	t.at++
	return t.text[start:t.at]
}

// qualified reads ".name" if that follows.
func (t *tokens) qualified() (string, bool) {
	t.space()
	if t.at >= len(t.text) || t.text[t.at] != '.' {
		return "", false
	}
	t.at++
	return t.next(), true
}

func (t *tokens) rest() string { return t.text[t.at:] }

// toInner goes to the statement that SET STATEMENT … FOR or ANALYZE, which has just been read, runs. It reports whether
// there is one.
func (t *tokens) toInner(verb string) bool {
	if verb == "SET" {
		if !strings.EqualFold(t.next(), "STATEMENT") {
			return false
		}
		for word := t.next(); word != ""; word = t.next() {
			if !t.quoted && strings.EqualFold(word, "FOR") {
				return true
			}
		}
		return false
	}
	for {
		inner := *t
		switch word := strings.ToUpper(inner.next()); {
		case inner.quoted:
			return false
		case word == "FORMAT" || word == "=" || word == "JSON" || word == "TRADITIONAL" || strings.HasPrefix(word, "'"):
			*t = inner
		default:
			return slices.Contains([]string{"INSERT", "REPLACE", "UPDATE", "DELETE", "SELECT", "WITH"}, word)
		}
	}
}

func (t *tokens) space() {
	for t.at < len(t.text) {
		rest := t.text[t.at:]
		switch {
		case rest[0] == ' ' || rest[0] >= '\t' && rest[0] <= '\r':
			t.at++
		case strings.HasPrefix(rest, "/*!") || strings.HasPrefix(rest, "/*M!"):
			t.at += strings.IndexByte(rest, '!') + 1 // its content is executed
			for t.at < len(t.text) && t.text[t.at] >= '0' && t.text[t.at] <= '9' {
				t.at++
			}
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				t.at = len(t.text)
				return
			}
			t.at += end + 4
		case rest[0] == '#' || strings.HasPrefix(rest, "--") && (len(rest) == 2 || rest[2] <= ' '):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				t.at = len(t.text)
				return
			}
			t.at += end + 1
		default:
			return
		}
	}
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
