package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// The structs below are the configuration file: their tags are its keys, their comments its reference (the JSON Schema
// in docs/schema is made from them). `enum` lists the values a key can have, `required` keys must be there, `default`
// is what holds when a key is absent.

// fileConfig is the configuration of one cdcd: where changes come from, where they are kept and where they go.
type fileConfig struct {
	// Version of this file's format.
	Version int `yaml:"version" enum:"1" required:"true"`
	// Name of the source. For shop, the stream is CDC_shop; the name is part of its subjects and of every delivered record.
	Name string `yaml:"name" required:"true"`
	// Data is the folder for the embedded bus, indexes, keys and dead letters; one running cdcd locks it.
	Data string `yaml:"data" default:"./cdcd-data"`
	// Source is where changes are read: exactly one of mysql and binlog.
	Source sourceConfig `yaml:"source" required:"true"`
	// Bus is the durable log between capture and rules: exactly one of embedded (the default) and nats.
	Bus busConfig `yaml:"bus"`
	// Rules lists the rule files; globs are allowed.
	Rules []string `yaml:"rules" default:"rules/*.yaml"`
	// Plugins is where the plugins are that rules name, and what they may use. A plain text is their folder.
	Plugins pluginsConfig `yaml:"plugins"`
	// Feeds are what partners receive, by name; rules name them in `to`.
	Feeds map[string]*feedConfig `yaml:"feeds" required:"true"`
	// Persons are kinds of persons, by name, whose values are encrypted with a key for each of them.
	Persons map[string]*personConfig `yaml:"persons"`
	// Audit is the tamper-evident log of what was delivered.
	Audit auditConfig `yaml:"audit"`
	// DeadLetters is where changes are kept that could not be judged or delivered.
	DeadLetters deadLetterConfig `yaml:"dead_letters"`
	// Console is the address for people and monitoring.
	Console consoleConfig `yaml:"console"`
	// Receipts is the address for what partners say that they have fetched.
	Receipts receiptServerConfig `yaml:"receipts"`
}

// sourceConfig is where changes are read.
type sourceConfig struct {
	// MySQL reads the binlog of a running MySQL or MariaDB server, and goes on for ever.
	MySQL *mysqlConfig `yaml:"mysql"`
	// Binlog reads binlog files, and then stops.
	Binlog *binlogConfig `yaml:"binlog"`
}

// mysqlConfig is a running server.
type mysqlConfig struct {
	// URL of the server: mysql://user@host:3306 or mariadb://user@host:3306; the server's flavour is found out.
	URL secretURL `yaml:"url" required:"true"`
	// PasswordEnv names the environment variable that holds the password.
	PasswordEnv string `yaml:"password_env"`
	// PasswordFile is the file that holds the password; a line break at its end is ignored.
	PasswordFile string `yaml:"password_file"`
	// TLS protects the connections to the server.
	TLS serverTLSConfig `yaml:"tls"`
	// Tables to capture, as schema.table; both parts may hold * and ?.
	Tables   []string       `yaml:"tables" required:"true"`
	Captured capturedConfig `yaml:",inline"`
	// Snapshot reads the rows that the tables have already, too: initial does so once for each table, beside the changes.
	Snapshot string `yaml:"snapshot" enum:"none,initial" default:"none"`
	// SnapshotHold bounds how long changes wait while a table without a key is read by a snapshot.
	SnapshotHold strictyaml.Duration `yaml:"snapshot_hold" default:"5m"`
	// ServerID that cdcd takes as a replica, unique among all replicas of the server. By default each start takes a random one.
	ServerID uint32 `yaml:"server_id"`
	// OnTruncate says what happens when a statement removes rows of a captured table without delete events, such as TRUNCATE.
	OnTruncate string `yaml:"on_truncate" enum:"warn,halt" default:"warn"`
	// OnUnknownXA says what happens when an XA transaction commits that was prepared before the capture began: its rows are not known.
	OnUnknownXA string `yaml:"on_unknown_xa" enum:"halt,warn" default:"halt"`
	// HoldBytes bounds the memory of rows that wait for the outcome of XA transactions and of savepoints, and, with a quarter of it,
	// of other transactions of MariaDB.
	HoldBytes strictyaml.Size `yaml:"hold_bytes" default:"64MiB"`
	// Oversize says what happens to a change that is larger than the bus can carry: it goes on without its largest values, and every rule
	// that names its table treats it as an error (a dead letter by default); or the capture stops.
	Oversize string `yaml:"oversize" enum:"dead_letter,halt" default:"dead_letter"`
	// Lookup says where rules' look-ups read, and how much.
	Lookup lookupConfig `yaml:"lookup"`
}

// serverTLSConfig is how the connections to the server are protected.
type serverTLSConfig struct {
	// Mode is what is asked of the server: verify_identity (its certificate is trusted and is for its name), verify_ca (the
	// name may be another), required (encrypted; whoever answers), or disabled. By default it is disabled for a server on
	// this machine (localhost, 127.0.0.1, ::1) and verify_identity for all others.
	Mode string `yaml:"mode" enum:"verify_identity,verify_ca,required,disabled"`
	// CAFile holds the certificates (PEM) of the authorities to trust; by default those that the system trusts.
	CAFile string `yaml:"ca_file"`
	// CertFile holds the certificate (PEM) that cdcd shows to the server, for accounts that REQUIRE X509.
	CertFile string `yaml:"cert_file"`
	// KeyFile holds the key (PEM) of cert_file.
	KeyFile string `yaml:"key_file"`
	// ServerName is the name that the server's certificate must be for; by default the host of the URL.
	ServerName string `yaml:"server_name"`
}

// binlogConfig is a set of binlog files.
type binlogConfig struct {
	// Files to read, in the order of their numbers (binlog.000001, binlog.000002); globs are allowed.
	Files []string `yaml:"files" required:"true"`
	// Tables to capture, as schema.table; both parts may hold * and ?. The default is all.
	Tables   []string       `yaml:"tables" default:"*.*"`
	Captured capturedConfig `yaml:",inline"`
}

// capturedConfig is what leaves a source of the tables that it captures.
type capturedConfig struct {
	// ExcludeTables are not captured although tables names them: schema.table; both parts may hold * and ?.
	ExcludeTables []string `yaml:"exclude_tables"`
	// DropColumns never leave cdcd, not even by name: schema.table.column; each part may hold * and ?. The primary key of a
	// table cannot be dropped.
	DropColumns []string `yaml:"drop_columns"`
	// MaskColumns are masked before they are written anywhere.
	MaskColumns maskColumnsConfig `yaml:"mask_columns"`
	// MaskKeyFiles hold the keys of mask_columns; `cdcd mask new-key` makes them.
	MaskKeyFiles maskKeyFilesConfig `yaml:"mask_key_files"`
}

// maskColumnsConfig is the columns to mask, by method. A column that drop_columns names too is dropped; one that both
// methods name is masked with hmac, which gives less away.
type maskColumnsConfig struct {
	// HMAC replaces values by their HMAC-SHA256: schema.table.column; each part may hold * and ?. Equal values have equal
	// masks, in all columns.
	HMAC []string `yaml:"hmac"`
	// Encrypt replaces values by what the key can decrypt: schema.table.column; each part may hold * and ?. Equal values have
	// equal masks within a column.
	Encrypt []string `yaml:"encrypt"`
}

// maskKeyFilesConfig is the keys of masks: keysets of Tink in JSON, readable for nobody else.
type maskKeyFilesConfig struct {
	// HMAC is the keyset for hmac; the default is mask-hmac.json in the data folder.
	HMAC string `yaml:"hmac"`
	// Encrypt is the keyset for encrypt; the default is mask-encrypt.json in the data folder.
	Encrypt string `yaml:"encrypt"`
	// Persons is the keyring with which the keys of persons are kept; the default is persons.json in the data folder.
	Persons string `yaml:"persons"`
}

// captured returns what leaves the source, whichever it is.
func (c *config) captured() *capturedConfig {
	if c.Source.MySQL != nil {
		return &c.Source.MySQL.Captured
	}
	return &c.Source.Binlog.Captured
}

// busConfig is the bus.
type busConfig struct {
	// Embedded runs NATS JetStream inside this process, in the data folder.
	Embedded *embeddedConfig `yaml:"embedded"`
	// Nats uses a NATS cluster.
	Nats *natsConfig `yaml:"nats"`
}

// embeddedConfig is the NATS server inside this process.
type embeddedConfig struct {
	// MaxBytes is how much of the stream is kept on disk; capture waits when it is full of undelivered changes.
	MaxBytes strictyaml.Size `yaml:"max_bytes" default:"10GiB"`
	// Listen is an address (host:port) for NATS clients. By default there is none: nothing outside can connect.
	Listen string `yaml:"listen"`
	// AllowUnsynced syncs the stream to disk every two minutes and not before each acknowledgement. Faster; a power cut
	// then takes back what was acknowledged, and it is captured again while the binlog still has it.
	AllowUnsynced bool `yaml:"allow_unsynced"`
}

// natsConfig is a NATS cluster.
type natsConfig struct {
	// URL of the cluster; several servers are separated by commas.
	URL secretURL `yaml:"url" required:"true"`
	// CredsFile holds the NATS credentials.
	CredsFile string `yaml:"creds_file"`
	// Replicas of the stream: 3 or 5 keep it available when a server fails, 1 does not. The default is 3 on a cluster, 1 on
	// a single server.
	Replicas int `yaml:"replicas" enum:"1,3,5"`
	// MaxBytes is how much of the stream the servers keep; capture waits when it is full of undelivered changes.
	MaxBytes strictyaml.Size `yaml:"max_bytes" default:"10GiB"`
	// AllowUnsynced says that you know whether the servers sync before they acknowledge, and accept it if they do not.
	AllowUnsynced bool `yaml:"allow_unsynced"`
}

// feedConfig is what one partner receives.
type feedConfig struct {
	// To is where objects go: s3://bucket/prefix, file:///folder, or nats://host:4222/subject, where each record is a message.
	To string `yaml:"to" required:"true"`
	// Nats says more about a feed to nats://.
	Nats *natsFeedConfig `yaml:"nats"`
	// S3 says how to reach an S3 store that is not AWS, or with which keys; the default is AWS with its credential chain.
	S3 *s3Config `yaml:"s3"`
	// Envelope is the form of a delivered record.
	Envelope string     `yaml:"envelope" enum:"cdcd,debezium,cloudevents" default:"cdcd"`
	Form     formConfig `yaml:",inline"`
	// Compress is the compression of objects; the default is zstd, and none for nats://.
	Compress string `yaml:"compress" enum:"zstd,gzip,none"`
	// Rotate says when an object is finished: whichever limit is reached first.
	Rotate rotateConfig `yaml:"rotate"`
	// Hold is how long the stream is kept for this feed when it does not deliver, and the stream is full: after that its changes are
	// dropped, loudly, so that other feeds go on. By default capture waits for it.
	Hold strictyaml.Duration `yaml:"hold"`
	// Begin is where a feed begins that is new: oldest (the default), the oldest change that the stream still has; now; a time such as
	// 2026-11-20T06:00:00Z, or a time before now such as 24h: with the changes that the stream took since then. It says nothing of a feed that has begun.
	Begin string `yaml:"begin" default:"oldest"`
	// Partitions is how many chains of objects the feed has, p=00 and so on: changes of one key stay in order, the chains go side by
	// side. It cannot be changed later. Each partition may hold twice rotate.bytes in memory.
	Partitions int `yaml:"partitions" default:"1"`
	// PartitionBy is the column that decides the partition of a table's changes, by table: {shop.orders: customer_id}. The default is
	// the primary key. Its values should never change in a row.
	PartitionBy map[string]string `yaml:"partition_by"`
	View        viewConfig        `yaml:",inline"`
	// Trigger is who is told of new objects, and who says that he has them.
	Trigger *triggerConfig `yaml:"trigger"`
}

// s3Config is an S3 store.
type s3Config struct {
	// Endpoint of the store: http://host:port or https://host.
	Endpoint string `yaml:"endpoint"`
	// Region of the bucket.
	Region string `yaml:"region" default:"us-east-1"`
	// PathStyle puts the bucket into the path and not into the host name; most stores other than AWS want it.
	PathStyle bool `yaml:"path_style"`
	// AccessKeyEnv names the environment variable that holds the access key.
	AccessKeyEnv string `yaml:"access_key_env"`
	// SecretKeyEnv names the environment variable that holds the secret key.
	SecretKeyEnv string          `yaml:"secret_key_env"`
	Retention    retentionConfig `yaml:",inline"`
}

// rotateConfig says when an object is finished.
type rotateConfig struct {
	// Every is the longest time that a record waits for its object: 100ms to 24h.
	Every strictyaml.Duration `yaml:"every" default:"2s"`
	// Rows is the most records in an object; the default is 50000, and 999 for nats://.
	Rows int `yaml:"rows"`
	// Bytes is about the most bytes in an object, before compression.
	Bytes strictyaml.Size `yaml:"bytes" default:"16MiB"`
	// KeepTransactions makes objects end where transactions of the source do. One that is larger than four objects may be is cut all the same.
	KeepTransactions bool `yaml:"keep_transactions"`
}

// pluginsConfig is where plugins are, and what they may use.
type pluginsConfig struct {
	// Dir is the folder of plugins: NAME.wasm is the one that rules name NAME. A file that changes is taken up while cdcd runs.
	Dir string `yaml:"dir" default:"plugins"`
	// Memory is what all plugins together may have.
	Memory strictyaml.Size `yaml:"memory" default:"512MiB"`
	// Compiled is the folder of what plugins are compiled to, for nobody but cdcd: it is machine code that is run. It may be removed at
	// any time. The default is plugins/compiled in the data folder.
	Compiled string `yaml:"compiled"`
	// CompileMemory is what the process may have that compiles a plugin.
	CompileMemory strictyaml.Size `yaml:"compile_memory" default:"2GiB"`
	// CompileTime is how much time of processors compiling a plugin may take. It is done once for each version.
	CompileTime strictyaml.Duration `yaml:"compile_time" default:"30s"`
	// TrustedKeys are public keys of minisign, as files or themselves. With any, only plugins that one of them has signed are fetched
	// and used; the signature of NAME.wasm is NAME.wasm.minisig beside it. Files are read anew whenever a plugin is taken into use.
	TrustedKeys []string `yaml:"trusted_keys"`
	// Limits bounds single plugins, by their name. What a plugin may use is said here and nowhere else.
	Limits map[string]*pluginLimits `yaml:"limits"`
}

// Shorthand is what a plain value stands for.
func (pluginsConfig) Shorthand() string { return "dir" }

// pluginLimits is what one plugin may use. Each feed runs an instance of its own of a rule's plugin.
type pluginLimits struct {
	// Memory of one instance.
	Memory strictyaml.Size `yaml:"memory" default:"32MiB"`
	// Fuel that one change may take: what a plugin computes, counted (wasm/FUEL.md).
	Fuel int `yaml:"fuel" default:"20000000"`
	// BatchFuel is the fuel that up to 256 changes that are judged in one call may take together.
	BatchFuel int `yaml:"batch_fuel" default:"200000000"`
	// StartFuel is the fuel that starting an instance may take, with the configuration of its rule.
	StartFuel int `yaml:"start_fuel" default:"2000000000"`
	// Wall is how long one call may take. It is about the machine, not about the plugin: the batch is judged again.
	Wall strictyaml.Duration `yaml:"wall" default:"10s"`
	// LogLines is how many lines it may log in a second, all of its instances together.
	LogLines int `yaml:"log_lines" default:"50"`
	// Failures is on how many of the last Window changes it may fail before it is quarantined: what happens then is the rule's fallback.
	Failures int `yaml:"failures" default:"50"`
	// Window is how many changes are looked back for failures.
	Window int `yaml:"window" default:"1000"`
}

// auditConfig is the audit log.
type auditConfig struct {
	// Dir is the folder of the log; the default is audit in the data folder.
	Dir string `yaml:"dir"`
	// KeyFile holds the key that signs checkpoints; it is made when it is not there. The default is audit.key in the data folder.
	KeyFile string `yaml:"key_file"`
}

// deadLetterConfig is the dead letters.
type deadLetterConfig struct {
	// Dir is the folder of the dead letters; the default is dead-letters in the data folder.
	Dir string `yaml:"dir"`
}

// secretURL is a URL that may hold a password, which is never printed.
type secretURL string

// Redacted returns the URL without its password. A list of URLs separated by commas stays one.
func (u secretURL) Redacted() string {
	parts := strings.Split(string(u), ",")
	for i, p := range parts {
		scheme, rest, ok := strings.Cut(p, "://")
		at := strings.LastIndexByte(rest, '@')
		if !ok || at < 0 {
			continue
		}
		user, _, hasPassword := strings.Cut(rest[:at], ":")
		if hasPassword {
			parts[i] = scheme + "://" + user + ":REDACTED" + rest[at:]
		}
	}
	return strings.Join(parts, ",")
}

// String is [secretURL.Redacted], so that logs and messages can't leak the password.
func (u secretURL) String() string { return u.Redacted() }

func (u secretURL) hasPassword() bool { return u.Redacted() != string(u) }

// config is a configuration that has been read, completed and found valid. Paths in it can be opened as they are.
type config struct {
	fileConfig
	file     string // as named by --config
	warnings strictyaml.Errors

	doc       *strictyaml.Doc
	overrides map[string]override // by path: bus.embedded.max_bytes
	env       []string
	listener  net.Listener // at console.listen, if somebody listens there already
	stays     bool         // when a source of files has been delivered, the console goes on
}

// Password returns the password of the server: from the environment, a file, or (with a warning) the URL.
func (m *mysqlConfig) Password(env []string) (string, error) {
	switch {
	case m.PasswordEnv != "":
		return secretFromEnv(env, m.PasswordEnv, "source.mysql.password_env")
	case m.PasswordFile != "":
		text, err := os.ReadFile(m.PasswordFile)
		if err != nil {
			return "", cdc.Errorf("CDCD-1017", "source.mysql.password_file: %w", err).
				WithFix("put the password into %s, readable only for the user that runs cdcd", m.PasswordFile)
		}
		return strings.TrimRight(string(text), "\r\n"), nil
	}
	u, err := url.Parse(string(m.URL))
	if err != nil || u.User == nil {
		return "", nil // the URL has been checked; no password at all is fine, sockets and tests have none
	}
	password, _ := u.User.Password()
	return password, nil
}

// Keys returns the access key and the secret key, or two empty strings for the default credential chain of AWS.
func (s *s3Config) Keys(env []string) (access, secret string, err error) {
	if s == nil || s.AccessKeyEnv == "" {
		return "", "", nil
	}
	if access, err = secretFromEnv(env, s.AccessKeyEnv, "access_key_env"); err != nil {
		return "", "", err
	}
	secret, err = secretFromEnv(env, s.SecretKeyEnv, "secret_key_env")
	return access, secret, err
}

func secretFromEnv(env []string, name, key string) (string, error) {
	value := getenv(env, name)
	if value == "" {
		return "", cdc.Errorf("CDCD-1017", "%s names the environment variable %s, which is not set", key, name).
			WithFix("export %s=…", name)
	}
	return value, nil
}

// loadConfig reads the configuration file, puts the environment and the flags over it, checks everything, completes
// it with defaults and makes its paths relative to the working directory. Mistakes come all at once, as strictyaml.Errors.
func loadConfig(file string, env, sets []string) (*config, error) {
	src, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cdc.Errorf("CDCD-1002", "there is no configuration file %s", file).
			WithFix("cdcd init writes one; -c FILE names another")
	}
	if err != nil {
		return nil, cdc.Errorf("CDCD-1002", "read the configuration: %w", err)
	}
	return parseConfig(file, src, env, sets)
}

func parseConfig(file string, src []byte, env, sets []string) (*config, error) {
	c := &config{file: file, overrides: map[string]override{}, env: env}
	doc, err := strictyaml.Decode(file, src, &c.fileConfig, strictyaml.Config{})
	c.doc = doc
	v := validator{config: c}
	defer func() { redact(v.errs) }() // the slice is shared with what is returned
	if !errors.As(err, &v.errs) && err != nil {
		return nil, err
	}
	if len(v.errs) > 0 && v.errs[0].Code == "CDCD-1010" && !doc.At().Exists() {
		return nil, v.errs // not YAML: nothing else can be said
	}
	v.decoded = len(v.errs)
	v.errs = append(v.errs, c.applyOverrides(env, sets)...)
	v.check()
	if err := v.errs.Err(); err != nil {
		return nil, err
	}
	c.warnings = v.errs
	c.complete()
	c.resolve(filepath.Dir(file))
	return c, nil
}

// complete fills in what was not said.
func (c *config) complete() {
	if c.Bus.Embedded == nil && c.Bus.Nats == nil {
		c.Bus.Embedded = &embeddedConfig{}
	}
	for name, f := range c.Feeds {
		if f == nil {
			c.Feeds[name] = &feedConfig{}
		}
	}
	for _, f := range c.Feeds {
		f.complete()
	}
	setDefaults(reflect.ValueOf(&c.fileConfig).Elem())
	if c.Audit.Dir == "" {
		c.Audit.Dir = filepath.Join(c.Data, "audit")
	}
	if c.Audit.KeyFile == "" {
		c.Audit.KeyFile = filepath.Join(c.Data, "audit.key")
	}
	if c.Plugins.Compiled == "" {
		c.Plugins.Compiled = filepath.Join(c.Data, "plugins", "compiled")
	}
	if c.DeadLetters.Dir == "" {
		c.DeadLetters.Dir = filepath.Join(c.Data, "dead-letters")
	}
}

// forgetful reports whether a power cut may take back what the stream has acknowledged. Changes are then captured again
// with the same numbers; rows of a snapshot, which come in wherever they are read, are not.
func (c *config) forgetful() bool { return c.Bus.Embedded != nil && c.Bus.Embedded.AllowUnsynced }

// ruleFiles returns the files that the rules globs match, in order, each once.
func (c *config) ruleFiles() ([]string, error) {
	var files []string
	for _, glob := range c.Rules {
		found, err := filepath.Glob(glob)
		if err != nil {
			return nil, fmt.Errorf("rules %s: %w", glob, err)
		}
		for _, f := range found {
			if !slices.Contains(files, f) {
				files = append(files, f)
			}
		}
	}
	return files, nil
}

// resolve makes paths that are relative to the configuration file relative to the working directory.
func (c *config) resolve(dir string) {
	at := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	at(&c.Data)
	at(&c.Audit.Dir)
	at(&c.Audit.KeyFile)
	at(&c.DeadLetters.Dir)
	at(&c.Console.TokensFile)
	at(&c.Console.TokenFile)
	at(&c.Plugins.Dir)
	at(&c.Plugins.Compiled)
	for i, key := range c.Plugins.TrustedKeys {
		if !strings.HasPrefix(key, "RW") { // a file
			at(&c.Plugins.TrustedKeys[i])
		}
	}
	at(&c.captured().MaskKeyFiles.HMAC)
	at(&c.captured().MaskKeyFiles.Encrypt)
	for i := range c.Rules {
		at(&c.Rules[i])
	}
	if m := c.Source.MySQL; m != nil {
		at(&m.PasswordFile)
		at(&m.TLS.CAFile)
		at(&m.TLS.CertFile)
		at(&m.TLS.KeyFile)
	}
	if b := c.Source.Binlog; b != nil {
		for i := range b.Files {
			at(&b.Files[i])
		}
	}
	if n := c.Bus.Nats; n != nil {
		at(&n.CredsFile)
	}
	for _, f := range c.Feeds {
		if f.Nats != nil {
			at(&f.Nats.CredsFile)
		}
		if folder, ok := strings.CutPrefix(f.To, "file://"); ok {
			at(&folder)
			if abs, err := filepath.Abs(folder); err == nil {
				folder = abs // the store's name is part of the chain: it must not depend on where cdcd was started
			}
			f.To = "file://" + folder
		}
		resolveTrigger(f.Trigger, at)
	}
}

// validator collects what is wrong with a configuration beyond its types.
type validator struct {
	*config
	errs    strictyaml.Errors
	decoded int // errors found while decoding: values with one of these are not judged again
}

// fault adds an error about the value at path, at its place in the file or with the override that set it.
func (v *validator) fault(path []any, code, format string, args ...any) *strictyaml.Error {
	msg := fmt.Sprintf(format, args...)
	place := v.doc.At(path...)
	var e *strictyaml.Error
	if o, ok := v.overrides[place.Path()]; ok {
		e = &strictyaml.Error{File: o.origin, Code: code, Msg: msg, Path: place.Path()}
	} else {
		e = place.Error(code, msg)
	}
	if v.explained(e) {
		return e
	}
	v.errs = append(v.errs, e)
	return e
}

// explained reports whether an error only follows from one that was found while decoding: about the same value, about
// a key directly in it, or about a missing key that was merely misspelt.
func (v *validator) explained(e *strictyaml.Error) bool {
	parent, name := "", e.Path
	if i := strings.LastIndexByte(e.Path, '.'); i >= 0 {
		parent, name = e.Path[:i+1], e.Path[i+1:]
	}
	for _, old := range v.errs[:v.decoded] {
		misspelt := strings.HasPrefix(old.Path, parent) && old.Suggestion == "did you mean '"+name+"'?"
		below, isBelow := strings.CutPrefix(old.Path, e.Path+".")
		if old.Path == e.Path || isBelow && !strings.Contains(below, ".") || misspelt {
			return true
		}
	}
	return false
}

var (
	passwordInURL = regexp.MustCompile(`(://[^:@/\s"']*):.*@`) // rather too much: a password may hold anything
	passwordInKey = regexp.MustCompile(`(?i)\b(password|passwd|secret|token)(["']?\s*:\s*)[^\s,}]+`)
)

// redact takes passwords out of the source lines and values that errors show.
func redact(errs strictyaml.Errors) {
	for _, e := range errs {
		for _, s := range []*string{&e.Snippet, &e.Msg, &e.Suggestion} {
			*s = passwordInURL.ReplaceAllString(*s, "$1:REDACTED@")
			*s = passwordInKey.ReplaceAllString(*s, "$1${2}REDACTED")
		}
	}
}

func (v *validator) invalid(path []any, format string, args ...any) *strictyaml.Error {
	return v.fault(path, "CDCD-1013", format, args...)
}

// isSet reports whether a value was given at all, even if it is zero.
func (v *validator) isSet(path []any) bool {
	p := v.doc.At(path...)
	_, overridden := v.overrides[p.Path()]
	return overridden || p.Exists()
}

var plainName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

func (v *validator) check() {
	v.checkTags(reflect.ValueOf(v.fileConfig), nil)
	if v.Name != "" && !plainName.MatchString(v.Name) {
		v.invalid(steps("name"), "name '%s' cannot be used in subjects and object keys", v.Name).
			Hint("use up to 32 lower-case letters, digits, - and _")
	}
	v.checkSource()
	v.checkBus()
	for i, glob := range v.Rules {
		if _, err := filepath.Match(glob, ""); err != nil || glob == "" {
			v.invalid(steps("rules", i), "'%s' is not a file name or glob", glob)
		}
	}
	v.checkPlugins()
	v.checkFeeds()
	v.checkPersons()
	v.checkConsole()
	if l := v.Receipts.Listen; l != "" {
		v.checkAddress(steps("receipts", "listen"), l)
	}
}

func (v *validator) checkSource() {
	s := v.Source
	switch {
	case s.MySQL != nil && s.Binlog != nil:
		v.invalid(steps("source"), "source has both mysql and binlog; it takes exactly one").Hint("remove one of them")
	case s.MySQL == nil && s.Binlog == nil && v.isSet(steps("source")):
		v.invalid(steps("source"), "source needs mysql or binlog").Hint("add 'mysql: {url: …, tables: […]}'")
	}
	if m := s.MySQL; m != nil {
		v.checkMySQL(m)
	}
	if b := s.Binlog; b != nil {
		for i, glob := range b.Files {
			if _, err := filepath.Match(glob, ""); err != nil || glob == "" {
				v.invalid(steps("source", "binlog", "files", i), "'%s' is not a file name or glob", glob)
			}
		}
		v.checkTables(steps("source", "binlog", "tables"), b.Tables)
		v.checkCaptured(steps("source", "binlog"), &b.Captured)
	}
}

func (v *validator) checkMySQL(m *mysqlConfig) {
	at := steps("source", "mysql", "url")
	u, err := url.Parse(string(m.URL))
	switch {
	case m.URL == "":
	case err != nil:
		v.invalid(at, "source.mysql.url is not a URL").Hint("write it like mysql://cdcd@127.0.0.1:3306")
	case u.Scheme != "mysql" && u.Scheme != "mariadb":
		v.invalid(at, "source.mysql.url begins with '%s://'; it must be mysql:// or mariadb://", u.Scheme).
			Hint("write it like mysql://cdcd@127.0.0.1:3306")
	case u.Hostname() == "":
		v.invalid(at, "source.mysql.url names no host").Hint("write it like mysql://cdcd@127.0.0.1:3306")
	case u.User == nil || u.User.Username() == "":
		v.invalid(at, "source.mysql.url names no user").Hint("write it like mysql://cdcd@%s", u.Host)
	case strings.Trim(u.Path, "/") != "":
		v.invalid(at, "source.mysql.url names a database").Hint("remove '%s'; tables are chosen with 'tables'", u.Path)
	}
	if m.URL.hasPassword() {
		e := v.fault(at, "CDCD-1016", "the password stands in the configuration").Warn().
			Hint("use password_env or password_file")
		if m.PasswordEnv != "" || m.PasswordFile != "" {
			e.Suggestion = "remove it: password_env or password_file holds it already"
		}
	}
	if m.PasswordEnv != "" && m.PasswordFile != "" {
		v.invalid(steps("source", "mysql", "password_file"), "password_env and password_file are both set").Hint("remove one of them")
	}
	if (m.TLS.CertFile == "") != (m.TLS.KeyFile == "") {
		v.invalid(steps("source", "mysql", "tls"), "tls.cert_file and tls.key_file belong together").Hint("set both or none")
	}
	if m.TLS.Mode == mysql.TLSDisabled && m.TLS.CAFile+m.TLS.CertFile+m.TLS.KeyFile+m.TLS.ServerName != "" {
		v.invalid(steps("source", "mysql", "tls", "mode"), "tls.mode is disabled, and something is said about certificates").Hint("remove mode: disabled")
	}
	if m.ServerID == 0 && v.isSet(steps("source", "mysql", "server_id")) {
		v.invalid(steps("source", "mysql", "server_id"), "server_id 0 cannot replicate").Hint("use 1 to 4294967295, or leave it out")
	}
	if m.Snapshot == "initial" && v.forgetful() {
		v.invalid(steps("source", "mysql", "snapshot"), "a snapshot needs a stream that keeps what it has acknowledged, and bus.embedded.allow_unsynced lets a power cut take that back").
			Hint("remove allow_unsynced, or set snapshot: none")
	}
	v.checkTables(steps("source", "mysql", "tables"), m.Tables)
	v.checkCaptured(steps("source", "mysql"), &m.Captured)
	v.checkLookup(&m.Lookup)
}

func (v *validator) checkCaptured(at []any, c *capturedConfig) {
	v.checkTables(append(at, "exclude_tables"), c.ExcludeTables)
	v.checkColumns(append(at, "drop_columns"), c.DropColumns)
	v.checkColumns(append(at, "mask_columns", "hmac"), c.MaskColumns.HMAC)
	v.checkColumns(append(at, "mask_columns", "encrypt"), c.MaskColumns.Encrypt)
}

func (v *validator) checkColumns(at []any, columns []string) {
	for i, c := range columns {
		if _, err := cdc.ParseColumnGlob(c); err != nil || strings.Count(c, ".") > 2 {
			v.invalid(append(at, i), "'%s' is not schema.table.column", c).Hint("write it like shop.customers.email or *.*.email")
		}
	}
}

func (v *validator) checkTables(at []any, tables []string) {
	for i, t := range tables {
		if _, err := cdc.ParseTableGlob(t); err != nil || strings.Count(t, ".") > 1 {
			v.invalid(append(at, i), "'%s' is not schema.table", t).Hint("write it like shop.orders or shop.*")
		}
	}
}

func (v *validator) checkBus() {
	b := v.Bus
	if b.Embedded != nil && b.Nats != nil {
		v.invalid(steps("bus"), "bus has both embedded and nats; it takes one").Hint("remove one of them")
	}
	if e := b.Embedded; e != nil {
		v.checkRange(steps("bus", "embedded", "max_bytes"), int64(e.MaxBytes), 64<<20, 1<<50, "64MiB", "1024TiB")
		if e.Listen != "" {
			v.checkAddress(steps("bus", "embedded", "listen"), e.Listen)
		}
	}
	if n := b.Nats; n != nil {
		v.checkRange(steps("bus", "nats", "max_bytes"), int64(n.MaxBytes), 64<<20, 1<<50, "64MiB", "1024TiB")
		at := steps("bus", "nats", "url")
		for part := range strings.SplitSeq(string(n.URL), ",") {
			u, err := url.Parse(strings.TrimSpace(part))
			if n.URL != "" && (err != nil || !oneOf(u.Scheme, "nats", "tls", "ws", "wss") || u.Host == "") {
				v.invalid(at, "bus.nats.url: '%s' is not the address of a NATS server", secretURL(part)).
					Hint("write it like nats://a:4222,nats://b:4222")
			}
		}
		if n.URL.hasPassword() {
			v.fault(at, "CDCD-1016", "a password stands in the configuration").Warn().Hint("use creds_file")
		}
	}
}

// pluginName is what a plugin's manifest and its rules can call it.
var pluginName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

func (v *validator) checkPlugins() {
	at := steps("plugins")
	p := v.Plugins
	v.checkRange(append(at, "memory"), int64(p.Memory), 1<<20, 1<<40, "1MiB", "1TiB")
	v.checkRange(append(at, "compile_memory"), int64(p.CompileMemory), 512<<20, 1<<40, "512MiB", "1TiB")
	v.checkRange(append(at, "compile_time"), int64(p.CompileTime), int64(time.Second), int64(time.Hour), "1s", "1h")
	for _, name := range slices.Sorted(maps.Keys(p.Limits)) {
		at, l := append(at, "limits", name), p.Limits[name]
		if !pluginName.MatchString(name) {
			v.errs = append(v.errs, v.doc.At(at...).KeyError("CDCD-1013", fmt.Sprintf("no plugin can be called '%s'", name)).
				Hint("use lower-case letters, digits and -"))
		}
		v.checkRange(append(at, "memory"), int64(l.Memory), 64<<10, 4<<30, "64KiB", "4GiB")
		v.checkRange(append(at, "fuel"), int64(l.Fuel), 10_000, 1e12, "10000", "1000000000000")
		v.checkRange(append(at, "batch_fuel"), int64(l.BatchFuel), 10_000, 1e13, "10000", "10000000000000")
		v.checkRange(append(at, "start_fuel"), int64(l.StartFuel), 10_000, 1e13, "10000", "10000000000000")
		v.checkRange(append(at, "wall"), int64(l.Wall), int64(10*time.Millisecond), int64(time.Hour), "10ms", "1h")
		v.checkRange(append(at, "log_lines"), int64(l.LogLines), 1, 10_000, "1", "10000")
		v.checkRange(append(at, "failures"), int64(l.Failures), 1, 1e6, "1", "1000000")
		v.checkRange(append(at, "window"), int64(l.Window), 1, 1e9, "1", "1000000000")
	}
}

func (v *validator) checkFeeds() {
	if v.isSet(steps("feeds")) && len(v.Feeds) == 0 {
		v.invalid(steps("feeds"), "feeds is empty: nothing would be delivered").Hint("add 'NAME: {to: s3://bucket/prefix}'")
	}
	first := map[string]string{}
	for _, name := range feedNames(v.config) {
		f := v.Feeds[name]
		at := steps("feeds", name)
		if !plainName.MatchString(name) {
			v.errs = append(v.errs, v.doc.At(at...).KeyError("CDCD-1013", fmt.Sprintf("feed name '%s' cannot be used in subjects and object keys", name)).
				Hint("use up to 32 lower-case letters, digits, - and _"))
		}
		if f == nil {
			v.fault(at, "CDCD-1011", "feeds.%s.to is missing", name).Hint("add 'to: s3://bucket/prefix'")
			continue
		}
		v.checkFeed(at, f)
		to := strings.TrimRight(f.To, "/")
		if other, ok := first[to]; ok && f.To != "" {
			v.invalid(append(at, "to"), "feeds %s and %s deliver to the same place; their chains of objects would mix", other, name).
				Hint("give each its own prefix")
		}
		first[to] = name
	}
}

// feedNames returns the feeds in the order of the file, then those that only the environment or a flag made.
func feedNames(c *config) []string {
	seen := map[string]bool{}
	var names []string
	for _, name := range append(c.doc.At("feeds").Keys(), slices.Sorted(maps.Keys(c.Feeds))...) {
		if _, ok := c.Feeds[name]; ok && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

func (v *validator) checkFeed(at []any, f *feedConfig) {
	to := append(at, "to")
	u, err := url.Parse(f.To)
	switch {
	case f.To == "":
	case f.toNATS():
		v.checkNATSFeed(at, f)
	case err != nil || u.Scheme != "s3" && u.Scheme != "file":
		v.invalid(to, "'%s' is not a store", f.To).Hint("use s3://bucket/prefix, file:///folder or nats://host:4222/subject")
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		v.invalid(to, "a store has no user, '?' or '#'").Hint("use s3://bucket/prefix or file:///folder")
	case u.Scheme == "s3" && u.Host == "":
		v.invalid(to, "'%s' names no bucket", f.To).Hint("use s3://bucket/prefix")
	case u.Scheme == "file" && strings.TrimPrefix(f.To, "file://") == "":
		v.invalid(to, "'%s' names no folder", f.To).Hint("use file:///folder, or file://./folder beside the configuration file")
	case u.Scheme == "file" && f.S3 != nil:
		v.invalid(append(at, "s3"), "s3 settings do not apply to a store of files").Hint("remove them, or deliver to s3://…")
	}
	if s := f.S3; s != nil {
		if e, err := url.Parse(s.Endpoint); s.Endpoint != "" && (err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "") {
			v.invalid(append(at, "s3", "endpoint"), "'%s' is not the address of an S3 store", s.Endpoint).Hint("write it like http://127.0.0.1:7070")
		} else if err == nil && e.User != nil {
			v.invalid(append(at, "s3", "endpoint"), "the address of an S3 store has no user").Hint("name its keys with access_key_env and secret_key_env")
		}
		switch {
		case s.AccessKeyEnv != "" && s.SecretKeyEnv == "":
			v.fault(append(at, "s3"), "CDCD-1011", "access_key_env is set, but secret_key_env is missing").Hint("add 'secret_key_env: …'")
		case s.AccessKeyEnv == "" && s.SecretKeyEnv != "":
			v.fault(append(at, "s3"), "CDCD-1011", "secret_key_env is set, but access_key_env is missing").Hint("add 'access_key_env: …'")
		}
		v.checkRetention(append(at, "s3"), s.Retention)
	}
	if f.Nats != nil && !f.toNATS() {
		v.invalid(append(at, "nats"), "nats settings apply to a feed to nats://").Hint("remove them")
	}
	v.checkRange(append(at, "hold"), int64(f.Hold), int64(time.Minute), int64(10*365*24*time.Hour), "1m", "87600h")
	now := time.Now()
	if begin, err := beginOf(f.Begin, now); err != nil {
		v.invalid(append(at, "begin"), "'%s' is not a place in the stream", f.Begin).Hint("use oldest, now, 24h or 2026-11-20T06:00:00Z")
	} else if begin.After(now) {
		v.invalid(append(at, "begin"), "'%s' has not come yet, and a feed begins with what the stream has", f.Begin).Hint("use now for the changes that come from here on")
	}
	v.checkPartitions(at, f)
	v.checkForm(at, f)
	v.checkView(at, &f.View)
	v.checkTrigger(at, f)
	r := append(at, "rotate")
	v.checkRange(append(r, "every"), int64(f.Rotate.Every), int64(100*time.Millisecond), int64(24*time.Hour), "100ms", "24h")
	v.checkRange(append(r, "rows"), int64(f.Rotate.Rows), 1, 10_000_000, "1", "10000000")
	v.checkRange(append(r, "bytes"), int64(f.Rotate.Bytes), 64<<10, 1<<30, "64KiB", "1GiB")
}

func (v *validator) checkRange(at []any, value, least, most int64, leastText, mostText string) {
	if v.isSet(at) && (value < least || value > most) {
		v.invalid(at, "%s must be between %s and %s", v.doc.At(at...).Path(), leastText, mostText)
	}
}

func (v *validator) checkAddress(at []any, address string) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil || port == "" {
		v.invalid(at, "'%s' is not an address to listen on", address).Hint("write it like 127.0.0.1:8480")
	}
}

// steps makes a path that can be appended to without sharing.
func steps(s ...any) []any { return s[:len(s):len(s)] }
