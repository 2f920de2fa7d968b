// Command cdcd reads row changes from a MySQL or MariaDB binlog, decides with rules which of them matter, and delivers
// those to object stores with a tamper-evident log. See README.md; `cdcd help` lists the verbs.
//
// # How the command is built
//
// This package is the only place that knows every other: it reads the configuration, wires the rooms together and
// speaks with people. [run] is the whole program as a function of its arguments and streams; main only calls it.
//
// Every verb is one file with one constructor, which is listed in newRoot:
//
//	func newStatusCmd(a *app) *cobra.Command {
//		cmd := &cobra.Command{
//			Use:   "status",
//			Short: "Show lag, rates and headroom",
//			Args:  cobra.NoArgs,
//			RunE: func(cmd *cobra.Command, _ []string) error {
//				cfg, err := a.config()
//				if err != nil {
//					return err
//				}
//				st, err := readStatus(cmd.Context(), cfg)
//				if err != nil {
//					return err
//				}
//				return a.ui.result(kind(cmd), st, func(w io.Writer) { … for people … })
//			},
//		}
//		return cmd
//	}
//
// The contract of all verbs, which [app], [ui] and exitCode keep so that a verb need not think of it:
//
//   - Data goes to stdout, everything else to stderr. A verb prints its result once, with ui.result; a verb that
//     judges (lint, test, verify, check) with ui.verdict; a verb that streams writes JSON Lines as they come.
//   - -o table is for people. -o json is one envelope {"kind","ok","result","error"}; -o jsonl one item a line, without
//     the envelope; -o yaml the envelope as YAML.
//   - Verbs return errors and never print them; *cdc.Error and strictyaml.Errors carry code, place and fix. Errors are
//     printed in one place, ui.fail, which in the machine formats writes the envelope with "ok": false.
//   - Exit codes: 0 ok; 1 a negative verdict; 2 usage or configuration; 3 could not do it; 130 interrupted.
//   - Logs go to stderr through a.log: for people on a terminal, one JSON object a line otherwise.
//   - cmd.Context() ends at the first Ctrl-C or SIGTERM; a second one kills.
//   - A verb must not define PersistentPreRunE, which would replace the root's.
//
// Each error code has a page in codes/, which `cdcd errors CODE` prints.
package main
