package mysql

import (
	"slices"
	"strings"
)

// statement is what is known of a statement in the log. Only what decides about rows is looked at.
type statement struct {
	kind stmtKind
	verb string // first word, upper case
	arg  string // of savepoints and XA: their name
	text string
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

// classify looks at a statement's first words.
func classify(query []byte) statement {
	t := tokens{text: string(query)}
	st := statement{text: t.text, verb: strings.ToUpper(t.next())}
	switch st.verb {
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
	}
	return st
}

// tables returns the tables that the statement may change as "schema\x00table", rather too many than too few: where
// the grammar does not make it plain, every name in the text.
func (st statement) tables(schema string) []string {
	t := tokens{text: st.text}
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
		if !t.quoted && keyword(word) {
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

// words returns the first n words in upper case, names in quotes as "".
func (st statement) words(n int) []string {
	t := tokens{text: st.text}
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
	t := tokens{text: st.text}
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
	t := tokens{text: st.text}
	for word := t.next(); word != ""; word = t.next() {
		if t.name && !t.quoted && strings.EqualFold(word, "SELECT") {
			return true
		}
	}
	return false
}

// movesPartitions reports an ALTER TABLE that removes rows or puts others in their place, together with their partition
// or tablespace.
func (st statement) movesPartitions() bool {
	t := tokens{text: st.text}
	before := ""
	for word := t.next(); word != ""; word = t.next() {
		word = strings.ToUpper(word)
		if !t.quoted {
			switch before {
			case "DROP", "TRUNCATE", "EXCHANGE", "CONVERT":
				if word == "PARTITION" {
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
		return !strings.Contains(strings.ToUpper(st.text), "EXCHANGE")
	case "DELETE":
		t := tokens{text: st.text}
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
	case ch == '`':
		var b strings.Builder
		for t.at++; t.at < len(t.text); t.at++ {
			if t.text[t.at] == '`' {
				if t.at+1 >= len(t.text) || t.text[t.at+1] != '`' {
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
			if t.text[t.at] == '\\' {
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

func (t *tokens) space() {
	for t.at < len(t.text) {
		rest := t.text[t.at:]
		switch {
		case rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\n' || rest[0] == '\r':
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
		case rest[0] == '#' || strings.HasPrefix(rest, "-- "):
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
