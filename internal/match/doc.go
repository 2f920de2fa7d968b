// Package match answers which of many conditions hold for a row change. It knows no language: conditions come as
// formulas over atoms, each a question about one column.
//
//	index := match.New(table, []*match.Formula{paid, large})
//	var scratch match.Scratch
//	for _, r := range index.Match(event, &scratch, nil) {
//		fmt.Println(r.Formula, r.Truth)
//	}
//
// What one event costs depends on how many of its columns formulas look at and on how many formulas come into question,
// hardly on how many there are.
//
// # Three values
//
// An atom is true or false, or it fails: it orders NULL, or reads what is not in the row image. Formulas combine these
// values by Kleene's strong logic (Introduction to Metamathematics, 1952, §64): what is unknown decides nothing, but may
// be decided by its neighbour. With False < Failed < True, And is the minimum, Or the maximum, and Not exchanges True and
// False. These are CEL's &&, || and !, which for this reason do not depend on the order of their operands. De Morgan's
// laws and double negation hold, so that every formula has an equal one whose negations all stand at atoms, its negation
// normal form; an atom with or without a negation is a literal.
//
// # Theorem
//
// Let f be a formula in negation normal form, and g the Boolean formula that one gets by reading And and Or of f as those
// of two values, and each literal as a variable. For every event:
//
//	(1) f is not False if and only if g is true of the bits [the literal is not False];
//	(2) f is True      if and only if g is true of the bits [the literal is True].
//
// Proof. By induction over the formula. For a literal both are what the bit says. A minimum is above a bound if and only
// if all of its parts are, a maximum if and only if one of them is: with the bound "more than False", f = And(f1, …, fn) is
// not False iff no fi is False, iff (induction) all gi are true of the bits, iff g is; likewise for Or, and with the bound
// "more than Failed" for (2). ∎
//
// The theorem does not hold for formulas with negations elsewhere, nor may a negated literal take the negated bit of its
// atom: where an atom fails, both literals fail, and neither of their bits for (1) is 0.
//
// # Witnesses
//
// Say that a set W of parts of f is a set of witnesses if f is False whenever all parts in W are. Since g is monotone, (1)
// gives such sets by structure: {f} itself; for an And, those of any one of its parts; for an Or, those of all of its
// parts together. For two literals of an And about one column, one a lower and one an upper bound, the pair may serve as
// one: f is not False only if both are not.
//
// An index keeps formulas by one set of witnesses each. An event calls for those formulas of which a witness is not
// False; the others are False, and are not looked at. The formulas called for are evaluated as they stand, so that what
// the index gives is exact whatever the witnesses are: they only decide how fast it is. Fabret et al. (Filtering
// algorithms and implementation for very fast publish/subscribe systems, SIGMOD 2001) call a conjunction's witness its
// access predicate, and take the rarest. Counting instead which parts are true, as in Whang et al. (Indexing Boolean
// expressions, VLDB 2009), touches all formulas that have a true part, and wants formulas in disjunctive normal form,
// which may be exponentially longer. That equal parts of different formulas are one node, evaluated once, is the idea of
// the A-Tree (Ji and Jacobsen, SIGMOD 2021).
//
// # Where witnesses are found
//
// A column is read at most once per event, and only if a witness or a formula called for looks at it. Equalities with
// constants, also with any of a set, are found by one look into a hash table. Orderings are found by rank: a binary search
// among all constants that the column is ordered with gives the number of those below, of which the formulas are the
// beginning or the end of a list; intervals are found in a segment tree (Bentley, 1977). Beginnings and ends of texts are
// found in a list in order, in which all that a text begins with lie on one chain; contained texts by the automaton of Aho
// and Corasick (CACM 1975). All of these take time for the search and for what they find, not for what is there. What
// fails on NULL or on an absent column is in lists for these, unless its formula is False then anyway, since it has asked
// before. Everything else is asked: it is evaluated on every event, once for all formulas that have it.
package match
