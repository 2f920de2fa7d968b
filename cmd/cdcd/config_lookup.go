package main

import (
	"net/url"
	"time"

	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// lookupConfig is where rules' look-ups read, and how much.
type lookupConfig struct {
	// URL of the server that look-ups read, as source.mysql.url: a replica of the source. By default they read the source.
	URL secretURL `yaml:"url"`
	// PasswordEnv names the environment variable that holds the password for url.
	PasswordEnv string `yaml:"password_env"`
	// PasswordFile is the file that holds the password for url; a line break at its end is ignored.
	PasswordFile string `yaml:"password_file"`
	// TLS protects the connections to url.
	TLS serverTLSConfig `yaml:"tls"`
	// Connections is how many look-ups may be under way on the server at once, of all feeds; each feed has no more than half of them, if
	// there are several.
	Connections int `yaml:"connections" default:"4"`
	// Timeout is how long the server may take for a look-up, with the time that a replica needs to have the change. After that the feed
	// waits and asks again. A rule may be less patient, and say what becomes of its changes then.
	Timeout strictyaml.Duration `yaml:"timeout" default:"10s"`
	// MaxBytes bounds what one look-up may find.
	MaxBytes strictyaml.Size `yaml:"max_bytes" default:"4MiB"`
	// KeepBytes is how much of what was looked up is kept beside the stream, so that a change that is judged again is judged by what was
	// read the first time; the oldest goes first.
	KeepBytes strictyaml.Size `yaml:"keep_bytes" default:"1GiB"`
}

func (v *validator) checkLookup(l *lookupConfig) {
	at := func(name string) []any { return steps("source", "mysql", "lookup", name) }
	if l.URL == "" {
		if l.PasswordEnv+l.PasswordFile != "" || l.TLS != (serverTLSConfig{}) {
			v.invalid(at("url"), "source.mysql.lookup says how to connect, but not where").Hint("name the replica: url: mysql://cdcd@replica:3306, or remove password and tls")
		}
	} else if u, err := url.Parse(string(l.URL)); err != nil || u.Scheme != "mysql" && u.Scheme != "mariadb" || u.Hostname() == "" || u.User.Username() == "" {
		v.invalid(at("url"), "source.mysql.lookup.url is not the URL of a server").Hint("write it like mysql://cdcd@replica:3306")
	} else if l.URL.hasPassword() {
		v.fault(at("url"), "CDCD-1016", "the password stands in the configuration").Warn().Hint("use password_env or password_file")
	}
	if l.PasswordEnv != "" && l.PasswordFile != "" {
		v.invalid(at("password_file"), "password_env and password_file are both set").Hint("remove one of them")
	}
	v.checkRange(at("connections"), int64(l.Connections), 1, 256, "1", "256")
	v.checkRange(at("timeout"), int64(l.Timeout), int64(100*time.Millisecond), int64(10*time.Minute), "100ms", "10m")
	v.checkRange(at("max_bytes"), int64(l.MaxBytes), 64<<10, 24<<20, "64KiB", "24MiB")
	v.checkRange(at("keep_bytes"), int64(l.KeepBytes), 64<<20, 1<<50, "64MiB", "1024TiB")
}
