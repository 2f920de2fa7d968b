package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// app is what all verbs share: how to speak, where the configuration is, where to log.
type app struct {
	ui    *ui
	stdin io.Reader
	env   []string     // as os.Environ returns it
	log   *slog.Logger // for stderr; set before a verb runs

	configFile string
	sets       []string // --set key=value
	json       bool     // --json
	color      string
	logFormat  string
	logLevel   string

	// describe asks a database server for its tables; `init --from` uses it.
	describe func(ctx context.Context, url string) (*sourceDescription, error)
}

// newRoot returns the command tree. A new verb is added here.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "cdcd",
		Short:         "Deliver the important changes of a MySQL or MariaDB database",
		Long:          "cdcd reads row changes from the binlog of MySQL or MariaDB, decides with rules which of them\nmatter, and delivers those to object stores, in order, without gaps, with a tamper-evident log.",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return a.start()
		},
	}
	root.AddCommand(
		newRunCmd(a),
		newResyncCmd(a),
		newDemoCmd(a),
		newCheckCmd(a),
		newStatusCmd(a),
		newTailCmd(a),
		newSchemaCmd(a),
		newSnapshotCmd(a),
		newRulesCmd(a),
		newDLQCmd(a),
		newReplayCmd(a),
		newDeliveryCmd(a),
		newTriggerCmd(a),
		newPartnerCmd(a),
		newVerifyCmd(a),
		newAuditCmd(a),
		newMaskCmd(a),
		newEraseCmd(a),
		newPluginCmd(a),
		newInitCmd(a),
		newConfigCmd(a),
		newConsoleCmd(a),
		newErrorsCmd(a),
		newVersionCmd(a),
	)

	f := root.PersistentFlags()
	f.StringVarP(&a.configFile, "config", "c", "cdcd.yaml", "configuration file")
	f.StringArrayVar(&a.sets, "set", nil, "override a setting, e.g. --set bus.embedded.max_bytes=1GiB (repeatable)")
	f.StringVarP(&a.ui.format, "output", "o", a.ui.format, "output format: table, json, jsonl or yaml")
	f.BoolVar(&a.json, "json", false, "the same as -o json")
	f.StringVar(&a.color, "color", "auto", "colour: auto, always or never (NO_COLOR is respected)")
	f.StringVar(&a.logFormat, "log-format", "auto", "log format on stderr: auto (text on a terminal, else json), text or json")
	f.StringVar(&a.logLevel, "log-level", "info", "least severe log level: debug, info, warn or error")
	root.SetOut(a.ui.stdout)
	root.SetErr(a.ui.stderr)

	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	finish(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd, err) })
	return root
}

// start makes the global flags effective.
func (a *app) start() error {
	if a.json {
		a.ui.format = "json"
	}
	if a.ui.format == "wide" {
		a.ui.format, a.ui.wide = "table", true
	}
	if !oneOf(a.ui.format, "table", "json", "jsonl", "yaml") {
		bad := a.ui.format
		a.ui.format = "table"
		return badChoice("--output", bad, "table", "json", "jsonl", "yaml")
	}
	if err := a.ui.setColor(a.color, a.env); err != nil {
		return err
	}
	var level slog.Level
	if !oneOf(a.logLevel, "debug", "info", "warn", "error") {
		return badChoice("--log-level", a.logLevel, "debug", "info", "warn", "error")
	}
	if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
		return badChoice("--log-level", a.logLevel, "debug", "info", "warn", "error")
	}
	text := a.logFormat == "text" || a.logFormat == "auto" && isTerminal(a.ui.stderr)
	switch {
	case !oneOf(a.logFormat, "auto", "text", "json"):
		return badChoice("--log-format", a.logFormat, "auto", "text", "json")
	case text:
		a.log = slog.New(tint.NewTextHandler(a.ui.stderr, &tint.Options{Level: level, TimeFormat: "15:04:05.000", NoColor: !a.ui.colorErr}))
	default:
		a.log = slog.New(slog.NewJSONHandler(a.ui.stderr, &slog.HandlerOptions{Level: level, ReplaceAttr: plainDuration}))
	}
	return nil
}

// config loads the configuration that the flags and the environment name, and prints its warnings on stderr.
func (a *app) config() (*config, error) {
	cfg, err := loadConfig(a.configFile, a.env, a.sets)
	if err != nil {
		return nil, err
	}
	for _, w := range cfg.warnings {
		a.ui.note("%s", w)
	}
	return cfg, nil
}

// finish makes mistakes in the arguments of every command usage errors, and lets groups of verbs say what they hold.
func finish(cmd *cobra.Command) {
	if cmd.HasSubCommands() && cmd.RunE == nil && cmd.Run == nil {
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		}
	} else if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil && strings.HasPrefix(err.Error(), "unknown command") { // cobra.NoArgs
				return usagef("%s takes no arguments, but got '%s'", cmd.CommandPath(), args[0]).WithFix("usage: %s", cmd.UseLine())
			} else if err != nil {
				return usagef("%s: %s", cmd.CommandPath(), err).WithFix("usage: %s", cmd.UseLine())
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		finish(sub)
	}
}

func unknownCommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	err := usagef("%s has no verb '%s'", cmd.CommandPath(), name)
	if near, ok := strictyaml.Nearest(name, names); ok {
		return err.WithFix("did you mean '%s %s'?", cmd.CommandPath(), near)
	}
	return err.WithFix("its verbs are: %s", strings.Join(names, ", "))
}

func flagError(cmd *cobra.Command, err error) error {
	if name, ok := strings.CutPrefix(err.Error(), "unknown flag: --"); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		e := usagef("%s has no flag --%s", cmd.CommandPath(), name)
		if near, ok := strictyaml.Nearest(name, names); ok {
			return e.WithFix("did you mean --%s?", near)
		}
		return e.WithFix("%s --help lists the flags", cmd.CommandPath())
	}
	return usagef("%s: %s", cmd.CommandPath(), err).WithFix("%s --help lists the flags", cmd.CommandPath())
}

// usagef makes an error about how the command was called.
func usagef(format string, args ...any) *cdc.Error { return cdc.Errorf("CDCD-1001", format, args...) }

func badChoice(flag, got string, choices ...string) error {
	err := usagef("%s cannot be '%s'", flag, got)
	if near, ok := strictyaml.Nearest(got, choices); ok {
		return err.WithFix("did you mean '%s'?", near)
	}
	return err.WithFix("choose one of: %s", strings.Join(choices, ", "))
}

func oneOf(s string, choices ...string) bool {
	for _, c := range choices {
		if s == c {
			return true
		}
	}
	return false
}

// kind returns what the result of a verb is called in the envelope: config.show for `cdcd config show`.
func kind(cmd *cobra.Command) string {
	path := strings.Fields(cmd.CommandPath())
	if len(path) == 1 {
		return path[0]
	}
	return strings.Join(path[1:], ".")
}

var (
	// errNegative is what a verb returns that has printed a negative verdict.
	errNegative = errors.New("negative verdict")
	// errInterrupted is what is left of any error after Ctrl-C.
	errInterrupted = errors.New("interrupted")
)

func interrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return errInterrupted
	}
	return err
}

// plainDuration writes a duration as people do, 2m10s, and not as a number of nanoseconds.
func plainDuration(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// exitCode turns the error of a verb into the exit code of the program.
func exitCode(err error) int {
	var file strictyaml.Errors
	var located *strictyaml.Error
	var e *cdc.Error
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNegative):
		return 1
	case errors.Is(err, errInterrupted):
		return 130
	case errors.As(err, &file), errors.As(err, &located):
		return 2
	case errors.As(err, &e) && (e.Code < "CDCD-103" || strings.HasPrefix(e.Code, "CDCD-21")):
		return 2
	}
	return 3
}

// formatIn finds the output format in arguments that may not parse, so that a mistake in them is reported in it.
func formatIn(args []string) string {
	format := "table"
	for i, arg := range args {
		value := ""
		switch {
		case arg == "--":
			return format
		case arg == "--json":
			value = "json"
		case (arg == "-o" || arg == "--output") && i+1 < len(args):
			value = args[i+1]
		case strings.HasPrefix(arg, "--output="):
			value = strings.TrimPrefix(arg, "--output=")
		case strings.HasPrefix(arg, "-o"):
			value = strings.TrimPrefix(strings.TrimPrefix(arg, "-o"), "=")
		}
		if oneOf(value, "table", "json", "jsonl", "yaml") {
			format = value
		}
	}
	return format
}

// plural returns "1 error" or "3 errors".
func plural(n int, noun string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
