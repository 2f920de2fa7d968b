package chain

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

func TestWhatIsHopeless(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("connection refused"), false},
		{cdc.Errorf("CDCD-4003", "the key may not write"), false}, // rights can be given while cdcd runs
		{cdc.Errorf(codeIgnores, "it ignores If-None-Match"), true},
		{fmt.Errorf("feed acme: %w", cdc.Errorf(codeOther, "another chain")), true},
		{fmt.Errorf("%w, and %w", errors.New("closing"), cdc.Errorf(codeConditions, "no conditional writes")), true},
	} {
		if got := Hopeless(tt.err); got != tt.want {
			t.Errorf("%v: got %v, want %v", tt.err, got, tt.want)
		}
	}
}
