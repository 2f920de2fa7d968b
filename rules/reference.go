package rules

import "strings"

// Function is an entry of the reference of the rule language. Its examples are expressions about the change of
// [ReferenceTable], and are tested to give what they say.
type Function struct {
	Name       string    `json:"name"`
	Group      string    `json:"group"`
	Signatures []string  `json:"signatures"` // as people read them: changed(column) → bool
	Text       string    `json:"text"`       // one or two sentences
	Since      int       `json:"since"`      // the first version of functions that has it
	Examples   []Example `json:"examples"`
}

// Example is an expression and what it gives.
type Example struct {
	Expression string `json:"expression"`
	Result     string `json:"result"`
}

// FunctionsVersion is the newest version of the set of functions. A rule is of the version that it says under
// functions, else of version 1; what a version has never changes.
const FunctionsVersion = 1

// Functions returns the reference: all functions, macros and operators that have a name, in the order for reading.
func Functions() []Function { return reference }

// ReferenceTable is the schema of the table that the examples of the reference are about.
const ReferenceTable = `tables:
  shop.orders:
    columns:
      id: bigint unsigned not null
      status: enum('new','paid','shipped') not null
      total: decimal(12,2) not null
      qty: int
      email: varchar(100)
      tags: set('gift','vip') not null
      due: date
      placed: datetime not null
      created: timestamp not null
      meta: json
    key: [id]
`

// ReferenceEvent is the change that the examples of the reference are about. It was committed on Saturday, 21 November
// 2026 at 03:00 UTC.
const ReferenceEvent = `{"op": "update",
 "before": {"id": 7, "status": "new", "total": "90.00", "qty": 2, "email": "Ada@Example.com", "tags": ["gift"],
            "due": "2026-11-20", "placed": "2026-11-20T23:30:00", "created": "2026-11-20T22:30:00Z", "meta": {"tier": "vip", "items": [1, 2]}},
 "after":  {"id": 7, "status": "paid", "total": "120.50", "qty": null, "email": "Ada@Example.com", "tags": ["gift", "vip"],
            "due": "2026-11-20", "placed": "2026-11-20T23:30:00", "created": "2026-11-20T22:30:00Z", "meta": {"tier": "vip", "items": [1, 2]}}}
`

const referenceNow = "2026-11-21T03:00:00Z"

// function makes a function of version 1.
func function(group, name, signatures, text string, examples ...string) Function {
	f := Function{Name: name, Group: group, Signatures: strings.Split(signatures, "\n"), Text: text, Since: 1}
	for i := 0; i+1 < len(examples); i += 2 {
		f.Examples = append(f.Examples, Example{examples[i], examples[i+1]})
	}
	return f
}

const (
	theChange = "The change"
	maybe     = "What may be missing"
	texts     = "Text"
	times     = "Dates and times"
	numbers   = "Numbers"
	lists     = "Lists and JSON"
	kinds     = "Types"
)

var reference = []Function{
	function(theChange, "changed", "changed('column') → bool",
		"Whether the column differs between before and after. Where there is only one of the two, as on an insert or a delete, every column has changed. NULL differs from every value, and not from NULL. It fails on a column that one of the two does not have, as binlog_row_image MINIMAL leaves them out; the changed of plugins says that it has changed.",
		"changed('status')", "true", "changed('due')", "false", "changed('qty')", "true"),
	function(theChange, "anyChanged", "anyChanged(['column', …]) → bool",
		"Whether at least one of the columns has changed.",
		"anyChanged(['due', 'status'])", "true", "anyChanged(['due', 'email'])", "false"),
	function(theChange, "increasedBy", "increasedBy('column', amount) → bool",
		"Whether after is larger than before by the amount or more: exactly for whole and decimal numbers, as floating-point numbers subtract for those. The amount is above 0. It is false on inserts, deletes and snapshots, and when before or after is NULL.",
		"increasedBy('total', 30)", "true", "increasedBy('total', 30.51)", "false", "increasedBy('qty', 1)", "false"),
	function(theChange, "decreasedBy", "decreasedBy('column', amount) → bool",
		"Whether before is larger than after by the amount or more; else as increasedBy.",
		"decreasedBy('total', 1)", "false"),

	function(maybe, "coalesce", "coalesce(a, b, …) → the first that is not NULL",
		"The first of the values that is not NULL. It does not help against what a JSON document does not have: that is what .? is for.",
		"coalesce(after.qty, 0)", "0", "coalesce(before.qty, 0)", "2", "coalesce(after.qty, before.qty, 0) > 1", "true"),
	function(maybe, "has", "has(after.column) → bool\nhas(after.json.key) → bool",
		"Whether the row image has the column, or the JSON document the key. A column that is NULL is there.",
		"has(after.qty)", "true", "has(after.meta.tier)", "true", "has(after.meta.color)", "false"),
	function(maybe, ".?", "x.?key → optional",
		"The key of a JSON document, or the column of an image, if it is there. What comes after it is asked only then.",
		"after.meta.?color.orValue('none')", "'none'", "after.meta.?tier.orValue('none')", "'vip'", "after.meta.?a.?b.hasValue()", "false"),
	function(maybe, "orValue", "optional.orValue(x) → what the optional holds, else x",
		"The value, or another one if there is none.", "after.meta.?tier.orValue('none') == 'vip'", "true"),
	function(maybe, "or", "optional.or(optional) → optional",
		"The first of two optional values if it is there, else the second.", "after.meta.?color.or(after.meta.?tier).orValue('none')", "'vip'"),
	function(maybe, "hasValue", "optional.hasValue() → bool",
		"Whether the value is there.", "after.meta.?tier.hasValue()", "true"),
	function(maybe, "value", "optional.value() → what the optional holds",
		"The value; it fails if there is none.", "after.meta.?tier.value()", "'vip'", "after.meta.?color.value()", "fails: optional.none() dereference"),
	function(maybe, "optMap", "optional.optMap(x, expression) → optional",
		"An expression of the value, if it is there.", "after.meta.?tier.optMap(t, t == 'vip').orValue(false)", "true"),
	function(maybe, "optFlatMap", "optional.optFlatMap(x, optional) → optional",
		"An expression of the value that is optional itself, if it is there.", "after.meta.?tier.optFlatMap(t, optional.of(t + '!')).orValue('')", "'vip!'"),
	function(maybe, "optional.of", "optional.of(x) → optional", "A value that is there.", "optional.of(1).hasValue()", "true"),
	function(maybe, "optional.none", "optional.none() → optional", "A value that is not there.", "optional.none().hasValue()", "false"),
	function(maybe, "optional.ofNonZeroValue", "optional.ofNonZeroValue(x) → optional",
		"A value that counts as not there when it is 0, empty or false.", "optional.ofNonZeroValue('').hasValue()", "false"),

	function(texts, "startsWith", "text.startsWith(text) → bool", "Whether a text begins with another, byte by byte.", "after.email.startsWith('Ada')", "true", "after.email.startsWith('ada')", "false"),
	function(texts, "endsWith", "text.endsWith(text) → bool", "Whether a text ends with another, byte by byte.", "after.email.endsWith('.com')", "true"),
	function(texts, "contains", "text.contains(text) → bool", "Whether a text has another in it, byte by byte.", "after.email.contains('@Example')", "true"),
	function(texts, "equalsIgnoreCase", "text.equalsIgnoreCase(text) → bool",
		"Whether two texts are equal but for the case of letters, by Unicode's simple case folding: É is é, and ß is ẞ but not ss. It never changes for a letter. Accents count, unlike in some collations of the database.",
		"after.email.equalsIgnoreCase('ada@example.COM')", "true", "'É'.equalsIgnoreCase('é')", "true", "'é'.equalsIgnoreCase('e')", "false"),
	function(texts, "startsWithIgnoreCase", "text.startsWithIgnoreCase(text) → bool", "startsWith but for the case of letters.", "after.email.startsWithIgnoreCase('ADA@')", "true"),
	function(texts, "endsWithIgnoreCase", "text.endsWithIgnoreCase(text) → bool", "endsWith but for the case of letters.", "after.email.endsWithIgnoreCase('EXAMPLE.com')", "true"),
	function(texts, "containsIgnoreCase", "text.containsIgnoreCase(text) → bool", "contains but for the case of letters.", "after.email.containsIgnoreCase('example')", "true"),
	function(texts, "matches", "text.matches(pattern) → bool\nmatches(text, pattern) → bool",
		"Whether a part of the text matches a pattern, which must be written out: RE2, without look-around and references. (?i) at its beginning ignores case, ^ and $ are the ends of the text.",
		"after.email.matches('^[A-Za-z]+@')", "true", "after.email.matches(r'(?i)@EXAMPLE\\.')", "true"),
	function(texts, "lowerAscii", "text.lowerAscii() → text", "The text with A to Z in lower case; other letters stay.", "'ÄB'.lowerAscii()", "'Äb'"),
	function(texts, "upperAscii", "text.upperAscii() → text", "The text with a to z in upper case; other letters stay.", "after.status.upperAscii()", "'PAID'"),
	function(texts, "trim", "text.trim() → text", "The text without white space around it.", "' a b '.trim()", "'a b'"),

	function(times, "now", "now → timestamp",
		"When the transaction of the change was committed: not the time of the evaluation, so that a decision can be repeated.",
		"now", "2026-11-21T03:00:00Z", "now > after.created", "true"),
	function(times, "days", "days(n) → duration", "So many times 24 hours.", "after.created < now - days(30)", "false", "days(2)", "48h0m0s"),
	function(times, "duration", "duration(text) → duration", "A length of time: hours, minutes, seconds and parts of them.",
		"now - after.created", "4h30m0s", "now - after.created > duration('4h')", "true"),
	function(times, "date", "date(timestamp, zone) → date\ndate(datetime) → date",
		"The date of a timestamp in a time zone, or of a DATETIME, which has no zone. It is a text such as 2026-01-31, like the values of DATE columns, so it compares with them.",
		"after.due < date(now, 'Europe/Berlin')", "true", "date(now, 'America/New_York')", "'2026-11-20'", "date(after.placed) == after.due", "true"),
	function(times, "timestamp", "timestamp(text) → timestamp\ntimestamp(datetime, zone) → timestamp\ntimestamp(seconds) → timestamp",
		"The point in time that a text names, that a DATE or DATETIME is in a time zone, or that is so many seconds after 1970. A time that clocks show twice is the first of the two; one that they skip is as long after the change as it would have been without one.",
		"timestamp('2026-01-01T00:00:00Z') < now", "true", "timestamp(after.placed, 'Europe/Berlin')", "2026-11-20T22:30:00Z",
		"now - timestamp(after.placed, 'Europe/Berlin') > duration('4h')", "true", "timestamp(0)", "1970-01-01T00:00:00Z"),
	function(times, "getDayOfWeek", "timestamp.getDayOfWeek(zone) → int\ndate.getDayOfWeek() → int",
		"The day of the week, from 0 for Sunday to 6 for Saturday. A zone is a place of the tz database or an offset; without one it is UTC. DATE and DATETIME columns have none: their parts are as they are written.",
		"now.getDayOfWeek('Europe/Berlin') in [0, 6]", "true", "now.getDayOfWeek('America/New_York')", "5", "after.due.getDayOfWeek()", "5"),
	function(times, "getFullYear", "timestamp.getFullYear(zone) → int\ndate.getFullYear() → int", "The year.", "after.due.getFullYear()", "2026"),
	function(times, "getMonth", "timestamp.getMonth(zone) → int\ndate.getMonth() → int", "The month, from 0 for January.", "now.getMonth()", "10"),
	function(times, "getDate", "timestamp.getDate(zone) → int\ndate.getDate() → int", "The day of the month, from 1.", "now.getDate('America/New_York')", "20"),
	function(times, "getDayOfMonth", "timestamp.getDayOfMonth(zone) → int\ndate.getDayOfMonth() → int", "The day of the month, from 0.", "now.getDayOfMonth()", "20"),
	function(times, "getDayOfYear", "timestamp.getDayOfYear(zone) → int\ndate.getDayOfYear() → int", "The day of the year, from 0.", "now.getDayOfYear()", "324"),
	function(times, "getHours", "timestamp.getHours(zone) → int\ndatetime.getHours() → int\nduration.getHours() → int", "The hour; of a duration, all of its hours.",
		"now.getHours('Europe/Berlin')", "4", "after.placed.getHours()", "23", "(now - after.created).getHours()", "4"),
	function(times, "getMinutes", "timestamp.getMinutes(zone) → int\ndatetime.getMinutes() → int\nduration.getMinutes() → int", "The minute; of a duration, all of its minutes.", "(now - after.created).getMinutes()", "270"),
	function(times, "getSeconds", "timestamp.getSeconds(zone) → int\ndatetime.getSeconds() → int\nduration.getSeconds() → int", "The second; of a duration, all of its seconds.", "now.getSeconds()", "0"),
	function(times, "getMilliseconds", "timestamp.getMilliseconds(zone) → int\nduration.getMilliseconds() → int", "The milliseconds of the second.", "now.getMilliseconds()", "0"),

	function(numbers, "decimal", "decimal(x) → decimal", "An exact number of a text or a whole number. Literals need it only where no DECIMAL column is near.",
		"after.total >= 120.5", "true", "decimal('0.1') + decimal('0.2') == decimal('0.3')", "true"),
	function(numbers, "int", "int(x) → int", "A whole number of a text, an unsigned or floating-point number (without its fraction), or a timestamp (seconds since 1970). It fails if it does not fit.",
		"int('12') + 1", "13", "int(after.id) - 10", "-3", "int(1.9)", "1"),
	function(numbers, "uint", "uint(x) → uint", "An unsigned number. It fails if it does not fit.", "uint('12')", "12", "uint(-1)", "fails: unsigned integer overflow"),
	function(numbers, "double", "double(x) → double", "A floating-point number.", "double(after.total) / 2.0", "60.25"),

	function(lists, "in", "x in list → bool\n'key' in json → bool", "Whether a list has an equal item, a SET a member, or a JSON object a key.",
		"after.status in ['paid', 'shipped']", "true", "'vip' in after.tags", "true", "'tier' in after.meta", "true"),
	function(lists, "size", "size(x) → int\nx.size() → int", "The characters of a text, the bytes of binary data, the items of a list or a JSON document.", "size(after.tags)", "2", "size('größe')", "5"),
	function(lists, "exists", "list.exists(x, condition) → bool", "Whether the condition is true for at least one item.", "after.meta.items.exists(i, i > 1)", "true"),
	function(lists, "all", "list.all(x, condition) → bool", "Whether the condition is true for every item.", "after.tags.all(t, t != 'none')", "true"),
	function(lists, "exists_one", "list.exists_one(x, condition) → bool", "Whether the condition is true for exactly one item.", "after.tags.exists_one(t, t == 'vip')", "true"),
	function(lists, "filter", "list.filter(x, condition) → list", "The items for which the condition is true.", "size(after.meta.items.filter(i, i > 1))", "1"),
	function(lists, "map", "list.map(x, expression) → list", "An expression of each item.", "after.tags.map(t, t.upperAscii())", "['GIFT', 'VIP']"),

	function(kinds, "string", "string(x) → text", "The text of a number, truth value, timestamp, duration or of UTF-8 bytes.", "string(after.total)", "'120.50'", "string(after.id) + '!'", "'7!'"),
	function(kinds, "bool", "bool(text) → bool", "The truth value that a text names.", "bool('true')", "true"),
	function(kinds, "bytes", "bytes(text) → bytes", "The UTF-8 bytes of a text.", "size(bytes('größe'))", "7"),
	function(kinds, "type", "type(x) → type", "The type of a value, mostly to look at JSON.", "type(after.meta.tier) == string", "true", "type(after.qty) == null_type", "true"),
	function(kinds, "dyn", "dyn(x) → the same", "The same value without its type, for comparing values of different types: they are unequal.", "dyn(after.total) == 'x'", "false"),
}
