package audit

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cdcd-project/cdcd/cdc"
)

// VerifyConfig says what to check. Dir and Key are required.
type VerifyConfig struct {
	Dir string
	Key string // the public key, as it stands in the .pub file

	// Pins are signed checkpoints from elsewhere: the copy beside the key, or one that the partner keeps. The log must
	// be a continuation of each.
	Pins []Pin

	// Objects returns the store that holds the objects of leaves that name it ("s3://bucket/prefix"), once for each.
	// Verify closes it if it has a method Close() error. nil: objects are not looked at.
	Objects func(store string) (Store, error)

	// Since is the size of the log when it was verified last: objects of leaves before it are not read again, only
	// looked for. 0 reads all.
	Since int64

	// Progress, if set, is called now and then with the leaves that are done and that there are.
	Progress func(done, total int64)
}

// Pin is a signed checkpoint that was kept elsewhere.
type Pin struct {
	Name       string // where it is from, for the report
	Checkpoint []byte
}

// Report is what [Verify] found. If Bad is nil, all that was checked is as it was written.
type Report struct {
	Origin      string `json:"origin"`
	Size        int64  `json:"size"` // leaves
	Root        string `json:"root"` // hex
	Checkpoints int64  `json:"checkpoints"`
	Steps       int64  `json:"steps"` // from one checkpoint to the next that were proved to be append-only
	Pins        int    `json:"pins"`
	Entries     int64  `json:"entries"`
	Chains      int    `json:"chains"`
	Revisions   int64  `json:"revisions"` // leaves about publications of rules
	Traps       int64  `json:"traps"`     // leaves about changes that a plugin could not judge

	Notes map[string]int64 `json:"notes,omitempty"` // other leaves, by their kind

	Objects *ObjectsReport `json:"objects,omitempty"` // nil when they were not looked at
	Bad     *Finding       `json:"bad"`
}

// Delivered returns the number of leaves about objects.
func (r Report) Delivered() int64 {
	n := r.Entries - r.Revisions - r.Traps
	for _, notes := range r.Notes {
		n -= notes
	}
	return n
}

// ObjectsReport is the part about the objects in their stores.
type ObjectsReport struct {
	Read   int64    `json:"read"`  // objects whose bytes have the logged size and SHA256
	Found  int64    `json:"found"` // objects before Since that are there with the logged size
	Stores []string `json:"stores"`
	Newer  int64    `json:"newer"` // objects that a running cdcd has not logged yet
}

// Finding is the first thing that is wrong.
type Finding struct {
	Check string `json:"check"` // checkpoints, consistency, entries, chains or objects
	Item  string `json:"item"`  // what is wrong: `leaf 17 (shop/acme/00, object 3)`, `tile/0/000`, `checkpoint`
	Why   string `json:"why"`
}

// Error makes a finding usable as an error, within this package.
func (f *Finding) Error() string { return f.Check + ": " + f.Item + ": " + f.Why }

func finding(check, item, why string, args ...any) *Finding {
	return &Finding{check, item, fmt.Sprintf(why, args...)}
}

// Verify checks a log from its first leaf to its last: that each checkpoint there ever was is signed and is a
// continuation of the one before, that the leaves and tiles are what they speak of, that each chain's objects, and each rule
// store's revisions, are logged without a gap and each with the hash of its predecessor, and, if asked to, that the stores hold exactly these objects.
//
// The verdict is Report.Bad. An error means that it could not be found out: the log can't be read, a store does not
// answer. The log may grow meanwhile. Memory does not depend on the number of leaves; each file is read once.
func Verify(ctx context.Context, cfg VerifyConfig) (Report, error) {
	v := &verifier{cfg: cfg, chains: map[chainID]head{}}
	err := v.run(ctx)
	var bad *Finding
	if errors.As(err, &bad) {
		v.report.Bad, err = bad, nil
	}
	if err != nil {
		err = fmt.Errorf("verify audit log %s: %w", cfg.Dir, err)
	}
	return v.report, err
}

// verifier is one run of Verify.
type verifier struct {
	cfg     VerifyConfig
	report  Report
	now     Checkpoint // the newest
	tree    tree
	chains  map[chainID]head
	marks   []mark // pins, smallest first
	history *history
	next    *Checkpoint // the history's next one that the leaves have not reached
	last    Checkpoint  // the history's last one that was read
	matched int64       // size of the last checkpoint whose root the leaves have
	objects *objectCheck
}

// mark is a checkpoint from elsewhere that has to be met on the way.
type mark struct {
	name string
	Checkpoint
}

func (v *verifier) run(ctx context.Context) error {
	// In this order, so that a log that is being written meanwhile does not look as if it had been rolled back.
	_, err := note.NewVerifier(strings.TrimSpace(v.cfg.Key))
	if err != nil {
		return cdc.Errorf(codeKey, "public key %.80q: %w", v.cfg.Key, err).WithFix("give the content of <audit.key_file>.pub")
	}
	if err := v.openPins(); err != nil {
		return err
	}
	if v.history, err = openHistory(v.path(historyFile)); err != nil {
		return err
	}
	defer v.history.Close()
	if err := v.openNow(); err != nil {
		return err
	}
	if v.cfg.Objects != nil {
		v.report.Objects = &ObjectsReport{Stores: []string{}}
		v.objects = newObjectCheck(v)
		defer v.objects.close()
	}

	if err := v.advance(); err != nil { // to the checkpoints of the empty log
		return err
	}
	for n := int64(0); n*tileWidth < v.now.Size; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := v.readBundle(ctx, n); err != nil {
			return err
		}
		if v.cfg.Progress != nil {
			v.cfg.Progress(v.tree.size, v.now.Size)
		}
	}
	for _, t := range v.tree.partial() {
		if err := v.compareTile(t); err != nil {
			return err
		}
	}
	if v.tree.root() != v.now.Root {
		return finding("consistency", v.between(v.now.Size), "the leaves have the root %s, the signed root of size %d is %s",
			hexOf(v.tree.root()), v.now.Size, v.report.Root)
	}
	if v.last != v.now { // its writer was interrupted, or is about to write it down
		v.report.Checkpoints++
		v.report.Steps++
	}
	if v.objects != nil {
		return v.objects.finish(ctx)
	}
	return nil
}

func (v *verifier) path(name string) string {
	return filepath.Join(v.cfg.Dir, filepath.FromSlash(name))
}

func (v *verifier) openPins() error {
	for _, p := range v.cfg.Pins {
		c, err := OpenCheckpoint(p.Checkpoint, v.cfg.Key)
		if err != nil {
			return finding("checkpoints", p.Name, "%v", err)
		}
		v.marks = append(v.marks, mark{p.Name, c})
	}
	slices.SortStableFunc(v.marks, func(a, b mark) int { return int(a.Size - b.Size) })
	return nil
}

// openNow reads the newest checkpoint, and compares it with what is known from elsewhere.
func (v *verifier) openNow() error {
	signed, err := os.ReadFile(v.path(checkpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		if len(v.marks) > 0 || v.history.size > 0 {
			return finding("checkpoints", checkpointFile, "it was removed")
		}
		return cdc.Errorf(codeNoLog, "there is no audit log in %s", v.cfg.Dir).WithFix("name the folder that audit.dir says")
	}
	if err != nil {
		return err
	}
	if v.now, err = OpenCheckpoint(signed, v.cfg.Key); err != nil {
		return finding("checkpoints", checkpointFile, "%v", err)
	}
	v.report.Origin, v.report.Size, v.report.Root = v.now.Origin, v.now.Size, hexOf(v.now.Root)
	for _, m := range v.marks {
		if m.Size > v.now.Size {
			return finding("checkpoints", checkpointFile, "the log was rolled back: it has size %d, %s says it had %d", v.now.Size, m.name, m.Size)
		}
	}
	first, err := v.nextCheckpoint()
	if err != nil {
		return err
	}
	if first == nil && v.now.Size > 0 || first != nil && first.Size != 0 {
		return finding("checkpoints", historyFile, "it does not begin with the checkpoint of the empty log")
	}
	v.next = first
	return nil
}

// nextCheckpoint reads the history's next line, or returns nil at its end.
func (v *verifier) nextCheckpoint() (*Checkpoint, error) {
	line, number, err := v.history.read()
	if err != nil || line == nil {
		return nil, err
	}
	item := fmt.Sprintf("%s line %d", historyFile, number)
	var h historyLine
	if err := json.Unmarshal(line, &h); err != nil {
		return nil, finding("checkpoints", item, "%v", err)
	}
	c, err := OpenCheckpoint([]byte(h.Checkpoint), v.cfg.Key)
	if err != nil {
		return nil, finding("checkpoints", item, "%v", err)
	}
	if c.Size > v.now.Size {
		return nil, finding("checkpoints", checkpointFile, "the log was rolled back: it has size %d, %s says it had %d", v.now.Size, item, c.Size)
	}
	if c.Size < v.tree.size {
		return nil, finding("checkpoints", item, "size %d comes after size %d", c.Size, v.tree.size)
	}
	v.report.Checkpoints++
	v.last = c
	return &c, nil
}

// advance compares the tree with all checkpoints of its present size.
func (v *verifier) advance() error {
	for v.next != nil && v.next.Size == v.tree.size {
		if v.next.Root != v.tree.root() {
			return finding("consistency", v.between(v.next.Size), "the leaves have the root %s, the signed root of size %d is %s",
				hexOf(v.tree.root()), v.next.Size, hexOf(v.next.Root))
		}
		v.matched = v.tree.size
		next, err := v.nextCheckpoint()
		if err != nil {
			return err
		}
		if v.next = next; next != nil {
			v.report.Steps++
		}
	}
	for len(v.marks) > 0 && v.marks[0].Size == v.tree.size {
		if m := v.marks[0]; m.Root != v.tree.root() {
			return finding("consistency", m.name, "the log is not a continuation of this checkpoint of size %d: its root is %s, the log's leaves have %s",
				m.Size, hexOf(m.Root), hexOf(v.tree.root()))
		}
		v.marks = v.marks[1:]
		v.report.Pins++
	}
	return nil
}

// between names what was changed when the root of a size is the first that does not match.
func (v *verifier) between(size int64) string {
	switch {
	case size == v.matched:
		return fmt.Sprintf("checkpoint of size %d", size)
	case size == v.matched+1:
		return fmt.Sprintf("leaf %d", v.matched)
	}
	return fmt.Sprintf("one of the leaves %d to %d", v.matched, size-1)
}

// readBundle checks the leaves of one bundle, and the tiles that become full with them.
func (v *verifier) readBundle(ctx context.Context, n int64) error {
	width := int(min(tileWidth, v.now.Size-n*tileWidth))
	path, bundle, err := readWide(v.cfg.Dir, width, func(width int) string { return bundlePath(n, width) })
	if err != nil {
		return err
	}
	if bundle == nil {
		return finding("entries", path, "it was removed")
	}
	entries, err := ReadBundle(bundle)
	if len(entries) < width {
		return finding("entries", path, "leaf %d is missing: %v", n*tileWidth+int64(len(entries)), cmpOr(err, "the file is too short"))
	}
	entries = entries[:width]
	hashes := make([]tlog.Hash, len(entries))
	for i, e := range entries {
		hashes[i] = tlog.RecordHash(e)
	}
	if err := v.compareLeaves(n, entries, hashes); err != nil {
		return err
	}
	for i, e := range entries {
		leaf, err := v.checkLeaf(v.tree.size, e)
		if err != nil {
			return err
		}
		for _, t := range v.tree.append(hashes[i]) {
			if err := v.compareTile(t); err != nil {
				return err
			}
		}
		v.report.Entries++
		if err := v.advance(); err != nil {
			return err
		}
		if v.objects != nil && leaf.Object != nil {
			v.objects.add(v.tree.size-1, leaf)
		}
	}
	if v.objects != nil {
		return v.objects.check(ctx)
	}
	return nil
}

// compareLeaves compares the hashes of a bundle's leaves with the tile that should have them. When they differ, the
// signed root tells which of the two is not what was written.
func (v *verifier) compareLeaves(n int64, entries [][]byte, hashes []tlog.Hash) error {
	path, b, err := readWide(v.cfg.Dir, len(hashes), func(width int) string { return tilePath(0, n, width) })
	if err != nil {
		return err
	}
	if b == nil {
		return finding("entries", path, "it was removed")
	}
	if len(b) < len(hashes)*tlog.HashSize {
		return finding("entries", path, "it was cut to %d bytes", len(b))
	}
	for i, h := range splitHashes(b)[:len(hashes)] {
		if h == hashes[i] {
			continue
		}
		index := n*tileWidth + int64(i)
		reader := tlog.TileHashReader(tlog.Tree{N: v.now.Size, Hash: v.now.Root}, tileFiles{v.cfg.Dir})
		if _, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, index)}); err != nil {
			return finding("entries", path, "the hash of leaf %d is not the leaf's, and does not lead to the signed root", index)
		}
		leaf, _ := ParseLeaf(entries[i])
		return finding("entries", leaf.name(index), "it was changed: its hash is %s, the log has %s", hexOf(hashes[i]), hexOf(h))
	}
	return nil
}

// compareTile compares a tile that follows from the leaves with the file.
func (v *verifier) compareTile(t tile) error {
	if t.level == 0 {
		return nil // compareLeaves has done it
	}
	path, b, err := readWide(v.cfg.Dir, len(t.hashes), func(width int) string { return tilePath(t.level, t.n, width) })
	if err != nil {
		return err
	}
	if b == nil {
		return finding("entries", path, "it was removed")
	}
	if len(b) < len(t.hashes)*tlog.HashSize {
		return finding("entries", path, "it was cut to %d bytes", len(b))
	}
	for i, h := range splitHashes(b)[:len(t.hashes)] {
		if h != t.hashes[i] {
			return finding("entries", path, "hash %d was changed: it is %s, the leaves below have %s", i, hexOf(h), hexOf(t.hashes[i]))
		}
	}
	return nil
}

// checkLeaf checks what a leaf says against the leaves before it.
func (v *verifier) checkLeaf(index int64, entry []byte) (Leaf, error) {
	leaf, err := ParseLeaf(entry)
	if err != nil {
		return leaf, finding("entries", leaf.name(index), "%v", err)
	}
	if n := leaf.Note; n != nil {
		if last := v.chains[chainID{n.Chain, n.Store}]; n.Chain != "" && n.Ordinal > last.ordinal {
			return leaf, finding("chains", leaf.name(index), "the chain's objects before it in the log end with %d", last.ordinal)
		}
		if v.report.Notes == nil {
			v.report.Notes = map[string]int64{}
		}
		v.report.Notes[n.Kind]++
		return leaf, nil
	}
	id, at, prev, ok := leaf.link()
	if !ok {
		return leaf, nil
	}
	if leaf.Trap != nil {
		if last := v.chains[id]; at.ordinal <= last.ordinal {
			return leaf, finding("chains", leaf.name(index), "event %d of the same feed, rule and plugin is in the log before it", last.ordinal)
		}
		v.report.Traps++
		v.chains[id] = at
		return leaf, nil
	}
	last, noun := v.chains[id], "object"
	if leaf.Rules != nil {
		noun = "revision"
	}
	if at.ordinal != last.ordinal+1 {
		return leaf, finding("chains", leaf.name(index), "the chain's %s before it in the log is %d", noun, last.ordinal)
	}
	if prev != last.sha256 {
		return leaf, finding("chains", leaf.name(index), "it continues %s %q, %s %d has %q", continued(leaf), prev, noun, last.ordinal, last.sha256)
	}
	if leaf.Rules != nil {
		v.report.Revisions++
	} else if last.ordinal == 0 {
		v.report.Chains++
	}
	v.chains[id] = at
	return leaf, nil
}

// continued says what a leaf names its predecessor by.
func continued(leaf Leaf) string {
	if leaf.Rules != nil {
		return "a revision with ID"
	}
	return "an object with sha256"
}

// live reports whether a process has the log open for writing.
func (v *verifier) live() bool {
	f, err := os.Open(v.path(lockFile))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// history reads checkpoints.jsonl as far as it was written when it was opened.
type history struct {
	f     *os.File
	r     *bufio.Reader
	size  int64
	lines int
}

func openHistory(path string) (*history, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &history{}, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &history{f: f, r: bufio.NewReader(io.LimitReader(f, info.Size())), size: info.Size()}, nil
}

// read returns the next line, or nil at the end. A last line without its end is one whose writer was interrupted.
func (h *history) read() (line []byte, number int, err error) {
	if h.r == nil {
		return nil, h.lines, nil
	}
	line, err = h.r.ReadBytes('\n')
	if err == io.EOF {
		return nil, h.lines, nil
	}
	h.lines++
	return line, h.lines, err
}

func (h *history) Close() {
	if h.f != nil {
		h.f.Close()
	}
}

func hexOf(h tlog.Hash) string { return hex.EncodeToString(h[:]) }

func cmpOr(err error, text string) any {
	if err != nil {
		return err
	}
	return text
}
