package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/durable"
	"github.com/cdcd-project/cdcd/proof"
	"github.com/cdcd-project/cdcd/sinks/audit"
)

const codeNotContinued = "CDCD-4514" // a witness is shown a log that is not the one that he has cosigned

func newAuditWitnessCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "witness",
		Short: "Have others confirm that the log is the same for everybody",
		Long: `Who has the key of a log could show one partner one log and another partner another one, and sign both. A witness prevents
that: he keeps the newest checkpoint that he has seen, cosigns only checkpoints that continue it, and whoever demands his
cosignature knows that all see the same log. A partner is a good witness.

  operator   cdcd audit witness request --since cosigned > request    # the first time without --since
  partner    cdcd audit witness cosign request --key witness.key --kept kept --log-key shop.pub > cosigned
  operator   cdcd audit prove --object … --checkpoint cosigned
  anybody    cdcd audit check … --witness witness.key.pub

The same over HTTP, as C2SP's tlog-witness says, with any witness who speaks it:

  partner    cdcd audit witness serve --listen :8482 --key witness.key --kept kept --log-key shop.pub
  operator   cdcd audit witness submit https://partner.example/witness --witness witness.key.pub > cosigned

Cosignatures are those of C2SP's tlog-cosignature (Ed25519).`,
	}
	cmd.AddCommand(newWitnessRequestCmd(a), newWitnessCosignCmd(a), newWitnessKeyCmd(a), newWitnessServeCmd(a), newWitnessSubmitCmd(a))
	return cmd
}

func newWitnessRequestCmd(a *app) *cobra.Command {
	var place auditPlace
	var since string
	cmd := &cobra.Command{
		Use:   "request",
		Short: "Print what a witness needs to cosign the newest checkpoint",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := place.find(a, false); err != nil {
				return err
			}
			log, err := place.open("")
			if err != nil {
				return err
			}
			var was audit.Checkpoint
			if since != "" {
				signed, err := readArg(since)
				if err != nil {
					return err
				}
				key, err := place.publicKey()
				if err != nil {
					return err
				}
				if was, err = audit.OpenCheckpoint(signed, key); err != nil {
					return usagef("--since %s: %w", since, err).WithFix("name the checkpoint that the witness has cosigned last")
				}
			}
			q, err := log.Request(was.Size)
			if err != nil {
				return err
			}
			now, _ := log.Checkpoint()
			v := struct {
				Old     int64  `json:"old"`
				Size    int64  `json:"size"`
				Request string `json:"request"`
			}{q.Old, now.Size, string(q.Bytes())}
			return a.ui.result(kind(cmd), v, func(w io.Writer) { io.WriteString(w, v.Request) })
		},
	}
	place.flags(cmd)
	cmd.Flags().StringVar(&since, "since", "", "file with the checkpoint that the witness has cosigned last (default: he never has)")
	return cmd
}

func newWitnessCosignCmd(a *app) *cobra.Command {
	var flags witnessFlags
	cmd := &cobra.Command{
		Use:   "cosign REQUEST",
		Short: "Check that a checkpoint continues the one that was kept, keep it, and print it cosigned",
		Long: `Cosign is what a witness does. It checks the log's signature, and by the request's proof that the checkpoint continues the
one in the file --kept; only then it replaces that file and prints the checkpoint with its cosignature. When the file is not
there, it is the first. The key is made when it is not there; its public half is written beside it, with .pub.

When the log was rolled back or is not a continuation it refuses with CDCD-4514: then do not throw away the request.`,
		Example: `  cdcd audit witness cosign request --key witness.key --name partner.example/witness --kept shop.kept --log-key shop.pub > cosigned`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readArg(args[0])
			if err != nil {
				return err
			}
			w, err := flags.open()
			if err != nil {
				return err
			}
			q, err := proof.ParseRequest(text)
			if err != nil {
				return refuseToCosign(err)
			}
			_, now, cosigned, err := w.cosign(q)
			if err != nil {
				return refuseToCosign(err)
			}
			v := struct {
				Origin   string `json:"origin"`
				Old      int64  `json:"old"`
				Size     int64  `json:"size"`
				Witness  string `json:"witness"` // public key
				Cosigned string `json:"cosigned"`
			}{now.Origin, q.Old, now.Size, w.public, string(cosigned)}
			return a.ui.result(kind(cmd), v, func(w io.Writer) { w.Write(cosigned) })
		},
	}
	flags.add(cmd)
	return cmd
}

// witnessFlags say who a witness is, and of which log.
type witnessFlags struct {
	key, name, kept, logKey string
}

func (f *witnessFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.key, "key", "", "file with the witness's secret key; made when it is not there")
	cmd.Flags().StringVar(&f.name, "name", "", "name of the witness, when the key is made: like a URL without https://")
	cmd.Flags().StringVar(&f.kept, "kept", "", "file with the newest checkpoint that was cosigned; written anew")
	cmd.Flags().StringVar(&f.logKey, "log-key", "", "the log's public key, or a file with it")
}

func (f *witnessFlags) open() (*witness, error) {
	for _, flag := range [][2]string{{"--key", f.key}, {"--kept", f.kept}, {"--log-key", f.logKey}} {
		if flag[1] == "" {
			return nil, usagef("%s is missing", flag[0]).WithFix("name a file with it: the key of the witness with --key, of the log with --log-key, what was cosigned last with --kept")
		}
	}
	log, err := publicKeyArg("--log-key", f.logKey)
	if err != nil {
		return nil, err
	}
	w := &witness{log: strings.TrimSpace(log), kept: f.kept}
	w.secret, w.public, err = witnessKey(f.key, f.name)
	return w, err
}

// witness cosigns the checkpoints of one log. Several processes may be the same witness.
type witness struct {
	secret, public string // his own keys
	log            string // public key of the log
	kept           string // file with the newest checkpoint that he has cosigned
}

// cosign cosigns a checkpoint that continues the one that was kept, and keeps it. Errors about the request are a [proof.Fault].
func (w *witness) cosign(q proof.Request) (was, now proof.Checkpoint, cosigned []byte, err error) {
	lock, err := os.OpenFile(w.kept+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return was, now, nil, fmt.Errorf("kept checkpoint: %w", err)
	}
	defer lock.Close() // and nobody else keeps another one meanwhile
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return was, now, nil, fmt.Errorf("kept checkpoint: %w", err)
	}
	kept, err := os.ReadFile(w.kept)
	switch {
	case err == nil:
		if was, err = proof.OpenCheckpoint(kept, w.log); err != nil {
			return was, now, nil, usagef("kept %w", err).WithFix("name the file that was written for this log with --kept")
		}
	case !errors.Is(err, fs.ErrNotExist):
		return was, now, nil, fmt.Errorf("kept checkpoint: %w", err)
	}
	if now, err = q.Check(w.log, kept); err != nil {
		return was, now, nil, err
	}
	if cosigned, err = proof.Cosign(q.Checkpoint, w.log, w.secret, time.Now()); err != nil {
		return was, now, nil, fmt.Errorf("cosign: %w", err)
	}
	if err := durable.New().Replace(w.kept, q.Checkpoint, 0o644); err != nil { // before anybody has the cosignature
		return was, now, nil, fmt.Errorf("keep checkpoint: %w", err)
	}
	return was, now, cosigned, nil
}

// refuseToCosign says why a request is not granted.
func refuseToCosign(err error) error {
	var f *proof.Fault
	if !errors.As(err, &f) {
		return err
	}
	switch f.Part {
	case "log":
		return cdc.Errorf(codeNotContinued, "not cosigned: the log: %s", f.Why).
			WithFix("keep the request and the kept checkpoint: together they prove it; ask who runs the log")
	case "kept":
		return cdc.Errorf(codeNotContinued, "not cosigned: %s", f.Why).
			WithFix("ask for a request with --since and the checkpoint that was kept, or name the right one with --kept")
	}
	return usagef("request: %w", f).WithFix("ask for what `cdcd audit witness request` prints, and give the key of this log with --log-key")
}

func newWitnessKeyCmd(a *app) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "key FILE",
		Short: "Print the public key of a witness; the key is made when it is not there",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, public, err := witnessKey(args[0], name)
			if err != nil {
				return err
			}
			v := struct {
				Key string `json:"key"`
			}{public}
			return a.ui.result(kind(cmd), v, func(w io.Writer) { fmt.Fprintln(w, public) })
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the witness, when the key is made: like a URL without https://")
	return cmd
}

// witnessKey reads the key of a witness, or makes it.
func witnessKey(file, name string) (secret, public string, err error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if name == "" {
			return "", "", usagef("there is no key %s", file).WithFix("have it made, with --name: a name like a URL without https://, by which others know you")
		}
		if secret, public, err = proof.NewCosigner(rand.Reader, name); err != nil {
			return "", "", usagef("--name: %w", err)
		}
		d := durable.New()
		if _, err := d.Create(file, []byte(secret+"\n"), 0o600); err != nil {
			return "", "", fmt.Errorf("write the key of the witness: %w", err)
		}
		if err := d.Replace(file+".pub", []byte(public+"\n"), 0o644); err != nil {
			return "", "", fmt.Errorf("write the public key of the witness: %w", err)
		}
		return secret, public, nil
	}
	if err != nil {
		return "", "", fmt.Errorf("key of the witness: %w", err)
	}
	secret = string(bytes.TrimSpace(text))
	if public, err = proof.CosignerKey(secret); err != nil {
		return "", "", usagef("%s: %w", file, err).WithFix("name the file that `cdcd audit witness key` has made")
	}
	return secret, public, nil
}

func newAuditExportCmd(a *app) *cobra.Command {
	var place auditPlace
	var from int64
	var exportKind string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print all leaves of the log as JSON Lines, with their index and hash",
		Long: `Export prints a line for each leaf, {"index":…,"hash":…,"leaf":{…}}: the leaf as it was logged, and the hash that the
tree has of these bytes. It checks nothing; ` + "`cdcd audit verify`" + ` does.`,
		Example: `  cdcd audit export | jq -c 'select(.leaf.type == "receipt") | .leaf.note'
  cdcd audit export --from 100000 --type object > new.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := place.find(a, false); err != nil {
				return err
			}
			log, err := place.open("")
			if err != nil {
				return err
			}
			if from < 0 {
				return usagef("--from %d: leaves are counted from 0", from)
			}
			return exportLeaves(cmd.Context(), a.ui.stdout, log, from, exportKind)
		},
	}
	place.flags(cmd)
	cmd.Flags().Int64Var(&from, "from", 0, "index of the first leaf")
	cmd.Flags().StringVar(&exportKind, "type", "", "only leaves of this type: object, rules, trap, trigger, receipt, …")
	return cmd
}

func exportLeaves(ctx context.Context, w io.Writer, log *audit.Reader, from int64, only string) error {
	out := bufio.NewWriter(w)
	err := log.Entries(ctx, from, func(index int64, entry []byte) error {
		if only != "" {
			var leaf struct{ Type string }
			if err := json.Unmarshal(entry, &leaf); err != nil || leaf.Type != only {
				return err
			}
		}
		hash := tlog.RecordHash(entry)
		_, err := fmt.Fprintf(out, `{"index":%d,"hash":"%x","leaf":%s}`+"\n", index, hash[:], entry)
		return err
	})
	return errors.Join(err, out.Flush())
}

// demandCosignatures refuses a checkpoint that one of the witnesses has not cosigned.
func demandCosignatures(signed []byte, key string, witnesses []string) error {
	var keys []string
	for _, w := range witnesses {
		text, err := publicKeyArg("--witness", w)
		if err != nil {
			return err
		}
		keys = append(keys, text)
	}
	_, _, err := proof.Open(signed, key, keys...)
	return err
}
