package chain

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// ManifestKey is the key of the manifest of an object: JSON that says what its metadata say, and which tables and rules its
// records are about. It is put after the object and before anybody is told of it.
func ManifestKey(key string) string { return key + ".manifest.json" }

// The metadata that a manifest is made of, besides those that every object has. All of a manifest is in metadata and in the
// context that they name, so that it can be made later, by another process, if the one that put the object has died.
const (
	metaContext = "cdcd-context"  // digest of the context
	metaFirstID = "cdcd-first-id" // of the first record
	metaLastID  = "cdcd-last-id"
	metaPrevKey = "cdcd-prev-key" // of the chain's previous object
)

// about is what a draft's manifest will tell of its records.
type about struct {
	tables          []shownTable
	rules           []cdc.RuleMatch // name and version only
	seen            map[[2]string]bool
	firstID, lastID string
	last            cdc.Position
	by              []*cdc.Show // scratch of add
}

// shownTable is a table with what rules let see of it: for each way in which records were shown, the rules of those.
type shownTable struct {
	table *cdc.Table
	by    [][]*cdc.Show
}

// shown notes that a record was shown as these rules have it.
func (a *about) shown(t *cdc.Table, by []*cdc.Show) {
	i := slices.IndexFunc(a.tables, func(s shownTable) bool { return s.table == t })
	if i < 0 {
		i, a.tables = len(a.tables), append(a.tables, shownTable{table: t})
	}
	if s := &a.tables[i]; !slices.ContainsFunc(s.by, func(other []*cdc.Show) bool { return slices.Equal(other, by) }) {
		s.by = append(s.by, slices.Clone(by))
	}
}

func (a *about) add(feed string, d *cdc.Decision) {
	p := d.Event.Position()
	if a.firstID == "" {
		a.firstID = p.ID()
	}
	a.last = p
	a.by = a.by[:0]
	for i := range d.Matches {
		m := &d.Matches[i]
		at := [2]string{m.Name, m.Version}
		if !slices.Contains(m.To, feed) {
			continue
		}
		if a.by = append(a.by, m.Show); a.seen[at] {
			continue
		}
		if a.seen == nil {
			a.seen = map[[2]string]bool{}
		}
		a.seen[at] = true
		a.rules = append(a.rules, cdc.RuleMatch{Name: m.Name, Version: m.Version})
	}
	a.shown(d.Event.Table(), a.by)
}

// context is what records are about: it changes with tables and rules, hardly with objects, so it is an object of its own that
// many objects name. Its name is its digest.
func (a *about) context(shown func(t *cdc.Table, by [][]*cdc.Show) *cdc.Table) (digest string, text []byte) {
	var tables []string
	for _, s := range a.tables {
		t := s.table
		if shown != nil {
			t = shown(t, s.by)
		}
		tables = append(tables, string(t.AppendDescription(nil)))
	}
	slices.Sort(tables)
	tables = slices.Compact(tables)
	slices.SortFunc(a.rules, func(x, y cdc.RuleMatch) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.Version, y.Version))
	})
	text = append(text, `{"version":1,"tables":[`...)
	text = append(text, strings.Join(tables, ",")...)
	text = append(text, `],"rules":[`...)
	for i, r := range a.rules {
		if i > 0 {
			text = append(text, ',')
		}
		text = cdc.AppendString(append(text, `{"name":`...), r.Name)
		text = append(cdc.AppendString(append(text, `,"version":`...), r.Version), '}')
	}
	text = append(text, "]}\n"...)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), text
}

// contexts remembers which contexts are in the store.
type contexts map[string][]byte

func (c *Config) contextKey(digest string) string { return c.folder() + "context/" + digest + ".json" }

// putContext puts what the records of a draft are about, unless it is known to be there, and notes it in the object's metadata.
func (c *Chain) putContext(ctx context.Context, d *draft, head cdc.Object, meta map[string]string) error {
	if d.about == nil {
		return nil
	}
	d.about.lastID = d.about.last.ID()
	digest, text := d.about.context(c.cfg.Table)
	meta[metaContext], meta[metaFirstID], meta[metaLastID] = digest, asciiOf(d.about.firstID), asciiOf(d.about.lastID)
	if head.Key != "" {
		meta[metaPrevKey] = head.Key
	}
	if _, ok := c.contexts[digest]; ok {
		return nil
	}
	key := c.cfg.contextKey(digest)
	if _, err := c.insist(ctx, key, func() (bool, error) {
		_, err := c.cfg.Store.Put(ctx, key, text, map[string]string{metaChain: c.name})
		return false, err
	}); err != nil {
		return err
	}
	if c.contexts == nil || len(c.contexts) > 1000 {
		c.contexts = contexts{}
	}
	c.contexts[digest] = text
	return nil
}

// putManifest puts the manifest of the object that was just put.
func (c *Chain) putManifest(ctx context.Context, o cdc.Object, meta map[string]string, d *draft) error {
	if d.about == nil {
		return nil
	}
	text, err := manifestOf(&c.cfg, o, meta, c.contexts[meta[metaContext]])
	if err != nil {
		return fmt.Errorf("manifest of %s: %w", o.Key, err)
	}
	_, err = c.insist(ctx, ManifestKey(o.Key), func() (bool, error) {
		_, err := c.cfg.Store.Put(ctx, ManifestKey(o.Key), text, map[string]string{metaChain: c.name})
		return false, err // one that is there says the same
	})
	return err
}

// mendManifest puts the manifest of the last object, in case whoever put that has died between the two. Those before have
// theirs: no object is put before the last one's manifest is there.
func (c *Chain) mendManifest(ctx context.Context) error {
	if !c.cfg.Manifest || c.head.Ordinal == 0 {
		return nil
	}
	key := ManifestKey(c.head.Key)
	if _, _, there, err := c.cfg.Store.Head(ctx, key); err != nil || there {
		return c.unless(err, key)
	}
	meta, _, ok, err := c.cfg.Store.Head(ctx, c.head.Key)
	if err == nil && !ok {
		err = errors.New("it was there and is gone")
	}
	digest := meta[metaContext]
	if err != nil || digest == "" { // the object is from before the chain had manifests
		return c.unless(err, c.head.Key)
	}
	text, ok, err := c.cfg.Store.Get(ctx, c.cfg.contextKey(digest))
	if err != nil {
		return c.unless(err, c.cfg.contextKey(digest))
	}
	if !ok {
		return c.missing("%s, which %s names", c.cfg.contextKey(digest), c.head.Key)
	}
	manifest, err := manifestOf(&c.cfg, c.head, meta, text)
	if err == nil {
		_, err = c.cfg.Store.Put(ctx, key, manifest, map[string]string{metaChain: c.name})
	}
	return c.unless(err, key)
}

// unless says which object an error is about, if there is one.
func (c *Chain) unless(err error, key string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("chain %s: object %s in %s: %w", c.name, key, c.cfg.Store, err)
}

// Manifest is what the manifest of an object says.
type Manifest struct {
	Version     int             `json:"version"` // 1
	Chain       string          `json:"chain"`
	Ordinal     uint64          `json:"ordinal"`
	Key         string          `json:"key"`
	Bytes       int64           `json:"bytes"`
	SHA256      string          `json:"sha256"`
	Envelope    string          `json:"envelope"`
	Compress    string          `json:"compress"`
	Records     int             `json:"records"`
	RecordsRoot string          `json:"records_root"`
	FirstPartNo uint64          `json:"first_part_no"`
	LastPartNo  uint64          `json:"last_part_no"`
	Epoch       string          `json:"epoch"`
	First       ManifestRecord  `json:"first"`
	Last        ManifestRecord  `json:"last"`
	EndsWithin  bool            `json:"ends_within_transaction,omitempty"` // though the feed keeps transactions
	Prev        *ManifestPrev   `json:"prev"`                              // null for the chain's first object
	RuleSet     string          `json:"rule_set"`
	Rules       json.RawMessage `json:"rules"`  // that delivered something in the object, with their versions
	Tables      json.RawMessage `json:"tables"` // that its records are of, with their columns; two versions of one are two
	Writer      string          `json:"writer,omitempty"`
	Program     string          `json:"cdcd,omitempty"` // version of the program that wrote the manifest
}

// ManifestRecord is the first or the last record of an object.
type ManifestRecord struct {
	ID         string    `json:"id"` // begins with its GTID, if there are any
	CommitTime time.Time `json:"commit_time"`
}

// ManifestPrev is the chain's previous object.
type ManifestPrev struct {
	Key    string `json:"key"`
	SHA256 string `json:"sha256"`
}

// manifestOf makes the manifest of an object of its metadata and its context.
func manifestOf(cfg *Config, o cdc.Object, meta map[string]string, context []byte) ([]byte, error) {
	var about struct{ Tables, Rules json.RawMessage }
	if err := json.Unmarshal(context, &about); err != nil {
		return nil, err
	}
	m := Manifest{Version: 1, Chain: o.Chain, Ordinal: o.Ordinal, Key: o.Key, Bytes: o.Bytes, SHA256: o.SHA256, Envelope: cfg.Envelope, Compress: cfg.Compress,
		Records: o.Records, RecordsRoot: o.RecordsRoot, FirstPartNo: o.FirstPartNo, LastPartNo: o.LastPartNo, Epoch: meta[metaEpoch],
		First: ManifestRecord{idOf(meta[metaFirstID]), o.FirstCommit.UTC()}, Last: ManifestRecord{idOf(meta[metaLastID]), o.LastCommit.UTC()},
		EndsWithin: meta[metaWithin] == "true", RuleSet: o.RuleSet, Rules: about.Rules, Tables: about.Tables, Writer: o.Writer, Program: cfg.Version}
	if o.Prev != "" {
		m.Prev = &ManifestPrev{meta[metaPrevKey], o.Prev}
	}
	text, err := json.Marshal(m)
	return append(text, '\n'), err
}

// asciiOf writes an ID so that it may stand in metadata, which are ASCII: names of binlog files may hold anything.
func asciiOf(id string) string {
	if strings.IndexFunc(id, func(r rune) bool { return r < '!' || r > '~' }) < 0 && !strings.HasPrefix(id, `"`) {
		return id
	}
	return strconv.QuoteToASCII(id)
}

func idOf(text string) string {
	if id, err := strconv.Unquote(text); err == nil {
		return id
	}
	return text
}
