// Package pluginkit is what authors of plugins work with: a project from a template, its build, its tests, measurements, and real
// changes as tests.
//
//	p, err := pluginkit.Open("fraud-score")   // plugin.yaml
//	made, err := p.Make(ctx)                  // the toolchain
//	info, _, err := p.Finish(ctx, made, e)    // with its manifest, vetted
//	tests, err := pluginkit.ReadTests(files, nil)
//	results, err := pluginkit.RunTests(ctx, module, tests, e)
//
// A test is of the built module, and of all ways to run it: compiled, interpreted and without metering, alone and in a batch. They have
// to come to the same.
package pluginkit
