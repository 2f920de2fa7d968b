package partner

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// LogFiles reads a file of an audit log (https://c2sp.org/tlog-tiles) by its path; ok is false when there is none.
type LogFiles func(ctx context.Context, path string) (data []byte, ok bool, err error)

// LogState is how much of the audit log a partner has seen. A log that does not continue it was rewritten.
type LogState struct {
	Checkpoint string `json:"checkpoint,omitempty"` // signed
	Next       int64  `json:"next,omitempty"`       // the first entry that is of use yet

	Stores []string `json:"stores,omitempty"` // what the log has called the feed's store, in the entries that were read
}

// logged is what the log says of an object.
type logged struct {
	index int64
	Chain string `json:"chain"`
	Store string `json:"store"`

	Ordinal uint64 `json:"ordinal"`
	Key     string `json:"key"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"`
	Records int    `json:"records"`
	Root    string `json:"records_root"`
}

// logReader reads the log forward, each entry once, under the checkpoint that it has last been given.
type logReader struct {
	files    LogFiles
	verifier note.Verifier
	state    LogState
	tree     tlog.Tree
	next     int64               // the first entry that was not read
	waiting  map[string][]logged // by chain, in the order of the log
	passed   map[string]logged   // by chain, the one that was passed over because its store is called otherwise
	bundle   [][]byte            // the entries from bundleAt on
	bundleAt int64
	edge     map[string][]byte // files at the tree's right edge, which the log does not keep for long
	feed     string            // what the chains of this feed begin with
}

func newLogReader(files LogFiles, key string, state LogState) (*logReader, error) {
	v, err := note.NewVerifier(strings.TrimSpace(key))
	if err != nil {
		return nil, fmt.Errorf("public key of the audit log: %w", err)
	}
	return &logReader{files: files, verifier: v, state: state, next: state.Next, waiting: map[string][]logged{}, passed: map[string]logged{}}, nil
}

// errGone says that a file of the log is not there: it has grown, and keeps partial tiles for a while only.
var errGone = errors.New("a file of the audit log is not there")

// refresh takes the newest checkpoint: signed with the key, and a continuation of the last one.
func (l *logReader) refresh(ctx context.Context) (err error) {
	for range 10 {
		if err = l.refreshOnce(ctx); !errors.Is(err, errGone) {
			return err
		}
	}
	return err
}

func (l *logReader) refreshOnce(ctx context.Context) error {
	signed, ok, err := l.files(ctx, "checkpoint")
	if err != nil {
		return fmt.Errorf("audit log: checkpoint: %w", err)
	}
	if !ok {
		return fmt.Errorf("audit log: checkpoint: %w", errGone)
	}
	tree, err := l.open(signed)
	if err != nil {
		return fault("audit log", "%v", err)
	}
	if err := l.readEdge(ctx, tree.N); err != nil {
		return err
	}
	if l.state.Checkpoint != "" {
		before, err := l.open([]byte(l.state.Checkpoint))
		if err != nil {
			return fault("audit log", "the checkpoint that was kept: %v", err)
		}
		if tree.N < before.N {
			return fault("audit log", "it has %d entries, and had %d: it was put back", tree.N, before.N)
		}
		root, err := tlog.TreeHash(before.N, l.reader(ctx, tree))
		if err != nil {
			return bad(err)
		}
		if before.N > 0 && root != before.Hash {
			return fault("audit log", "its first %d entries are not those that it had: it was rewritten", before.N)
		}
	}
	l.tree, l.state.Checkpoint = tree, string(signed)
	return nil
}

// readEdge reads the partial tiles and the partial bundle of a tree of that size at once.
func (l *logReader) readEdge(ctx context.Context, size int64) error {
	l.edge = map[string][]byte{}
	edge := map[string][]byte{}
	get := func(dir string, count int64) error {
		width := int(count % tileWidth)
		if width == 0 {
			return nil
		}
		data, err := l.file(ctx, dir, count/tileWidth, width)
		edge[partial(dir, count/tileWidth, width)] = data
		return err
	}
	if err := get("tile/entries/", size); err != nil {
		return err
	}
	for level := 0; size>>(8*level) > 0; level++ {
		if err := get("tile/"+strconv.Itoa(level)+"/", size>>(8*level)); err != nil {
			return err
		}
	}
	l.edge = edge
	return nil
}

// open checks a checkpoint's signature and reads it.
func (l *logReader) open(signed []byte) (tlog.Tree, error) {
	n, err := note.Open(signed, note.VerifierList(l.verifier))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("checkpoint: %w", err)
	}
	lines := strings.SplitN(n.Text, "\n", 4)
	if len(lines) < 4 || lines[0] != l.verifier.Name() {
		return tlog.Tree{}, errors.New("checkpoint: it is not one of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	root, err2 := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || err2 != nil || size < 0 || len(root) != tlog.HashSize {
		return tlog.Tree{}, errors.New("checkpoint: its size or root is not one")
	}
	return tlog.Tree{N: size, Hash: tlog.Hash(root)}, nil
}

// find returns what the log says of an object. ok is false when the log does not have it yet.
func (l *logReader) find(ctx context.Context, store string, o Object) (at logged, ok bool, err error) {
	l.feed = feedOf(o.Chain)
	for {
		for len(l.waiting[o.Chain]) > 0 {
			at = l.waiting[o.Chain][0]
			here := at.Store == store || at.SHA256 == o.SHA256 // the store may have another name here
			if here && at.Ordinal == o.Ordinal {
				return at, true, nil
			}
			if here && at.Ordinal > o.Ordinal {
				return at, false, fault(o.Key, "the audit log has object %d of %s where it should have %d", at.Ordinal, o.Chain, o.Ordinal)
			}
			if at.Ordinal == o.Ordinal {
				l.passed[o.Chain] = at
			}
			l.waiting[o.Chain] = l.waiting[o.Chain][1:]
		}
		if l.next >= l.tree.N {
			at, ok = l.passed[o.Chain]
			return at, ok && at.Ordinal == o.Ordinal && len(l.state.Stores) == 1, nil // there is no other that it could be
		}
		if err := l.read(ctx); err != nil {
			return logged{}, false, err
		}
	}
}

// feedOf returns what the chains of a chain's feed begin with.
func feedOf(chain string) string { return chain[:strings.LastIndexByte(chain, '/')+1] }

// read reads one entry more.
func (l *logReader) read(ctx context.Context) error {
	if l.bundle == nil || l.next < l.bundleAt || l.next >= l.bundleAt+int64(len(l.bundle)) {
		if err := l.readBundle(ctx); err != nil {
			return err
		}
	}
	entry := l.bundle[l.next-l.bundleAt]
	var leaf struct {
		Type   string  `json:"type"`
		Object *logged `json:"object"`
	}
	if err := json.Unmarshal(entry, &leaf); err != nil {
		return fault("audit log", "entry %d: %v", l.next, err)
	}
	if leaf.Type == "object" && leaf.Object != nil && strings.HasPrefix(leaf.Object.Chain, l.feed) {
		leaf.Object.index = l.next
		if !slices.Contains(l.state.Stores, leaf.Object.Store) {
			l.state.Stores = append(l.state.Stores, leaf.Object.Store)
		}
		l.waiting[leaf.Object.Chain] = append(l.waiting[leaf.Object.Chain], *leaf.Object)
	}
	l.next++
	return nil
}

// missing returns an object that the log has behind what was pulled of the feed. It was in the store before it was in the log.
func (l *logReader) missing(ctx context.Context, store, feed string, position func(chain string) uint64) (at logged, ok bool, err error) {
	l.feed = feed
	for l.next < l.tree.N {
		if err := l.read(ctx); err != nil {
			return logged{}, false, err
		}
	}
	for _, chain := range slices.Sorted(maps.Keys(l.waiting)) {
		for _, at := range l.waiting[chain] {
			here := at.Store == store || len(l.state.Stores) == 1 // the store may have another name here; of several it may be another one
			if here && at.Ordinal > position(chain) {
				return at, true, nil
			}
		}
	}
	return logged{}, false, nil
}

const tileWidth = 256

// readBundle reads the bundle that the next entry is in, and checks each entry of it against the checkpoint.
func (l *logReader) readBundle(ctx context.Context) error {
	n := l.next / tileWidth
	width := int(min(tileWidth, l.tree.N-n*tileWidth))
	data, err := l.file(ctx, "tile/entries/", n, width)
	if err != nil {
		return err
	}
	var entries [][]byte
	var indexes []int64
	for len(entries) < width {
		if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
			return fault("audit log", "the bundle of entry %d is not whole", l.next)
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		indexes = append(indexes, tlog.StoredHashIndex(0, n*tileWidth+int64(len(entries))))
		entries, data = append(entries, data[2:end]), data[end:]
	}
	hashes, err := l.reader(ctx, l.tree).ReadHashes(indexes)
	if err != nil {
		return bad(err)
	}
	for i, e := range entries {
		if tlog.RecordHash(e) != hashes[i] {
			return fault("audit log", "entry %d is not the one that the checkpoint is over", n*tileWidth+int64(i))
		}
	}
	l.bundle, l.bundleAt = entries, n*tileWidth
	return nil
}

// done says that the entries of objects up to a chain's position are not needed any more, and returns what to keep.
func (l *logReader) done(position func(chain string) uint64) LogState {
	l.state.Next = l.next
	for chain, w := range l.waiting {
		for len(w) > 0 && w[0].Ordinal <= position(chain) {
			w = w[1:]
		}
		if l.waiting[chain] = w; len(w) > 0 {
			l.state.Next = min(l.state.Next, w[0].index)
		}
	}
	return l.state
}

// file reads a tile or bundle that has at least width items.
func (l *logReader) file(ctx context.Context, dir string, n int64, width int) ([]byte, error) {
	names := []string{dir + number(n)}
	if width < tileWidth {
		if data, ok := l.edge[partial(dir, n, width)]; ok {
			return data, nil
		}
		names = []string{partial(dir, n, width), names[0]}
	}
	for _, name := range names {
		data, ok, err := l.files(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("audit log: %s: %w", name, err)
		}
		if ok {
			return data, nil
		}
	}
	return nil, fmt.Errorf("audit log: %s: %w", names[0], errGone)
}

// partial is the path of a tile or bundle that is not full.
func partial(dir string, n int64, width int) string {
	return dir + number(n) + ".p/" + strconv.Itoa(width)
}

// number writes a tile's number as C2SP does: 1234067 is x001/x234/067.
func number(n int64) string {
	text := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		text = fmt.Sprintf("x%03d/%s", n%1000, text)
	}
	return text
}

// reader reads hashes that are checked against a tree.
func (l *logReader) reader(ctx context.Context, tree tlog.Tree) tlog.HashReader {
	return tlog.TileHashReader(tree, tileReader{ctx, l})
}

type tileReader struct {
	ctx context.Context
	l   *logReader
}

func (tileReader) Height() int                     { return 8 }
func (tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, tile := range tiles {
		data, err := t.l.file(t.ctx, "tile/"+strconv.Itoa(tile.L)+"/", tile.N, tile.W)
		if err != nil {
			return nil, err
		}
		if len(data) < tile.W*tlog.HashSize {
			return nil, fault("audit log", "tile %d of level %d is not whole", tile.N, tile.L)
		}
		out[i] = data[:tile.W*tlog.HashSize]
	}
	return out, nil
}

// bad tells what package tlog finds wrong from what could not be read.
func bad(err error) error {
	if strings.Contains(err.Error(), "inconsistent") {
		return fault("audit log", "%v", err)
	}
	return err
}
