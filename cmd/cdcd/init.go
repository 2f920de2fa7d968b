package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/docs/schema"
)

// sourceDescription is what `init --from` learns from a database server.
type sourceDescription struct {
	Tables []*cdc.Table // the tables that the user may read, system tables left out
	Todo   []string     // statements that an administrator has to run before cdcd can read the binlog
}

// initFile is one file that init writes.
type initFile struct {
	Name string `json:"name"`
	Text string `json:"text,omitempty"`
}

func newInitCmd(a *app) *cobra.Command {
	var from string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "init [FOLDER]",
		Short: "Write a configuration and an example rule to start from",
		Example: `  cdcd init
  cdcd init --from mysql://cdcd@127.0.0.1:3306 pipelines/shop`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			folder := "."
			if len(args) == 1 {
				folder = args[0]
			}
			start, err := a.plan(cmd.Context(), from)
			if err != nil {
				return err
			}
			files := start.files()
			if dryRun {
				return a.ui.result(kind(cmd), initResult{Folder: folder, Files: files, Todo: start.todo}, func(w io.Writer) {
					for _, f := range files {
						fmt.Fprintf(w, "%s\n%s\n", a.ui.out(bold, "--- "+filepath.Join(folder, f.Name)), f.Text)
					}
				})
			}
			if err := writeFiles(folder, files); err != nil {
				return err
			}
			for i := range files {
				files[i].Text = ""
			}
			return a.ui.result(kind(cmd), initResult{folder, files, start.todo}, func(w io.Writer) {
				for _, f := range files {
					fmt.Fprintf(w, "%s wrote %s\n", a.ui.out(green, "✓"), filepath.Join(folder, f.Name))
				}
				if len(start.todo) > 0 {
					fmt.Fprintf(w, "\nRun on the database server first:\n  %s\n", strings.Join(start.todo, "\n  "))
				}
				fmt.Fprintf(w, "\nnext: cdcd config validate -c %s\n", filepath.Join(folder, "cdcd.yaml"))
			})
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "ask this server for its tables: mysql://user@host:3306 (password in CDCD_MYSQL_PASSWORD)")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print the files instead of writing them")
	return cmd
}

type initResult struct {
	Folder string     `json:"folder"`
	Files  []initFile `json:"files"`
	Todo   []string   `json:"todo,omitempty"`
}

// starter is what the written files are about.
type starter struct {
	url    string
	schema string
	table  string
	column string // a column to tell apart what matters
	value  string // of that column in the example
	other  string // another one
	todo   []string
}

// plan chooses what the example is about: a shop, or the first table of the server that --from names.
func (a *app) plan(ctx context.Context, from string) (starter, error) {
	s := starter{url: "mysql://cdcd@127.0.0.1:3306", schema: "shop", table: "orders", column: "status", value: "paid", other: "new"}
	if from == "" {
		return s, nil
	}
	u, err := url.Parse(from)
	if err != nil || u.Scheme != "mysql" && u.Scheme != "mariadb" || u.Host == "" || u.User == nil {
		return s, usagef("--from '%s' is not the address of a server", secretURL(from)).WithFix("write it like mysql://cdcd@127.0.0.1:3306")
	}
	d, err := a.describe(ctx, from)
	if err != nil {
		return s, err
	}
	u.User = url.User(u.User.Username()) // the password stays out of the file
	s.url, s.todo = u.String(), d.Todo
	for _, t := range d.Tables {
		for _, c := range t.Columns {
			if c.Key == 0 && (c.Kind == cdc.KindString || c.Kind == cdc.KindEnum && len(c.Members) > 1) {
				s.schema, s.table, s.column, s.value, s.other = t.Schema, t.Name, c.Name, "example", "other"
				if n := len(c.Members); n > 1 {
					s.value, s.other = c.Members[n-1], c.Members[0]
				}
				return s, nil
			}
		}
	}
	return s, nil
}

func (s starter) files() []initFile {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(s.schema))
	fill := strings.NewReplacer("{{name}}", strings.Trim(name, "-"), "{{url}}", s.url, "{{schema}}", s.schema,
		"{{table}}", s.table, "{{column}}", s.column, "{{value}}", strings.ReplaceAll(s.value, "'", `\'`),
		"{{other}}", strings.ReplaceAll(s.other, "'", "''"))
	return []initFile{
		{"cdcd.yaml", fill.Replace(starterConfig)},
		{filepath.Join("rules", "example.yaml"), fill.Replace(starterRules)},
		{"cdcd.schema.json", string(schema.Config)},
	}
}

const starterConfig = `# yaml-language-server: $schema=cdcd.schema.json
version: 1
name: {{name}}                          # names the stream and is part of every delivered record

source:
  mysql:
    url: {{url}}
    password_env: CDCD_MYSQL_PASSWORD   # or password_file: /run/secrets/mysql
    tables: ["{{schema}}.*"]            # what is captured

rules: [rules/*.yaml]

feeds:                                  # what partners receive; rules name feeds in "to"
  partner:
    to: file://./deliveries             # or s3://bucket/prefix
    compress: none                      # zstd, gzip or none
    rotate: {every: 2s, rows: 50000, bytes: 16MiB}

# Everything else has a default: cdcd config show --origin
`

const starterRules = `version: 1
rules:
  - name: example
    description: Rows of {{schema}}.{{table}} whose {{column}} has just become {{value}}
    tables: ["{{schema}}.{{table}}"]
    on: [insert, update]
    when: |
      after.{{column}} == '{{value}}' && changed('{{column}}')
    to: [partner]
    tests:
      - name: becomes {{value}}
        event: {op: update, before: {{{column}}: '{{other}}'}, after: {{{column}}: '{{value}}'}}
        expect: {match: true}
      - name: was {{value}} before
        event: {op: update, before: {{{column}}: '{{value}}'}, after: {{{column}}: '{{value}}'}}
        expect: {match: false}
`

// writeFiles writes all files or none: it does not touch what is already there.
func writeFiles(folder string, files []initFile) error {
	for _, f := range files {
		name := filepath.Join(folder, f.Name)
		if _, err := os.Lstat(name); err == nil {
			return cdc.Errorf("CDCD-1019", "%s is already there; nothing was written", name).
				WithFix("move it away, or choose another folder: cdcd init FOLDER")
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	for _, f := range files {
		name := filepath.Join(folder, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		_, err = file.WriteString(f.Text)
		if err = errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}
