package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sinks/s3"
)

// retentionConfig is for how long a bucket with Object Lock keeps objects.
type retentionConfig struct {
	// For is how long nobody can remove or change a delivered object: days (30d) or hours. The bucket must have Object Lock.
	For span `yaml:"retention"`
	// Mode is who may remove them before: governance (the default) is who has the right s3:BypassGovernanceRetention,
	// compliance is nobody.
	Mode string `yaml:"retention_mode" enum:"governance,compliance"`
}

func (r retentionConfig) s3() s3.Retention {
	return s3.Retention{For: time.Duration(r.For), Mode: r.Mode}
}

// span is a duration that may be in days.
type span time.Duration

// UnmarshalText reads 30d, or what [strictyaml.Duration] reads.
func (s *span) UnmarshalText(text []byte) error {
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 100*366 {
			*s = span(time.Duration(n) * 24 * time.Hour)
			return nil
		}
	}
	return (*strictyaml.Duration)(s).UnmarshalText(text)
}

// MarshalText writes whole days as such, and nothing for no time at all.
func (s span) MarshalText() ([]byte, error) {
	if s == 0 {
		return nil, nil
	}
	if d := time.Duration(s); d > 0 && d%(24*time.Hour) == 0 {
		return []byte(strconv.Itoa(int(d/(24*time.Hour))) + "d"), nil
	}
	return strictyaml.Duration(s).MarshalText()
}

// Expects says what may stand there.
func (span) Expects() string { return "a duration such as 30d" }

func (v *validator) checkRetention(at []any, r retentionConfig) {
	if r.For > 0 && time.Duration(r.For) < time.Hour {
		v.invalid(append(at, "retention"), "an hour is the shortest retention").Hint("write it in days, like 30d")
	}
	if r.For == 0 && r.Mode != "" {
		v.invalid(append(at, "retention_mode"), "retention_mode says how, but not how long").Hint("add 'retention: 30d'")
	}
}

// checkRetention reports whether a store can keep objects for as long as the feed asks for.
func checkRetention(ctx context.Context, store chain.Store) error {
	if s, ok := store.(*s3.Store); ok {
		return s.CheckRetention(ctx)
	}
	return nil
}
