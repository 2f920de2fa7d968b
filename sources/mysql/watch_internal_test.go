package mysql

import (
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

func TestRetentionOfServerSettings(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name      string
		variables map[string]string
		want      Keeps
	}{
		{"nothing", nil, Keeps{Known: true, Why: "no setting deletes binlog files"}},
		{"seconds", map[string]string{"binlog_expire_logs_seconds": "3600", "expire_logs_days": "0"},
			Keeps{For: time.Hour, Known: true, Why: "binlog_expire_logs_seconds"}},
		{"days", map[string]string{"expire_logs_days": "2.5"}, Keeps{For: 60 * time.Hour, Known: true, Why: "expire_logs_days"}},
		{"both say the same", map[string]string{"binlog_expire_logs_seconds": "86400", "expire_logs_days": "1.000000"},
			Keeps{For: day, Known: true, Why: "binlog_expire_logs_seconds"}},
		{"switched off", map[string]string{"binlog_expire_logs_seconds": "3600", "binlog_expire_logs_auto_purge": "OFF"},
			Keeps{Known: true, Why: "binlog_expire_logs_auto_purge is OFF"}},
		{"MariaDB's size", map[string]string{"max_binlog_total_size": "1000", "binlog_expire_logs_seconds": "0", "slave_connections_needed_for_purge": "1"},
			Keeps{Bytes: 1000, Known: true, Why: "max_binlog_total_size"}},
		{"time and size", map[string]string{"binlog_space_limit": "1000", "expire_logs_days": "1"},
			Keeps{For: day, Bytes: 1000, Known: true, Why: "expire_logs_days and binlog_space_limit"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := retentionOf(tt.variables); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestASizeBoundRunsOutAtTheRateOfWriting(t *testing.T) {
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	w := &Watch{}
	files := []binlog{{"b.1", 1000}, {"b.2", 500}}
	w.note(at.Add(-100*time.Second), Place{"b.1", 900}, []binlog{{"b.1", 900}})
	w.note(at, Place{"b.2", 500}, files)
	if got := w.rate(); got != 6 {
		t.Fatalf("rate %v, want 6", got)
	}
	for _, tt := range []struct {
		file  string
		limit uint64
		want  time.Duration
	}{{"b.1", 2100, 100 * time.Second}, {"b.2", 2100, 266666666666}, {"b.1", 1500, 0}, {"b.0", 9999, 0}} {
		s := &Sight{At: at, Keeps: Keeps{Bytes: tt.limit}}
		got, err := w.purge(t.Context(), s, files, cdc.Checkpoint{File: tt.file})
		if err != nil || got.Sub(at) != tt.want {
			t.Errorf("%s within %d: %s, %v; want %s", tt.file, tt.limit, got.Sub(at), err, tt.want)
		}
	}
}
