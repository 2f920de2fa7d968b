package audit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/durable"
)

// Codes of errors that a person has to act on.
const (
	codeInUse    = "CDCD-4501"
	codeKey      = "CDCD-4502"
	codeRollback = "CDCD-4503"
	codeDamaged  = "CDCD-4504"
	codeGap      = "CDCD-4505"
	codeConflict = "CDCD-4506"
	codeLeaf     = "CDCD-4507"
	codeDisk     = "CDCD-4508"
	codeNoLog    = "CDCD-4509"
)

// Names of files in the log's folder.
const (
	checkpointFile = "checkpoint"
	historyFile    = "checkpoints.jsonl"
	headsFile      = "heads.json"
	idsFile        = "notes.idx"
	lockFile       = "lock"
)

// AnchorFile returns where the newest checkpoint is kept a second time.
func AnchorFile(keyFile string) string { return keyFile + ".checkpoint" }

// Config says where the log is and who signs it. Dir, KeyFile and Origin are required.
type Config struct {
	Dir     string // made on first start
	KeyFile string // private key, made on first start; beside it are <KeyFile>.pub and <KeyFile>.checkpoint
	Origin  string // names the log in checkpoints, e.g. "cdcd/shop"; without space or plus, never to be changed

	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: nothing is logged
}

// Log is an open log, of which the process is the only writer. Its methods may be called by many goroutines at once.
type Log struct {
	cfg    Config
	disk   *durable.Disk
	signer note.Signer
	public string
	lock   *os.File

	// writing is held by the goroutine that commits, or closes; it guards these.
	writing     chan struct{}
	tree        *tree
	bundle      []byte // the entries that are not a full bundle yet
	ids         *idIndex
	historySize int64 // bytes in checkpoints.jsonl that are whole lines
	previous    int64 // size before the last commit, whose partial tiles are kept for those who are reading them
	stale       bool  // a commit has failed: the disk has to be looked at again

	mu      sync.Mutex // guards these
	waiting []*request // not taken by a commit yet
	heads   map[chainID]head
	signed  []byte // the newest checkpoint
	closed  bool
}

// chainID tells chains apart: a feed that is delivered to another store begins anew there.
type chainID struct{ chain, store string }

// head is the last logged object of a chain.
type head struct {
	ordinal uint64
	sha256  string
}

// request is one call of Object, Rules, Trap or Note.
type request struct {
	leaf Leaf // without its time
	done chan struct{}
	err  error // set before done is closed
}

// Open opens the log, makes it if there is none, and finishes what a crash has interrupted. It refuses a log that is
// older than the checkpoint beside the key, or that does not fit its own checkpoint.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if cfg.Dir == "" || cfg.KeyFile == "" || cfg.Origin == "" || strings.ContainsAny(cfg.Origin, "+ \t\r\n") {
		return nil, fmt.Errorf("open audit log: folder %q, key file %q and origin %q must be set", cfg.Dir, cfg.KeyFile, cfg.Origin)
	}
	return open(ctx, cfg, durable.New())
}

func open(ctx context.Context, cfg Config, d *durable.Disk) (*Log, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Log{cfg: cfg, disk: d, writing: make(chan struct{}, 1)}
	if err := d.MakeDir(cfg.Dir); err != nil {
		return nil, explain(fmt.Errorf("open audit log: %w", err))
	}
	var err error
	if l.lock, err = lock(l.path(lockFile)); err != nil {
		return nil, err
	}
	if err := l.start(ctx); err != nil {
		l.ids.close()
		unlock(l.lock)
		return nil, explain(fmt.Errorf("open audit log %s: %w", cfg.Dir, err))
	}
	return l, nil
}

func (l *Log) start(ctx context.Context) (err error) {
	if err := l.guardKey(); err != nil {
		return err
	}
	if l.signer, l.public, err = loadKey(l.disk, l.cfg.KeyFile, l.cfg.Origin); err != nil {
		return err
	}
	return l.load(ctx)
}

func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, explain(fmt.Errorf("open audit log: %w", err))
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, cdc.Errorf(codeInUse, "audit log %s: another process writes it: %w", filepath.Dir(path), err).
			WithFix("stop the other cdcd, or give this one its own audit.dir")
	}
	return f, nil
}

// unlock says so, instead of only closing the file: a child process that is just being started has it open, too.
func unlock(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}

// guardKey refuses to make a new key for an old log.
func (l *Log) guardKey() error {
	if _, err := os.Stat(l.cfg.KeyFile); !errors.Is(err, fs.ErrNotExist) {
		return nil // loadKey looks at it
	}
	for _, old := range []string{l.path(checkpointFile), AnchorFile(l.cfg.KeyFile)} {
		if _, err := os.Stat(old); err == nil {
			return cdc.Errorf(codeKey, "there is no audit key %s, but there is %s that was signed with it", l.cfg.KeyFile, old).
				WithFix("restore the key file from a backup")
		}
	}
	return nil
}

func (l *Log) path(name string) string { return filepath.Join(l.cfg.Dir, filepath.FromSlash(name)) }

// PublicKey returns the key that checkpoints are verified with, as it stands in the .pub file.
func (l *Log) PublicKey() string { return l.public }

// Checkpoint returns the newest signed checkpoint.
func (l *Log) Checkpoint() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.signed
}

// Head returns the ordinal and SHA256 of the last object in the log of a chain in a store ("s3://bucket/prefix"); 0 and ""
// when there is none.
func (l *Log) Head(chain, store string) (ordinal uint64, sha256 string) {
	h := l.head(chainID{chain, store})
	return h.ordinal, h.sha256
}

func (l *Log) head(id chainID) head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heads[id]
}

// Object appends the leaf of an object. nil means that it is durable and under a signed checkpoint; this takes a few
// syncs of the disk, which calls that come at the same time share.
//
// Objects of a chain come in the order of their ordinals, from 1. One that is in the log already is no error and changes
// nothing; one that is in it with another SHA256, or that does not name its predecessor's, is CDCD-4506; one whose
// predecessor is missing is CDCD-4505. Chains of one name in several stores are different chains. After any other error, or when ctx ended, it is not known whether the object is
// in the log, and the call can be repeated.
func (l *Log) Object(ctx context.Context, o cdc.Object) error {
	return l.log(ctx, Leaf{Type: TypeObject, Object: &o})
}

// Rules appends the leaf of a publication of rules, in the order of the revisions, from 1. All that is said of [Log.Object]
// holds; names and reasons that are too long for a leaf are cut.
func (l *Log) Rules(ctx context.Context, r Rules) error {
	r = r.fit()
	return l.log(ctx, Leaf{Type: TypeRules, Rules: &r})
}

// Trap appends the leaf of a change that a plugin could not judge. Such changes of one feed, rule and plugin come in the
// order of their numbers; one that is in the log already, since it was judged again, is no error and changes nothing.
func (l *Log) Trap(ctx context.Context, t Trap) error {
	t = t.fit()
	return l.log(ctx, Leaf{Type: TypeTrap, Trap: &t})
}

// Revision returns the last revision of a rule store that is in the log, 0 if there is none.
func (l *Log) Revision(store string) uint64 {
	no, _ := l.Head("", store)
	return no
}

func (l *Log) log(ctx context.Context, leaf Leaf) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("log %s: %w", leaf.what(), err)
	}
	r := &request{leaf: leaf, done: make(chan struct{})}
	l.mu.Lock()
	l.waiting = append(l.waiting, r)
	l.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("log %s: %w", leaf.what(), ctx.Err())
	case l.writing <- struct{}{}:
	}
	defer func() { <-l.writing }()

	// Whoever comes first commits for all that wait, perhaps also for us.
	l.mu.Lock()
	all := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	l.commit(context.WithoutCancel(ctx), all)
	<-r.done
	return r.err
}

// Close lets the log go. Calls of Object that come later fail.
func (l *Log) Close() error {
	l.writing <- struct{}{}
	defer func() { <-l.writing }()
	l.mu.Lock()
	was := l.closed
	l.closed = true
	l.mu.Unlock()
	if was {
		return nil
	}
	if !l.stale {
		l.saveHeads()
	}
	l.ids.close()
	return unlock(l.lock)
}

// commit appends what the requests ask for and answers them. The caller holds writing.
func (l *Log) commit(ctx context.Context, all []*request) {
	if len(all) == 0 {
		return
	}
	err := l.append(ctx, all)
	if err != nil {
		l.stale = true
	}
	for _, r := range all {
		if r.err == nil && err != nil {
			r.err = explain(fmt.Errorf("log %s: %w", r.leaf.what(), err))
		}
		close(r.done)
	}
}

// append does the work of commit. The error is that of all requests that have none of their own.
func (l *Log) append(ctx context.Context, all []*request) error {
	if l.isClosed() {
		return errors.New("the audit log is closed")
	}
	if l.stale {
		if err := l.load(ctx); err != nil {
			return err
		}
		l.stale = false
	}
	var (
		tree   = l.tree.clone()
		bundle = append([]byte(nil), l.bundle...)
		fresh  = map[chainID]head{} // heads that the new leaves make
		added  []Leaf
		filled bool
		now    = l.cfg.Now()
	)
	for _, r := range all {
		isNew, err := l.judge(ctx, r.leaf, fresh, added)
		if err != nil || !isNew {
			r.err = err
			continue
		}
		r.leaf.Time = now
		entry, err := r.leaf.encode()
		if err != nil {
			r.err = cdc.Errorf(codeLeaf, "log %s: %w", r.leaf.what(), err)
			continue
		}
		added = append(added, r.leaf)
		enter(fresh, r.leaf, func(id chainID) head {
			if h, ok := fresh[id]; ok {
				return h
			}
			return l.head(id)
		})
		bundle = appendEntry(bundle, entry)
		for _, t := range tree.append(tlog.RecordHash(entry)) {
			if err := l.disk.Put(l.path(t.path()), t.bytes(), 0o644); err != nil {
				return err
			}
			if t.level == 0 {
				if err := l.disk.Put(l.path(bundlePath(t.n, tileWidth)), bundle, 0o644); err != nil {
					return err
				}
				bundle, filled = nil, true
			}
		}
	}
	if len(added) == 0 {
		return nil
	}
	old := map[string]bool{}
	for _, t := range l.tree.partial() {
		old[t.path()] = true
	}
	for _, t := range tree.partial() {
		if old[t.path()] {
			continue
		}
		if err := l.disk.Put(l.path(t.path()), t.bytes(), 0o644); err != nil {
			return err
		}
	}
	if len(bundle) > 0 {
		if err := l.disk.Put(l.path(bundlePath(tree.size/tileWidth, int(tree.size%tileWidth))), bundle, 0o644); err != nil {
			return err
		}
	}
	if err := l.disk.Flush(); err != nil {
		return err
	}
	if err := l.publish(tree); err != nil {
		return err
	}

	before, first := l.previous, l.tree.size
	l.previous, l.tree, l.bundle = l.tree.size, tree, bundle
	l.mu.Lock()
	maps.Copy(l.heads, fresh)
	l.mu.Unlock()
	l.prune(before)
	for i, leaf := range added {
		if leaf.Note == nil {
			continue
		}
		if err := l.ids.add(leaf.Note.print(), first+int64(i)); err != nil {
			l.cfg.Logger.Warn("audit log: the index of notes is brought up to date later", "event", "audit.ids_not_saved", "err", err)
			l.stale = true
			return nil
		}
	}
	if filled {
		l.saveHeads()
	}
	return nil
}

// judge says whether a leaf is to be appended, or is in the log already.
func (l *Log) judge(ctx context.Context, leaf Leaf, fresh map[chainID]head, added []Leaf) (isNew bool, err error) {
	switch {
	case leaf.Rules != nil:
		return l.judgeRules(*leaf.Rules, fresh)
	case leaf.Trap != nil:
		return l.judgeTrap(leaf.Trap, fresh)
	case leaf.Note != nil:
		return l.judgeNote(ctx, leaf.Note, fresh, added)
	}
	o := *leaf.Object
	last, ok := fresh[chainID{o.Chain, o.Store}]
	if !ok {
		last.ordinal, last.sha256 = l.Head(o.Chain, o.Store)
	}
	switch {
	case o.Chain == "" || o.Ordinal == 0 || o.SHA256 == "":
		return false, fmt.Errorf("log object %s: chain %q, ordinal %d and sha256 %q must be set", o.Key, o.Chain, o.Ordinal, o.SHA256)
	case o.Ordinal > last.ordinal+1:
		return false, cdc.Errorf(codeGap, "chain %s: object %d can't be logged, the log ends at object %d", o.Chain, o.Ordinal, last.ordinal).
			WithFix("start cdcd again: it logs the objects that are missing")
	case o.Ordinal == last.ordinal+1 && o.Prev != last.sha256:
		return false, cdc.Errorf(codeConflict, "chain %s: object %d continues %.12s…, the log has %.12s… as object %d",
			o.Chain, o.Ordinal, o.Prev, last.sha256, last.ordinal).WithFix("cdcd audit verify --objects")
	case o.Ordinal == last.ordinal+1:
		return true, nil
	}
	have := last.sha256
	if o.Ordinal < last.ordinal {
		if have, err = l.find(ctx, o, added); err != nil {
			return false, fmt.Errorf("log object %s: %w", o.Key, err)
		}
	}
	if have != o.SHA256 {
		return false, cdc.Errorf(codeConflict, "chain %s: object %d is %.12s…, the log has %.12s… under this number",
			o.Chain, o.Ordinal, o.SHA256, have).WithFix("cdcd audit verify --objects")
	}
	return false, nil
}

// judgeRules does it for a publication. Of older revisions nothing is compared: the ID of the last is over all of them.
func (l *Log) judgeRules(r Rules, fresh map[chainID]head) (isNew bool, err error) {
	last, ok := fresh[chainID{"", r.Store}]
	if !ok {
		last.ordinal, last.sha256 = l.Head("", r.Store)
	}
	switch {
	case r.Store == "" || r.Revision == 0 || r.ID == "":
		return false, fmt.Errorf("log rules: store %q, revision %d and ID %q must be set", r.Store, r.Revision, r.ID)
	case r.Revision > last.ordinal+1:
		return false, cdc.Errorf(codeGap, "%s: revision %d can't be logged, the log ends at revision %d", r.Store, r.Revision, last.ordinal).
			WithFix("start cdcd again: it logs the revisions that are missing")
	case r.Revision == last.ordinal+1 && r.Prev != last.sha256, r.Revision == last.ordinal && r.ID != last.sha256:
		return false, cdc.Errorf(codeConflict, "%s: revision %d.%s continues %q, the log has revision %d.%s",
			r.Store, r.Revision, r.ID, r.Prev, last.ordinal, last.sha256).WithFix("restore the rule store from a copy; `cdcd rules history` shows what it holds")
	}
	return r.Revision == last.ordinal+1, nil
}

// judgeTrap does it for a change that a plugin could not judge.
func (l *Log) judgeTrap(t *Trap, fresh map[chainID]head) (isNew bool, err error) {
	if t.Plugin == "" || t.Digest == "" || t.Rule == "" || t.PartNo == 0 {
		return false, fmt.Errorf("log trap: plugin %q, digest %q, rule %q and event %d must be set", t.Plugin, t.Digest, t.Rule, t.PartNo)
	}
	last, ok := fresh[chainID{"", t.line()}]
	if !ok {
		last.ordinal, _ = l.Head("", t.line())
	}
	return t.PartNo > last.ordinal, nil
}

// find looks for an older object, from the end of the log on.
func (l *Log) find(ctx context.Context, wanted cdc.Object, added []Leaf) (sha256 string, err error) {
	is := func(o *cdc.Object) bool {
		return o != nil && o.Chain == wanted.Chain && o.Store == wanted.Store && o.Ordinal == wanted.Ordinal
	}
	for i := range added {
		if is(added[i].Object) {
			return added[i].Object.SHA256, nil
		}
	}
	for end := l.tree.size; end > 0; end = (end - 1) / tileWidth * tileWidth {
		err := replay(ctx, l.cfg.Dir, (end-1)/tileWidth*tileWidth, end, func(_ int64, leaf Leaf) {
			if is(leaf.Object) {
				sha256 = leaf.Object.SHA256
			}
		})
		if err != nil || sha256 != "" {
			return sha256, err
		}
	}
	return "", cdc.Errorf(codeDamaged, "the log has no object %d of %s, but a later one", wanted.Ordinal, wanted.Chain).WithFix("cdcd audit verify")
}

// publish signs the tree's checkpoint and makes it the log's newest.
func (l *Log) publish(t *tree) error {
	signed, err := note.Sign(&note.Note{Text: Checkpoint{Origin: l.cfg.Origin, Size: t.size, Root: t.root()}.Text()}, l.signer)
	if err != nil {
		return fmt.Errorf("sign checkpoint: %w", err)
	}
	if err := l.disk.Replace(l.path(checkpointFile), signed, 0o644); err != nil {
		return err
	}
	return l.announce(signed)
}

// announce writes down a checkpoint in the places that follow the file checkpoint.
func (l *Log) announce(signed []byte) error {
	if err := l.disk.Replace(AnchorFile(l.cfg.KeyFile), signed, 0o644); err != nil {
		return err
	}
	line := historyLine{l.cfg.Now().UTC(), string(signed)}.encode()
	if err := l.disk.Append(l.path(historyFile), l.historySize, line, 0o644); err != nil {
		return err
	}
	l.historySize += int64(len(line))
	l.mu.Lock()
	l.signed = signed
	l.mu.Unlock()
	return nil
}

// load reads where the log stands, checks that its parts fit together, and finishes what was interrupted.
func (l *Log) load(ctx context.Context) error {
	l.disk.Abandon()
	l.ids.close()
	l.ids = nil
	l.tree, l.bundle, l.previous = &tree{}, nil, 0
	anchor, err := readIfThere(AnchorFile(l.cfg.KeyFile))
	if err != nil {
		return err
	}
	signed, err := readIfThere(l.path(checkpointFile))
	if err != nil {
		return err
	}
	last, err := l.loadHistory()
	if err != nil {
		return err
	}
	if signed == nil {
		if anchor != nil || last != nil {
			return rollback("there is no checkpoint, but there was one")
		}
		l.setHeads(map[chainID]head{})
		if l.ids, err = newIDs(l.path(idsFile), firstPages); err != nil {
			return err
		}
		l.cfg.Logger.Info("new audit log", "event", "audit.created", "dir", l.cfg.Dir, "key", strings.TrimSpace(l.public))
		return l.publish(l.tree)
	}

	now, err := OpenCheckpoint(signed, l.public)
	if err != nil {
		return damaged("%s: %v", checkpointFile, err)
	}
	if l.tree, err = loadTree(now.Size, l.readTile); err != nil {
		return err
	}
	if l.tree.root() != now.Root {
		return damaged("the tiles do not have the root that the checkpoint of size %d has", now.Size)
	}
	for name, other := range map[string][]byte{AnchorFile(l.cfg.KeyFile): anchor, historyFile: last} {
		if other == nil {
			continue
		}
		c, err := OpenCheckpoint(other, l.public)
		if err != nil {
			return damaged("%s: %v", name, err)
		}
		if c.Size > now.Size {
			return rollback("%s has a checkpoint of size %d, the log has one of size %d", name, c.Size, now.Size)
		}
		if root, err := l.rootAt(c.Size); err != nil || root != c.Root {
			return rollback("%s has a checkpoint of size %d that is not of this log (%v)", name, c.Size, err)
		}
	}
	if err := l.loadBundle(); err != nil {
		return err
	}
	if err := l.loadIDs(); err != nil {
		return err
	}
	if err := l.loadHeads(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	l.signed = signed
	l.mu.Unlock()
	if string(anchor) != string(signed) || string(last) != string(signed) {
		if err := l.announce(signed); err != nil {
			return err
		}
	}
	l.previous = l.tree.size
	l.prune(l.tree.size)
	return nil
}

func (l *Log) readTile(level int, n int64, width int) ([]tlog.Hash, error) {
	path := tilePath(level, n, width)
	b, err := os.ReadFile(l.path(path))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(b) != width*tlog.HashSize {
		return nil, damaged("%s is not there or not whole", path)
	}
	return splitHashes(b), err
}

// rootAt returns the root that the tree had at a smaller size, out of tiles that are checked against the present root.
func (l *Log) rootAt(size int64) (tlog.Hash, error) {
	if size == l.tree.size {
		return l.tree.root(), nil
	}
	return tlog.TreeHash(size, tlog.TileHashReader(tlog.Tree{N: l.tree.size, Hash: l.tree.root()}, tileFiles{l.cfg.Dir}))
}

// loadBundle reads the bundle that is to be continued, and checks it: it will be written anew with every leaf.
func (l *Log) loadBundle() error {
	width := int(l.tree.size % tileWidth)
	if width == 0 {
		return nil
	}
	path := bundlePath(l.tree.size/tileWidth, width)
	bundle, err := os.ReadFile(l.path(path))
	if errors.Is(err, fs.ErrNotExist) {
		return damaged("%s is not there", path)
	}
	if err != nil {
		return err
	}
	entries, err := ReadBundle(bundle)
	if err != nil || len(entries) != width {
		return damaged("%s has %d entries of %d (%v)", path, len(entries), width, err)
	}
	for i, e := range entries {
		if tlog.RecordHash(e) != l.tree.edge[0][i] {
			return damaged("%s: entry %d is not what was logged", path, i)
		}
	}
	l.bundle = bundle
	return nil
}

// loadHistory finds the end of checkpoints.jsonl and returns its last checkpoint, or nil. A line that was not written to
// the end does not count.
func (l *Log) loadHistory() (last []byte, err error) {
	l.historySize = 0
	f, err := os.Open(l.path(historyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	tail := make([]byte, min(info.Size(), 64<<10)) // a line has a few hundred bytes
	if _, err := f.ReadAt(tail, info.Size()-int64(len(tail))); err != nil {
		return nil, err
	}
	text, _, ok := cutLast(string(tail), "\n")
	if !ok {
		return nil, nil
	}
	l.historySize = info.Size() - int64(len(tail)) + int64(len(text)) + 1
	if _, line, ok := cutLast(text, "\n"); ok {
		text = line
	}
	var h historyLine
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return nil, damaged("%s: the last line: %v", historyFile, err)
	}
	return []byte(h.Checkpoint), nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// savedHeads is what heads.json holds: a cache, believed if the log had the root at the size.
type savedHeads struct {
	Size  int64       `json:"size"`
	Root  tlog.Hash   `json:"root"`
	Heads []savedHead `json:"heads"`
}

type savedHead struct {
	Chain   string `json:"chain"`
	Store   string `json:"store"`
	Ordinal uint64 `json:"ordinal"`
	SHA256  string `json:"sha256"`
}

// loadHeads takes the chains' heads from the cache, and what came after it from the log.
func (l *Log) loadHeads(ctx context.Context) error {
	saved := savedHeads{}
	text, err := os.ReadFile(l.path(headsFile))
	usable := err == nil && json.Unmarshal(text, &saved) == nil && saved.Size >= 0 && saved.Size <= l.tree.size
	if usable {
		root, err := l.rootAt(saved.Size)
		usable = err == nil && root == saved.Root
	}
	if !usable {
		saved = savedHeads{}
	}
	heads := map[chainID]head{}
	for _, h := range saved.Heads {
		heads[chainID{h.Chain, h.Store}] = head{h.Ordinal, h.SHA256}
	}
	from := min(saved.Size, l.ids.size)
	if behind := l.tree.size - from; behind > 100_000 {
		l.cfg.Logger.Info("reading the audit log to find the chains' heads", "event", "audit.replay", "leaves", behind)
	}
	var unkept error
	err = replay(ctx, l.cfg.Dir, from, l.tree.size, func(index int64, leaf Leaf) {
		enter(heads, leaf, func(id chainID) head { return heads[id] })
		if leaf.Note != nil && unkept == nil {
			unkept = l.ids.add(leaf.Note.print(), index)
		}
	})
	switch {
	case err != nil:
		return err
	case errors.Is(unkept, errIDs) && from > 0:
		return l.renewIDs(ctx)
	case unkept != nil:
		return unkept
	}
	l.setHeads(heads)
	return nil
}

// loadIDs opens the index of notes. One that is of another log, or of more than there is, is begun anew.
func (l *Log) loadIDs() (err error) {
	if l.ids, err = openIDs(l.path(idsFile)); err != nil {
		return err
	}
	usable := l.ids.size <= l.tree.size
	if usable {
		root, err := l.rootAt(l.ids.size)
		usable = err == nil && root == l.ids.root
	}
	if !usable {
		l.ids.close()
		l.ids, err = newIDs(l.path(idsFile), firstPages)
	}
	return err
}

// renewIDs makes the index of notes again by reading the log.
func (l *Log) renewIDs(ctx context.Context) (err error) {
	l.cfg.Logger.Warn("audit log: the index of notes is damaged and made again", "event", "audit.ids_renewed", "leaves", l.tree.size)
	l.ids.close()
	if l.ids, err = newIDs(l.path(idsFile), firstPages); err != nil {
		return err
	}
	return l.loadHeads(ctx)
}

// saveHeads writes the cache. It need not succeed, and need not be durable.
func (l *Log) saveHeads() {
	saved := savedHeads{Size: l.tree.size, Root: l.tree.root()}
	l.mu.Lock()
	for id, h := range l.heads {
		saved.Heads = append(saved.Heads, savedHead{id.chain, id.store, h.ordinal, h.sha256})
	}
	l.mu.Unlock()
	slices.SortFunc(saved.Heads, func(a, b savedHead) int {
		return cmp.Or(cmp.Compare(a.Chain, b.Chain), cmp.Compare(a.Store, b.Store))
	})
	text, err := json.Marshal(saved)
	if err == nil {
		err = l.disk.Put(l.path(headsFile), append(text, '\n'), 0o644)
	}
	if err == nil {
		err = l.ids.save(l.tree.size, l.tree.root())
	}
	if err != nil {
		l.cfg.Logger.Warn("audit log: the heads of the chains were not saved; the next start takes longer", "event", "audit.heads_not_saved", "err", err)
	}
}

func (l *Log) setHeads(heads map[chainID]head) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heads = heads
}

func (l *Log) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// prune removes partial tiles and bundles that no recent checkpoint needs. What can't be removed is in nobody's way.
func (l *Log) prune(before int64) {
	sizes := []int64{before, l.previous, l.tree.size}
	for level := range len(l.tree.edge) {
		count := func(size int64) int64 { return size >> (tileHeight * level) }
		tiles := map[int64]bool{}
		for _, size := range sizes {
			n := count(size) / tileWidth
			tiles[n], tiles[max(n-1, 0)] = true, true
		}
		for n := range tiles {
			dirs := []string{filepath.Dir(l.path(tilePath(level, n, 0)))}
			if level == 0 {
				dirs = append(dirs, filepath.Dir(l.path(bundlePath(n, 0))))
			}
			for _, dir := range dirs {
				l.pruneDir(dir, func(width int64) bool {
					for _, size := range sizes[1:] {
						if count(size)/tileWidth == n && count(size)%tileWidth == width {
							return true
						}
					}
					return false
				})
			}
		}
	}
}

func (l *Log) pruneDir(dir string, keep func(width int64) bool) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	left := len(files)
	for _, f := range files {
		if width, err := strconv.ParseInt(f.Name(), 10, 64); err == nil && keep(width) {
			continue
		}
		if l.disk.Remove(filepath.Join(dir, f.Name())) == nil {
			left--
		}
	}
	if left == 0 && l.disk.Remove(dir) == nil {
		l.disk.Forget(dir)
	}
}

// replay reads the leaves from one index up to another.
func replay(ctx context.Context, dir string, from, to int64, do func(index int64, leaf Leaf)) error {
	return readEntries(ctx, dir, from, to, func(index int64, entry []byte) error {
		leaf, err := ParseLeaf(entry)
		if err != nil {
			return damaged("leaf %d: %v", index, err)
		}
		do(index, leaf)
		return nil
	})
}

// readEntries reads the entries from one index up to another.
func readEntries(ctx context.Context, dir string, from, to int64, do func(index int64, entry []byte) error) error {
	for n := from / tileWidth; n*tileWidth < to; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		width := int(min(tileWidth, to-n*tileWidth))
		path, bundle, err := readWide(dir, width, func(width int) string { return bundlePath(n, width) })
		if err != nil {
			return err
		}
		entries, err := ReadBundle(bundle)
		if len(entries) < width {
			return damaged("%s has %d entries of %d (%v)", path, len(entries), width, err)
		}
		for i, e := range entries[:width] {
			if index := n*tileWidth + int64(i); index >= from {
				if err := do(index, e); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// readWide reads a tile or bundle of at least that width: that one, the full one, or any that is wider, since a log that
// has grown keeps only the newest. When there is none, data is nil, without an error.
func readWide(dir string, width int, path func(width int) string) (name string, data []byte, err error) {
	at := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	for range 100 { // as often as the log grows between looking for a file and reading it
		names := []string{path(width)}
		seen := false // one that would do was there when we looked
		if width < tileWidth {
			others, err := os.ReadDir(filepath.Dir(at(path(width))))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return path(width), nil, err
			}
			for _, f := range others {
				if w, err := strconv.Atoi(f.Name()); err == nil && w >= width && w < tileWidth {
					names, seen = append(names, path(w)), true
				}
			}
			names = append(names, path(tileWidth)) // last, because a partial one gives way to it
		}
		for _, name := range names {
			data, err := os.ReadFile(at(name))
			if err == nil {
				return name, data, nil
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return name, nil, err
			}
		}
		if !seen {
			break
		}
	}
	return path(width), nil, nil
}

// tileFiles reads tiles for package tlog, which checks them.
type tileFiles struct{ dir string }

func (tileFiles) Height() int { return tileHeight }

func (t tileFiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, want := range tiles {
		path, b, err := readWide(t.dir, want.W, func(width int) string { return tilePath(want.L, want.N, width) })
		if err != nil {
			return nil, err
		}
		if len(b) < want.W*tlog.HashSize {
			return nil, damaged("%s is not there or not whole", path)
		}
		out[i] = b[:want.W*tlog.HashSize]
	}
	return out, nil
}

func (tileFiles) SaveTiles([]tlog.Tile, [][]byte) {}

func readIfThere(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

func damaged(format string, args ...any) error {
	return cdc.Errorf(codeDamaged, format, args...).WithFix("cdcd audit verify tells more; restore the folder from a backup")
}

func rollback(format string, args ...any) error {
	return cdc.Errorf(codeRollback, format, args...).WithFix("restore the newest state of the audit folder; see `cdcd errors %s`", codeRollback)
}

// explain gives what a person has to mend its code.
func explain(err error) error {
	var coded *cdc.Error
	fix := ""
	switch {
	case errors.As(err, &coded):
		return err
	case errors.Is(err, fs.ErrPermission):
		fix = "give the user that runs cdcd the right to write there"
	case errors.Is(err, syscall.EROFS):
		fix = "mount the file system writable"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		fix = "make room on the file system"
	default:
		return err
	}
	return (&cdc.Error{Code: codeDisk, What: err.Error(), Err: err}).WithFix("%s", fix)
}
