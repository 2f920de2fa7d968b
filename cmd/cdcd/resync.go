package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/durable"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// resyncNote is what is kept about a resync, as one line of resync.jsonl in the data folder.
type resyncNote struct {
	Time    time.Time   `json:"time"`
	Who     string      `json:"who"`
	Reason  string      `json:"reason,omitempty"`
	Writer  string      `json:"writer"`
	Lost    string      `json:"lost"`      // what lies between, in words
	From    resyncPlace `json:"from"`      // where the stream ended
	To      resyncPlace `json:"to"`        // where it goes on
	FirstNo uint64      `json:"first_no"`  // number of the first change of the new epoch
	Seq     uint64      `json:"after_seq"` // the stream's last frame before
}

type resyncPlace struct {
	Epoch   string `json:"epoch"`
	Flavor  string `json:"flavor"`
	Server  string `json:"server"`
	GTIDSet string `json:"gtid_set,omitempty"`
	File    string `json:"file"`
	Pos     uint64 `json:"pos"`
}

func placeOf(epoch uint64, c cdc.Checkpoint) resyncPlace {
	return resyncPlace{fmt.Sprintf("%016x", epoch), c.Flavor, c.Server, c.GTIDSet, c.File, c.Pos}
}

func newResyncCmd(a *app) *cobra.Command {
	var yes bool
	var reason string
	cmd := &cobra.Command{
		Use:   "resync",
		Short: "Begin a new epoch at the server's present end, after a loss",
		Long: `Resync gives up what lies between the end of the stream and the present end of the server's binlog: for when that can't be
captured any more (deleted binlog files, a GTID gap, another server). It says what will be lost and asks. Then it makes the
stream go on at the server's present end, in a new epoch. The numbers of changes go on without a gap, so that chains stay
whole; the partner sees the loss by the new epoch in the metadata of the next object. A configured snapshot begins again.

No cdcd may run in the data folder. On an external NATS a running capture loses the stream to this command, and takes it
up again in the new epoch. What was done, when and by whom is kept in resync.jsonl in the data folder.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			note, err := resync(cmd, a, cfg, yes, reason)
			if err != nil {
				return err
			}
			return a.ui.result(kind(cmd), note, func(w io.Writer) {
				fmt.Fprintf(w, "%s a new epoch begins: %s, change %d on\n", a.ui.out(green, "✓"), note.To.Epoch, note.FirstNo)
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who read resync.jsonl later")
	return cmd
}

func resync(cmd *cobra.Command, a *app, cfg *config, yes bool, reason string) (*resyncNote, error) {
	ctx := cmd.Context()
	if cfg.Source.MySQL == nil {
		return nil, usagef("the source is binlog files; resync is for a server").
			WithFix("name the missing files in source.binlog.files")
	}
	server, err := serverConfig(cfg, a.env)
	if err != nil {
		return nil, err
	}
	writer := writerName()
	stream, err := openBus(ctx, a, cfg, writer, nil)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	from, header, seq, err := stream.Last(ctx)
	if err != nil {
		return nil, err
	}
	if header.Epoch == 0 || len(from.PartNos) == 0 {
		return nil, cdc.Errorf("CDCD-1326", "the stream %s is empty: there is no epoch to end", cfg.Name).
			WithFix("cdcd run begins the first one")
	}
	at, lost, err := mysql.Present(ctx, server, from)
	if err != nil {
		return nil, err
	}
	a.ui.note("%s will never be captured: the stream goes on at %s:%d of %s (%s)", lost, at.File, at.Pos, at.Server, at.GTIDSet)
	if err := a.confirm(yes); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Data, 0o750); err != nil { // with an external NATS it need not be there
		return nil, fmt.Errorf("data folder: %w", err)
	}

	epoch, err := resyncEpoch(header.Epoch, cfg)
	if err != nil {
		return nil, err
	}
	at.NextNo, at.PartNos = from.NextNo, from.PartNos
	var w cdc.Builder
	w.Reset(cdc.Header{Source: cfg.Name, Writer: writer, Epoch: epoch, Partitions: header.Partitions,
		FirstPartNo: at.PartNos[0], Created: time.Now(), Heartbeat: true})
	frame, err := cdc.Open(w.Seal(at), nil)
	if err != nil {
		return nil, err
	}
	publisher, err := stream.Publisher(ctx, seq)
	if err != nil {
		return nil, err
	}
	defer publisher.Close()
	if err := publisher.Handle(ctx, frame); err != nil {
		return nil, err
	}
	if err := publisher.Flush(ctx); err != nil {
		return nil, err
	}
	note := &resyncNote{Time: time.Now().UTC(), Who: whoAmI(), Reason: reason, Writer: writer, Lost: lost,
		From: placeOf(header.Epoch, from), To: placeOf(epoch, at), FirstNo: at.NextNo, Seq: seq}
	a.log.Warn("a new epoch was begun", "event", "resync.done", "who", note.Who, "reason", reason, "lost", lost, "epoch", note.To.Epoch)
	return note, note.keep(cfg.Data)
}

// confirm asks whether to go on.
func (a *app) confirm(yes bool) error {
	if yes {
		return nil
	}
	fmt.Fprint(a.ui.stderr, "Go on? Type yes: ")
	answer, err := bufio.NewReader(a.stdin).ReadString('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(answer) != "yes" {
		return usagef("not confirmed; nothing was done").WithFix("answer yes, or give --yes")
	}
	return nil
}

// whoAmI names the user and the host.
func whoAmI() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, _ := os.Hostname()
	return name + "@" + host
}

// keep appends the note to resync.jsonl, durably.
func (n *resyncNote) keep(dir string) error {
	line, err := json.Marshal(n)
	if err != nil {
		return err
	}
	name, size := filepath.Join(dir, "resync.jsonl"), int64(0)
	if info, statErr := os.Stat(name); statErr == nil {
		size = info.Size()
	}
	err = durable.New().Append(name, size, append(line, '\n'), 0o640)
	if err != nil {
		return fmt.Errorf("the new epoch has begun, but could not be noted in the data folder: %w", err)
	}
	return nil
}
