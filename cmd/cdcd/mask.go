package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/durable"
	"github.com/cdcd-project/cdcd/internal/mask"
	"github.com/cdcd-project/cdcd/internal/person"
)

// maskedColumns is a mask with the patterns of the columns that it is for.
type maskedColumns struct {
	columns []string
	mask    *mask.Mask
}

// maskMethod is a method with its settings.
type maskMethod struct {
	method  mask.Method
	columns []string
	file    string
}

// methods lists the methods; where two name the same column, the first counts.
func (c *config) methods() []maskMethod {
	captured := c.captured()
	columns, files := captured.MaskColumns, captured.MaskKeyFiles
	return []maskMethod{
		{mask.HMAC, columns.HMAC, cmp.Or(files.HMAC, filepath.Join(c.Data, "mask-hmac.json"))},
		{mask.Encrypt, columns.Encrypt, cmp.Or(files.Encrypt, filepath.Join(c.Data, "mask-encrypt.json"))},
	}
}

// openMasks opens the masks that mask_columns asks for, with their keys.
func openMasks(c *config) ([]maskedColumns, error) {
	var out []maskedColumns
	for _, m := range c.methods() {
		if len(m.columns) == 0 {
			continue
		}
		opened, err := openMask(m)
		if err != nil {
			return nil, err
		}
		out = append(out, maskedColumns{m.columns, opened})
	}
	return out, nil
}

// openMask reads a key file. Nothing of it gets into an error.
func openMask(m maskMethod) (*mask.Mask, error) {
	keys, err := readKeyFile(m)
	if err != nil {
		return nil, err
	}
	opened, err := mask.New(m.method, keys)
	if err != nil {
		return nil, cdc.Errorf("CDCD-1214", "the mask key %s: %w", m.file, err).WithFix("restore the file from a backup")
	}
	return opened, nil
}

func readKeyFile(m maskMethod) ([]byte, error) {
	info, err := os.Stat(m.file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && m.method == personsMethod:
		return nil, cdc.Errorf("CDCD-1214", "there is no keyring %s, with which the keys of persons are kept", m.file).
			WithFix("restore it from a backup or copy it from the other machine; if there never was one: cdcd mask new-key %s", m.method)
	case errors.Is(err, fs.ErrNotExist):
		return nil, cdc.Errorf("CDCD-1214", "there is no mask key %s, with which mask_columns.%s masks", m.file, m.method).
			WithFix("restore it from a backup or copy it from the other machine; if there never was one: cdcd mask new-key %s", m.method)
	case err == nil && !info.Mode().IsRegular():
		return nil, cdc.Errorf("CDCD-1214", "the mask key %s is not a file", m.file).WithFix("name a file in mask_key_files.%s", m.method)
	case err == nil && info.Mode().Perm()&0o077 != 0:
		return nil, cdc.Errorf("CDCD-1214", "others may read the mask key %s (mode %04o): who has it can undo masks", m.file, info.Mode().Perm()).
			WithFix("chmod 600 %s", m.file)
	}
	keys, err := os.ReadFile(m.file)
	if err != nil {
		return nil, cdc.Errorf("CDCD-1214", "the mask key: %w", err)
	}
	return keys, nil
}

// captureDigest returns everything in the configuration that decides what of a change gets into the stream, as text.
func captureDigest(cfg *config) (string, error) {
	parts := slices.Clone(cfg.tables())
	c := cfg.captured()
	add := func(what string, patterns []string) {
		for _, p := range slices.Sorted(slices.Values(patterns)) {
			parts = append(parts, what+" "+p)
		}
	}
	add("exclude", c.ExcludeTables)
	add("drop", c.DropColumns)
	masks, err := openMasks(cfg)
	if err != nil {
		return "", err
	}
	for _, m := range masks {
		add(m.mask.ID(), m.columns)
	}
	parts = append(parts, personsDigest(cfg)...)
	return strings.Join(parts, "\n"), nil
}

func newMaskCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mask",
		Short: "Make the keys of masked columns, and mask or reveal single values",
	}
	cmd.AddCommand(newMaskNewKeyCmd(a), newMaskRotateKeyCmd(a), newMaskApplyCmd(a), newMaskRevealCmd(a))
	return cmd
}

// method finds the method that a person named.
func (a *app) method(name string) (maskMethod, error) {
	cfg, err := a.config()
	if err != nil {
		return maskMethod{}, err
	}
	var names []string
	for _, m := range append(cfg.methods(), cfg.personsKeys()) {
		if string(m.method) == name {
			return m, nil
		}
		names = append(names, string(m.method))
	}
	return maskMethod{}, badChoice("METHOD", name, names...)
}

// maskKey is the answer of the verbs that write keys. It never holds the key.
type maskKey struct {
	Method string `json:"method"`
	File   string `json:"file"`
	ID     string `json:"id"`
}

func newMaskNewKeyCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "new-key METHOD",
		Short: "Make the key file of hmac or encrypt, where there is none",
		Long: `Make a keyset of Tink with one random key in the file that mask_key_files names, by default in the data folder. A file that
is there is never replaced. Keep a copy in a safe place: with another key all masks are others, and what was encrypted with
a lost key stays so. Each machine that runs cdcd for this source needs the same file.`,
		Example: `  cdcd mask new-key hmac`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := a.method(args[0])
			if err != nil {
				return err
			}
			keys, err := newKeys(m.method)
			if err != nil {
				return err
			}
			if err := writeKeyFile(m.file, keys, true); err != nil {
				return err
			}
			return a.wroteKey(cmd, m, "made")
		},
	}
}

func newMaskRotateKeyCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate-key METHOD",
		Short: "Add a new key to the key file of hmac or encrypt, and mask with it from the next start on",
		Long: `Add a random key to the keyset and make it the primary one, which masks. The old keys stay, so that what they encrypted can
be revealed. From the next start of cdcd on all masks are others than before, for the partner too; the stream gets a new
epoch.`,
		Example: `  cdcd mask rotate-key hmac`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := a.method(args[0])
			if err != nil {
				return err
			}
			old, err := readKeyFile(m)
			if err != nil {
				return err
			}
			keys, err := rotatedKeys(m.method, old)
			if err != nil {
				return cdc.Errorf("CDCD-1214", "the mask key %s: %w", m.file, err).WithFix("restore the file from a backup")
			}
			if err := writeKeyFile(m.file, keys, false); err != nil {
				return err
			}
			return a.wroteKey(cmd, m, "has a new primary key; restart cdcd, and keep a copy of the file")
		},
	}
}

func newKeys(m mask.Method) ([]byte, error) {
	if m == personsMethod {
		return person.NewKeyring()
	}
	return mask.NewKeyset(m)
}

func rotatedKeys(m mask.Method, old []byte) ([]byte, error) {
	if m == personsMethod {
		return person.Rotate(old)
	}
	return mask.Rotate(m, old)
}

// keyID tells keys apart.
func keyID(cfg *config, m maskMethod) (string, error) {
	if m.method == personsMethod {
		ring, err := openKeyring(cfg)
		if err != nil {
			return "", err
		}
		return ring.Name(), nil
	}
	opened, err := openMask(m)
	if err != nil {
		return "", err
	}
	return opened.ID(), nil
}

func (a *app) wroteKey(cmd *cobra.Command, m maskMethod, what string) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	id, err := keyID(cfg, m)
	if err != nil {
		return err
	}
	return a.ui.result(kind(cmd), maskKey{string(m.method), m.file, id}, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s %s (%s)\n", a.ui.out(green, "✓"), m.file, what, id)
	})
}

// writeKeyFile writes a key file whole or not at all, for nobody else to read. A new one replaces no other.
func writeKeyFile(name string, keys []byte, fresh bool) (err error) {
	defer func() {
		if err != nil {
			err = cdc.Errorf("CDCD-1214", "write the mask key: %w", err).WithFix("see mask_key_files; a key file is made in a folder that exists")
		}
	}()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	disk := durable.New() // a key that a power cut takes away takes along what it has masked
	if !fresh {
		return disk.Replace(name, keys, 0o600)
	}
	created, err := disk.Create(name, keys, 0o600)
	if err == nil && !created {
		err = fmt.Errorf("%s is there already", name)
	}
	return err
}

// maskValue is the answer of apply and reveal.
type maskValue struct {
	Column string `json:"column"`
	Value  string `json:"value"`
}

func newMaskApplyCmd(a *app) *cobra.Command {
	var feed string
	cmd := &cobra.Command{
		Use:   "apply METHOD COLUMN TEXT",
		Short: "Print the mask of one value, e.g. to find it among delivered records",
		Long: `Print what stands for a value in delivered records. TEXT is the value as an unmasked record would have it, without quotes;
COLUMN is schema.table.column, which matters to encrypt only. With --feed it is what stands there where the feed or a rule masks,
else where the source does.`,
		Example: `  cdcd mask apply hmac shop.customers.email a@b.c
  cdcd mask apply hmac shop.customers.email a@b.c --feed acme`,
		Args: cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			opened, err := a.maskOf(args[0], args[1], feed)
			if err != nil {
				return err
			}
			v, err := opened.Value(args[1], &cdc.Column{Kind: cdc.KindString}, cdc.TextValue(cdc.KindString, args[2]))
			if err != nil {
				return err
			}
			return a.ui.result(kind(cmd), maskValue{args[1], v.Text()}, func(w io.Writer) { fmt.Fprintln(w, v.Text()) })
		},
	}
	cmd.Flags().StringVar(&feed, "feed", "", "the feed that was masked for")
	return cmd
}

func newMaskRevealCmd(a *app) *cobra.Command {
	var feed, person string
	cmd := &cobra.Command{
		Use:   "reveal COLUMN MASK",
		Short: "Print the value that encrypt masked, or that was sealed for a person",
		Long: `Print the value behind a mask that encrypt made, for the feed that --feed names or at the source; or with --person a value that
was encrypted with that person's key. For the latter a cdcd must be running, and the keyring be readable here.`,
		Example: `  cdcd mask reveal crm.people.phone AQAAAAd/WUinRMyJNe+gkRj8cLq+xSXqj60=
  cdcd mask reveal shop.customers.email tPUB…= --person customer=42`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.reveal(cmd.Context(), feed, person, args[0], args[1])
			if err != nil {
				return err
			}
			return a.ui.result(kind(cmd), maskValue{args[0], text}, func(w io.Writer) { fmt.Fprintln(w, text) })
		},
	}
	cmd.Flags().StringVar(&feed, "feed", "", "the feed that was masked for")
	cmd.Flags().StringVar(&person, "person", "", "the person that the value is of: KIND=SUBJECT")
	return cmd
}

func (a *app) reveal(ctx context.Context, feed, person, column, text string) (string, error) {
	if person != "" {
		plain, err := a.revealPerson(ctx, person, column, text)
		if err != nil && cdc.CodeOf(err) == "" {
			err = cdc.Errorf("CDCD-1215", "the value cannot be revealed: %w", err).
				WithFix("name the person and the column as it was called when the value was captured")
		}
		return plain, err
	}
	opened, err := a.maskOf(string(mask.Encrypt), column, feed)
	if err != nil {
		return "", err
	}
	plain, err := opened.Reveal(column, text)
	if err != nil {
		return "", cdc.Errorf("CDCD-1215", "the mask cannot be revealed: %w", err).
			WithFix("name the column as it was called when the value was masked, and the feed if it was masked for one, and use the key file of that time")
	}
	return plain, nil
}

func (a *app) maskOf(method, column, feed string) (*mask.Mask, error) {
	m, err := a.method(method)
	if err != nil {
		return nil, err
	}
	if m.method == personsMethod {
		return nil, usagef("what is sealed for persons is no mask").WithFix("cdcd mask reveal COLUMN TEXT --person KIND=SUBJECT")
	}
	if _, err := cdc.ParseColumnGlob(column); err != nil || strings.ContainsAny(column, "*?") {
		return nil, usagef("'%s' is not a column; write it like shop.customers.email", column)
	}
	if feed == "" {
		return openMask(m)
	}
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	if cfg.Feeds[feed] == nil {
		return nil, badChoice("--feed", feed, feedNames(cfg)...)
	}
	return feedMask(cfg, feed, method)
}
