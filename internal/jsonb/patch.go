package jsonb

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// AppendPatched appends, as AppendText does, what becomes of a document when the differences of an update are applied to
// it, in their order. diffs is the column's value in the second image of a partial update, without the length in front
// of it; if it is empty, the update left the document as it was. doc is its value in the first image. The server's own
// rules hold: what is replaced or removed must be there, a member that is inserted must not.
//
// A document that is SQL NULL has no differences: this is for the caller to see. If it fails, dst comes back as it was.
func AppendPatched(dst, doc, diffs []byte) ([]byte, error) {
	root := newNode(doc)
	rest := diffs
	for n := 1; len(rest) > 0; n++ {
		d, size, err := cutDiff(rest)
		if err != nil {
			return dst, fmt.Errorf("difference %d of a JSON document, byte %d: %w", n, len(diffs)-len(rest), err)
		}
		rest = rest[size:]
		if err := root.apply(d); err != nil {
			return dst, fmt.Errorf("difference %d of a JSON document: %s %.100s: %w", n, d.operation, d.path, err)
		}
	}
	out, err := root.append(dst, 0)
	if err != nil {
		return dst, err
	}
	return out, nil
}

type operation byte

const (
	replace operation = iota
	insert
	remove
)

func (o operation) String() string { return [...]string{"replace", "insert", "remove"}[o] }

type diff struct {
	operation operation
	path      []byte
	value     []byte // a document; none to remove
}

// cutDiff reads the first of the differences: the operation, then the path and, unless something is removed, the value,
// each with its length in front.
func cutDiff(data []byte) (d diff, size int, err error) {
	d.operation = operation(data[0])
	if d.operation > remove {
		return d, 0, fmt.Errorf("there is no operation %d", data[0])
	}
	rest := data[1:]
	if d.path, rest, err = cutText(rest); err != nil {
		return d, 0, fmt.Errorf("path: %w", err)
	}
	if d.operation != remove {
		if d.value, rest, err = cutText(rest); err != nil {
			return d, 0, fmt.Errorf("value: %w", err)
		}
	}
	return d, len(data) - len(rest), nil
}

// cutText reads a length as the client protocol has it, and so many bytes.
func cutText(data []byte) (text, rest []byte, err error) {
	if len(data) == 0 {
		return nil, nil, errors.New("there is no length")
	}
	width := 0
	switch data[0] {
	case 252:
		width = 2
	case 253:
		width = 3
	case 254:
		width = 8
	case 251, 255:
		return nil, nil, fmt.Errorf("%d starts no length", data[0])
	}
	if len(data) < 1+width {
		return nil, nil, fmt.Errorf("a length of %d bytes where %d are left", width, len(data)-1)
	}
	size := uint64(data[0])
	if width > 0 {
		var number [8]byte
		copy(number[:], data[1:1+width])
		size = le.Uint64(number[:])
	}
	if data = data[1+width:]; size > uint64(len(data)) {
		return nil, nil, fmt.Errorf("%d bytes are announced where %d are left", size, len(data))
	}
	return data[:size:size], data[size:], nil
}

// node is a value that may change. Until something in it does, it is bytes of a document.
type node struct {
	doc  []byte // the document, up to where the value must end
	at   int
	typ  byte
	open *elements // instead of the bytes, once they were opened
}

// elements are those of an object or array. Objects have keys, in the order in which they are stored.
type elements struct {
	object bool
	keys   [][]byte
	values []*node
}

func newNode(doc []byte) *node {
	if len(doc) == 0 {
		doc = []byte{typeLiteral, 0} // as in AppendText
	}
	return &node{doc: doc, at: 1, typ: doc[0]}
}

// elements opens the node; nil if it is neither an object nor an array. Each element is given the bytes up to where the
// next one starts, so that no byte belongs to two.
func (n *node) elements(depth int) (*elements, error) {
	if n.open != nil {
		return n.open, nil
	}
	if n.typ > typeLargeArray {
		return nil, nil
	}
	var c container
	if err := c.open(n.doc, n.typ, n.at, len(n.doc), depth); err != nil {
		return nil, err
	}
	e := &elements{object: c.object, values: make([]*node, c.count)} // each has a place in the head
	if c.object {
		e.keys = make([][]byte, c.count)
	}
	nodes := make([]node, c.count)
	var before *node
	for i := range nodes {
		if c.object {
			key, err := c.key(i)
			if err != nil {
				return nil, err
			}
			e.keys[i] = key
		}
		typ, at, end, err := c.value(i)
		if err != nil {
			return nil, err
		}
		nodes[i] = node{doc: n.doc[:end:end], at: at, typ: typ}
		e.values[i] = &nodes[i]
		if at < c.values {
			continue // it stands in the head
		}
		if before != nil {
			before.doc = n.doc[:at:at]
		}
		before = &nodes[i]
		c.passed(at)
	}
	n.open = e
	return e, nil
}

func (n *node) append(dst []byte, depth int) ([]byte, error) {
	e := n.open
	if e == nil {
		dst, _, err := appendValue(dst, n.doc, n.typ, n.at, len(n.doc), depth)
		return dst, err
	}
	if depth >= maxDepth {
		return dst, fmt.Errorf("more than %d objects and arrays inside each other", maxDepth)
	}
	first, last := byte('['), byte(']')
	if e.object {
		first, last = '{', '}'
	}
	dst = append(dst, first)
	for i, value := range e.values {
		if i > 0 {
			dst = append(dst, ',')
		}
		if e.object {
			dst = append(appendString(dst, e.keys[i]), ':')
		}
		var err error
		if dst, err = value.append(dst, depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, last), nil
}

var errNotThere = errors.New("the document has no such place")

// apply changes what is below the node.
func (n *node) apply(d diff) error {
	if len(d.path) == 0 || d.path[0] != '$' {
		return errors.New("the path does not start at $")
	}
	if len(d.path) == 1 {
		return errors.New("the document as a whole is none of its parts")
	}
	for rest, depth := d.path[1:], 0; ; depth++ {
		var step leg
		var err error
		if step, rest, err = cutLeg(rest); err != nil {
			return err
		}
		e, err := n.elements(depth)
		if err != nil {
			return err
		}
		if e == nil || e.object != step.member {
			return errNotThere
		}
		at, found := e.find(step)
		if len(rest) == 0 {
			return e.change(d, step, at, found)
		}
		if !found {
			return errNotThere
		}
		n = e.values[at]
	}
}

// find tells where the element is, or, if there is none, where it is inserted.
func (e *elements) find(step leg) (at int, found bool) {
	if step.member {
		return slices.BinarySearchFunc(e.keys, step.key, compareKeys)
	}
	count := uint64(len(e.values))
	switch {
	case step.index >= count && step.fromEnd:
		return 0, false
	case step.index >= count:
		return int(count), false
	case step.fromEnd:
		return int(count - 1 - step.index), true
	}
	return int(step.index), true
}

func (e *elements) change(d diff, step leg, at int, found bool) error {
	switch {
	case d.operation == insert && found && e.object:
		return errors.New("the document has this member already")
	case d.operation == insert:
		e.values = slices.Insert(e.values, at, newNode(d.value))
		if e.object {
			e.keys = slices.Insert(e.keys, at, step.key)
		}
	case !found:
		return errNotThere
	case d.operation == replace:
		e.values[at] = newNode(d.value)
	default:
		e.values = slices.Delete(e.values, at, at+1)
		if e.object {
			e.keys = slices.Delete(e.keys, at, at+1)
		}
	}
	return nil
}

// leg is one step of a path: the member of an object, or an element of an array by its number.
type leg struct {
	member  bool
	key     []byte
	index   uint64
	fromEnd bool // 0 is the last element
}

// cutLeg reads the first leg of a path as the server writes it: .name, ."name" as a JSON string, [3], [last] or [last-3].
// The server applies a path without asterisks and ranges, so it logs none.
func cutLeg(path []byte) (step leg, rest []byte, err error) {
	if path[0] == '[' {
		end := bytes.IndexByte(path, ']')
		if end < 0 {
			return step, nil, errors.New("the path ends in brackets")
		}
		index, fromEnd := bytes.CutPrefix(path[1:end], []byte("last"))
		if fromEnd && len(index) > 0 && index[0] == '-' {
			index = index[1:]
		} else if fromEnd && len(index) == 0 {
			index = []byte("0")
		} else if fromEnd {
			index = nil
		}
		number, err := strconv.ParseUint(string(index), 10, 32)
		if err != nil {
			return step, nil, fmt.Errorf("[%.20s] in the path is no element of an array", path[1:end])
		}
		return leg{index: number, fromEnd: fromEnd}, path[end+1:], nil
	}
	if path[0] != '.' {
		return step, nil, fmt.Errorf("%.20q in the path is neither a member nor an element", path)
	}
	step.member = true
	if path = path[1:]; len(path) == 0 || path[0] != '"' {
		end := bytes.IndexAny(path, ".[")
		if end < 0 {
			end = len(path)
		}
		if end == 0 || bytes.ContainsAny(path[:end], " *\"\\") {
			return step, nil, fmt.Errorf("%.20q in the path is no name", path[:end])
		}
		step.key = path[:end:end]
		return step, path[end:], nil
	}
	end, escaped := 1, false
	for end < len(path) && path[end] != '"' {
		if path[end] == '\\' {
			escaped = true
			end++
		}
		end++
	}
	if end >= len(path) {
		return step, nil, errors.New("the path ends in a name")
	}
	step.key = path[1:end:end]
	if escaped {
		var name string
		if err := json.Unmarshal(path[:end+1], &name); err != nil {
			return step, nil, fmt.Errorf("%.20q in the path is no name", path[:end+1])
		}
		step.key = []byte(name)
	}
	if len(step.key) > math.MaxUint16 {
		return step, nil, fmt.Errorf("a name of %d bytes in the path", len(step.key))
	}
	return step, path[end+1:], nil
}
