// Package rules judges row changes: it reads rule files, checks their expressions against the real tables, and decides
// for each change which rules it matches. It is pure: no clock, no network, no disk.
//
// A rule names tables and operations, and says in CEL (https://cel.dev) when it applies:
//
//	version: 1
//	rules:
//	  - name: paid-big-order
//	    tables: [shop.orders]
//	    on: [insert, update]
//	    when: after.status == 'paid' && changed('status') && after.total >= 1000
//	    to: [acme]
//
// The way of a rule through this package has four steps, kept apart so that each can be replaced: [Parse] reads files
// into [Rule] values and finds what is wrong without knowing a table; [New] makes a [Set] of them; [Set.Check] compiles
// every rule against every table that it names and finds what is wrong with those; [Set.Decide] evaluates.
//
//	rs, err := rules.Parse("rules/orders.yaml", src)
//	set, err := rules.New(rs)
//	findings, err := set.Check(tables)      // tables: as the source has them now
//	decision := set.Decide(event)           // for ever after, from any goroutine
//
// # The language
//
// It is CEL with its semantics unchanged; what is ours are the variables, their types, and what a literal means.
//
// Variables: before and after are the row images, with one field per column; op is 'insert', 'update', 'delete' or
// 'snapshot'; table is "schema.name"; now is the time at which the transaction committed, so that a decision can be
// repeated later with the same outcome. A column whose name is no word is written after.`my column` or after['größe'].
//
// Beyond CEL's standard functions there are changed(), anyChanged(), increasedBy() and decreasedBy() for what a change
// does to columns; coalesce() and optional selection (after.meta.?tier.orValue('none')) for what may be missing;
// comparison without case (equalsIgnoreCase() and its like), lowerAscii(), upperAscii() and trim(); decimal(); and date(),
// days() and timestamp() with a time zone. [Functions] is the reference, with examples that are tests; docs/functions.md
// is the same for reading. Patterns and time zones must be literals: what there is to compile or to load is known before
// any event. The set of functions has versions that never change, so that a rule means the same under every release: a
// function that would, or a new version of CEL, becomes version 2, and rules of version 1 keep theirs.
//
// A column has the CEL type of its SQL type:
//
//	INT of any width, YEAR               int
//	INT UNSIGNED of any width, BIT       uint
//	FLOAT, DOUBLE                        double
//	DECIMAL                              decimal: exact, with comparison, +, - and *
//	CHAR, VARCHAR, TEXT, ENUM            string, compared byte by byte whatever the collation
//	DATE, DATETIME, TIME                 string, as delivered: 2026-11-21, 2026-11-21T03:00:00.123, 12:30:00
//	TIMESTAMP                            timestamp; the zero date is 0001-01-01T00:00:00Z
//	SET                                  list(string)
//	JSON                                 dyn: integers are int or uint if they fit, other numbers double
//	BINARY, BLOB                         bytes
//	GEOMETRY                             bytes: SRID (4, little endian), then WKB
//	VECTOR                               list(double)
//
// SQL NULL is null. Like everywhere in CEL, null == x is false and null != x is true for every x but null, and every
// other operator fails on it. A column that is not in the row image is not null: has(after.c) is false and reading it
// fails.
//
// A condition is typed once for each table, and checked and compiled for each operation of the rule, with op and table
// as constants. An insert and a snapshot have no before, a delete has no after: reading one there is an error of the
// rule that names the operation, unless what asks for it cannot be reached: op == 'insert' || before.x != after.x,
// before != null && …, has(before.x) && …, op == 'delete' ? before.x : after.x.
//
// Literals take the type of the column that they are compared or combined with, before anything is checked:
// after.total >= 1000 works on DECIMAL, DOUBLE, INT and BIGINT UNSIGNED, after.ts >= '2026-01-01T00:00:00Z' on a
// TIMESTAMP, after.at == '2026-01-01' on a DATETIME(3). Columns are never converted: comparing an INT with a VARCHAR is
// an error that says how to write it. A TINYINT or BIT(1) in the place of a truth value, as in !after.closed, means that
// it is neither 0 nor NULL.
//
// [Set.Check] also says what is no mistake and yet hardly meant: what NULL or a JSON document without a key would do,
// what is always true or never of a column's type, of the rule's operations or of another part of the condition, texts
// that the database would compare without case, rules that ask the same. Findings carry edits of the file where there is
// one way to mend it.
//
// # Rules on rows
//
// A rule with where instead of when is about rows, not about changes: its variable is row, and beside that there is
// only table.
//
//   - name: vip-customers
//     tables: [shop.customers]
//     where: row.tier == 'vip'
//     to: [acme]
//
// It is judged on the row as it was and on the row as it is, as far as they are there, and matches when either
// satisfies it: [cdc.Entered], [cdc.Left] or [cdc.Stayed] is the match's Change. Rows that a snapshot reads enter. So
// the filtered table can be kept elsewhere; docs/objects.md tells a partner how, and that only the images that satisfy
// the filter are delivered. If either image cannot be judged, the rule fails. Without on, it is for all four operations.
//
// # Plugins
//
// A rule with a [Filter] has a plugin judge what its condition lets through. This package knows its name, the digest of its
// module, which [Rule.Pin] makes part of the rule's version, and its configuration in a canonical form; it neither loads nor
// asks it. [Set.Decide] decides as if it kept everything, [Set.Filters] says which rules have one, and who asks the plugin gives
// its verdict to [Rule.Take]. Where one event is looked at, for a test or an explanation, a function that was given to
// [Set.Asking] is asked.
//
// # Look-ups
//
// A rule with a [Lookup] wants rows of other tables for what it matches. This package knows the language of it, types it by the tables of
// both sides, and evaluates: [Looker.Key] is what a change asks for, [Looker.Take] what becomes of the match with the rows that there
// are. It asks nobody: [Set.Decide] decides as if there were no look-ups, [Set.LookingUp] says which rules have some, and
// [Lookup.Query] is the question.
//
// # Many rules
//
// A change is not compared with each rule: an index over the conditions of all rules for its table and operation finds
// those that it may concern (internal/match), so that ten thousand rules cost about what a few do. For this a condition
// is turned into a formula of questions that an index can answer, joined by && and ||; negations stand before questions
// only. Questions are comparisons of a column with constants (==, !=, <, <=, >, >=, in, null), startsWith(), endsWith()
// and contains(), also of lowerAscii(), upperAscii() and trim() and ignoring case, has(), changed(), and before.c !=
// after.c where two values of the column are equal exactly if they are the same. c ? a : b is (c && a) || (!c && b) || (c && !c), of which
// the last only matters when c fails, and matches() asks first for a text that its pattern cannot do without.
//
// What is not on this list stays CEL: functions, calculations, columns compared with each other, JSON, sets. Such a part
// is evaluated at most once per change for all rules that contain it, and only if the rest of the condition leaves it
// open, so after.qty * 2 > 10 && after.status == 'paid' costs nothing while no order is paid. A condition whose steps
// have to be counted is such a part as a whole, behind those of its first conjuncts whose cost is bounded.
//
// The index gives the outcome that CEL gives: true, false, and failures, too. That is proved for formulas in
// internal/match; that each question means what CEL means by it is tried on every edge of every type, by comparing
// random rules and changes with [Set.DecidePlainly], and at run time by [Set.Verify] on a sample of the changes.
// [Set.Indexing] says how each rule is found.
//
// # What cannot go wrong
//
// A rule that fails on an event becomes a [cdc.RuleError] of the decision, beside whatever the other rules made of the
// event. What a rule may cost is bounded: expressions are limited in size and depth, and one whose cost cannot be
// bounded beforehand is stopped at the same count of steps everywhere, so that decisions do not depend on the machine.
//
// # Why, tests, and functions of your own
//
// [Set.Explain] says why a rule matches an event or does not: a sentence, and every part of the condition with its value,
// its truth and whether it decides. [Set.Test] runs the tests that stand in rule files, [Set.Coverage] says what of the
// conditions they have shown, and [Set.Record] makes a test of a real event. [ParseEvent] reads an event from JSON.
//
// Programs that embed the engine add functions to the language: [NewLanguage] has a Parse of its own. The name and the
// version of such a function are part of the version of every rule that calls it, and so of [Set.Digest]. Events of their
// own become batches with package engine/events.
//
// testdata/*.txtar are the language by example: each page has tables, rules and events, and says what is found in the
// rules and what is decided of the events.
package rules
