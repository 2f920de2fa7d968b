// Package console is the HTTP API of a running cdcd, and the web console that asks it.
//
// It asks for what it shows through small interfaces that it declares itself, one for each noun: whoever has a pipeline hands
// them in, and the console knows neither bus nor stores. What goes over the wire has its words in package api, which the
// command line prints as well.
//
//	c := console.New(console.Config{Source: "shop", Backend: console.Backend{Health: p, Tables: p, Events: p, Settings: p}})
//	http.ListenAndServe("127.0.0.1:8480", c)
//
// The API is below /api/v1 and described by /openapi.json; all else is the page, which is embedded. The tag no_console leaves
// the page out.
package console
