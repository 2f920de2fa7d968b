package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/chain"
)

// check looks at everything when all has come to rest.
func (w *world) check() error {
	objects, err := w.checkBucket()
	if err != nil {
		return err
	}
	for _, n := range w.nodes {
		if err := n.checkLog(objects); err != nil {
			return fmt.Errorf("the log of node %d: %w", n.number, err)
		}
	}
	for name, want := range objects {
		if got := len(w.partner.heard[name]); got != len(want) {
			return fmt.Errorf("the partner has heard of %d objects of %s, there are %d", got, name, len(want))
		}
	}
	return nil
}

// checkBucket reads the chains from nothing but the bucket's keys.
func (w *world) checkBucket() (map[string][]cdc.Object, error) {
	var keys []string
	manifests := 0
	for key := range w.bucket.objects {
		if strings.HasSuffix(key, ".jsonl") {
			keys = append(keys, key)
		} else if strings.HasSuffix(key, ".manifest.json") {
			manifests++
		}
	}
	slices.Sort(keys)
	if w.cfg.Manifest && manifests != len(keys) || !w.cfg.Manifest && manifests > 0 {
		return nil, fmt.Errorf("%d objects have %d manifests", len(keys), manifests)
	}
	objects := map[string][]cdc.Object{}
	seen := map[uint64]string{}  // by event
	where := map[int64]string{}  // by key of a row
	heads := map[string]uint64{} // last event delivered, by chain
	for _, key := range keys {
		there := w.bucket.objects[key]
		o, _, err := chain.ParseObject(place, key, int64(len(there.body)), there.meta)
		if err != nil {
			return nil, err
		}
		var prev cdc.Object
		if n := len(objects[o.Chain]); n > 0 {
			prev = objects[o.Chain][n-1]
		}
		sum := sha256.Sum256(there.body)
		switch {
		case o.Ordinal != prev.Ordinal+1 || o.Prev != prev.SHA256 || prev.Ordinal > 0 && o.FirstPartNo != prev.LastPartNo+1:
			return nil, fmt.Errorf("%s does not continue its chain:\n%+v\n%+v", key, prev, o)
		case o.SHA256 != hex.EncodeToString(sum[:]):
			return nil, fmt.Errorf("%s is not what its metadata say", key)
		case !strings.HasSuffix(key, fmt.Sprintf("/%020d.jsonl", o.FirstPartNo)):
			return nil, fmt.Errorf("%s begins with event %d", key, o.FirstPartNo)
		}
		within := w.history.begins[o.LastPartNo+1] == w.history.begins[o.LastPartNo]
		if w.cfg.KeepTransactions && within != (there.meta["cdcd-ends-within"] == "true") {
			return nil, fmt.Errorf("%s ends within a transaction: %v, its metadata say %q", key, within, there.meta["cdcd-ends-within"])
		}
		records := 0
		for line := range bytes.Lines(there.body) {
			var r struct {
				Key    struct{ ID int64 }
				After  struct{ No uint64 }
				Source struct {
					PartNo uint64 `json:"part_no"`
				}
			}
			if err := json.Unmarshal(line, &r); err != nil {
				return nil, fmt.Errorf("%s: %w: %s", key, err, line)
			}
			no := r.Source.PartNo
			switch {
			case no == 0 || no > w.history.total || !w.history.match[no] || r.After.No != no:
				return nil, fmt.Errorf("%s: event %d is not one to deliver: %s", key, no, line)
			case seen[no] != "":
				return nil, fmt.Errorf("%s: event %d is in %s too", key, no, seen[no])
			case no <= heads[o.Chain] || no < o.FirstPartNo || no > o.LastPartNo:
				return nil, fmt.Errorf("%s: event %d after %d, the object is of %d to %d", key, no, heads[o.Chain], o.FirstPartNo, o.LastPartNo)
			case where[r.Key.ID] != "" && where[r.Key.ID] != o.Chain:
				return nil, fmt.Errorf("%s: row %d is in %s, too", key, r.Key.ID, where[r.Key.ID])
			}
			seen[no], where[r.Key.ID], heads[o.Chain] = key, o.Chain, no
			records++
		}
		if records != o.Records || records == 0 {
			return nil, fmt.Errorf("%s has %d records, its metadata say %d", key, records, o.Records)
		}
		if w.cfg.Manifest {
			var m chain.Manifest
			text := w.bucket.objects[chain.ManifestKey(key)].body
			if err := json.Unmarshal(text, &m); err != nil || m.Key != key || m.SHA256 != o.SHA256 || m.Ordinal != o.Ordinal || m.Records != o.Records {
				return nil, fmt.Errorf("%s: its manifest says: %s", key, text)
			}
		}
		objects[o.Chain] = append(objects[o.Chain], o)
	}
	for no := uint64(1); no <= w.history.total; no++ {
		if w.history.match[no] && seen[no] == "" {
			return nil, fmt.Errorf("event %d was not delivered", no)
		}
	}
	return objects, nil
}

// checkLog demands that a log has each object once, and after it that it was told of.
func (n *node) checkLog(objects map[string][]cdc.Object) error {
	logged, told := map[string]uint64{}, map[string]uint64{}
	for _, l := range n.log.leaves {
		name := l.object.Chain
		if l.note != "" {
			if told[name]++; l.object.Ordinal != told[name] || told[name] > logged[name] {
				return fmt.Errorf("the note of %s comes as number %d, after %d objects", l.note, told[name], logged[name])
			}
			continue
		}
		if logged[name]++; logged[name] > uint64(len(objects[name])) || l.object != objects[name][logged[name]-1] {
			return fmt.Errorf("it has as object %d\n%+v", logged[name], l.object)
		}
	}
	for name, want := range objects {
		if all := uint64(len(want)); logged[name] != all || told[name] != all {
			return fmt.Errorf("of %d objects of %s it has %d, and %d were told of", all, name, logged[name], told[name])
		}
	}
	return nil
}
