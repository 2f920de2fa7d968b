package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/internal/durable"
)

// codeTokens: the file of tokens cannot be used.
const codeTokens = "CDCD-1055"

// tokenInfo is a line of the file of tokens. The token itself is nowhere.
type tokenInfo struct {
	Name    string     `json:"name"`
	Role    api.Role   `json:"role"`
	Hash    string     `json:"hash"`
	Made    time.Time  `json:"made"`
	By      string     `json:"by"`
	Expires *time.Time `json:"expires,omitempty"`
}

type tokensFile struct {
	Version int         `json:"version"` // 1
	Tokens  []tokenInfo `json:"tokens"`
}

// readTokens reads the file of tokens; one that is not there has none.
func readTokens(file string) (*tokensFile, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return &tokensFile{Version: 1, Tokens: []tokenInfo{}}, nil
	}
	if err != nil {
		return nil, badTokens(file, err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, cdc.Errorf(codeTokens, "%s may be written by others, who could give themselves any role", file).WithFix("chmod 600 %s", file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, badTokens(file, err)
	}
	var t tokensFile
	if err := json.Unmarshal(text, &t); err != nil {
		return nil, badTokens(file, err)
	}
	if t.Version != 1 {
		return nil, badTokens(file, fmt.Errorf("it has version %d", t.Version))
	}
	for _, one := range t.Tokens {
		if one.Name == "" || one.Role < api.Viewer || len(one.Hash) != len("sha256:")+64 {
			return nil, badTokens(file, fmt.Errorf("token '%s' is not complete", one.Name))
		}
	}
	return &t, nil
}

func badTokens(file string, err error) error {
	return cdc.Errorf(codeTokens, "the tokens in %s cannot be read: %w", file, err).WithFix("mend the file, or make a new one with cdcd console token")
}

// heldTokens reads the file of tokens again when it has changed. While it cannot be read nobody gets in with a token.
type heldTokens struct {
	file string

	mu     sync.Mutex // guards all
	looked time.Time
	seen   fs.FileInfo
	grants []console.Grant
	err    error
}

const tokensEvery = time.Second

func (h *heldTokens) grantsNow() ([]console.Grant, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.looked.IsZero() && time.Since(h.looked) < tokensEvery {
		return h.grants, h.err
	}
	h.looked = time.Now()
	info, err := os.Stat(h.file)
	if err == nil && h.err == nil && h.seen != nil && os.SameFile(info, h.seen) && info.ModTime().Equal(h.seen.ModTime()) && info.Size() == h.seen.Size() && info.Mode() == h.seen.Mode() {
		return h.grants, nil
	}
	h.seen = info
	t, err := readTokens(h.file)
	if h.grants, h.err = nil, err; err != nil {
		return nil, err
	}
	for _, one := range t.Tokens {
		g := console.Grant{Name: one.Name, Role: one.Role, Hash: one.Hash}
		if one.Expires != nil {
			g.Expires = *one.Expires
		}
		h.grants = append(h.grants, g)
	}
	return h.grants, nil
}

func newConsoleCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "console",
		Short: "Say who may use the console",
		Long: `The console is the web page and the HTTP API at console.listen. Where others than this machine can reach it, everybody shows a token, which
has a name and a role: viewer looks, analyst writes drafts and tries rules, publisher publishes them, operator does all the rest. The file
console.tokens_file has the hashes of tokens, and is taken up when it changes.`,
	}
	cmd.AddCommand(newConsoleTokenCmd(a), newConsoleTokensCmd(a), newConsoleRevokeCmd(a))
	return cmd
}

func newConsoleTokenCmd(a *app) *cobra.Command {
	var role string
	var lasts time.Duration
	cmd := &cobra.Command{
		Use:   "token NAME",
		Short: "Make a token for somebody, and print it this one time",
		Long:  "Token makes a token and prints it to standard output. Nobody can read it anywhere later: one that is lost is made anew, which ends the one before.",
		Example: `  cdcd console token ada --role analyst
  cdcd console token nightly --role publisher --expires 2160h > nightly.token`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, ok := api.ParseRole(role)
			switch {
			case !ok:
				return badChoice("--role", role, api.Roles...)
			case lasts < 0:
				return usagef("--expires %s is in the past", lasts).WithFix("write it like 2160h")
			case args[0] == "" || len(args[0]) > 100 || strings.ContainsFunc(args[0], func(r rune) bool { return r < ' ' || r == 0x7f }):
				return usagef("'%q' cannot be the name of who has a token", args[0]).WithFix("use up to 100 characters, such as ada or ada@example.com")
			}
			token, hash := console.NewToken()
			one := tokenInfo{Name: args[0], Role: r, Hash: hash, Made: time.Now().UTC().Truncate(time.Second), By: whoAmI()}
			if lasts > 0 {
				until := one.Made.Add(lasts)
				one.Expires = &until
			}
			if err := a.changeTokens(func(t *tokensFile) error {
				t.Tokens = append(slices.DeleteFunc(t.Tokens, func(o tokenInfo) bool { return o.Name == one.Name }), one)
				return nil
			}); err != nil {
				return err
			}
			return a.ui.result(kind(cmd), struct {
				tokenInfo
				Token string `json:"token"`
			}{one, token}, func(w io.Writer) {
				fmt.Fprintln(w, token)
				a.ui.note("%s is %s with this token, which is not kept anywhere", one.Name, one.Role)
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "viewer", "what the token is for: viewer, analyst, publisher or operator")
	cmd.Flags().DurationVar(&lasts, "expires", 0, "how long it holds, as 2160h; 0: until it is revoked")
	return cmd
}

func newConsoleTokensCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "tokens",
		Short: "List who has a token",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			t, err := readTokens(cfg.Console.TokensFile)
			if cfg.Console.TokensFile == "" {
				t, err = nil, noTokensFile()
			}
			if err != nil {
				return err
			}
			return a.ui.result(kind(cmd), t.Tokens, func(w io.Writer) {
				var rows [][]string
				for _, one := range t.Tokens {
					until := ""
					if one.Expires != nil {
						until = stamp(*one.Expires)
					}
					rows = append(rows, []string{one.Name, one.Role.String(), stamp(one.Made), one.By, until})
				}
				a.ui.table(w, []string{"NAME", "ROLE", "MADE", "BY", "EXPIRES"}, rows)
			})
		},
	}
}

func newConsoleRevokeCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke NAME",
		Short: "End somebody's token, and the sessions that were opened with it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.changeTokens(func(t *tokensFile) error {
				n := len(t.Tokens)
				if t.Tokens = slices.DeleteFunc(t.Tokens, func(o tokenInfo) bool { return o.Name == args[0] }); len(t.Tokens) == n {
					return usagef("nobody called '%s' has a token", args[0]).WithFix("cdcd console tokens lists who has")
				}
				return nil
			}); err != nil {
				return err
			}
			return a.ui.result(kind(cmd), struct {
				Name string `json:"name"`
			}{args[0]}, func(w io.Writer) {
				fmt.Fprintf(w, "%s the token of %s holds no more\n", a.ui.out(green, "✓"), args[0])
			})
		},
	}
}

func noTokensFile() error {
	return cdc.Errorf(codeTokens, "the configuration names no file of tokens").WithFix("set console: {tokens_file: console-tokens.json}")
}

// changeTokens changes the file of tokens, which is replaced as a whole.
func (a *app) changeTokens(change func(*tokensFile) error) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	file := cfg.Console.TokensFile
	if file == "" {
		return noTokensFile()
	}
	t, err := readTokens(file)
	if err != nil {
		return err
	}
	if err := change(t); err != nil {
		return err
	}
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	disk := durable.New()
	if err := disk.Replace(file, append(text, '\n'), 0o600); err != nil {
		return cdc.Errorf(codeTokens, "%s cannot be written: %w", file, err).WithFix("run this as the user that may")
	}
	return disk.Flush()
}
