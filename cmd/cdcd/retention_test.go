package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/bus"
)

func TestWhatFeedsNeedIsKeptUnlessTheyMayBeGivenUp(t *testing.T) {
	full := bus.Info{First: 1001, Last: 2000, Messages: 1000, Bytes: 1000 << 20, MaxBytes: 1000 << 20}
	for _, tt := range []struct {
		name    string
		share   float64
		holders []holder
		upTo    uint64
		lost    string
	}{
		{"all have delivered: no more than is needed goes", 0.25, []holder{{"a", 2000, 0, 0}, {"b", 1900, time.Second, 0}}, 1250, "[]"},
		{"one is behind: it is waited for", 0.25, []holder{{"a", 2000, 0, 0}, {"b", 1100, 99 * time.Hour, 0}}, 1100, "[]"},
		{"one is behind, and not for long", 0.25, []holder{{"a", 2000, 0, 0}, {"b", 1100, time.Hour, 2 * time.Hour}}, 1100, "[]"},
		{"one is behind for longer than it may", 0.25, []holder{{"a", 2000, 0, 0}, {"b", 1100, 3 * time.Hour, 2 * time.Hour}}, 1250, "[b]"},
		{"it may be given up, and need not", 0.05, []holder{{"a", 2000, 0, 0}, {"b", 1100, 3 * time.Hour, 2 * time.Hour}}, 1050, "[]"},
		{"one that holds for ever keeps it for the other, too", 0.25, []holder{{"a", 1001, 9 * time.Hour, 0}, {"b", 1000, 3 * time.Hour, 2 * time.Hour}}, 1001, "[]"},
		{"a feed that has not begun", 0.25, []holder{{"a", 0, 0, time.Minute}}, 0, "[]"},
		{"a feed that has never got as far as to begin", 0.25, []holder{{"a", 2000, 0, 0}, {"b", 0, time.Hour, time.Minute}}, 1250, "[b]"},
	} {
		upTo, lost := room(full, tt.share, tt.holders)
		if upTo != tt.upTo || fmt.Sprint(lost) != tt.lost {
			t.Errorf("%s: up to %d, lost %v; want %d, %s", tt.name, upTo, lost, tt.upTo, tt.lost)
		}
	}
	if upTo, lost := room(bus.Info{First: 2001, Last: 2000}, 0.5, nil); upTo != 0 || lost != nil {
		t.Errorf("an empty stream: up to %d, lost %v", upTo, lost)
	}
}

func TestHowFullTheStreamIsOfWhatIsNotDelivered(t *testing.T) {
	info := bus.Info{First: 1001, Last: 2000, Messages: 1000, Bytes: 500 << 20, MaxBytes: 1000 << 20}
	for _, tt := range []struct {
		holders []holder
		want    string
	}{
		{[]holder{{feed: "a", seq: 2000}}, "0 MiB "},
		{[]holder{{feed: "a", seq: 2000}, {feed: "b", seq: 1500}}, "250 MiB b"},
		{[]holder{{feed: "a", seq: 900}}, "500 MiB a"},
		{nil, "0 MiB "},
	} {
		bytes, slowest := undelivered(info, tt.holders)
		if got := fmt.Sprintf("%d MiB %s", bytes>>20, slowest); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.holders, got, tt.want)
		}
	}
	w := filling{rate: 1 << 20, undone: 250 << 20, maxBytes: 1000 << 20}
	if got := w.fullIn(); got == nil || *got != 750 {
		t.Errorf("full in %v", got)
	}
}
