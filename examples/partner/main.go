package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cdcd-project/cdcd/internal/child"
	"github.com/cdcd-project/cdcd/internal/dbserver"
	"github.com/cdcd-project/cdcd/internal/ledger"
	"github.com/cdcd-project/cdcd/partner"
)

func main() {
	var e example
	flag.DurationVar(&e.load, "for", 30*time.Second, "how long the database is under load, and cdcd is killed")
	flag.DurationVar(&e.every, "kill-every", 1500*time.Millisecond, "about how often")
	flag.StringVar(&e.dir, "dir", "", "folder to work in, which is kept (default: a temporary one)")
	flag.StringVar(&e.cdcd, "cdcd", "", "the program cdcd (default: it is built)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	e.out = os.Stdout
	if err := e.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "partner:", err)
		os.Exit(1)
	}
}

// example is both organisations. What is below sender/ and below partner/ belongs to one of them; the partner may read
// sender/bucket and sender/audit.
type example struct {
	load, every time.Duration
	dir, cdcd   string
	out         io.Writer

	db       *dbserver.Server
	work     *ledger.Workload
	console  string
	receipts string
	kills    int
	logs     map[string]*os.File // sender/log and partner/log

	mu     sync.Mutex
	events map[uint64]int // how often the partner was told of an object, by ordinal
	wrong  []string       // events that he could not verify
}

func (e *example) run(ctx context.Context) error {
	if e.dir == "" {
		dir, err := os.MkdirTemp("", "cdcd-example-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		e.dir = dir
	}
	for _, step := range []func(context.Context) error{e.build, e.source, e.keys} {
		if err := step(ctx); err != nil {
			return errors.Join(err, e.stopSource())
		}
	}
	err := e.share(ctx)
	return errors.Join(err, e.stopSource())
}

func (e *example) path(parts ...string) string {
	return filepath.Join(append([]string{e.dir}, parts...)...)
}

// build makes the program, unless one was named.
func (e *example) build(ctx context.Context) error {
	for _, dir := range []string{e.path("sender", "rules"), e.path("partner")} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return err
		}
	}
	if e.cdcd != "" {
		return nil
	}
	e.cdcd = e.path("cdcd")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", e.cdcd, "github.com/cdcd-project/cdcd/cmd/cdcd").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build cdcd: %w\n%s", err, out)
	}
	return nil
}

// source starts the sender's database.
func (e *example) source(ctx context.Context) (err error) {
	if e.db, err = dbserver.Start(ctx, dbserver.Options{Dir: e.path("sender", "db")}); err != nil {
		return err
	}
	conn, err := e.db.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, s := range []string{
		"CREATE USER cdcd@'127.0.0.1' IDENTIFIED BY 'secret'",
		"GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO cdcd@'127.0.0.1'",
		"CREATE USER shop@'127.0.0.1' IDENTIFIED BY 'secret'",
		"GRANT ALL ON *.* TO shop@'127.0.0.1'",
	} {
		if _, err := conn.Execute(s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	e.work = ledger.New(ledger.Config{Addr: e.db.Addr, User: "shop", Password: "secret", Seed: 1, Pause: 2 * time.Millisecond, ChangeKeys: true})
	return e.work.Create(ctx)
}

func (e *example) stopSource() error {
	if e.db == nil {
		return nil
	}
	return e.db.Stop()
}

// keys are made by who signs with them; the other one gets the public halves.
func (e *example) keys(ctx context.Context) error {
	for private, public := range map[string]string{
		e.path("sender", "hook.key"):     e.path("partner", "hook.pub"),
		e.path("partner", "receipt.key"): e.path("sender", "receipt.pub"),
	} {
		cmd := exec.CommandContext(ctx, e.cdcd, "trigger", "new-key", "--ed25519")
		var secret, shown bytes.Buffer
		cmd.Stdout, cmd.Stderr = &secret, &shown
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("make a key: %w\n%s", err, &shown)
		}
		if err := errors.Join(os.WriteFile(private, secret.Bytes(), 0o600), os.WriteFile(public, shown.Bytes(), 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// configure writes what the sender's cdcd is told.
func (e *example) configure(hook string) error {
	e.console, e.receipts = fmt.Sprintf("127.0.0.1:%d", dbserver.FreePort()), fmt.Sprintf("127.0.0.1:%d", dbserver.FreePort())
	rule := "version: 1\nrules:\n  - name: everything\n    tables: [ledger.*]\n    when: \"true\"\n    to: [acme]\n"
	config := fmt.Sprintf(`version: 1
name: shop
source:
  mysql: {url: "%s://cdcd@%s", password_env: DB_PASSWORD, tables: [ledger.*]}
feeds:
  acme:
    to: file://./bucket
    rotate: {every: 200ms}
    trigger:
      webhook: {url: "%s", ed25519_key_file: hook.key, allow_insecure: true, allow_private: true}   # all on one machine
      receipts: {public_key_file: receipt.pub, unfetched_after: 1m}
audit: {dir: ./audit, key_file: ./audit.key}
console: {listen: "%s"}
receipts: {listen: "%s"}
`, e.db.Program.Flavor, e.db.Addr, hook, e.console, e.receipts)
	return errors.Join(os.WriteFile(e.path("sender", "rules", "all.yaml"), []byte(rule), 0o640),
		os.WriteFile(e.path("sender", "cdcd.yaml"), []byte(config), 0o640))
}

// sender is the cdcd of the one, puller that of the other.
func (e *example) sender() *exec.Cmd {
	return e.command("sender", "run", "-c", e.path("sender", "cdcd.yaml"))
}

func (e *example) puller() *exec.Cmd {
	return e.command("partner", "partner", "pull", "file://"+e.path("sender", "bucket"), "--to", e.path("partner", "in"), "--follow", "--every", "200ms",
		"--audit", e.path("sender", "audit"), "--audit-key", e.path("sender", "audit.key.pub"),
		"--receipts", "http://"+e.receipts+"/receipts/acme", "--receipt-key", e.path("partner", "receipt.key"))
}

// command runs cdcd as one of both; what it logs goes into a file of his.
func (e *example) command(who string, args ...string) *exec.Cmd {
	cmd := exec.Command(e.cdcd, args...)
	cmd.Env = append(os.Environ(), "DB_PASSWORD=secret")
	cmd.Stdout, cmd.Stderr = e.logs[who], e.logs[who]
	return cmd
}

// told is the partner's webhook: an event that is not his sender's is refused, and the same one may come again.
func (e *example) told(keys []partner.Key) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, partner.MaxTrigger))
		if err != nil {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		t, err := partner.VerifyTrigger(r.Header, body, time.Now(), keys...)
		e.mu.Lock()
		defer e.mu.Unlock()
		if err != nil {
			e.wrong = append(e.wrong, err.Error())
			http.Error(w, "not signed by who we know", http.StatusUnauthorized)
			return
		}
		e.events[t.Data.Ordinal]++
	}
}

// share is the whole story.
func (e *example) share(ctx context.Context) error {
	text, err := os.ReadFile(e.path("partner", "hook.pub"))
	if err != nil {
		return err
	}
	keys, err := partner.ParseKeys(string(text))
	if err != nil {
		return err
	}
	e.events, e.logs = map[uint64]int{}, map[string]*os.File{}
	for _, who := range []string{"sender", "partner"} {
		log, err := os.Create(e.path(who, "log"))
		if err != nil {
			return err
		}
		defer log.Close()
		e.logs[who] = log
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	hook := &http.Server{Handler: e.told(keys), ReadTimeout: 10 * time.Second}
	go hook.Serve(listener) // until it is closed
	defer hook.Close()
	if err := e.configure("http://" + listener.Addr().String() + "/hook"); err != nil {
		return err
	}

	sender, puller := &victim{start: e.sender}, &victim{start: e.puller}
	defer sender.kill()
	defer puller.kill()
	if err := sender.revive(); err != nil {
		return err
	}
	if err := e.await(ctx, time.Minute, func() error { // until then there is nothing to fetch from
		_, err := os.Stat(e.path("sender", "bucket", "p=00", "chain.json"))
		return err
	}); err != nil {
		return fmt.Errorf("the sender does not begin: %w", err)
	}
	if err := e.underLoad(ctx, sender, puller); err != nil {
		return err
	}
	return e.verdict(ctx, sender, puller)
}

// underLoad works on the database and kills both, until time is up.
func (e *example) underLoad(ctx context.Context, sender, puller *victim) error {
	load, cancel := context.WithTimeout(ctx, e.load)
	defer cancel()
	worked := make(chan error, 1)
	go func() { worked <- e.work.Run(load) }() // waited for below
	for load.Err() == nil {
		for i, v := range []*victim{sender, puller} {
			if err := v.revive(); err != nil {
				return errors.Join(err, <-worked)
			}
			if i == 1 && e.kills%2 == 1 {
				continue // the partner lives twice as long
			}
			select {
			case <-time.After(e.every/2 + rand.N(e.every)):
			case <-load.Done():
			}
			if i == 0 {
				sender.kill()
				e.kills++
			} else {
				puller.kill()
			}
		}
		tx, changes := e.work.Committed()
		fmt.Fprintf(e.out, "killed %d times; %d transactions with %d changes committed\n", e.kills, tx, changes)
	}
	return <-worked
}

// verdict lets both finish, and compares.
func (e *example) verdict(ctx context.Context, sender, puller *victim) error {
	if err := errors.Join(sender.revive(), puller.revive()); err != nil {
		return err
	}
	var wrong error
	err := e.await(ctx, 2*time.Minute, func() error {
		lines, err := e.received()
		if err == nil {
			err = e.work.Check(ctx, ledger.Want{}, ledger.Lines(lines))
		}
		return err
	})
	if err != nil {
		wrong = fmt.Errorf("what the partner has is not what was committed: %w", err)
	}
	status := func() (string, error) {
		out, err := exec.CommandContext(ctx, e.cdcd, "status", "-c", e.path("sender", "cdcd.yaml")).CombinedOutput()
		return string(out), err
	}
	err = e.await(ctx, time.Minute, func() error {
		out, _ := status() // readiness is of no weight here
		if !strings.Contains(out, "told of all objects") || !strings.Contains(out, ", 0 to go") {
			return errors.New(out)
		}
		return nil
	})
	wrong = errors.Join(wrong, err)
	sender.kill()
	puller.kill()
	bucket := "file://" + e.path("sender", "bucket")
	for _, args := range [][]string{
		{"partner", "verify", bucket, "--audit", e.path("sender", "audit"), "--audit-key", e.path("sender", "audit.key.pub")},
		{"audit", "verify", "--objects", "-c", e.path("sender", "cdcd.yaml")},
	} {
		cmd := exec.CommandContext(ctx, e.cdcd, args...)
		cmd.Env = append(os.Environ(), "DB_PASSWORD=secret")
		out, err := cmd.CombinedOutput()
		fmt.Fprintf(e.out, "\n$ cdcd %s\n%s", strings.Join(args[:2], " "), out)
		wrong = errors.Join(wrong, err)
	}
	return errors.Join(wrong, e.summary())
}

// summary prints what there is, and finds out whether each object was told of.
func (e *example) summary() error {
	objects, err := filepath.Glob(e.path("partner", "in", "p=00", "dt=*", "*.jsonl"))
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	again := 0
	for _, n := range e.events {
		again += n - 1
	}
	tx, changes := e.work.Committed()
	fmt.Fprintf(e.out, "\n%d changes in %d transactions; the sender was killed %d times\n", changes, tx, e.kills)
	fmt.Fprintf(e.out, "%d objects fetched, each checked; %d events, %d of them a second time\n", len(objects), len(e.events)+again, again)
	if len(e.wrong) > 0 {
		return fmt.Errorf("%d events could not be verified: %s", len(e.wrong), e.wrong[0])
	}
	for ordinal := range uint64(len(objects)) {
		if e.events[ordinal+1] == 0 {
			return fmt.Errorf("the partner was never told of object %d", ordinal+1)
		}
	}
	fmt.Fprintln(e.out, "the partner has what was committed: each change once, in order, nothing else")
	return nil
}

// received returns what the partner has, in order.
func (e *example) received() (io.Reader, error) {
	files, err := filepath.Glob(e.path("partner", "in", "p=00", "dt=*", "*.jsonl"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var all bytes.Buffer
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		all.Write(text)
	}
	return &all, nil
}

// await tries until it succeeds.
func (e *example) await(ctx context.Context, patience time.Duration, try func() error) error {
	for deadline := time.Now().Add(patience); ; {
		err := try()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return errors.Join(err, ctx.Err())
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// victim is a process that is killed and started again.
type victim struct {
	start   func() *exec.Cmd
	process *child.Process
}

// revive starts it unless it runs.
func (v *victim) revive() (err error) {
	if v.process != nil {
		select {
		case <-v.process.Done():
			return fmt.Errorf("it has ended by itself: %w", v.process.Err())
		default:
			return nil
		}
	}
	v.process, err = child.Start(v.start())
	return err
}

// kill ends it as a power cut would.
func (v *victim) kill() {
	if v.process != nil {
		v.process.Kill()
		v.process = nil
	}
}
