package wasm

import (
	"cmp"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/cdcd-project/cdcd/cdc"
)

// The verdicts in the arena out.
const (
	verdictDrop = iota
	verdictKeep
	verdictEdit
	verdictError
)

// What entries of the edit log are about.
const (
	entrySet = iota + 1
	entryNull
	entryDrop
	entryTag
	entryReason
	entryRoute
	entryError
)

const (
	entryBytes = 24
	maxTags    = 16
	maxTag     = 256
	maxRoutes  = 256
	maxRoute   = 1024
	maxError   = 1024
	maxEntries = 32 << 10 // of a call: to read them costs the plugin nothing
	maxCopied  = 64 << 20 // bytes of texts, of a batch: they are the host's, and outlive the call
)

// answer reads what a plugin has answered, none of which is to be trusted. All of it is copied: the memory changes with the next call.
type answer struct {
	filter  *Filter
	log     []byte  // what has not been read
	entries int     // that have been
	altered []int32 // for each image and column that may be edited, where its edit stands among those of the event, plus 1
	slots   []int   // of altered that are in use
	next    entry
	more    bool // there is a next one
	copied  int  // bytes of texts of this batch
}

// entry is one of the edit log. Its text is in the plugin's memory.
type entry struct {
	event  uint32
	what   byte
	image  byte
	column uint16
	kind   cdc.Kind
	num    uint64
	text   []byte
}

// read takes down the verdicts of the first events; whole says that there are no others. It returns what is wrong with the answer as a whole, or else "".
func (a *answer) read(judged int, whole bool, verdicts []cdc.Verdict) string {
	if judged == 0 {
		return ""
	}
	f := a.filter
	i, p := f.instance, &f.part
	out, _ := i.memory.Read(i.out, outBytes)
	given := out[16 : 16+judged]
	edited := false
	for _, v := range given {
		if v > verdictError {
			return fmt.Sprintf("there is a verdict %d", v)
		}
		edited = edited || v > verdictKeep
	}
	if edited {
		if what := a.open(uint64(le.Uint32(out[4:])), uint64(le.Uint32(out[8:]))); what != "" {
			return what
		}
		if what := a.vet(uint32(judged), given, whole); what != "" {
			return what
		}
		if what := a.open(uint64(le.Uint32(out[4:])), uint64(le.Uint32(out[8:]))); what != "" {
			return what
		}
	}
	t := &i.tally
	var kept, dropped, changed, errors int64
	for n, v := range given {
		at := &verdicts[p.index[n]]
		switch v {
		case verdictDrop:
			*at = cdc.Verdict{}
			dropped++
		case verdictKeep:
			*at = cdc.Verdict{Keep: true}
			kept++
		case verdictEdit:
			edits, trap := a.edits(n)
			if trap != nil {
				*at = cdc.Verdict{Err: trap}
				t.trap(trap.Kind)
				f.fail(f.judged+int64(n), p.events[n])
				errors++
				break
			}
			*at = cdc.Verdict{Keep: true, Edits: edits}
			kept++
			changed++
		case verdictError:
			trap := a.refusal(n)
			*at = cdc.Verdict{Err: trap}
			t.trap(trap.Kind)
			errors++
		}
	}
	f.judged += int64(judged)
	t.events += int64(judged)
	t.kept += kept
	t.dropped += dropped
	t.edited += changed
	t.errors += errors
	return ""
}

// tooMuch is the error of a batch whose edits have more than maxCopied bytes.
func (a *answer) tooMuch() error {
	return cdc.Errorf("CDCD-2542", "plugin %s: its edits of one batch of changes have more than %d MiB", a.filter.plugin.label, maxCopied>>20).
		WithFix("look into the plugin: it writes more than there is to judge")
}

// open begins to read the log.
func (a *answer) open(address, bytes uint64) string {
	memory := a.filter.instance.memory
	if bytes > 0 && (address%8 != 0 || address+bytes > uint64(memory.Size())) {
		return fmt.Sprintf("the edit log of %d bytes at %d is not aligned, or not within its memory", bytes, address)
	}
	a.log, _ = memory.Read(uint32(address), uint32(bytes))
	a.entries = 0
	return a.advance()
}

// advance reads the next entry.
func (a *answer) advance() string {
	a.more = false
	if len(a.log) == 0 {
		return ""
	}
	if a.entries++; a.entries > maxEntries {
		return fmt.Sprintf("the edit log has more than %d entries", maxEntries)
	}
	b := a.log
	if len(b) < entryBytes {
		return fmt.Sprintf("the edit log ends within an entry, %d bytes before its end", len(b))
	}
	size := uint64(le.Uint32(b))
	if size < entryBytes || size%8 != 0 || size > uint64(len(b)) {
		return fmt.Sprintf("the edit log has an entry of %d bytes where there are %d", size, len(b))
	}
	e := entry{event: le.Uint32(b[4:]), what: b[8], image: b[9], column: le.Uint16(b[10:]), kind: cdc.Kind(b[12]), num: le.Uint64(b[16:])}
	if e.what >= entryTag && e.what <= entryError || e.what == entrySet && isText(e.kind) {
		if e.num > size-entryBytes {
			return fmt.Sprintf("the edit log has a text of %d bytes in an entry of %d", e.num, size)
		}
		e.text = b[entryBytes : entryBytes+e.num]
	}
	a.next, a.more, a.log = e, true, b[size:]
	return ""
}

func isText(k cdc.Kind) bool {
	switch k {
	case cdc.KindDecimal, cdc.KindString, cdc.KindBytes, cdc.KindJSON, cdc.KindEnum, cdc.KindSet, cdc.KindGeometry, cdc.KindVector:
		return true
	}
	return false
}

// vet reads the log as far as it concerns the first events: that it can be read, is in their order, and has something for each that is
// to be edited.
func (a *answer) vet(judged uint32, given []byte, whole bool) string {
	missing := func(from, to int) string {
		for n := from; n < to; n++ {
			if given[n] == verdictEdit {
				return fmt.Sprintf("event %d is to be edited, and the edit log has nothing for it", n)
			}
		}
		return ""
	}
	next := 0 // the first event that no entry has been seen for
	for a.more && a.next.event < judged {
		event := int(a.next.event)
		if event < next-1 {
			return fmt.Sprintf("the edit log goes back from event %d to %d", next-1, event)
		}
		if what := missing(next, event); what != "" {
			return what
		}
		next = event + 1
		if what := a.advance(); what != "" {
			return what
		}
	}
	if a.more && whole {
		return fmt.Sprintf("the edit log has an entry for event %d of %d", a.next.event, judged)
	}
	return missing(next, len(given))
}

// edits returns what the log has for an event that is kept; or why it cannot be done.
func (a *answer) edits(event int) (*cdc.Edits, *Trap) {
	p := &a.filter.part
	out := &cdc.Edits{}
	wrong := ""
	for a.more && a.next.event <= uint32(event) {
		if e := &a.next; e.event == uint32(event) && wrong == "" {
			if a.copied += len(e.text); a.copied <= maxCopied {
				wrong = a.take(out, e, p.events[event], p.tables[event])
			}
		}
		a.advance()
	}
	for _, slot := range a.slots {
		a.altered[slot] = 0
	}
	a.slots = a.slots[:0]
	if wrong != "" {
		return nil, a.filter.plugin.trap(&Trap{Kind: TrapAnswer}, "CDCD-2511", "an edit of its is not allowed: %s", wrong)
	}
	slices.Sort(out.To)
	return out, nil
}

// take adds an entry to the edits of an event. It returns what is wrong with it.
func (a *answer) take(out *cdc.Edits, e *entry, event cdc.Event, t *projection) string {
	switch e.what {
	case entrySet, entryNull, entryDrop:
		return a.takeColumn(out, e, event, t)
	case entryTag:
		if what := a.text(e.text, "tag", maxTag); what != "" {
			return what
		}
		if slices.Contains(out.Tags, string(e.text)) {
			return ""
		}
		if len(out.Tags) == maxTags {
			return fmt.Sprintf("there are more than %d tags", maxTags)
		}
		out.Tags = append(out.Tags, string(e.text))
	case entryReason:
		if what := a.text(e.text, "reason", maxTag); what != "" {
			return what
		}
		out.Reason = string(e.text)
	case entryRoute:
		if what := a.text(e.text, "feed", maxRoute); what != "" {
			return what
		}
		if slices.Contains(out.To, string(e.text)) {
			return ""
		}
		if len(out.To) == maxRoutes {
			return fmt.Sprintf("there are more than %d feeds", maxRoutes)
		}
		out.To = append(out.To, string(e.text))
	default:
		return fmt.Sprintf("an entry of the edit log says what %d", e.what)
	}
	return ""
}

func (a *answer) text(text []byte, what string, most int) string {
	switch {
	case len(text) == 0 || len(text) > most:
		return fmt.Sprintf("a %s has %d bytes; it has 1 to %d", what, len(text), most)
	case !utf8.Valid(text):
		return fmt.Sprintf("a %s is not UTF-8", what)
	}
	return ""
}

func (a *answer) takeColumn(out *cdc.Edits, e *entry, event cdc.Event, t *projection) string {
	names := a.filter.plugin.manifest.Edits
	if int(e.column) >= len(names) {
		return fmt.Sprintf("it alters column %d of those that it may edit; its manifest has %d", e.column, len(names))
	}
	edit := cdc.ColumnEdit{Column: names[e.column], Before: e.image == 1, Drop: e.what == entryDrop}
	image, row := "after", event.After()
	if edit.Before {
		image, row = "before", event.Before()
	}
	if e.image != 1 && e.image != 2 || !row.Exists() {
		return fmt.Sprintf("it alters column %q of an image that the change does not have (%d)", edit.Column, e.image)
	}
	at := t.edits[e.column]
	if at < 0 {
		return fmt.Sprintf("it alters column %q, which table %s does not have", edit.Column, event.Table())
	}
	column := &event.Table().Columns[at]
	if column.Key != 0 {
		return fmt.Sprintf("it alters column %q, which is of the key of table %s", edit.Column, event.Table())
	}
	switch {
	case e.what == entryNull:
		edit.Value = cdc.NullValue()
	case e.what == entrySet && e.kind <= cdc.KindNull:
		return fmt.Sprintf("it sets column %q to a value of kind %s", edit.Column, e.kind)
	case e.what == entrySet:
		edit.Value = valueOf(e)
	}
	if !edit.Drop {
		if err := column.Check(edit.Value); err != nil {
			return fmt.Sprintf("it sets column %q (%s): %v", edit.Column, image, err)
		}
	}
	if a.altered == nil {
		a.altered = make([]int32, 2*len(names))
	}
	slot := 2 * int(e.column)
	if edit.Before {
		slot++
	}
	if n := a.altered[slot]; n > 0 { // the last one counts
		out.Columns[n-1] = edit
		return ""
	}
	out.Columns = append(out.Columns, edit)
	a.altered[slot] = int32(len(out.Columns))
	a.slots = append(a.slots, slot)
	return ""
}

func valueOf(e *entry) cdc.Value {
	switch {
	case isText(e.kind):
		return cdc.TextValue(e.kind, string(e.text))
	case e.kind == cdc.KindBool:
		return cdc.BoolValue(e.num != 0)
	}
	return cdc.NumValue(e.kind, e.num)
}

// refusal returns the error of an event that the plugin says it cannot judge.
func (a *answer) refusal(event int) *Trap {
	said := ""
	for a.more && a.next.event <= uint32(event) {
		if e := &a.next; e.event == uint32(event) && e.what == entryError && len(e.text) > 0 {
			said = printable(string(e.text[:min(len(e.text), maxError)]))
		}
		a.advance()
	}
	return a.filter.plugin.trap(&Trap{Kind: TrapRefused, Said: said}, "CDCD-2512", "it cannot judge the change: %s", cmp.Or(said, "it does not say why"))
}
