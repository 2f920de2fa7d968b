package bus

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/s2"

	"github.com/cdcd-project/cdcd/cdc"
)

const (
	rulesFormat   = 1
	maxRulesText  = 32 << 20 // of one publication, before it is compressed
	packRulesFrom = 4 << 10
)

// OpenPublication reads a message of the rule store: the publication that made the revision of a number. The body is
// JSON, compressed if packed says so. Whatever it is, reading takes memory in proportion to the JSON, of which there
// may be 32 MiB.
func OpenPublication(no uint64, body []byte, packed bool) (Publication, error) {
	text := body
	if packed {
		n, err := s2.DecodedLen(body)
		if err != nil || n > maxRulesText {
			return Publication{}, fmt.Errorf("%d bytes that should be a compressed publication", len(body))
		}
		if text, err = s2.Decode(nil, body); err != nil {
			return Publication{}, fmt.Errorf("%d bytes that should be a compressed publication: %w", len(body), err)
		}
	}
	if len(text) > maxRulesText {
		return Publication{}, fmt.Errorf("%d bytes are more than a publication may have", len(text))
	}
	var p Publication
	if err := decodeStrictly(text, &p); err != nil {
		return Publication{}, err
	}
	if p.Format != rulesFormat {
		return Publication{}, fmt.Errorf("it is in format %d, this program reads %d", p.Format, rulesFormat)
	}
	p.Revision = cdc.Revision{No: no, ID: revisionID(text)}
	return p, nil
}

// decodeStrictly refuses fields that it does not know: they are of a newer program, and what they mean might decide.
func decodeStrictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("it goes on behind its end")
	}
	return nil
}

// UnmarshalJSON refuses a rule that is not complete. So a list of rules is never much larger than its text, in which an empty
// one would be two bytes.
func (r *StoredRule) UnmarshalJSON(text []byte) error {
	type plain StoredRule
	var p plain
	if err := decodeStrictly(text, &p); err != nil {
		return err
	}
	if p.Name == "" || p.Text == "" || p.Version == "" || p.Mode == "" {
		return fmt.Errorf("rule %q is not complete", p.Name)
	}
	*r = StoredRule(p)
	return nil
}

// pack returns what is published and what is stored of it, which is shorter if it is worth it.
func (p *Publication) pack() (text, body []byte, err error) {
	if text, err = json.Marshal(p); err != nil {
		return nil, nil, err
	}
	if len(text) >= packRulesFrom && len(text) <= maxRulesText {
		if packed := s2.EncodeBetter(nil, text); len(packed) < len(text) {
			return text, packed, nil
		}
	}
	return text, text, nil
}

// revisionID hashes a publication, and through its Prev all before it.
func revisionID(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// Fold returns what holds after publications, of which the first made revision 1.
func Fold(publications ...Publication) (*RuleState, error) {
	st := &RuleState{Rules: map[string]StoredRule{}, Layout: map[string]Layout{}}
	for _, p := range publications {
		if err := st.apply(p); err != nil {
			return nil, fmt.Errorf("revision %d: %w", p.Revision.No, err)
		}
	}
	return st, nil
}

// apply folds one publication in.
func (st *RuleState) apply(p Publication) error {
	if p.Revision.No != st.Revision.No+1 || p.Prev != st.Revision.ID {
		return fmt.Errorf("it follows revision %q, not %q", p.Prev, st.Revision.ID)
	}
	for _, name := range p.Removed {
		delete(st.Rules, name)
	}
	for _, one := range p.Changed {
		one.Revision, one.Time, one.Who = p.Revision, p.Time, p.Who
		st.Rules[one.Name] = one
	}
	for file, layout := range p.Layout {
		if st.Layout[file] = layout; len(layout.Rules) == 0 {
			delete(st.Layout, file)
		}
	}
	if p.StandsFor != nil {
		st.stands = append(st.stands, Stand{p.StandsFor.Revision, p.StandsFor.From, p.Revision.No})
	}
	st.Revision, st.Time, st.Who, st.Digest = p.Revision, p.Time, p.Who, p.Digest
	if p.Kind == "files" {
		st.Files = p
		st.Files.Changed, st.Files.Layout = nil, nil
	}
	return nil
}
