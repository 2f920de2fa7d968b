package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/proof"
)

const (
	codeNotCosigned = "CDCD-4515" // a witness did not answer a checkpoint with his cosignature

	addCheckpoint = "/add-checkpoint"
	sizeType      = "text/x.tlog.size" // of the answer to who does not know which checkpoint was cosigned last
	maxCheckpoint = 64 << 10           // bytes of a request, and of its answer
)

func newWitnessServeCmd(a *app) *cobra.Command {
	var flags witnessFlags
	listen := "127.0.0.1:8482"
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Cosign over HTTP, until stopped",
		Long: `Serve is what a witness does, for a log whose operator submits each checkpoint himself: POST /add-checkpoint as C2SP's
tlog-witness says. It needs no password: only checkpoints that the log has signed are cosigned. For https put it behind a proxy.

Key and kept checkpoint are those of ` + "`cdcd audit witness cosign`" + `, which may be used beside it.`,
		Example: `  cdcd audit witness serve --key witness.key --name partner.example/witness --kept shop.kept --log-key shop.pub`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w, err := flags.open()
			if err != nil {
				return err
			}
			listener, err := net.Listen("tcp", listen)
			if err != nil {
				return usagef("--listen: %w", err).WithFix("stop what uses %s, or name another address", listen)
			}
			a.log.Info("witness", "event", "witness.listening", "address", "http://"+listener.Addr().String(), "key", w.public)
			if err := serve(cmd.Context(), listener, witnessHandler(w, a.log)); cmd.Context().Err() == nil {
				return err
			}
			return nil
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&listen, "listen", listen, "address to listen on")
	return cmd
}

// witnessHandler answers https://c2sp.org/tlog-witness.
func witnessHandler(w *witness, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+addCheckpoint, func(out http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(http.MaxBytesReader(out, r.Body, maxCheckpoint))
		if err != nil {
			http.Error(out, "the body is too large, or did not come", http.StatusBadRequest)
			return
		}
		q, err := proof.ParseRequest(text)
		if err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		if origin, _, _ := strings.Cut(string(q.Checkpoint), "\n"); !strings.HasPrefix(w.log, origin+"+") {
			http.Error(out, "no log of this origin is cosigned here", http.StatusNotFound)
			return
		}
		was, now, cosigned, err := w.cosign(q)
		status := refusalStatus(q, was, now, err)
		switch status {
		case http.StatusOK:
			log.Info("checkpoint cosigned", "event", "witness.cosigned", "origin", now.Origin, "old", q.Old, "size", now.Size)
			lines := strings.SplitAfter(string(cosigned), "\n") // the last one ends with the text
			io.WriteString(out, lines[len(lines)-2])
			return
		case http.StatusInternalServerError:
			log.Error("checkpoint not cosigned", "event", "witness.failed", "err", err)
			http.Error(out, "it cannot be cosigned at present", status)
			return
		}
		log.Warn("checkpoint not cosigned", "event", "witness.refused", "status", status, "old", q.Old, "size", now.Size, "kept", was.Size, "err", err)
		if status == http.StatusConflict {
			out.Header().Set("Content-Type", sizeType)
			out.WriteHeader(status)
			fmt.Fprintf(out, "%d\n", was.Size)
			return
		}
		http.Error(out, err.Error(), status)
	})
	return mux
}

// refusalStatus returns the status that says why a request was refused.
func refusalStatus(q proof.Request, was, now proof.Checkpoint, err error) int {
	var f *proof.Fault
	switch {
	case err == nil:
		return http.StatusOK
	case !errors.As(err, &f):
		return http.StatusInternalServerError
	case f.Part == "checkpoint":
		return http.StatusForbidden
	case q.Old > now.Size:
		return http.StatusBadRequest
	case q.Old != was.Size || now.Size == was.Size && now.Root != was.Root:
		return http.StatusConflict
	}
	return http.StatusUnprocessableEntity
}

func newWitnessSubmitCmd(a *app) *cobra.Command {
	var place auditPlace
	var key, checkpoint string
	cmd := &cobra.Command{
		Use:   "submit URL",
		Short: "Have a witness cosign the newest checkpoint over HTTP, and print it cosigned",
		Long: `Submit asks a witness who speaks C2SP's tlog-witness, such as ` + "`cdcd audit witness serve`" + `, for his cosignature. URL is what
he has given, without /add-checkpoint. What he has cosigned before he says himself. Only a valid cosignature of his key counts.

For the cosignatures of several witnesses, give what one has cosigned to the next with --checkpoint.`,
		Example: `  cdcd audit witness submit https://witness.example/shop --witness witness.example.pub > cosigned
  cdcd audit witness submit https://partner.example --witness partner.pub --checkpoint cosigned > cosigned-by-both`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			u, err := url.Parse(args[0])
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
				return usagef("'%s' is not the address of a witness", args[0]).WithFix("write it like https://witness.example/shop, without /add-checkpoint")
			}
			if key == "" {
				return usagef("--witness is missing").WithFix("give the public key of the witness, as he has told you")
			}
			witness, err := publicKeyArg("--witness", key)
			if err != nil {
				return err
			}
			if err := place.find(a, false); err != nil {
				return err
			}
			log, err := place.open(checkpoint)
			if err != nil {
				return err
			}
			public, err := place.publicKey()
			if err != nil {
				return err
			}
			address := strings.TrimRight(u.String(), "/") + addCheckpoint
			old, lines, err := submit(cmd.Context(), address, log.Request)
			if err != nil {
				return err
			}
			now, signed := log.Checkpoint()
			cosigned, err := proof.AddCosignatures(signed, public, lines, witness)
			if err != nil {
				return cdc.Errorf(codeNotCosigned, "the answer of %s: %w", address, err).WithFix("ask the witness for his public key, and give it with --witness")
			}
			v := struct {
				Origin   string `json:"origin"`
				Old      int64  `json:"old"`
				Size     int64  `json:"size"`
				Cosigned string `json:"cosigned"`
			}{now.Origin, old, now.Size, string(cosigned)}
			return a.ui.result(kind(cmd), v, func(w io.Writer) { w.Write(cosigned) })
		},
	}
	place.flags(cmd)
	cmd.Flags().StringVar(&key, "witness", "", "public key of the witness, or a file with it")
	cmd.Flags().StringVar(&checkpoint, "checkpoint", "", "file with the checkpoint to have cosigned (default: the newest)")
	return cmd
}

// submit returns the lines with which a witness has cosigned what request asks of him, and the size of the log when he had
// done it last.
func submit(ctx context.Context, address string, request func(old int64) (proof.Request, error)) (old int64, lines []byte, err error) {
	client := &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for range 5 { // others may have his cosignature meanwhile
		q, err := request(old)
		if err != nil {
			return old, nil, err
		}
		status, kind, body, err := post(ctx, client, address, q.Bytes())
		why := strings.TrimSpace(string(body[:min(len(body), 500)]))
		switch {
		case err != nil:
			return old, nil, cdc.Errorf(codeNotCosigned, "the witness does not answer: %w", err).WithFix("check the address, and that he is there")
		case status == http.StatusOK:
			return old, body, nil
		case status == http.StatusConflict && kind == sizeType:
			size, err := strconv.ParseInt(why, 10, 64)
			if err != nil || size < 0 {
				return old, nil, cdc.Errorf(codeNotCosigned, "%s says that the log had the size %q", address, why).WithFix("ask who runs it: it does not speak tlog-witness")
			}
			if size == old {
				return old, nil, cdc.Errorf(codeNotContinued, "not cosigned: %s has cosigned another log at size %d", address, size).
					WithFix("run `cdcd audit verify --since` with a checkpoint that he has cosigned: it shows what was changed")
			}
			old = size
		case status == http.StatusConflict, status == http.StatusUnprocessableEntity:
			return old, nil, cdc.Errorf(codeNotContinued, "not cosigned: %s: %s", address, why).
				WithFix("run `cdcd audit verify --since` with a checkpoint that he has cosigned: it shows what was changed")
		default:
			return old, nil, cdc.Errorf(codeNotCosigned, "%s answers with status %d: %s", address, status, why).
				WithFix("check the address; the witness must know this log by its public key")
		}
	}
	return old, nil, cdc.Errorf(codeNotCosigned, "%s has cosigned other checkpoints again and again", address).WithFix("try it again: somebody else submits checkpoints at the same time")
}

func post(ctx context.Context, client *http.Client, address string, body []byte) (status int, kind string, answer []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	r.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxCheckpoint))
	return resp.StatusCode, resp.Header.Get("Content-Type"), answer, err
}
