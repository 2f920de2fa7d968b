package engine_test

import (
	"testing"

	"github.com/cdcd-project/cdcd/internal/deptest"
)

// Whoever embeds the engine must not get a bus, a store, a database or a sandbox along with it.
func TestTheEngineLinksNoTechnology(t *testing.T) {
	banned := map[string]string{
		"github.com/nats-io":            "the bus is in front of the engine, not in it: only package bus knows NATS",
		"github.com/aws":                "stores are sinks, which the caller hands in: only sinks/s3 knows AWS",
		"github.com/go-mysql-org":       "where changes come from is the caller's affair: only sources/mysql knows go-mysql",
		"github.com/prometheus":         "Config.Observe lets the caller count what he likes",
		"github.com/tetratelabs/wazero": "a sandboxed filter is a predicate that the caller hands in: only package wasm knows wazero",
		"github.com/klauspost/compress": "compression is the sinks' affair",
		"go.opentelemetry.io":           "tracing wraps the door from outside",
		"net/http":                      "the engine talks to nobody",
		"database/sql":                  "the engine asks no database",
		"os/exec":                       "the engine starts nothing",
	}
	for _, pkg := range []string{".", "./backtest", "./events", "../rules", "../cdc", "../examples/embed"} {
		for _, problem := range deptest.Linked(t, ".", pkg, banned) {
			t.Error(problem)
		}
	}
	const small = "who checks proofs links the standard library and x/mod/sumdb"
	for _, problem := range deptest.Linked(t, ".", "../proof", map[string]string{"github.com": small, "go.etcd.io": small, "net/http": small, "os/exec": small}) {
		t.Error(problem)
	}
	const plain = "the vocabulary imports the standard library only"
	for _, problem := range deptest.Linked(t, ".", "../cdc", map[string]string{"github.com": plain, "golang.org": plain,
		"google.golang.org": plain, "gopkg.in": plain, "go.yaml.in": plain, "cel.dev": plain}) {
		t.Error(problem)
	}
}

// A partner links what checks his objects, and nothing of what made them.
func TestThePartnerLinksLittle(t *testing.T) {
	const own = "a partner should be able to read all of what checks his objects"
	for _, problem := range deptest.Linked(t, ".", "../partner", map[string]string{"github.com/aws": own, "github.com/klauspost": own, "github.com/nats-io": own,
		"google.golang.org": own, "gopkg.in": own, "go.yaml.in": own, "github.com/cdcd-project/cdcd/cdc": own, "github.com/cdcd-project/cdcd/sinks": own}) {
		t.Error(problem)
	}
}

// The rooms of the house: neighbours speak cdc words through one door, and never import each other.
func TestRoomsDoNotImportEachOther(t *testing.T) {
	const sink = "a sink speaks cdc words and its one technology; what sinks share goes through the interfaces that they declare"
	for _, problem := range deptest.Crossed(t, "..", "github.com/cdcd-project/cdcd", map[string]deptest.Room{
		"cdc":            {Why: "the vocabulary imports nobody: everybody imports it"},
		"rules":          {May: []string{"cdc", "internal/match", "internal/strictyaml", "internal/mask/method"}, Why: "rules are pure: they know changes, YAML, the index over conditions and the names of masks"},
		"wasm":           {May: []string{"cdc", "internal/wasmbin", "internal/meter", "internal/durable"}, Why: "a module judges in cdc words, without knowing who asks it"},
		"wasm/*":         {May: []string{"cdc", "wasm", "internal/wasmbin"}, Why: "what tests plugins knows plugins and nothing of cdcd"},
		"engine":         {May: []string{"cdc", "rules"}, Why: "the engine is a shell around the rules; sources, buses and sinks are handed in"},
		"engine/*":       {May: []string{"cdc", "rules", "engine"}, Why: "what is tried on history is judged as it is live, and what programs have of their own: neither knows where it comes from"},
		"bus":            {May: []string{"cdc", "internal/backoff"}, Why: "the bus moves frames, whoever made them and whoever reads them"},
		"sources/*":      {May: []string{"cdc", "internal/backoff", "internal/rowimage"}, Why: "a source hands batches to a cdc.Handler and does not know which"},
		"sinks/*":        {May: []string{"cdc", "internal/backoff"}, Why: sink},
		"sinks/nats":     {May: []string{"cdc", "internal/backoff", "internal/envelope"}, Why: "the headers of a message say what its record says, in any envelope"},
		"sinks/webhook":  {May: []string{"cdc", "internal/webhooksig"}, Why: sink},
		"sinks/view":     {May: []string{"cdc", "internal/mask/method"}, Why: "what a feed may see, in cdc words: keys are handed in"},
		"sinks/audit":    {May: []string{"cdc", "internal/durable", "proof"}, Why: sink},
		"sinks/audit/*":  {May: []string{"cdc", "sinks/audit", "proof"}, Why: "what is made of the log to find things in it can be thrown away, and the log does not know it"},
		"proof":          {Why: "what a partner checks proofs with links nothing of cdcd"},
		"sinks/sinktest": {May: []string{"internal/testenv"}, Why: "the suite for stores needs a real server and no sink"},
		"partner":        {May: []string{"internal/webhooksig"}, Why: "a partner checks what he gets with code that shares nothing with what made it"},
		"console":        {May: []string{"cdc", "rules", "internal/strictyaml", "console/api"}, Why: "the console asks for what it shows through small interfaces of its own"},
		"console/*":      {May: []string{"cdc", "rules", "internal/strictyaml"}, Why: "the words of the API are those of changes, rules and findings"},
		"cmd/*":          {May: []string{"*"}, Why: "the wiring knows everybody"},
		"internal/*":     {May: []string{"*"}, Why: "help for tests and the demonstration"},
		"examples/*":     {May: []string{"*"}, Why: "examples use what they show"},
		"docs/*":         {Why: "documents import nobody"},
		"fuzz":           {Why: "fuzz targets are tests"},

		"internal/backoff":     {Why: "how long to wait, whoever waits for whatever"},
		"internal/envelope":    {Why: "a record in, what it says of itself out: who made it, it does not know"},
		"internal/durable":     {Why: "files that survive a crash, for whoever has some"},
		"internal/webhooksig":  {Why: "a message in, its signature out: who sends it, and how, it does not know"},
		"internal/jsonb":       {Why: "a format of MySQL's, read with the standard library alone"},
		"internal/match":       {May: []string{"cdc"}, Why: "conditions over rows in, which hold out: it knows no language"},
		"internal/mask":        {May: []string{"cdc"}, Why: "a value in, a masked value out: where keys are kept is the caller's affair"},
		"internal/person":      {May: []string{"cdc"}, Why: "batches in, batches with sealed values out: where keys are kept is the caller's affair"},
		"internal/mask/method": {May: []string{"cdc"}, Why: "the names of the methods and what they fit, without cryptography: rules link it"},
		"internal/wasmbin":     {Why: "bytes in, what they say out: it comes before every engine"},
		"internal/meter":       {May: []string{"internal/wasmbin"}, Why: "a module in, a metered one out: it knows no engine"},
		"internal/plugindist":  {May: []string{"cdc"}, Why: "bytes to a registry and back, with their signature: what a plugin is, it does not know"},
		"internal/strictyaml":  {Why: "rules link it, so it links nobody"},
		"internal/rowimage":    {May: []string{"cdc", "internal/jsonb"}, Why: "bytes of row events in, rows of frames out: it knows no server and no connection"},
		"internal/deptest":     {Why: "it judges the others"},
	}) {
		t.Error(problem)
	}
}
