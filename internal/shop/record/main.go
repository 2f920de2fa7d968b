// Command record makes the binlog that cdcd demo reads where there is no database server: it starts a private MariaDB
// server, lets the shop run once on it, and writes to the folder that it is given
//
//	shop.binlog.zst  the server's binlog, as it wrote it, compressed
//	shop.json        how many changes are in it, as the shop counted them
//
// scripts/record-demo runs it.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/cdcd-project/cdcd/internal/dbserver"
	"github.com/cdcd-project/cdcd/internal/shop"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: record FOLDER")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := record(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

func record(ctx context.Context, folder string) error {
	dir, err := os.MkdirTemp("", "cdcd-record-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program, err := dbserver.Find(dbserver.MariaDB)
	if err != nil {
		return err
	}
	server, err := dbserver.Start(ctx, dbserver.Options{Program: program, Dir: dir, Port: -1, Args: []string{"--server-id=1", "--binlog-annotate-row-events=OFF"}})
	if err != nil {
		return err
	}
	tally, err := fill(ctx, server)
	if err != nil {
		server.Kill()
		return err
	}
	if err := server.Stop(); err != nil { // it closes its binlog
		return err
	}
	files, err := filepath.Glob(filepath.Join(server.DataDir, "binlog.[0-9]*"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("the server left the binlog files %q, want one (%v)", files, err)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	// The window has the size of the file: an update's row was in the log before, mostly far before.
	w, err := zstd.NewWriter(&packed, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(64<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if _, err := w.Write(raw); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	expected, err := json.MarshalIndent(tally, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "shop.binlog.zst"), packed.Bytes(), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "shop.json"), append(expected, '\n'), 0o644); err != nil {
		return err
	}
	fmt.Printf("%s: %d row changes in %d transactions, %.1f MB of binlog, %.1f MB compressed\n", time.Now().UTC().Format(time.DateOnly),
		tally.Changes, tally.Transactions, float64(len(raw))/1e6, float64(packed.Len())/1e6)
	return nil
}

func fill(ctx context.Context, server *dbserver.Server) (shop.Tally, error) {
	conn, err := server.Connect(ctx)
	if err != nil {
		return shop.Tally{}, err
	}
	defer conn.Close()
	s, err := shop.Open(ctx, conn, shop.DemoSeed)
	if err != nil {
		return shop.Tally{}, err
	}
	if err := s.Fill(ctx); err != nil {
		return shop.Tally{}, err
	}
	return s.Tally(), nil
}
