package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/webhooksig"
	"github.com/cdcd-project/cdcd/sinks/trigger"
)

func newTriggerCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trigger",
		Short: "Try and mend what tells partners of new objects",
	}
	cmd.AddCommand(newTriggerTestCmd(a), newTriggerEnableCmd(a), newTriggerKeyCmd(a))
	return cmd
}

// triggerResult is one place that was told something.
type triggerResult struct {
	By    string  `json:"by"`
	Place string  `json:"place"`
	OK    bool    `json:"ok"`
	Took  float64 `json:"took_seconds"`
	Error string  `json:"error,omitempty"`
}

func newTriggerTestCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "test FEED",
		Short: "Send a test event to whoever is told of a feed's objects",
		Long: `Test sends one event of the type cdcd.test.v1, signed as all events are, to each place that the feed's trigger names, and
exits with 1 when one does not take it. It needs no running cdcd, except for a subject of an embedded NATS.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			t, err := triggerOf(cfg, args[0])
			if err != nil {
				return err
			}
			var id [8]byte
			rand.Read(id[:])
			event := trigger.TryEvent(cfg.Name, args[0], hex.EncodeToString(id[:]), time.Now())
			var results []triggerResult
			all := true
			try := func(by, place string, send func(context.Context) error) {
				began := time.Now()
				err := send(cmd.Context())
				r := triggerResult{By: by, Place: place, OK: err == nil, Took: time.Since(began).Seconds()}
				if err != nil {
					r.Error, all = err.Error(), false
				}
				results = append(results, r)
			}
			if t.Webhook != nil {
				hook, err := openHook(a, t.Webhook)
				if err != nil {
					return err
				}
				defer hook.Close()
				try("webhook", hook.String(), func(ctx context.Context) error { return hook.Post(ctx, event.ID, event.JSON()) })
			}
			if t.Nats != nil {
				try("nats", t.Nats.Subject, func(ctx context.Context) error { return a.tellTest(ctx, cfg, args[0], event) })
			}
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			return a.ui.verdict(kind(cmd), all, results, func(w io.Writer) {
				for _, r := range results {
					if r.OK {
						fmt.Fprintf(w, "%s %s %s took the event %s\n", a.ui.out(green, "✓"), r.By, r.Place, event.ID)
					} else {
						fmt.Fprintf(w, "%s %s %s: %s\n", a.ui.out(red, "✗"), r.By, r.Place, r.Error)
					}
				}
			})
		},
	}
}

// triggerOf returns a feed's trigger.
func triggerOf(cfg *config, feed string) (*triggerConfig, error) {
	f := cfg.Feeds[feed]
	if f == nil {
		return nil, unknownFeed(feed, feedNames(cfg))
	}
	if f.Trigger == nil || f.Trigger.Webhook == nil && f.Trigger.Nats == nil {
		return nil, usagef("feed %s tells nobody of its objects", feed).WithFix("add 'trigger: {webhook: {url: …, secret_file: …}}' to it")
	}
	return f.Trigger, nil
}

// tellTest publishes a test event: through the cdcd that runs, which has an embedded bus for itself, or on a connection of its own.
func (a *app) tellTest(ctx context.Context, cfg *config, feed string, event trigger.Event) error {
	var answer triggerAnswer
	err := tellRunning(ctx, cfg, "/trigger", triggerWish{Do: "test", Feed: feed, Event: event.JSON()}, &answer)
	if cdc.CodeOf(err) != codeNotRunning {
		return err
	}
	stream, err := a.unattended(ctx, cfg, err)
	if err != nil {
		return err
	}
	defer stream.Close()
	return publishTest(ctx, stream, cfg.Feeds[feed].Trigger.Nats.Subject, event.ID, event.JSON())
}

func publishTest(ctx context.Context, stream *bus.Stream, subject, id string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return stream.Tell(ctx, subject, id, body, map[string]string{"Content-Type": "application/cloudevents+json; charset=utf-8"})
}

// triggerWish is what the running cdcd is asked to do: test or enable.
type triggerWish struct {
	Do    string          `json:"do"`
	Feed  string          `json:"feed"`
	Event json.RawMessage `json:"event,omitempty"`
}

type triggerAnswer struct {
	Enabled int `json:"enabled"` // triggers that were disabled
}

func newTriggerEnableCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "enable FEED",
		Short: "Let a trigger go on that the partner has ended, or that was given up, or that pauses",
		Long: `A trigger is disabled when the partner answers 410 Gone, and when an event was not taken for webhook.give_up (72 hours).
Enable has the running cdcd go on with the object that was not taken, so that none is left out. One that pauses between
attempts tries again at once. Another URL in the configuration does the same at the next start.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			if _, err := triggerOf(cfg, args[0]); err != nil {
				return err
			}
			var answer triggerAnswer
			if err := tellRunning(cmd.Context(), cfg, "/trigger", triggerWish{Do: "enable", Feed: args[0]}, &answer); err != nil {
				return err
			}
			return a.ui.result(kind(cmd), answer, func(w io.Writer) {
				fmt.Fprintf(w, "%s feed %s: %s enabled\n", a.ui.out(green, "✓"), args[0], plural(answer.Enabled, "disabled trigger"))
			})
		},
	}
}

// askTrigger does what `cdcd trigger` asks for.
func (p *pipeline) askTrigger(w http.ResponseWriter, r *http.Request) {
	var wish triggerWish
	if !readWish(w, r, 64<<10, &wish) {
		return
	}
	answer, err := p.doTrigger(r.Context(), wish)
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(refusalOf(err)) // the client has gone away
		return
	}
	_ = json.NewEncoder(w).Encode(answer) // as well
}

func (p *pipeline) doTrigger(ctx context.Context, wish triggerWish) (answer triggerAnswer, err error) {
	t, err := triggerOf(p.cfg, wish.Feed)
	switch {
	case err != nil:
		return answer, err
	case wish.Do == "enable":
		answer.Enabled = p.triggers.enable(wish.Feed)
		p.log.Info("triggers enabled", "event", "trigger.enabled", "feed", wish.Feed, "disabled", answer.Enabled)
		return answer, nil
	case wish.Do == "test" && t.Nats != nil:
		var event struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(wish.Event, &event); err != nil {
			return answer, usagef("test event: %w", err)
		}
		return answer, publishTest(ctx, p.stream, t.Nats.Subject, event.ID, wish.Event)
	}
	return answer, usagef("a trigger cannot %s", wish.Do)
}

func newTriggerKeyCmd(a *app) *cobra.Command {
	asymmetric := false
	cmd := &cobra.Command{
		Use:   "new-key",
		Short: "Make a key to sign events or receipts with",
		Long: `New-key prints a key, to be written into a file that only cdcd can read: a secret that both sides have (whsec_…), or with
--ed25519 a private key (whsk_…), whose public key for the other side (whpk_…) is printed on stderr.`,
		Example: `  (umask 077; cdcd trigger new-key > hook.key)
  (umask 077; cdcd trigger new-key --ed25519 > receipts.key 2> receipts.pub)`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var random [32]byte
			rand.Read(random[:])
			if !asymmetric {
				_, err := fmt.Fprintln(a.ui.stdout, webhooksig.NewSecret(random[:]))
				return err
			}
			private, public := webhooksig.NewPrivateKey(random[:])
			if _, err := fmt.Fprintln(a.ui.stdout, private); err != nil {
				return err
			}
			_, err := fmt.Fprintln(a.ui.stderr, public)
			return err
		},
	}
	cmd.Flags().BoolVar(&asymmetric, "ed25519", false, "a private key of Ed25519 instead of a shared secret")
	return cmd
}
