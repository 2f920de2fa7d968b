package partner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Config says what to pull and where it goes. Store, State and Deliver are required.
type Config struct {
	Store Store
	State string // file that says how far it has come

	// Deliver takes an object that was checked. lines are its records, one a line; they are nil for containers other than
	// JSON Lines, of which body is the stored bytes. nil means that it has them for good. It is called again with the same object
	// when the process dies before State says so: see [Folder] for one that makes nothing of it.
	Deliver func(ctx context.Context, o Object, body, lines []byte) error

	// Log reads the audit log, LogKey is its public key. With them, an object counts only when the log has it.
	Log    LogFiles
	LogKey string

	// Receipt sends what says that an object and all before it are here. It may be called again with the same.
	Receipt func(ctx context.Context, r Receipt) error

	// Begin says with which of its objects a chain begins, by its folder (p=00), when those before it are not in the store any more.
	// It counts for chains of which nothing was pulled yet. Default: with the first.
	Begin map[string]uint64

	// Decode unpacks an object of JSON Lines. Default: [Decode], which knows gzip and no compression.
	Decode func(key string, body []byte) ([]byte, error)

	// Container reads objects that are no JSON Lines (CSV, Parquet), so that their records are checked, too. Default: of these the
	// checksum and the chain are checked.
	Container func(key string) (Container, error)

	Now func() time.Time // default time.Now
}

// Position is how far a chain was pulled.
type Position struct {
	Chain      string `json:"chain"`
	Ordinal    uint64 `json:"ordinal"`
	Key        string `json:"key"`
	SHA256     string `json:"sha256"`
	LastPartNo uint64 `json:"last_part_no"`
	Receipted  uint64 `json:"receipted,omitempty"`
}

// state is the file State.
type state struct {
	Version int                 `json:"version"`
	Store   string              `json:"store"`
	Chains  map[string]Position `json:"chains"` // by folder: p=00/
	Log     LogState            `json:"log"`
}

// Report is what a pull has done.
type Report struct {
	Objects int   `json:"objects"`
	Records int   `json:"records"`
	Bytes   int64 `json:"bytes"`

	Logged bool       `json:"logged"` // each object was found in the audit log
	Ahead  int        `json:"ahead"`  // chains that have objects which the log does not have yet
	Chains []Position `json:"chains"`
}

// Puller pulls one feed. One goroutine uses it.
type Puller struct {
	cfg   Config
	lock  *os.File
	state state
	log   *logReader // nil without a log
}

// ErrState says that the state is damaged, or not about this store. Without it everything is pulled again.
var ErrState = errors.New("the state cannot be used")

// Open reads the state, or begins; an [ErrState] when there is one that it cannot go on from. Nobody else may use the same state until Close.
func Open(cfg Config) (*Puller, error) {
	if cfg.Store == nil || cfg.State == "" || cfg.Deliver == nil || (cfg.Log == nil) != (cfg.LogKey == "") {
		return nil, errors.New("partner: Store, State and Deliver must be set, and Log and LogKey together")
	}
	if cfg.Decode == nil {
		cfg.Decode = Decode
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Puller{cfg: cfg}
	var err error
	if p.lock, err = os.OpenFile(cfg.State+".lock", os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	if err := lockFile(p.lock); err != nil {
		p.lock.Close()
		return nil, fmt.Errorf("state %s: another process uses it: %w", cfg.State, err)
	}
	if err := p.load(); err != nil {
		p.lock.Close()
		return nil, err
	}
	if cfg.Log != nil {
		if p.log, err = newLogReader(cfg.Log, cfg.LogKey, p.state.Log); err != nil {
			p.lock.Close()
			return nil, err
		}
	}
	return p, nil
}

// Close lets the state go.
func (p *Puller) Close() error { return p.lock.Close() }

func (p *Puller) load() error {
	text, err := os.ReadFile(p.cfg.State)
	if errors.Is(err, fs.ErrNotExist) {
		p.state = state{Version: 1, Store: p.cfg.Store.String(), Chains: map[string]Position{}}
		return nil
	}
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := json.Unmarshal(text, &p.state); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrState, p.cfg.State, err)
	}
	if p.state.Version != 1 || p.state.Chains == nil {
		return fmt.Errorf("%w: %s: it has format %d, this program reads 1", ErrState, p.cfg.State, p.state.Version)
	}
	if p.state.Store != p.cfg.Store.String() {
		return fmt.Errorf("%w: %s: it is about %s, not about %s", ErrState, p.cfg.State, p.state.Store, p.cfg.Store)
	}
	return nil
}

func (p *Puller) save() error {
	text, err := json.MarshalIndent(p.state, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(p.cfg.State, append(text, '\n'))
}

// Pull takes all that is new, checks it and delivers it. Its error is a [Fault] when what is there is not what it should be.
func (p *Puller) Pull(ctx context.Context) (r Report, err error) {
	folders, feed, err := p.folders(ctx)
	if err != nil {
		return r, err
	}
	if p.log != nil {
		if err := p.log.refresh(ctx); err != nil {
			return r, err
		}
		r.Logged = true
	}
	var unsent error // of receipts: what is to be had does not wait for them
	for _, folder := range folders {
		if err := p.pull(ctx, folder, &r); err != nil {
			return r, err
		}
		unsent = errors.Join(unsent, p.receipt(ctx, folder))
		if at, ok := p.state.Chains[folder]; ok {
			r.Chains = append(r.Chains, at)
		}
	}
	if err := p.missing(ctx, feed); err != nil {
		return r, err
	}
	return r, unsent
}

// missing finds objects that the log has and the store has not: the newest ones of a chain, or all of them.
func (p *Puller) missing(ctx context.Context, feed string) error {
	if p.log == nil || feed == "" {
		return nil
	}
	at, ok, err := p.log.missing(ctx, p.cfg.Store.String(), feed, func(chain string) uint64 {
		return max(p.ordinal(chain), max(1, p.cfg.Begin["p="+chain[len(feed):]])-1)
	})
	if err != nil || !ok {
		return err
	}
	return fault(at.Key, "the audit log has it as object %d of %s, and it is not in the store", at.Ordinal, at.Chain)
}

// folders returns those of the feed's chains, as the first one says how many there are, and what their names begin with; none while
// nothing was delivered.
func (p *Puller) folders(ctx context.Context) (folders []string, feed string, err error) {
	text, ok, err := p.cfg.Store.Get(ctx, "p=00/chain.json")
	if err != nil {
		return nil, "", err
	}
	if !ok {
		if len(p.state.Chains) > 0 {
			return nil, "", fault("p=00/chain.json", "it was removed")
		}
		return nil, "", nil
	}
	var pin struct {
		Version    int    `json:"version"`
		Chain      string `json:"chain"`
		Partitions int    `json:"partitions"`
	}
	if err := json.Unmarshal(text, &pin); err != nil || pin.Version != 1 || pin.Partitions > 1000 {
		return nil, "", fault("p=00/chain.json", "it does not describe a chain (%v)", err)
	}
	for i := range max(1, pin.Partitions) {
		folders = append(folders, fmt.Sprintf("p=%02d/", i))
	}
	for _, folder := range slices.Sorted(maps.Keys(p.state.Chains)) {
		if !slices.Contains(folders, folder) {
			return nil, "", fault("p=00/chain.json", "it says that there are %d chains, and %s was pulled before", len(folders), folder)
		}
	}
	if at, ok := p.state.Chains["p=00/"]; ok {
		pin.Chain = at.Chain
	}
	return folders, feedOf(pin.Chain), nil
}

// pull takes what is new of one chain.
func (p *Puller) pull(ctx context.Context, folder string, r *Report) error {
	after := p.state.Chains[folder].Key
	for {
		var keys []string
		err := p.cfg.Store.List(ctx, folder+"dt=", after, func(key string, _ int64) bool {
			if objectKey.MatchString(key) {
				keys = append(keys, key)
			}
			return len(keys) < 500
		})
		if err != nil || len(keys) == 0 {
			return err
		}
		for _, key := range keys {
			o, is, waits, err := p.take(ctx, folder, key)
			if err != nil {
				return err
			}
			if waits {
				r.Ahead++
				return nil
			}
			if is {
				r.Objects, r.Records, r.Bytes = r.Objects+1, r.Records+o.Records, r.Bytes+o.Bytes
			}
			after = key
		}
	}
}

// take checks one object, delivers it and writes down that it did.
func (p *Puller) take(ctx context.Context, folder, key string) (o Object, is, waits bool, err error) {
	meta, size, ok, err := p.cfg.Store.Head(ctx, key)
	if err != nil || !ok {
		return o, false, false, err
	}
	if o, is, err = parseObject(key, size, meta); err != nil || !is {
		return o, is, false, err
	}
	at := p.state.Chains[folder]
	if begin := p.cfg.Begin[strings.TrimSuffix(folder, "/")]; at.Ordinal == 0 && begin > 1 {
		if o.Ordinal < begin {
			return o, false, false, nil
		}
		at = o.begins(begin)
	}
	if err := o.follows(at); err != nil {
		return o, false, false, err
	}
	logState := p.state.Log
	if p.log != nil {
		in, ok, err := p.log.find(ctx, p.cfg.Store.String(), o)
		if err != nil || !ok {
			return o, false, !ok, err
		}
		if in.SHA256 != o.SHA256 || in.Key != o.Key || in.Bytes != o.Bytes || in.Records != o.Records || in.Root != o.RecordsRoot {
			return o, false, false, fault(key, "the audit log has it as %s with %d bytes, %d records and sha256 %s", in.Key, in.Bytes, in.Records, in.SHA256)
		}
	}
	body, ok, err := p.cfg.Store.Get(ctx, key)
	if err != nil {
		return o, false, false, err
	}
	if !ok {
		return o, false, false, fault(key, "it was removed")
	}
	lines, err := o.holds(body, &p.cfg)
	if err != nil {
		return o, false, false, err
	}
	if err := p.cfg.Deliver(ctx, o, body, lines); err != nil {
		return o, false, false, fmt.Errorf("deliver %s: %w", key, err)
	}
	p.state.Chains[folder] = Position{Chain: o.Chain, Ordinal: o.Ordinal, Key: key, SHA256: o.SHA256, LastPartNo: o.LastPartNo, Receipted: at.Receipted}
	if p.log != nil {
		logState = p.log.done(p.ordinal)
	}
	p.state.Log = logState
	return o, true, false, p.save()
}

// ordinal returns how far a chain was pulled.
func (p *Puller) ordinal(chain string) uint64 {
	for _, at := range p.state.Chains {
		if at.Chain == chain {
			return at.Ordinal
		}
	}
	return 0
}

// receipt sends one for all that was taken.
func (p *Puller) receipt(ctx context.Context, folder string) error {
	at := p.state.Chains[folder]
	if p.cfg.Receipt == nil || at.Receipted >= at.Ordinal {
		return nil
	}
	r := Receipt{Chain: at.Chain, Ordinal: at.Ordinal, Key: at.Key, SHA256: at.SHA256, Time: p.cfg.Now()}
	if err := p.cfg.Receipt(ctx, r); err != nil {
		return fmt.Errorf("receipt of %s: %w", at.Key, err)
	}
	at.Receipted = at.Ordinal
	p.state.Chains[folder] = at
	return p.save()
}

// Folder returns a Deliver that writes each object into a file below dir, under its key without what says how it is
// compressed. A file appears whole, and the same one as often as the object comes: each record is there once.
func Folder(dir string) func(ctx context.Context, o Object, body, lines []byte) error {
	return func(_ context.Context, o Object, body, lines []byte) error {
		name := o.Key
		if lines != nil || o.Records == 0 && strings.Contains(name, ".jsonl") {
			name, body = name[:strings.Index(name, ".jsonl")]+".jsonl", lines
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := makeDir(filepath.Dir(path)); err != nil {
			return err
		}
		return writeFile(path, body)
	}
}

// writeFile replaces a file so that a crash leaves the old one or the new one.
func writeFile(path string, content []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// makeDir makes a folder that survives a crash, with those above it.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
