package main

import "github.com/spf13/cobra"

func newPluginCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "Filters in WebAssembly: sign, store and fetch them",
	}
	cmd.AddCommand(newPluginPushCmd(a), newPluginPullCmd(a), newPluginKeygenCmd(a), newPluginSignCmd(a), newPluginVerifyCmd(a))
	return cmd
}
