// Package tck tells whether an SDK for plugins is right: it runs a plugin that was written with it, the one that PLUGIN.md
// describes, and compares what comes out with what that page says.
//
//	report, err := tck.Run(ctx, module)
//	for _, c := range report.Failed() {
//		fmt.Println(c.Name, c.Problems)
//	}
//
// `cdcd plugin tck FILE` does the same, for SDKs that are not ours.
package tck
