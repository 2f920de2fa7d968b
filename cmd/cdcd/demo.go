package main

import (
	"context"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	cryptorand "crypto/rand"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/dbserver"
	"github.com/cdcd-project/cdcd/internal/shop"
)

// demoFiles are the demo's rules and the recorded binlog with what is in it (scripts/record-demo makes those two).
//
//go:embed demo
var demoFiles embed.FS

func newDemoCmd(a *app) *cobra.Command {
	d := &demo{app: a, line: living{ui: a.ui}}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it all work, with nothing but this program",
		Long: `Demo runs a whole pipeline on this machine: a shop as the source, the stream, three rules, and a folder as the
partner's object store. The shop's changes are made on a private database server if one is installed (MariaDB or
MySQL; the server's own data are not touched), and else read from a binlog that was recorded on one.

It goes on until Ctrl-C and then leaves nothing behind, unless --data says where to keep everything. A demo that was
kept goes on where it was when it is started again with the same --data, however it ended.`,
		Example: `  cdcd demo
  cdcd demo --once
  cdcd demo --data shop-demo`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !oneOf(d.source, "auto", "live", "recorded") {
				return badChoice("--source", d.source, "auto", "live", "recorded")
			}
			if d.port < 1 || d.port > 65535 {
				return usagef("--port %d is not a port", d.port).WithFix("use 1 to 65535")
			}
			d.root, d.anyPort = cmd.Root(), !cmd.Flags().Changed("port")
			if !cmd.Flags().Changed("log-level") { // the tour says what happens
				a.logLevel = "warn"
				if err := a.start(); err != nil {
					return err
				}
			}
			return d.run(cmd.Context(), kind(cmd))
		},
	}
	f := cmd.Flags()
	f.StringVar(&d.data, "data", "", "keep everything in this folder")
	f.BoolVar(&d.once, "once", false, "end when all is delivered, and verify it: exit 0 when nothing is missing, 1 otherwise")
	f.StringVar(&d.source, "source", "auto", "where changes come from: live (a private server), recorded (a binlog), or auto")
	f.IntVar(&d.port, "port", 8480, "port on 127.0.0.1 for status and metrics; another free one if this is taken and was not asked for")
	return cmd
}

// demo is one run of the demo.
type demo struct {
	*app
	root    *cobra.Command
	data    string // --data
	once    bool   // --once
	source  string // --source: live or recorded once prepare has chosen
	port    int    // --port
	anyPort bool

	began    time.Time
	folder   string
	listener net.Listener // at console.listen, of a new demo
	resumed  bool         // the folder is that of a demo before
	cfg      *config
	server   *dbserver.Server // nil when recorded
	shop     *shop.Shop       // nil when recorded
	expected shop.Tally       // of the recording, or what a shop that was filled says

	begin     chan struct{} // closed when capture has begun: what the shop does from then on is captured
	filled    chan struct{} // closed when expected holds what the shop has done
	delivered chan struct{} // closed when a recording has been delivered whole

	firstObject time.Duration
	line        living
	lastRows    uint64 // captured rows, and when they last changed
	lastMove    time.Time
}

// errTourEnds ends a demo that has seen all it wanted to see.
var errTourEnds = errors.New("the tour ends")

func (d *demo) run(ctx context.Context, kind string) error {
	d.began = time.Now()
	d.begin, d.filled, d.delivered = make(chan struct{}), make(chan struct{}), make(chan struct{})
	if err := d.makeFolder(); err != nil {
		return err
	}
	defer d.clean()
	defer func() {
		if d.listener != nil {
			d.listener.Close() // nothing, if it was used
		}
	}()
	if err := d.prepare(ctx); err != nil {
		return err
	}
	d.cfg.stays = !d.once // a recording ends, and people are still looking
	d.cfg.listener = d.listener
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := runPipeline(gctx, d.app, d.cfg)
		close(d.delivered) // or it failed, or was stopped; nobody looks then
		return err
	})
	g.Go(func() error { return d.trade(gctx) })
	g.Go(func() error { return d.guide(gctx) })
	err := g.Wait()
	d.line.end()
	switch {
	case ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)):
		return nil // Ctrl-C is how a demo ends
	case !errors.Is(err, errTourEnds):
		return err
	}
	v, err := d.verify(ctx)
	if err != nil {
		return err
	}
	return d.ui.verdict(kind, v.ok(), v, func(w io.Writer) { d.printVerdict(w, v) })
}

// makeFolder makes the folder that everything goes to, or finds that of a demo before.
func (d *demo) makeFolder() error {
	if d.data == "" {
		folder, err := os.MkdirTemp("", "cdcd-demo-")
		d.folder = folder
		return err
	}
	d.folder = filepath.Clean(d.data)
	if err := os.MkdirAll(d.folder, 0o755); err != nil {
		return cdc.Errorf("CDCD-1040", "demo --data: %w", err).WithFix("choose a folder that can be written to")
	}
	_, err := os.Stat(d.configFile())
	d.resumed = err == nil
	return nil
}

func (d *demo) configFile() string { return filepath.Join(d.folder, "cdcd.yaml") }

// clean stops the server and removes what is not to be kept.
func (d *demo) clean() {
	if d.data != "" {
		if d.server != nil {
			if err := d.server.Stop(); err != nil {
				d.ui.note("demo: %v", err)
			}
		}
		d.ui.note("demo: everything is kept in %s", d.folder)
		return
	}
	if d.server != nil {
		d.server.Kill() // its data go anyway
	}
	if err := os.RemoveAll(d.folder); err != nil {
		d.ui.note("demo: %v", err)
	}
}

// prepare makes the source and the configuration, or takes up those of a demo before.
func (d *demo) prepare(ctx context.Context) error {
	if d.resumed {
		return d.resume(ctx)
	}
	var program dbserver.Program
	if d.source != "recorded" {
		var err error
		if program, err = dbserver.Find(); err != nil && d.source == "live" {
			return cdc.Errorf("CDCD-1040", "demo --source live: %w", err).
				WithFix("install MariaDB (apt-get install mariadb-server) or MySQL, or use --source recorded")
		}
		d.source = "live"
		if err != nil {
			d.source = "recorded"
		}
	}
	text := demoRecorded
	if d.source == "live" {
		d.ui.note("demo: starting a private %s server", program.Flavor)
		if err := d.startServer(ctx, program, 0); err != nil {
			return err
		}
		text = strings.ReplaceAll(demoLive, "{{url}}", fmt.Sprintf("%s://cdcd@%s", program.Flavor, d.server.Addr))
	} else if err := d.unpack(); err != nil {
		return err
	}
	text = strings.ReplaceAll(demoConfig, "{{source}}", text)
	listener, err := d.listen()
	if err != nil {
		return err
	}
	d.listener = listener
	files := []initFile{{"cdcd.yaml", strings.ReplaceAll(text, "{{listen}}", listener.Addr().String())}}
	rules, err := demoFiles.ReadDir("demo/rules")
	if err != nil {
		return err
	}
	for _, r := range rules {
		rule, err := demoFiles.ReadFile("demo/rules/" + r.Name())
		if err != nil {
			return err
		}
		files = append(files, initFile{filepath.Join("rules", r.Name()), string(rule)})
	}
	schema, err := demoFiles.ReadFile("demo/schema.yaml")
	if err != nil {
		return err
	}
	files = append(files, initFile{"schema.yaml", string(schema)})
	// The configuration comes last: where it is, all is.
	if err := writeFiles(d.folder, append(files[1:], files[0])); err != nil {
		return err
	}
	d.cfg, err = loadConfig(d.configFile(), d.env, d.sets)
	return err
}

// resume takes up what a demo before has left.
func (d *demo) resume(ctx context.Context) (err error) {
	if d.cfg, err = loadConfig(d.configFile(), d.env, d.sets); err != nil {
		return err
	}
	was := "recorded"
	if d.cfg.Source.MySQL != nil {
		was = "live"
	}
	if d.source != "auto" && d.source != was {
		return usagef("--source %s: the demo in %s is %s", d.source, d.folder, was).WithFix("leave --source out, or use another folder")
	}
	d.source = was
	if d.source == "recorded" {
		return nil
	}
	u, err := url.Parse(string(d.cfg.Source.MySQL.URL))
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return usagef("the demo's configuration %s names no port of its server", d.configFile()).WithFix("use another folder")
	}
	program, err := dbserver.Find(u.Scheme)
	if err != nil {
		return cdc.Errorf("CDCD-1040", "demo in %s: %w", d.folder, err).WithFix("install the server that the demo was made with, or use another folder")
	}
	d.ui.note("demo: going on in %s", d.folder)
	if err := d.startServer(ctx, program, port); err != nil {
		return err
	}
	if d.once && !d.shop.Empty() {
		return usagef("--once counts from the first change on, but the demo in %s has begun before", d.folder).WithFix("use another folder")
	}
	return nil
}

// startServer starts the private server, with an account for cdcd, and opens the shop on it.
func (d *demo) startServer(ctx context.Context, program dbserver.Program, port int) (err error) {
	dir := filepath.Join(d.folder, "db")
	if d.server, err = dbserver.Start(ctx, dbserver.Options{Program: program, Dir: dir, Port: port}); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return cdc.Errorf("CDCD-1040", "demo: %w", err).WithFix("see %s, or use --source recorded", filepath.Join(dir, "server.log"))
	}
	conn, err := d.server.Connect(ctx) // for as long as the server lives, which clean ends
	if err != nil {
		return err
	}
	if !d.resumed {
		var random [16]byte
		cryptorand.Read(random[:])
		password := hex.EncodeToString(random[:])
		for _, statement := range []string{
			"CREATE USER cdcd@'127.0.0.1' IDENTIFIED BY '" + password + "'",
			"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO cdcd@'127.0.0.1'",
			"GRANT SELECT ON " + shop.Schema + ".* TO cdcd@'127.0.0.1'",
		} {
			if _, err := conn.Execute(statement); err != nil {
				return fmt.Errorf("demo: make an account: %w", err)
			}
		}
		if err := os.WriteFile(filepath.Join(d.folder, "mysql.password"), []byte(password+"\n"), 0o600); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	d.shop, err = shop.Open(ctx, conn, shop.DemoSeed)
	return err
}

// unpack writes the recorded binlog.
func (d *demo) unpack() error {
	packed, err := demoFiles.Open("demo/shop.binlog.zst")
	if err != nil {
		return err
	}
	defer packed.Close()
	r, err := zstd.NewReader(packed)
	if err != nil {
		return err
	}
	defer r.Close()
	dir := filepath.Join(d.folder, "binlog")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	f, err := os.Create(filepath.Join(dir, "binlog.000001"))
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("demo: unpack the recorded binlog: %w", err)
	}
	return nil
}

// listen listens where the console is to be. What is free now may be another demo's a moment later, so nobody lets go of it.
func (d *demo) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(d.port)))
	if err != nil && d.anyPort {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, cdc.Errorf("CDCD-1032", "demo --port: %w", err).WithFix("stop what uses the port, or leave --port out: then a free one is taken")
	}
	return l, nil
}

const demoConfig = `# Written by cdcd demo. Every verb takes it: cdcd status -c cdcd.yaml
version: 1
name: shop
data: ./data
source:
{{source}}rules: [rules/*.yaml]
feeds:
  acme:                       # the partner, who receives what the rules choose
    to: file://./objects      # or s3://bucket/prefix
    compress: zstd
    rotate: {every: 1s}
audit: {dir: ./audit, key_file: ./audit.key}
dead_letters: {dir: ./dead-letters}
console: {listen: "{{listen}}"}
`

const demoLive = `  mysql:
    url: {{url}}
    password_file: mysql.password
    tables: [shop.*]
`

const demoRecorded = `  binlog:                     # recorded on a MariaDB server; it is read as a live one is
    files: [binlog/binlog.0*]
    tables: [shop.*]
`

// trade lets the shop do its work, from when capture has begun.
func (d *demo) trade(ctx context.Context) error {
	if d.source == "recorded" {
		text, err := fs.ReadFile(demoFiles, "demo/shop.json")
		if err == nil {
			err = json.Unmarshal(text, &d.expected)
		}
		close(d.filled)
		return err
	}
	select {
	case <-d.begin:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := d.shop.Fill(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("demo: %w", err)
	}
	d.expected = d.shop.Tally()
	close(d.filled)
	if d.once {
		return nil
	}
	return d.shop.Trade(ctx, 5)
}

// guide follows the pipeline through its status, as an operator would, and tells what there is to see.
func (d *demo) guide(ctx context.Context) error {
	if d.source == "live" {
		// The first frame says where capture begins. What the shop did before would not be captured.
		if err := d.until(ctx, func(s state) bool { return s.Capture.LastFrame != "" }); err != nil {
			return err
		}
	}
	close(d.begin)
	if err := d.until(ctx, func(s state) bool { return len(s.Feeds) > 0 && s.Feeds[0].Ordinal > 0 }); err != nil {
		return err
	}
	d.firstObject = time.Since(d.began)
	d.line.end()
	if d.ui.format == "table" {
		d.printTour(d.ui.stdout)
	}
	if err := d.until(ctx, d.caughtUp); err != nil {
		return err
	}
	d.line.end()
	if c, err := d.count(); err == nil {
		d.ui.note("demo: all is delivered: %s, %s, %s", plural(c.records, "record"), plural(c.objects, "object"), plural(c.deadLetters, "dead letter"))
	}
	if d.once {
		return errTourEnds
	}
	if d.source == "recorded" {
		d.ui.note("demo: the recording has ended; Ctrl-C ends the demo")
		<-ctx.Done()
		return ctx.Err()
	}
	d.ui.note("demo: the shop goes on with a few transactions a second; Ctrl-C ends the demo")
	return d.until(ctx, func(state) bool { return false })
}

// caughtUp reports whether all that the shop did when it was filled is where it belongs.
func (d *demo) caughtUp(s state) bool {
	select {
	case <-d.filled:
	default:
		return false
	}
	failed := 0
	for _, f := range s.Feeds {
		if f.Behind > 0 || f.Waiting > 0 || f.Events < s.Capture.Rows {
			return false
		}
		failed += int(f.Failed)
	}
	if now := time.Now(); s.Capture.Rows != d.lastRows || d.lastMove.IsZero() {
		d.lastRows, d.lastMove = s.Capture.Rows, now
	} else if now.Sub(d.lastMove) > 30*time.Second {
		return true // nothing more will come: what is missing is for the verdict to say
	}
	if !d.resumed && int(s.Capture.Rows) < d.expected.Changes {
		return false
	}
	c, err := d.count()
	return err == nil && (d.resumed || c.deadLetters >= failed)
}

// until asks for the status, and shows it, until what it is asked for is so. A pipeline that has ended by itself has
// done all that it can.
func (d *demo) until(ctx context.Context, reached func(state) bool) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if s, err := d.status(ctx); err == nil {
			d.progress(s)
			if reached(s) {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-d.delivered:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d *demo) status(ctx context.Context) (state, error) {
	var s state
	body, err := askRunning(ctx, d.cfg, "/status", 2*time.Second)
	if err != nil {
		return s, err
	}
	defer body.Close()
	return s, json.NewDecoder(body).Decode(&s)
}

// progress shows how far it is.
func (d *demo) progress(s state) {
	var records, objects, failed uint64
	for _, f := range s.Feeds {
		records, objects, failed = records+f.Records, objects+f.Objects, failed+f.Failed
	}
	text := fmt.Sprintf("%3.0f s: %d changes, %d records in %d objects, %d dead letters", // shorter than a terminal is wide
		time.Since(d.began).Seconds(), s.Capture.Rows, records, objects, failed)
	if d.source == "live" {
		text += fmt.Sprintf(", %.1f s behind", s.Capture.LagSeconds)
	}
	d.line.show("demo: ", text)
}
