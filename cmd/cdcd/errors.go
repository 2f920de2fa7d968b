package main

import (
	"embed"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

//go:embed codes/*.md
var codePages embed.FS

// codePage is the page of one error code.
type codePage struct {
	Code  string `json:"code"`
	Title string `json:"title"`
	Text  string `json:"text,omitempty"` // Markdown
}

func newErrorsCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "errors [CODE]",
		Short: "Explain an error code, or list them all",
		Example: `  cdcd errors
  cdcd errors CDCD-1203`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var codes []string
			for _, p := range readCodePages() {
				codes = append(codes, p.Code+"\t"+p.Title)
			}
			return codes, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			pages := readCodePages()
			if len(args) == 0 {
				for i := range pages {
					pages[i].Text = ""
				}
				return a.ui.result(kind(cmd), pages, func(w io.Writer) {
					var rows [][]string
					for _, p := range pages {
						rows = append(rows, []string{p.Code, p.Title})
					}
					a.ui.table(w, []string{"CODE", "WHAT"}, rows)
				})
			}
			p, err := findCodePage(pages, args[0])
			if err != nil {
				return err
			}
			return a.ui.result(kind(cmd), p, func(w io.Writer) { fmt.Fprint(w, p.Text) })
		},
	}
}

// readCodePages returns all pages in the order of their codes.
func readCodePages() []codePage {
	names, err := fs.Glob(codePages, "codes/*.md")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	var pages []codePage
	for _, name := range names {
		text, err := codePages.ReadFile(name)
		if err != nil {
			panic(err) // it is in the binary
		}
		first, _, _ := strings.Cut(string(text), "\n")
		_, title, _ := strings.Cut(first, ": ")
		pages = append(pages, codePage{Code: strings.TrimSuffix(path.Base(name), ".md"), Title: title, Text: string(text)})
	}
	return pages
}

func findCodePage(pages []codePage, code string) (codePage, error) {
	want := strings.ToUpper(code)
	if !strings.HasPrefix(want, "CDCD-") {
		want = "CDCD-" + strings.TrimPrefix(want, "CDCD")
	}
	var codes []string
	for _, p := range pages {
		if p.Code == want {
			return p, nil
		}
		codes = append(codes, p.Code)
	}
	err := usagef("there is no error code '%s'", code)
	if near, ok := strictyaml.Nearest(want, codes); ok {
		return codePage{}, err.WithFix("did you mean %s?", near)
	}
	return codePage{}, err.WithFix("cdcd errors lists them all")
}
