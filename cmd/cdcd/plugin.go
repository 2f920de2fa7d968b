package main

import "github.com/spf13/cobra"

func newPluginCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "Write, test, run, sign and fetch plugins: filters in WebAssembly",
		Long: "A plugin is a WebAssembly module that judges changes, for what the conditions of rules cannot say. It can be\n" +
			"written in any language, and runs in a sandbox. docs/plugins.md goes from a new one to one that is deployed.",
	}
	cmd.AddCommand(newPluginNewCmd(a), newPluginInspectCmd(a), newPluginBuildCmd(a), newPluginTestCmd(a), newPluginBenchCmd(a), newPluginRecordCmd(a),
		newPluginReplayCmd(a), newPluginDevCmd(a), newPluginTCKCmd(a))
	cmd.AddCommand(newPluginPushCmd(a), newPluginPullCmd(a), newPluginKeygenCmd(a), newPluginSignCmd(a), newPluginVerifyCmd(a))
	cmd.AddCommand(newPluginListCmd(a), newPluginShadowCmd(a), newPluginPromoteCmd(a), newPluginReleaseCmd(a))
	return cmd
}
