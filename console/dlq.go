package console

import (
	"context"
	"net/http"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
)

// DeadLetters is asked for changes that could not be judged, and what is to become of them.
type DeadLetters interface {
	// Groups returns them by cause; with all also those of which nothing is open any more.
	Groups(ctx context.Context, feeds []string, all bool) (api.DLQList, error)
	// Letters returns those with these IDs, or of these groups, in a state or in any. The error is CDCD-4601 when there is no such one.
	Letters(ctx context.Context, names []string, state string, pass, limit int) (api.DeadLetters, error)
	// Settle begins to do what is wished, and waits a moment for it.
	Settle(ctx context.Context, do, by string, wish api.DLQWish) (api.DLQJob, error)
	Job(ctx context.Context, id string) (api.DLQJob, error)
	StopJob(ctx context.Context, id string) (api.DLQJob, error)
}

// LetterPage is which of the letters that are asked for are shown.
type LetterPage struct {
	State string `query:"state" enum:"open,redriven,no_match,discarded" doc:"Only letters in it; default: any."`
	Pass  int    `query:"pass" doc:"Letters to pass over." minimum:"0"`
	Limit int    `query:"limit" default:"50" minimum:"1" maximum:"500"`
}

func (c *Console) deadLetters() {
	type asked struct {
		Feed []string `query:"feed,explode" maxItems:"50"`
		All  bool     `query:"all" doc:"Also groups of which nothing is open any more."`
	}
	add(c, operation{kind: "dlq.list", method: http.MethodGet, path: "/dlq", role: api.Viewer, summary: "Dead letters, grouped by cause"},
		func(ctx context.Context, in *asked) (api.DLQList, error) {
			return c.cfg.Backend.DeadLetters.Groups(ctx, in.Feed, in.All)
		})
	type group struct {
		ID string `path:"id" example:"g8715c5f2" maxLength:"100"`
		LetterPage
	}
	add(c, operation{kind: "dlq.group", method: http.MethodGet, path: "/dlq/groups/{id}", role: api.Viewer, summary: "The letters of a group"},
		func(ctx context.Context, in *group) (api.DeadLetters, error) {
			return c.cfg.Backend.DeadLetters.Letters(ctx, []string{in.ID}, in.State, in.Pass, in.Limit)
		})
	type some struct {
		ID []string `query:"id,explode" required:"true" minItems:"1" maxItems:"100" doc:"Of a letter (feed/number) or a group, once for each."`
		LetterPage
	}
	add(c, operation{kind: "dlq.show", method: http.MethodGet, path: "/dlq/letters", role: api.Viewer,
		summary: "Dead letters: the change, why which rule could not judge it, its corrections, and what became of it"},
		func(ctx context.Context, in *some) (api.DeadLetters, error) {
			return c.cfg.Backend.DeadLetters.Letters(ctx, in.ID, in.State, in.Pass, in.Limit)
		})
	type wish struct{ Body api.DLQWish }
	for _, op := range []struct {
		do   string
		role api.Role
		text string
	}{
		{"retest", api.Analyst, "Judge dead letters again, without effect"},
		{"redrive", api.Operator, "Deliver dead letters that can be judged now; without yes, say which"},
		{"discard", api.Operator, "Give dead letters up; without yes, say which"},
	} {
		add(c, operation{kind: "dlq." + op.do, method: http.MethodPost, path: "/dlq/" + op.do, role: op.role, most: 4 << 20, summary: op.text,
			text: "A job: its result is there when it has ended within a moment, else GET /dlq/jobs/{id} has it later. A job that fails " +
				"within that moment is answered with its error; one that fails later says so in its state and error, and ok is true all the same."},
			func(ctx context.Context, in *wish) (api.DLQJob, error) {
				if err := sensible(op.do, in.Body); err != nil {
					return api.DLQJob{}, err
				}
				return c.cfg.Backend.DeadLetters.Settle(ctx, op.do, callerName(ctx, in.Body.By), in.Body)
			})
	}
	type job struct {
		ID string `path:"id" maxLength:"40"`
	}
	add(c, operation{kind: "dlq.job", method: http.MethodGet, path: "/dlq/jobs/{id}", role: api.Viewer, summary: "How far a job is, and its result"},
		func(ctx context.Context, in *job) (api.DLQJob, error) {
			return c.cfg.Backend.DeadLetters.Job(ctx, in.ID)
		})
	add(c, operation{kind: "dlq.stop", method: http.MethodDelete, path: "/dlq/jobs/{id}", role: api.Operator, summary: "Stop a job",
		text: "What it has settled stays so."},
		func(ctx context.Context, in *job) (api.DLQJob, error) {
			return c.cfg.Backend.DeadLetters.StopJob(ctx, in.ID)
		})
}

// sensible says what is wrong with a wish.
func sensible(do string, wish api.DLQWish) error {
	switch {
	case wish.Yes && do == "retest":
		return cdc.Errorf(codeRequest, "a retest does nothing, so there is nothing to say yes to").WithFix("leave out yes")
	case (wish.Yes || do == "discard") && len(wish.What) == 0:
		return cdc.Errorf(codeRequest, "nothing says which dead letters are meant").WithFix("name letters or groups in what; GET /api/v1/dlq has them")
	case wish.Yes && strings.TrimSpace(wish.Why) == "":
		return cdc.Errorf(codeRequest, "why is missing: the audit log keeps it").WithFix("say why in a few words, without personal data")
	case len(wish.Texts) > 0 && do != "retest":
		return cdc.Errorf(codeRequest, "texts of rules are for a retest: %s judges by the rules in force", do).WithFix("publish the rules first")
	case wish.Edit != "" && (do == "discard" || len(wish.What) != 1 || !strings.Contains(wish.What[0], "/")):
		return cdc.Errorf(codeRequest, "a correction is for one dead letter, to be tested or redriven").WithFix("name its ID in what")
	}
	return nil
}
