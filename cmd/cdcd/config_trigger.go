package main

import (
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/internal/webhooksig"
)

// triggerConfig is who is told of a feed's new objects, and who says that he has them.
type triggerConfig struct {
	// Webhook posts a signed CloudEvent to a URL for each object.
	Webhook *webhookConfig `yaml:"webhook"`
	// Nats publishes the same CloudEvent on the connection of the bus.
	Nats *natsTriggerConfig `yaml:"nats"`
	// Receipts are what the partner signs about objects that it has fetched.
	Receipts *receiptsConfig `yaml:"receipts"`
}

// webhookConfig is a partner's URL.
type webhookConfig struct {
	// URL to post to: https://host/path.
	URL string `yaml:"url" required:"true"`
	// SecretFile holds the shared secret that events are signed with (HMAC-SHA256, v1): a file, or several while the partner learns a
	// new one. `cdcd trigger new-key` makes one.
	SecretFile oneOrMore `yaml:"secret_file"`
	// SecretEnv names the environment variable that holds the shared secret.
	SecretEnv oneOrMore `yaml:"secret_env"`
	// Ed25519KeyFile holds the private key that events are signed with (Ed25519, v1a): a file, or several while the partner learns a new
	// public key. `cdcd trigger new-key --ed25519` makes one.
	Ed25519KeyFile oneOrMore `yaml:"ed25519_key_file"`
	// Presign puts a URL into the event that anybody can fetch the object with for that time; S3 stores only, at most 168h.
	Presign strictyaml.Duration `yaml:"presign"`
	// Timeout is how long the partner may take to answer.
	Timeout strictyaml.Duration `yaml:"timeout" default:"20s"`
	// GiveUp is how long an event is sent again and again before the trigger is disabled.
	GiveUp strictyaml.Duration `yaml:"give_up" default:"72h"`
	// AllowInsecure permits http:// too.
	AllowInsecure bool `yaml:"allow_insecure"`
	// AllowPrivate permits addresses too that are not public: this machine and the networks beside it.
	AllowPrivate bool `yaml:"allow_private"`
	// CAFile holds the certificates (PEM) of the authorities to trust; by default those that the system trusts.
	CAFile string `yaml:"ca_file"`
}

// natsTriggerConfig is a subject of NATS.
type natsTriggerConfig struct {
	// Subject to publish to. If a stream of JetStream listens to it, the event is told when that has it; otherwise when the server has it.
	Subject string `yaml:"subject" required:"true"`
}

// receiptsConfig is whose receipts are taken.
type receiptsConfig struct {
	// PublicKeyFile holds the public key (whpk_…) that the partner's receipts are signed with: a file, or several while it changes its key.
	PublicKeyFile oneOrMore `yaml:"public_key_file" required:"true"`
	// UnfetchedAfter is how long an object may be without a receipt before that is an alarm: 1m to 720h.
	UnfetchedAfter strictyaml.Duration `yaml:"unfetched_after" default:"1h"`
}

// receiptServerConfig is where partners send receipts.
type receiptServerConfig struct {
	// Listen is the address (host:port) that takes receipts at POST /receipts/FEED. By default there is none. Receipts are signed, so it
	// asks for no password; put it behind what speaks TLS.
	Listen string `yaml:"listen"`
}

// oneOrMore is a list that may be written as its only item.
type oneOrMore []string

// OneOrMore says so to the reader of the configuration.
func (oneOrMore) OneOrMore() {}

func (v *validator) checkTrigger(at []any, f *feedConfig) {
	t := f.Trigger
	if t == nil {
		return
	}
	at = append(at, "trigger")
	if t.Webhook == nil && t.Nats == nil && t.Receipts == nil {
		v.invalid(at, "trigger tells nobody").Hint("add 'webhook: {url: …, secret_file: …}', nats or receipts")
	}
	if f.toNATS() {
		v.invalid(at, "a feed to nats:// tells of its records itself").Hint("remove trigger")
		return
	}
	if w := t.Webhook; w != nil {
		v.checkWebhook(append(at, "webhook"), f, w)
	}
	if n := t.Nats; n != nil {
		v.checkTriggerSubject(append(at, "nats", "subject"), n.Subject)
	}
	if r := t.Receipts; r != nil {
		v.checkRange(append(at, "receipts", "unfetched_after"), int64(r.UnfetchedAfter), int64(time.Minute), int64(720*time.Hour), "1m", "720h")
		if v.Receipts.Listen == "" {
			v.fault(append(at, "receipts"), "CDCD-1013", "nobody listens for receipts").Hint("add 'receipts: {listen: 0.0.0.0:8481}' beside feeds")
		}
	}
}

func (v *validator) checkWebhook(at []any, f *feedConfig, w *webhookConfig) {
	u, err := url.Parse(w.URL)
	switch {
	case w.URL == "":
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		v.fault(append(at, "url"), "CDCD-4401", "the URL of a webhook is not one").Hint("write it like https://acme.example/hook")
	case u.User != nil:
		v.fault(append(at, "url"), "CDCD-4401", "the URL of a webhook names a user").Hint("remove it: events are signed")
	case u.Scheme == "http" && !w.AllowInsecure:
		v.fault(append(at, "url"), "CDCD-4401", "the URL of a webhook begins with http://").Hint("use https://, or set allow_insecure in a network that is yours")
	}
	if u != nil && !w.AllowPrivate {
		if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()) {
			v.fault(append(at, "url"), "CDCD-4401", "%s is not a public address and will not be called", u.Hostname()).Hint("set allow_private, if it is meant")
		}
	}
	if len(w.SecretFile)+len(w.SecretEnv)+len(w.Ed25519KeyFile) == 0 {
		v.fault(at, "CDCD-1011", "a webhook needs a key to sign with").Hint("add 'secret_file: …' or 'ed25519_key_file: …'; cdcd trigger new-key makes a key")
	}
	v.checkRange(append(at, "presign"), int64(w.Presign), int64(time.Minute), int64(168*time.Hour), "1m", "168h")
	v.checkRange(append(at, "timeout"), int64(w.Timeout), int64(time.Second), int64(5*time.Minute), "1s", "5m")
	v.checkRange(append(at, "give_up"), int64(w.GiveUp), int64(time.Minute), int64(720*time.Hour), "1m", "720h")
	if w.Presign > 0 && !strings.HasPrefix(f.To, "s3://") {
		v.invalid(append(at, "presign"), "only objects in an S3 store can be fetched with a URL").Hint("remove presign")
	}
}

func (v *validator) checkTriggerSubject(at []any, subject string) {
	switch {
	case subject == "":
	case strings.ContainsAny(subject, "*> \t\r\n") || strings.HasPrefix(subject, ".") || strings.HasSuffix(subject, ".") || strings.Contains(subject, ".."):
		v.invalid(at, "'%s' is not a subject to publish to", subject).Hint("write it like acme.objects")
	case strings.HasPrefix(subject, "$") || subject == "cdc" || strings.HasPrefix(subject, "cdc."):
		v.invalid(at, "subject '%s' belongs to the bus", subject).Hint("use another one, such as trigger.%s", at[1])
	}
}

// resolveTrigger makes a feed's paths relative to the working directory.
func resolveTrigger(t *triggerConfig, at func(*string)) {
	if t == nil {
		return
	}
	all := func(paths oneOrMore) {
		for i := range paths {
			at(&paths[i])
		}
	}
	if w := t.Webhook; w != nil {
		all(w.SecretFile)
		all(w.Ed25519KeyFile)
		at(&w.CAFile)
	}
	if r := t.Receipts; r != nil {
		all(r.PublicKeyFile)
	}
}

// Keys returns the keys that events are signed with, the first of each kind first.
func (w *webhookConfig) Keys(env []string) (keys []webhooksig.Key, err error) {
	signs := webhooksig.Key.CanSign
	if keys, err = readKeys(w.SecretFile, "secret_file", "a key to sign with", signs); err != nil {
		return nil, err
	}
	for _, name := range w.SecretEnv {
		text, err := secretFromEnv(env, name, "secret_env")
		if err != nil {
			return nil, err
		}
		k, err := webhooksig.ParseKey(text)
		if err != nil || !k.CanSign() {
			return nil, cdc.Errorf("CDCD-4402", "secret_env: the environment variable %s does not hold a key to sign with", name).
				WithFix("cdcd trigger new-key makes one")
		}
		keys = append(keys, k)
	}
	more, err := readKeys(w.Ed25519KeyFile, "ed25519_key_file", "a private key (whsk_…)", func(k webhooksig.Key) bool { return k.CanSign() && !k.Shared() })
	return append(keys, more...), err
}

// Keys returns the keys that receipts are verified with.
func (r *receiptsConfig) Keys() ([]webhooksig.Key, error) {
	return readKeys(r.PublicKeyFile, "public_key_file", "a public key (whpk_…)", func(k webhooksig.Key) bool { return !k.Shared() && !k.CanSign() })
}

// readKeys reads keys from files and demands that they are of a kind.
func readKeys(files []string, setting, kind string, is func(webhooksig.Key) bool) (keys []webhooksig.Key, err error) {
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, cdc.Errorf("CDCD-4402", "%s: %w", setting, err).WithFix("cdcd trigger new-key makes a key")
		}
		found, err := webhooksig.ParseKeys(string(text))
		if err != nil {
			return nil, cdc.Errorf("CDCD-4402", "%s: %s: %w", setting, file, err).WithFix("put one key in a line: whsec_…, whsk_… or whpk_…")
		}
		for _, k := range found {
			if !is(k) {
				return nil, cdc.Errorf("CDCD-4402", "%s: %s does not hold %s", setting, file, kind).WithFix("cdcd trigger new-key makes keys")
			}
		}
		keys = append(keys, found...)
	}
	return keys, nil
}
