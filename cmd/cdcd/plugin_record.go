package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/pluginkit"
	"github.com/cdcd-project/cdcd/rules"
)

func newPluginRecordCmd(a *app) *cobra.Command {
	var o recordOptions
	cmd := &cobra.Command{
		Use:   "record [FOLDER]",
		Short: "Make tests of real changes, without what people wrote in them",
		Long: `Record takes changes out of the stream, or asks the running cdcd for them, and writes them as a test file: the columns that the
plugin declares and no others. Texts, bytes, JSON strings, geometries and vectors are redacted: letters are replaced by letters and digits by
digits, and equal values stay equal. Numbers, times, enums and sets stay as they are; keep other columns with --keep. The key of
the redaction stays in the data folder.

plugin test --update has the tests expect what the plugin makes of them now.`,
		Example: `  cdcd plugin record --rule paid-big-order --limit 50
  cdcd plugin record --since 1h --keep status --out tests/last-hour.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.record(cmd.Context(), kind(cmd), args, o) },
	}
	o.events.flags(cmd)
	cmd.Flags().StringSliceVar(&o.keep, "keep", nil, "columns that are not redacted")
	cmd.Flags().StringVar(&o.out, "out", "", "file to write; default: tests/recorded.yaml in the folder of the plugin")
	cmd.Flags().StringVar(&o.from, "events", "", "read changes as JSON, one a line, from this file instead of the stream")
	cmd.Flags().StringVar(&o.schema, "schema", "", "with --events: file that says what the tables look like")
	return cmd
}

type recordOptions struct {
	events       eventsOptions
	keep         []string
	out          string
	from, schema string
}

// recordedFixture is what plugin record has done.
type recordedFixture struct {
	File     string   `json:"file"`
	Events   int      `json:"events"`
	Redacted bool     `json:"redacted"`
	Kept     []string `json:"kept"`
}

func (a *app) record(ctx context.Context, kind string, args []string, o recordOptions) error {
	p, err := pluginkit.Open(folderOf(args))
	if err != nil {
		return err
	}
	if err := p.CheckKept(o.keep); err != nil {
		return err
	}
	file := o.out
	if file == "" {
		file = filepath.Join(p.Dir, pluginkit.TestsDir, "recorded.yaml")
	}
	if _, err := os.Stat(file); err == nil {
		return cdc.Errorf("CDCD-2557", "%s is there already", file).WithFix("give another name, --out FILE, or remove it")
	}
	var events []cdc.Event
	if o.from != "" {
		events, err = eventsInFile(o.from, o.schema, o.events.limit)
	} else {
		var wish eventsWish
		if wish, _, err = o.events.wish(a, p); err == nil {
			events, err = a.eventsOf(ctx, wish)
		}
	}
	if err != nil {
		return interrupted(ctx, err)
	}
	key, err := a.redactionKey()
	if err != nil {
		return err
	}
	text, err := p.Fixture(events, &pluginkit.Redactor{Key: key, Keep: o.keep})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return cdc.Errorf("CDCD-2557", "write the tests: %w", err)
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return cdc.Errorf("CDCD-2557", "write the tests: %w", err)
	}
	r := recordedFixture{File: file, Events: len(events), Redacted: true, Kept: append([]string{}, o.keep...)}
	return a.ui.result(kind, r, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s in %s\n", a.ui.out(green, "✓"), plural(r.Events, "change"), r.File)
		fmt.Fprintf(w, "\nLook through it, then have the tests expect what comes out now:\n  cdcd plugin test --update %s %s\n", p.Dir, r.File)
	})
}

// eventsInFile reads changes as JSON, one a line.
func eventsInFile(name, schema string, limit int) ([]cdc.Event, error) {
	if schema == "" {
		return nil, usagef("--events needs to be told what the tables look like").WithFix("add --schema FILE")
	}
	src, err := os.ReadFile(schema)
	if err != nil {
		return nil, cdc.Errorf("CDCD-2113", "read the schema: %w", err).WithFix("name a file: --schema schema.yaml")
	}
	tables, err := rules.ParseSchema(schema, src)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, cdc.Errorf("CDCD-2134", "the events cannot be read: %w", err)
	}
	defer f.Close()
	var events []cdc.Event
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, cdc.MaxFrame)
	for n := 1; lines.Scan() && len(events) < limit; n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		e, err := rules.ParseEvent(lines.Bytes(), tables)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		events = append(events, e)
	}
	if err := lines.Err(); err != nil {
		return nil, cdc.Errorf("CDCD-2134", "the events cannot be read: %s: %w", name, err)
	}
	if len(events) == 0 {
		return nil, cdc.Errorf("CDCD-2557", "%s has no change", name)
	}
	return events, nil
}

// redactionKey returns the key that texts are redacted with: that of the data folder, which is made once. So what is recorded today and
// tomorrow goes together, and nobody outside can tell what stood there. Without a configuration it is one for this time.
func (a *app) redactionKey() ([]byte, error) {
	key := make([]byte, 32)
	rand.Read(key)
	if _, err := os.Stat(a.configFile); err != nil {
		return key, nil
	}
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(cfg.Data, "redaction.key")
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		if key, err = os.ReadFile(file); err == nil && len(key) != 32 {
			err = fmt.Errorf("it has %d bytes instead of 32", len(key))
		}
	case errors.Is(err, fs.ErrNotExist): // no data folder: nothing to go together with
		return key, nil
	case err == nil:
		_, err = f.Write(key)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return nil, cdc.Errorf("CDCD-2557", "the key of the redaction, %s: %w", file, err).WithFix("mend or remove the file")
	}
	return key, nil
}
