package bus

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cdcd-project/cdcd/cdc"
)

// ErrFenced says that another capture has taken the stream over. Whoever gets it has lost nothing and must not write
// any more: become the standby ([Stream.WaitIdle]), then begin again at [Stream.Last].
var ErrFenced = errors.New("another capture writes this stream")

// The codes of this package; each has a page.
const (
	codeInUse      = "CDCD-3001" // data folder in use
	codeServer     = "CDCD-3002" // embedded server does not start
	codeFenced     = "CDCD-3003" // another capture took over
	codeSettings   = "CDCD-3004" // stream has unsafe settings
	codeUnsynced   = "CDCD-3005" // nobody can see whether the server syncs before it acknowledges
	codeWrite      = "CDCD-3006" // the server cannot store
	codeLostAcked  = "CDCD-3007" // the stream ends before what it acknowledged
	codeGap        = "CDCD-3008" // messages are missing
	codeBeyond     = "CDCD-3009" // the stream ends before the position that was asked for
	codePartGap    = "CDCD-3010" // part numbers are not dense
	codeDamaged    = "CDCD-3011" // a message is not a frame
	codeTooBig     = "CDCD-3012" // frame larger than the bus takes
	codeConnect    = "CDCD-3013" // no connection to NATS, or no JetStream there
	codeGone       = "CDCD-3014" // the stream was deleted
	codeForeign    = "CDCD-3015" // the stream belongs to something else
	codeListen     = "CDCD-3016" // the embedded server must not listen there
	codeCheckpoint = "CDCD-3017" // the stream's last frame is gone, and the checkpoint with it

	codeRevision  = "CDCD-2311" // a revision of the rules that a frame names is not in the store
	codeRuleStore = "CDCD-2312" // the rule store cannot be used as it is
	codeRulesFull = "CDCD-2313" // the rule store does not take a publication
)

// InUse reports whether err says that another process has the data folder: a cdcd that runs, and can be asked.
func InUse(err error) bool { return cdc.CodeOf(err) == codeInUse }

func (s *Stream) fenced(format string, args ...any) error {
	e := cdc.Errorf(codeFenced, format, args...)
	e.Err = ErrFenced
	return e.WithFix("nothing to do when a standby is meant to run; else stop the other capture of source %q", s.cfg.Source)
}

// JetStream's error codes that decide what to do next.
const (
	jsAccountResources   = 10002
	jsClusterUnavailable = 10008
	jsNotLeader          = 10009
	jsInsufficient       = 10023
	jsNotEnabledAccount  = 10039
	jsStorageResources   = 10047
	jsMessageTooBig      = 10054
	jsStreamNotFound     = 10059
	jsWrongLastSequence  = 10071
	jsNotEnabled         = 10076
	jsStoreFailed        = 10077
	jsWrongLastConstant  = 10164
	jsTooManyRequests    = 10167
)

// verdict is what a refused message means for the writer.
type verdict int

const (
	refusedForGood verdict = iota // nothing that waiting would change
	lookAtTail                    // unknown: the end of the stream tells
	streamFull
	serverBusy
	cannotStore
	frameTooBig
	streamGone
)

// unanswered reports whether a question got no answer, or none from somebody who knows: another server may.
func unanswered(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrTimeout) ||
		errors.As(err, &api) && (api.ErrorCode == jsClusterUnavailable || api.ErrorCode == jsNotLeader)
}

func judge(e *jetstream.APIError) verdict {
	switch e.ErrorCode {
	case jsWrongLastSequence, jsWrongLastConstant, jsClusterUnavailable, jsNotLeader:
		return lookAtTail
	case jsAccountResources, jsStorageResources, jsInsufficient:
		return streamFull
	case jsStoreFailed:
		if strings.Contains(e.Description, "maximum bytes exceeded") || strings.Contains(e.Description, "resource limits exceeded") {
			return streamFull
		}
		return cannotStore
	case jsTooManyRequests:
		return serverBusy
	case jsNotEnabled, jsNotEnabledAccount:
		return cannotStore
	case jsMessageTooBig:
		return frameTooBig
	case jsStreamNotFound:
		return streamGone
	}
	if e.Code == 429 {
		return serverBusy
	}
	return refusedForGood
}
