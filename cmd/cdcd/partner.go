package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/partner"
	"github.com/cdcd-project/cdcd/sinks/file"
	"github.com/cdcd-project/cdcd/sinks/form"
	"github.com/cdcd-project/cdcd/sinks/s3"
)

func newPartnerCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "partner",
		Short: "Fetch and check objects, as the one who receives them",
		Long: `The verbs of partner are for the other side: they need no configuration and no running cdcd, only the store. What they
check with is the Go package partner, which shares nothing with the code that delivers.`,
	}
	cmd.AddCommand(newPartnerPullCmd(a), newPartnerVerifyCmd(a))
	return cmd
}

// partnerPlace is where a partner finds what it is given.
type partnerPlace struct {
	s3       s3Config
	audit    string
	auditKey string
	begin    []string
}

func (p *partnerPlace) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.audit, "audit", "", "the audit log: a folder, https://… or s3://…; an object then counts only when the log has it")
	f.StringArrayVar(&p.begin, "begin", nil, "number of the object to begin with, when those before it have expired: 17, or p=01:17 for each chain of a feed with partitions")
	f.StringVar(&p.auditKey, "audit-key", "", "file with the public key of the audit log")
	f.StringVar(&p.s3.Endpoint, "endpoint", "", "address of an S3 store that is not AWS: https://host")
	f.StringVar(&p.s3.Region, "region", "us-east-1", "region of the bucket")
	f.BoolVar(&p.s3.PathStyle, "path-style", false, "put the bucket into the path and not into the host name")
	f.StringVar(&p.s3.AccessKeyEnv, "access-key-env", "", "environment variable with the access key (default: AWS's credential chain)")
	f.StringVar(&p.s3.SecretKeyEnv, "secret-key-env", "", "environment variable with the secret key")
}

// begins reads --begin.
func (p *partnerPlace) begins() (map[string]uint64, error) {
	begins := map[string]uint64{}
	for _, text := range p.begin {
		folder, number, named := strings.Cut(text, ":")
		if !named {
			folder, number = "p=00", text
		}
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil || n == 0 || !chainFolder.MatchString(folder) {
			return nil, usagef("--begin '%s' is not the number of an object", text).WithFix("write --begin 17; of a feed with partitions --begin p=00:17 --begin p=01:9")
		}
		begins[folder] = n
	}
	return begins, nil
}

var chainFolder = regexp.MustCompile(`^p=\d{2,}$`)

// config opens the store and the log.
func (p *partnerPlace) config(ctx context.Context, a *app, url string) (c partner.Config, err error) {
	if c.Store, err = p.open(ctx, a, url); err != nil {
		return c, err
	}
	c.Decode = decodeObject
	c.Container = func(key string) (partner.Container, error) { return form.Of(key) }
	if c.Begin, err = p.begins(); err != nil {
		return c, err
	}
	if p.audit == "" {
		return c, nil
	}
	if p.auditKey == "" {
		return c, usagef("--audit needs --audit-key").WithFix("name the file with the public key that the sender gave you")
	}
	key, err := os.ReadFile(p.auditKey)
	if err != nil {
		return c, usagef("--audit-key: %w", err).WithFix("name the file with the public key that the sender gave you")
	}
	c.LogKey = string(key)
	c.Log, err = p.log(ctx, a)
	return c, err
}

func (p *partnerPlace) open(ctx context.Context, a *app, url string) (partner.Store, error) {
	if strings.HasPrefix(url, "s3://") {
		access, secret, err := p.s3.Keys(a.env)
		if err != nil {
			return nil, err
		}
		return s3.Open(ctx, s3.Config{URL: url, Endpoint: p.s3.Endpoint, Region: p.s3.Region, PathStyle: p.s3.PathStyle, AccessKey: access, SecretKey: secret})
	}
	dir, ok := strings.CutPrefix(url, "file://")
	if !ok {
		return nil, usagef("'%s' is not a store", url).WithFix("use s3://bucket/prefix or file:///folder")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, cdc.Errorf("CDCD-4011", "the folder of a store cannot be read: %w", err).WithFix("mount or share %s", dir)
	}
	return file.Open(file.Config{URL: "file://" + dir})
}

// maxLogFile is more than any file of an audit log has: 256 entries of 64 KiB.
const maxLogFile = 32 << 20

// log says how files of the audit log are read.
func (p *partnerPlace) log(ctx context.Context, a *app) (partner.LogFiles, error) {
	switch {
	case strings.HasPrefix(p.audit, "s3://"):
		store, err := p.open(ctx, a, p.audit)
		if err != nil {
			return nil, err
		}
		return store.Get, nil
	case strings.HasPrefix(p.audit, "https://"), strings.HasPrefix(p.audit, "http://"):
		client := &http.Client{Timeout: 30 * time.Second}
		return func(ctx context.Context, path string) ([]byte, bool, error) {
			return fetch(ctx, client, strings.TrimRight(p.audit, "/")+"/"+path)
		}, nil
	}
	return logFolder(strings.TrimPrefix(p.audit, "file://")), nil
}

// logFolder reads files of an audit log in a folder.
func logFolder(dir string) partner.LogFiles {
	return func(_ context.Context, path string) ([]byte, bool, error) {
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, false, nil
		}
		return data, err == nil, err
	}
}

func fetch(ctx context.Context, client *http.Client, url string) ([]byte, bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, false, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, false, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, false, nil
	default:
		return nil, false, fmt.Errorf("%s: %s", url, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxLogFile+1))
	if err == nil && len(data) > maxLogFile {
		err = fmt.Errorf("%s: larger than %d bytes", url, maxLogFile)
	}
	return data, err == nil, err
}

// decodeObject unpacks zstd, too.
func decodeObject(key string, body []byte) ([]byte, error) {
	if !strings.HasSuffix(key, ".zst") {
		return partner.Decode(key, body)
	}
	d, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2<<30))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	lines, err := io.ReadAll(d)
	if err == nil && lines == nil {
		lines = []byte{}
	}
	return lines, err
}

// partnerVerdict is what pull and verify have found.
type partnerVerdict struct {
	partner.Report
	Bad *partnerFinding `json:"bad"`
}

type partnerFinding struct {
	Item string `json:"item"`
	Why  string `json:"why"`
}

// partnerResult shows what was found. What is wrong with objects is a negative verdict; everything else an error.
func (a *app) partnerResult(cmd *cobra.Command, verb string, r partner.Report, err error) error {
	v := partnerVerdict{Report: r}
	var fault *partner.Fault
	if errors.As(err, &fault) {
		v.Bad = &partnerFinding{fault.Key, fault.Why}
	} else if err != nil {
		return err
	}
	return a.ui.verdict(kind(cmd), v.Bad == nil, v, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s with %s\n", verb, plural(r.Objects, "object"), plural(r.Records, "record"))
		for _, c := range r.Chains {
			fmt.Fprintf(w, "  %s up to object %d, event %d\n", c.Chain, c.Ordinal, c.LastPartNo)
		}
		if r.Ahead > 0 {
			fmt.Fprintf(w, "  %s objects that the audit log does not have yet\n", have(r.Ahead))
		}
		switch {
		case v.Bad != nil:
			fmt.Fprintf(w, "%s %s: %s\n", a.ui.out(red, "✗"), v.Bad.Item, v.Bad.Why)
		case r.Logged:
			fmt.Fprintf(w, "%s no gap, and all of it as the audit log says\n", a.ui.out(green, "OK"))
		default:
			fmt.Fprintf(w, "%s no gap; with --audit it would also be compared with the sender's log\n", a.ui.out(green, "OK"))
		}
	})
}

func have(chains int) string {
	if chains == 1 {
		return "1 chain has"
	}
	return fmt.Sprintf("%d chains have", chains)
}

func newPartnerPullCmd(a *app) *cobra.Command {
	var place partnerPlace
	var to, state, receipts, receiptKey string
	var follow bool
	every := 2 * time.Second
	cmd := &cobra.Command{
		Use:   "pull URL --to DIR",
		Short: "Fetch what is new in a store, in order, checked, each record once",
		Long: `Pull fetches the objects behind the last one that it has fetched, and checks of each that it is the next of its chain, that
its bytes have the checksum and its records the root that it says and, with --audit, that the sender's audit log has it, under a
signed checkpoint that continues the one seen last. Then it writes the records into a file below --to.

It may be killed at any moment: a file appears whole, and is written again with the same bytes when the state (--state) was not
written any more. It exits with 1 at the first thing that is wrong and goes no farther, with 3 when it could not find out.`,
		Example: `  cdcd partner pull s3://partner-acme/changes --to incoming
  cdcd partner pull file:///srv/acme --to incoming --audit https://shop.example/audit --audit-key shop.pub --follow
  cdcd partner pull s3://partner-acme/changes --to incoming --follow --receipts https://shop.example/receipts/acme --receipt-key acme.key`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return usagef("--to is missing").WithFix("name the folder that records go to")
			}
			if every < 100*time.Millisecond {
				return usagef("--every must be 100ms at least")
			}
			c, err := place.config(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			if c.State = state; state == "" {
				c.State = filepath.Join(to, "state.json")
			}
			if err := os.MkdirAll(to, 0o750); err != nil {
				return fmt.Errorf("--to: %w", err)
			}
			c.Deliver = partner.Folder(to)
			if receipts != "" {
				if c.Receipt, err = sendReceipts(receipts, receiptKey); err != nil {
					return err
				}
			}
			p, err := partner.Open(c)
			if errors.Is(err, partner.ErrState) {
				return cdc.Errorf("CDCD-4404", "%w", err).WithFix("restore a copy of %[1]s, or name another with --state; without it (rm %[1]s) all objects are fetched again, into the same files", c.State)
			}
			if err != nil {
				return err
			}
			defer p.Close()
			if !follow {
				r, err := p.Pull(cmd.Context())
				return a.partnerResult(cmd, "fetched", r, err)
			}
			return a.followPull(cmd, p, every)
		},
	}
	place.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&to, "to", "", "folder that the records go to")
	f.StringVar(&state, "state", "", "file that says how far it has come (default: state.json in --to)")
	f.BoolVar(&follow, "follow", false, "go on until stopped")
	f.DurationVar(&every, "every", every, "how often to look for more, with --follow")
	f.StringVar(&receipts, "receipts", "", "URL to send signed receipts to: https://…/receipts/FEED")
	f.StringVar(&receiptKey, "receipt-key", "", "file with the private key that signs them; cdcd trigger new-key --ed25519 makes one")
	return cmd
}

// followPull pulls again and again. What may go away is logged and waited out; what is wrong ends it.
func (a *app) followPull(cmd *cobra.Command, p *partner.Puller, every time.Duration) error {
	ctx := cmd.Context()
	var all partner.Report
	failing := false
	for attempt := 0; ; {
		r, err := p.Pull(ctx)
		all.Objects, all.Records, all.Bytes = all.Objects+r.Objects, all.Records+r.Records, all.Bytes+r.Bytes
		all.Logged, all.Ahead, all.Chains = r.Logged, r.Ahead, r.Chains
		if r.Objects > 0 {
			a.log.Info("objects fetched", "event", "partner.fetched", "objects", r.Objects, "records", r.Records)
		}
		var fault *partner.Fault
		var coded *cdc.Error
		switch {
		case ctx.Err() != nil:
			return a.partnerResult(cmd, "fetched", all, nil)
		case errors.As(err, &fault), errors.As(err, &coded):
			return a.partnerResult(cmd, "fetched", all, err)
		case err != nil && !failing:
			failing = true
			a.log.Warn("nothing can be fetched at present", "event", "partner.failing", "err", err)
		case err == nil && failing:
			failing = false
			a.log.Info("objects can be fetched again", "event", "partner.works")
		}
		wait := every
		if attempt++; err == nil {
			attempt = 0
		} else {
			wait = min(time.Minute, every<<min(attempt, 5))
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return a.partnerResult(cmd, "fetched", all, nil)
		}
	}
}

// sendReceipts returns what posts receipts to a URL.
func sendReceipts(url, keyFile string) (func(context.Context, partner.Receipt) error, error) {
	if keyFile == "" {
		return nil, usagef("--receipts needs --receipt-key").WithFix("cdcd trigger new-key --ed25519 makes one")
	}
	keys, err := readKeys([]string{keyFile}, "--receipt-key", "a private key (whsk_…)", func(k partner.Key) bool { return k.CanSign() && !k.Shared() })
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: 30 * time.Second}
	return func(ctx context.Context, r partner.Receipt) error {
		header, body := r.Sign(time.Now(), keys...)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header = header
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusNoContent {
			return nil
		}
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 512)) // the status says enough
		text, _ := json.Marshal(strings.TrimSpace(string(why)))
		return fmt.Errorf("%s: %s", resp.Status, text)
	}, nil
}

func newPartnerVerifyCmd(a *app) *cobra.Command {
	var place partnerPlace
	cmd := &cobra.Command{
		Use:   "verify URL",
		Short: "Check all objects in a store, from the first on",
		Long: `Verify reads all objects of a feed and checks what pull checks: ordinals and links without a gap, checksums, roots of records
and, with --audit, the sender's audit log. It writes nothing, and exits with 1 at the first thing that is wrong.`,
		Example: `  cdcd partner verify s3://partner-acme/changes
  cdcd partner verify file:///srv/acme --audit /srv/audit --audit-key shop.pub`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := place.config(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			dir, err := os.MkdirTemp("", "cdcd-partner-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			c.State, c.Deliver = filepath.Join(dir, "state.json"), func(context.Context, partner.Object, []byte, []byte) error { return nil }
			p, err := partner.Open(c)
			if err != nil {
				return err
			}
			defer p.Close()
			r, err := p.Pull(cmd.Context())
			return a.partnerResult(cmd, "checked", r, err)
		},
	}
	place.flags(cmd)
	return cmd
}
