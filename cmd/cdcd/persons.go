package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/person"
)

// persons is what seals the values of persons, and destroys their keys. nil: the configuration names none.
type persons struct {
	ring   *person.Keyring
	store  *bus.Persons
	sealer *person.Sealer
	log    *slog.Logger

	erasing sync.Mutex // held while a person is erased
}

// openKeyring reads the keyring of persons' keys. Nothing of it gets into an error.
func openKeyring(cfg *config) (*person.Keyring, error) {
	m := cfg.personsKeys()
	text, err := readKeyFile(m)
	if err != nil {
		return nil, err
	}
	ring, err := person.Open(text)
	if err != nil {
		return nil, cdc.Errorf("CDCD-1214", "the keyring %s: %w", m.file, err).WithFix("restore the file from a backup")
	}
	return ring, nil
}

func openPersons(ctx context.Context, cfg *config, stream *bus.Stream, log *slog.Logger) (*persons, error) {
	if len(cfg.Persons) == 0 {
		return nil, nil
	}
	ring, err := openKeyring(cfg)
	if err != nil {
		return nil, err
	}
	store, err := stream.Persons(ctx)
	if err != nil {
		return nil, err
	}
	return &persons{ring: ring, store: store, sealer: person.New(cfg.persons(), ring, store), log: log}, nil
}

// personsAside is what seals beside the cdcd that runs: with the keys that this one holds. It makes none: values of persons without a key
// are sealed with one that nobody will have.
func (a *app) personsAside(cfg *config) (*persons, error) {
	if len(cfg.Persons) == 0 {
		return nil, nil
	}
	ring, err := openKeyring(cfg)
	if err != nil {
		return nil, err
	}
	return &persons{ring: ring, sealer: person.New(cfg.persons(), ring, keysOfRunning{cfg})}, nil
}

// keysOfRunning asks the running cdcd for keys. It is a [person.Store].
type keysOfRunning struct{ cfg *config }

// Create keeps nothing.
func (k keysOfRunning) Create(ctx context.Context, ids []string, keys [][]byte) ([][]byte, error) {
	kept := slices.Clone(keys)
	for i, id := range ids {
		var answer personAnswer
		if err := tellRunning(ctx, k.cfg, "/person/key", personWish{ID: id}, &answer); err != nil {
			return nil, err
		}
		if answer.Erased || answer.Key != nil {
			kept[i] = answer.Key
		}
	}
	return kept, nil
}

// heed forgets the keys of persons whom another cdcd on the same bus erases.
func (p *persons) heed(ctx context.Context) error {
	for attempt := 0; p != nil; attempt++ {
		began := time.Now()
		if err := p.store.Watch(ctx, p.sealer.Forget, p.sealer.ForgetAll); ctx.Err() == nil {
			p.log.Warn("what other processes erase is not heard of at present", "event", "person.unheard", "err", err)
		}
		if time.Since(began) > time.Minute {
			attempt = 0
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
	return nil
}

// seal seals what a batch has of persons.
func (p *persons) seal(ctx context.Context, b *cdc.Batch) (*cdc.Batch, error) {
	if p == nil {
		return b, nil
	}
	return p.sealer.Seal(ctx, b)
}

// answer seals what was looked up, before anybody keeps it or sees it: who the person is must be among the columns that were asked for.
func (p *persons) answer(ctx context.Context, a *cdc.Answer) (*cdc.Answer, error) {
	if p == nil || a.Batch == nil {
		return a, nil
	}
	b, err := p.sealer.Seal(ctx, a.Batch)
	if err != nil {
		return nil, err
	}
	sealed := *a
	sealed.Batch = b
	return &sealed, nil
}

// sealedTables describes tables as the stream has them.
func sealedTables(cfg *config, tables []*cdc.Table) []*cdc.Table {
	kinds := cfg.persons()
	for i, t := range tables {
		tables[i] = person.Table(kinds, t)
	}
	return tables
}

// personsDigest is what of persons decides what gets into the stream.
func personsDigest(cfg *config) []string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(cfg.Persons)) {
		c := cfg.Persons[name]
		for _, table := range slices.Sorted(maps.Keys(c.Subject)) {
			parts = append(parts, "person "+name+" "+table+" "+c.Subject[table])
		}
		for _, columns := range slices.Sorted(slices.Values(c.Columns)) {
			parts = append(parts, "person "+name+" "+columns)
		}
	}
	return parts
}

// personWish asks for something about a person, whom only a keyed hash names.
type personWish struct {
	ID     string `json:"id"`
	Who    string `json:"who,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// personAnswer is what is known of a person's key, and to those who erase, what became of it.
type personAnswer struct {
	Key    []byte `json:"key,omitempty"` // wrapped
	Erased bool   `json:"erased"`
	HadKey bool   `json:"had_key"`
}

// askPerson destroys the key of a person, or returns it as it is kept: wrapped, of no use without the keyring.
func (p *pipeline) askPerson(w http.ResponseWriter, r *http.Request) {
	var wish personWish
	if !readWish(w, r, 1<<16, &wish) {
		return
	}
	wish.Who = by(r, wish.Who)
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	answer, err := p.person(ctx, r.PathValue("action"), wish)
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusConflict)
		_ = json.NewEncoder(w).Encode(refusalOf(err)) // the client has gone away
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (p *pipeline) person(ctx context.Context, action string, wish personWish) (a personAnswer, err error) {
	if p.persons == nil {
		return a, cdc.Errorf(codeNoPersons, "the cdcd that runs knows no persons").WithFix("configure 'persons' and restart cdcd run")
	}
	if len(wish.ID) != 32 || strings.Trim(wish.ID, "0123456789abcdef") != "" {
		return a, cdc.Errorf(codeNoPersons, "'%.40s' is not the ID of a person", wish.ID)
	}
	if action != "erase" {
		a.Key, a.Erased, err = p.persons.store.Get(ctx, wish.ID)
		a.HadKey = a.Key != nil
		return a, err
	}
	a.HadKey, err = p.erase(ctx, erasure{wish, time.Now()})
	a.Erased = err == nil
	return a, err
}

// codeNoPersons: there is nothing to erase or reveal.
const codeNoPersons = "CDCD-4214"

// personNamed returns the ID of customer=42.
func personNamed(cfg *config, text string) (string, error) {
	kind, subject, ok := strings.Cut(text, "=")
	if !ok || kind == "" || subject == "" {
		return "", usagef("'%s' does not name a person", text).WithFix("write --person KIND=SUBJECT, such as --person customer=42")
	}
	if cfg.Persons[kind] == nil {
		if len(cfg.Persons) == 0 {
			return "", cdc.Errorf(codeNoPersons, "the configuration has no persons").WithFix("`cdcd errors %s` says how to configure them", codeNoPersons)
		}
		return "", badChoice("KIND of --person", kind, slices.Sorted(maps.Keys(cfg.Persons))...)
	}
	ring, err := openKeyring(cfg)
	if err != nil {
		return "", err
	}
	return ring.ID(kind, subject), nil
}

// erased is the answer of erase.
type erased struct {
	Person string `json:"person"` // the keyed hash that the audit log has, too
	HadKey bool   `json:"had_key"`
}

func newEraseCmd(a *app) *cobra.Command {
	var name, reason string
	var yes bool
	cmd := &cobra.Command{
		Use:   "erase --person KIND=SUBJECT --reason WHY",
		Short: "Destroy the key of a person, and with it what is known of that person everywhere",
		Long: `Destroy the key with which the values of a person are encrypted: nobody can read them any more, neither in the stream nor
in what was delivered nor in copies of either. Changes of that person that still come have "erased" in these columns. It
cannot be undone. It does not reach the source itself, columns that 'persons' does not name, what somebody has decrypted, and
backups of the bus that hold the key: docs/masking.md says what to do about those.

The audit log gets a leaf with a keyed hash of the person and the reason. Erasing again is no error, and completes what was
interrupted. A cdcd must be running: it holds the keys.`,
		Example: `  cdcd erase --person customer=42 --reason "request of 2026-11-20"`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			if reason == "" {
				return usagef("--reason is missing").WithFix("say why: it stands in the audit log; name no person in it")
			}
			id, err := personNamed(cfg, name)
			if err != nil {
				return err
			}
			a.ui.note("what is known of %s will be unreadable for ever", name)
			if err := a.confirm(yes); err != nil {
				return err
			}
			var answer personAnswer
			if err := tellRunning(cmd.Context(), cfg, "/person/erase", personWish{id, whoAmI(), reason}, &answer); err != nil {
				return err
			}
			return a.ui.result(kind(cmd), erased{id, answer.HadKey}, func(w io.Writer) {
				if answer.HadKey {
					fmt.Fprintf(w, "%s the key of %s is destroyed (%s in the audit log)\n", a.ui.out(green, "✓"), name, id)
				} else {
					fmt.Fprintf(w, "%s %s has no key; values that still come are not readable either (%s in the audit log)\n", a.ui.out(green, "✓"), name, id)
				}
			})
		},
	}
	cmd.Flags().StringVar(&name, "person", "", "the person: KIND=SUBJECT, such as customer=42")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit log; without names")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// revealPerson returns a value that was sealed for a person.
func (a *app) revealPerson(ctx context.Context, name, column, text string) (string, error) {
	cfg, err := a.config()
	if err != nil {
		return "", err
	}
	id, err := personNamed(cfg, name)
	if err != nil {
		return "", err
	}
	ring, err := openKeyring(cfg)
	if err != nil {
		return "", err
	}
	var answer personAnswer
	if err := tellRunning(ctx, cfg, "/person/key", personWish{ID: id}, &answer); err != nil {
		return "", err
	}
	switch {
	case answer.Erased:
		return "", cdc.Errorf(codeNoPersons, "%s was erased: the key is destroyed", name)
	case answer.Key == nil:
		return "", cdc.Errorf(codeNoPersons, "%s has no key: nothing was ever sealed for that person", name)
	}
	return ring.Reveal(id, answer.Key, column, text)
}
