package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/cdcd-project/cdcd/console"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/docs/schema"
)

func newConfigCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check and show the configuration",
	}
	cmd.AddCommand(newConfigValidateCmd(a), newConfigShowCmd(a), newConfigSchemaCmd(a), newConfigOpenAPICmd(a))
	return cmd
}

func newConfigValidateCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Check the configuration file, without connecting to anything",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			files, err := cfg.ruleFiles()
			if err != nil {
				return err
			}
			v := struct {
				File     string      `json:"file"`
				Feeds    []string    `json:"feeds"`
				Rules    []string    `json:"rules"`
				Warnings []errorInfo `json:"warnings"`
			}{cfg.file, feedNames(cfg), files, []errorInfo{}}
			for _, w := range cfg.warnings {
				v.Warnings = append(v.Warnings, api.ErrorOf(w))
			}
			return a.ui.result(kind(cmd), v, func(w io.Writer) {
				fmt.Fprintf(w, "%s %s is valid: %s, %s\n", a.ui.out(green, "✓"), cfg.file,
					plural(len(v.Feeds), "feed"), plural(len(files), "rule file"))
			})
		},
	}
}

func newConfigShowCmd(a *app) *cobra.Command {
	var origin bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the configuration in force: file, environment, flags and defaults",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			settings := cfg.settings()
			if !origin {
				return a.ui.result(kind(cmd), nested(settings), func(w io.Writer) { writeSettings(w, settings) })
			}
			return a.ui.result(kind(cmd), settings, func(w io.Writer) {
				var rows [][]string
				for _, s := range settings {
					rows = append(rows, []string{s.Key, fmt.Sprint(s.Value), s.Origin})
				}
				a.ui.table(w, []string{"SETTING", "VALUE", "FROM"}, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&origin, "origin", false, "say of each value where it comes from")
	return cmd
}

// nested returns settings as the file would nest them.
func nested(settings []setting) map[string]any {
	root := map[string]any{}
	for _, s := range settings {
		m := root
		for _, step := range s.steps[:len(s.steps)-1] {
			if m[step] == nil {
				m[step] = map[string]any{}
			}
			m = m[step].(map[string]any)
		}
		m[s.steps[len(s.steps)-1]] = s.Value
	}
	return root
}

// writeSettings writes settings as a configuration file.
func writeSettings(w io.Writer, settings []setting) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, s := range settings {
		n := root
		for _, step := range s.steps[:len(s.steps)-1] {
			n = childNode(n, step)
		}
		var value yaml.Node
		if err := value.Encode(s.Value); err != nil {
			panic(err) // settings are strings, numbers, booleans and lists of strings
		}
		if value.Kind == yaml.SequenceNode {
			value.Style = yaml.FlowStyle
		}
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: s.steps[len(s.steps)-1]}, &value)
	}
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	_ = enc.Encode(root) // to stdout: when nobody reads it, there is nobody to tell
	_ = enc.Close()
}

func childNode(n *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	child := &yaml.Node{Kind: yaml.MappingNode}
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, child)
	return child
}

func newConfigSchemaCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration file",
		Long:  "Print the JSON Schema of the configuration file, for editors:\n\n  cdcd config schema > cdcd.schema.json\n\nand as the first line of cdcd.yaml\n\n  # yaml-language-server: $schema=cdcd.schema.json",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.ui.stdout.Write(schema.Config) // a format of its own: no envelope around it
			return err
		},
	}
}

func newConfigOpenAPICmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "openapi",
		Short: "Print the OpenAPI document of the HTTP API",
		Long:  "Print the OpenAPI 3.1 document of what a running cdcd answers at console.listen, which /openapi.json is, too.",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.ui.stdout.Write(console.OpenAPI()) // a format of its own: no envelope around it
			return err
		},
	}
}
