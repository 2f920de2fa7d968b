package cdc_test

import (
	"errors"
	"io/fs"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

func TestPositionHasAnIDForProgramsAndATextForPeople(t *testing.T) {
	at := time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name     string
		pos      cdc.Position
		id, text string
	}{
		{"nowhere yet", cdc.Position{}, ":0/0", " row 0"},
		{"MariaDB", cdc.Position{Server: "0-1", GTID: "0-1-17", File: "mariadb-bin.000001", Pos: 345, Row: 2, Rows: 9, CommitTime: at},
			"0-1-17/2", "0-1-17 at mariadb-bin.000001:345 row 2"},
		{"MySQL", cdc.Position{Server: "3e11fa47-71ca-11e1-9e33-c80aa9429562", GTID: "3e11fa47-71ca-11e1-9e33-c80aa9429562:23", File: "binlog.000002", Pos: 4},
			"3e11fa47-71ca-11e1-9e33-c80aa9429562:23/0", "3e11fa47-71ca-11e1-9e33-c80aa9429562:23 at binlog.000002:4 row 0"},
		{"without GTIDs", cdc.Position{Server: "3e11fa47", File: "binlog.000002", Pos: math.MaxUint64, Row: math.MaxUint32},
			"3e11fa47:binlog.000002:18446744073709551615/4294967295", "binlog.000002:18446744073709551615 row 4294967295"},
		{"without GTIDs and server", cdc.Position{File: "binlog.000002", Pos: 4, Row: 1}, "binlog.000002:4/1", "binlog.000002:4 row 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.pos.ID(); got != tt.id {
				t.Errorf("ID: got %q, want %q", got, tt.id)
			}
			if got := string(tt.pos.AppendID([]byte("x "))); got != "x "+tt.id {
				t.Errorf("AppendID: got %q, want %q", got, "x "+tt.id)
			}
			if got := tt.pos.String(); got != tt.text {
				t.Errorf("String: got %q, want %q", got, tt.text)
			}
		})
	}
}

func TestTheIDDoesNotDependOnTheServerReadFrom(t *testing.T) {
	a := cdc.Position{Server: "a", GTID: "0-1-17", File: "binlog.000001", Pos: 4, Row: 3}
	b := cdc.Position{Server: "b", GTID: "0-1-17", File: "other.000009", Pos: 777, Row: 3, Rows: 5}
	if a.ID() != b.ID() {
		t.Errorf("%q and %q differ", a.ID(), b.ID())
	}
}

func TestOperationsAndPoliciesHaveNames(t *testing.T) {
	for _, tt := range []struct {
		op   cdc.Op
		want string
	}{{cdc.OpInsert, "insert"}, {cdc.OpUpdate, "update"}, {cdc.OpDelete, "delete"}, {cdc.OpSnapshot, "snapshot"}} {
		if got := tt.op.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
		if got, ok := cdc.ParseOp(tt.want); got != tt.op || !ok {
			t.Errorf("ParseOp(%q) = %v, %v", tt.want, got, ok)
		}
	}
	for _, name := range []string{"", "Insert", "truncate", "op(0)"} {
		if got, ok := cdc.ParseOp(name); got != 0 || ok {
			t.Errorf("ParseOp(%q) = %v, %v", name, got, ok)
		}
	}
	got := []string{cdc.Op(0).String(), cdc.Op(5).String(), cdc.DeadLetter.String(), cdc.Skip.String(), cdc.Halt.String(),
		cdc.KindAbsent.String(), cdc.KindVector.String(), cdc.Kind(19).String()}
	if want := []string{"op(0)", "op(5)", "dead_letter", "skip", "halt", "absent", "vector", "kind(19)"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestErrorsCarryTheirCodeFixAndCause(t *testing.T) {
	err := cdc.Errorf("CDCD-1003", "read %s: %w", "cdcd.yaml", fs.ErrNotExist)
	if got, want := err.Error(), "CDCD-1003: read cdcd.yaml: file does not exist"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, fs.ErrNotExist) || err.Fix != "" {
		t.Errorf("cause %v, fix %q", err.Err, err.Fix)
	}
	fixed := err.WithFix("run `cdcd %s`", "init")
	if fixed.Fix != "run `cdcd init`" || err.Fix != "" {
		t.Errorf("fix %q, and of the first error %q", fixed.Fix, err.Fix)
	}
	var e *cdc.Error
	if !errors.As(error(fixed), &e) || e.Code != "CDCD-1003" || !errors.Is(fixed, fs.ErrNotExist) {
		t.Errorf("got %+v", e)
	}
	if plain := cdc.Errorf("CDCD-1003", "no cause"); plain.Unwrap() != nil {
		t.Errorf("cause %v", plain.Unwrap())
	}
}
