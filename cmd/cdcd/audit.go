package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/audit"
	"github.com/cdcd-project/cdcd/sinks/file"
)

func newAuditCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Prove what was delivered, and check the log that proves it",
	}
	cmd.AddCommand(newAuditVerifyCmd(a), newAuditProveCmd(a), newAuditCheckCmd(a), newAuditCheckpointCmd(a), newAuditQueryCmd(a), newAuditWitnessCmd(a), newAuditExportCmd(a))
	return cmd
}

// auditPlace is where an audit log is, as flags and configuration say.
type auditPlace struct {
	dir, key string // folder and public key file

	cfg *config // nil when it was not needed
}

func (p *auditPlace) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.dir, "dir", "", "folder of the log (default: audit.dir of the configuration)")
	cmd.Flags().StringVar(&p.key, "key", "", "file with the public key (default: audit.key_file of the configuration, with .pub)")
}

// find completes the flags from the configuration. Who names both needs none, unless for the stores.
func (p *auditPlace) find(a *app, stores bool) error {
	cfg, err := a.config()
	switch {
	case err == nil:
		p.cfg = cfg
	case p.dir == "" || p.key == "" || stores && !missingConfig(a):
		return err
	}
	if p.dir == "" {
		p.dir = p.cfg.Audit.Dir
	}
	if p.key == "" {
		p.key = p.cfg.Audit.KeyFile + ".pub"
	}
	return nil
}

func missingConfig(a *app) bool {
	_, err := os.Stat(a.configFile)
	return errors.Is(err, fs.ErrNotExist)
}

// publicKey reads the public key.
func (p *auditPlace) publicKey() (string, error) {
	text, err := os.ReadFile(p.key)
	if errors.Is(err, fs.ErrNotExist) {
		return "", cdc.Errorf("CDCD-4502", "there is no public key %s", p.key).
			WithFix("name it with --key; cdcd run writes it beside audit.key_file")
	}
	if err != nil {
		return "", fmt.Errorf("public key of the audit log: %w", err)
	}
	return string(text), nil
}

func newAuditVerifyCmd(a *app) *cobra.Command {
	var place auditPlace
	var objects bool
	var since string
	var witnesses []string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that nothing in the audit log, and of what it speaks of, was changed",
		Long: `Verify reads the whole audit log and names the first thing in it that is not as it was written: a leaf, a tile, a
checkpoint, a gap in a chain. It compares the log with the checkpoint beside the key, and with one that you have kept
(--since), so that a log that was put back to an older state is noticed. With --objects it reads the delivered objects,
too. It needs no running cdcd, and may run beside one.

It exits with 1 when something is wrong, and with 3 when that could not be found out.`,
		Example: `  cdcd audit verify --objects
  cdcd audit checkpoint > trusted          # once, and then
  cdcd audit verify --since trusted        # the log must be a continuation of it
  cdcd audit verify --dir copy/audit --key shop.pub`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := place.find(a, objects); err != nil {
				return err
			}
			c, err := place.verifyConfig(a, since, witnesses)
			if err != nil {
				return err
			}
			if objects {
				c.Objects = func(store string) (audit.Store, error) { return openAudited(cmd.Context(), a, place.cfg, store) }
			}
			c.Progress = everyTenSeconds(func(done, total int64) { a.ui.note("audit: %d of %d leaves checked", done, total) })
			report, err := audit.Verify(cmd.Context(), c)
			if err != nil {
				return err
			}
			return a.ui.verdict(kind(cmd), report.Bad == nil, report, func(w io.Writer) { a.printAudit(w, report) })
		},
	}
	place.flags(cmd)
	cmd.Flags().BoolVar(&objects, "objects", false, "read the delivered objects, too, and look for some that the log does not know")
	cmd.Flags().StringVar(&since, "since", "", "file with a checkpoint that was verified earlier: the log must continue it, and with\n--objects older objects are only looked for, not read again")
	cmd.Flags().StringArrayVar(&witnesses, "witness", nil, "public key of a witness who must have cosigned that checkpoint, or a file with it; may be\nrepeated")
	return cmd
}

func (p *auditPlace) verifyConfig(a *app, since string, witnesses []string) (audit.VerifyConfig, error) {
	key, err := p.publicKey()
	if err != nil {
		return audit.VerifyConfig{}, err
	}
	c := audit.VerifyConfig{Dir: p.dir, Key: key}
	anchor := audit.AnchorFile(strings.TrimSuffix(p.key, ".pub"))
	switch signed, err := os.ReadFile(anchor); {
	case err == nil:
		c.Pins = append(c.Pins, audit.Pin{Name: anchor, Checkpoint: signed})
	case !errors.Is(err, fs.ErrNotExist):
		return c, fmt.Errorf("copy of the newest checkpoint: %w", err)
	case since == "":
		a.ui.note("audit: there is no %s: a log that was put back to an older state cannot be noticed", anchor)
	}
	if since == "" && len(witnesses) > 0 {
		return c, usagef("--witness needs --since").WithFix("name with --since the checkpoint as the witness has cosigned it")
	}
	if since == "" {
		return c, nil
	}
	signed, err := os.ReadFile(since)
	if err != nil {
		return c, usagef("--since: %w", err).WithFix("name a file that `cdcd audit checkpoint` has written")
	}
	checkpoint, err := audit.OpenCheckpoint(signed, key)
	if err == nil {
		err = demandCosignatures(signed, key, witnesses)
	}
	if err != nil {
		return c, usagef("--since %s: %w", since, err).WithFix("name a file that `cdcd audit checkpoint` has written, of the log with the key %s", p.key)
	}
	c.Pins = append(c.Pins, audit.Pin{Name: since, Checkpoint: signed})
	c.Since = checkpoint.Size
	return c, nil
}

// openAudited opens a store that the audit log names.
func openAudited(ctx context.Context, a *app, cfg *config, store string) (audit.Store, error) {
	if dir, ok := strings.CutPrefix(store, "file://"); ok {
		if _, err := os.Stat(filepath.FromSlash(dir)); err != nil {
			return nil, cdc.Errorf("CDCD-4011", "the folder of a store cannot be read: %w", err).WithFix("mount or restore %s", dir)
		}
		return file.Open(file.Config{URL: store})
	}
	if cfg != nil {
		for _, name := range feedNames(cfg) {
			s, err := openStore(ctx, a.env, cfg, name)
			if err != nil {
				return nil, fmt.Errorf("feed %s: %w", name, err)
			}
			if s.String() == store {
				return a.reach(ctx, cfg, s)
			}
			closeStore(s)
			if s, err = openPlace(ctx, a.env, cfg.Name, name, redriven(cfg.Feeds[name])); err != nil {
				return nil, fmt.Errorf("feed %s: %w", name, err)
			}
			if s.String() == store {
				return a.reach(ctx, cfg, s)
			}
			closeStore(s)
		}
	}
	return nil, cdc.Errorf("CDCD-4001", "the audit log has objects in %s, which no feed delivers to", store).
		WithFix("name with -c a configuration that has a feed with `to: %s`", store)
}

func (a *app) printAudit(w io.Writer, r audit.Report) {
	fmt.Fprintf(w, "checkpoints  %d/%[1]d signatures valid, of %s\n", r.Checkpoints, r.Origin)
	if r.Bad == nil || r.Bad.Check != "checkpoints" {
		kept := ""
		if r.Pins > 0 {
			kept = fmt.Sprintf(", a continuation of %s kept elsewhere", plural(r.Pins, "checkpoint"))
		}
		fmt.Fprintf(w, "consistency  %d/%[1]d steps append-only%s\n", r.Steps, kept)
		rules := ""
		if r.Revisions > 0 {
			rules = fmt.Sprintf(", %s of the rules", plural(int(r.Revisions), "revision"))
		}
		if r.Traps > 0 {
			rules += fmt.Sprintf(", %s that a plugin broke down on", plural(int(r.Traps), "change"))
		}
		var notes []string
		for _, kind := range slices.Sorted(maps.Keys(r.Notes)) {
			notes = append(notes, fmt.Sprintf("%d %s", r.Notes[kind], kind))
		}
		if len(notes) > 0 {
			rules += ", notes: " + strings.Join(notes, ", ")
		}
		fmt.Fprintf(w, "entries      %d/%d hashes valid, %s without a gap%s\n", r.Entries, r.Size, plural(r.Chains, "chain"), rules)
	}
	if o := r.Objects; o != nil && (r.Bad == nil || o.Read+o.Found > 0) {
		fmt.Fprintf(w, "objects      %d/%d in %s match their recorded sha256\n", o.Read, r.Delivered()-o.Found, strings.Join(o.Stores, ", "))
		if o.Found > 0 {
			fmt.Fprintf(w, "             %d older ones are there with their recorded size\n", o.Found)
		}
		if o.Newer > 0 {
			fmt.Fprintf(w, "             %s not logged yet by the cdcd that runs\n", plural(int(o.Newer), "newer object"))
		}
	}
	if r.Bad != nil {
		fmt.Fprintf(w, "%s  %s: %s: %s\n", a.ui.out(red, "✗"), r.Bad.Check, r.Bad.Item, r.Bad.Why)
		return
	}
	fmt.Fprintf(w, "%s  root %s at size %d\n", a.ui.out(green, "OK"), r.Root, r.Size)
}

// checkpointResult is a checkpoint as `audit checkpoint -o json` shows it.
type checkpointResult struct {
	Origin     string `json:"origin"`
	Size       int64  `json:"size"`
	Root       string `json:"root"`
	Checkpoint string `json:"checkpoint"`
}

func newAuditCheckpointCmd(a *app) *cobra.Command {
	var place auditPlace
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "Print the newest signed checkpoint, to be kept where nobody who can change the log can change it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := place.find(a, false); err != nil {
				return err
			}
			key, err := place.publicKey()
			if err != nil {
				return err
			}
			signed, err := os.ReadFile(filepath.Join(place.dir, "checkpoint"))
			if errors.Is(err, fs.ErrNotExist) {
				return cdc.Errorf("CDCD-4509", "there is no audit log in %s", place.dir).WithFix("name the folder that audit.dir says")
			}
			if err != nil {
				return err
			}
			c, err := audit.OpenCheckpoint(signed, key)
			if err != nil {
				return cdc.Errorf("CDCD-4504", "the log's checkpoint: %w", err).WithFix("cdcd audit verify")
			}
			return a.ui.result(kind(cmd), checkpointResult{c.Origin, c.Size, fmt.Sprintf("%x", c.Root[:]), string(signed)}, func(w io.Writer) {
				w.Write(signed)
			})
		},
	}
	place.flags(cmd)
	return cmd
}

// everyTenSeconds lets a report through that often.
func everyTenSeconds(report func(done, total int64)) func(done, total int64) {
	last := time.Now()
	return func(done, total int64) {
		if now := time.Now(); now.Sub(last) >= 10*time.Second {
			last = now
			report(done, total)
		}
	}
}
