package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/sinks/audit"
)

func newDeliveryCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delivery",
		Short: "See what partners got, and tell them of it once more",
	}
	cmd.AddCommand(newDeliveryListCmd(a), newDeliveryShowCmd(a), newDeliveryResendCmd(a))
	return cmd
}

func newDeliveryListCmd(a *app) *cobra.Command {
	q := console.DeliveryQuery{Limit: 20}
	var from, to, event, at string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the newest objects that partners got",
		Long: `List shows the objects that were delivered, the newest first, as the audit log has them. With --rule, --table or --key it
reads them and shows those with such a record; that takes its time, so it stops after a while and says where to go on.
With --event it shows where one change was delivered, and which record it is there.
A running cdcd is asked, which knows who has been told of them; without one, the log and the stores are read.`,
		Example: `  cdcd delivery list --feed acme
  cdcd delivery list --table shop.orders --key 42
  cdcd delivery list --event no:1001
  cdcd delivery list --rule paid-big-order --from 2026-11-21`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if q.From, err = parseWhen("--from", from); err != nil {
				return err
			}
			if q.To, err = parseWhen("--to", to); err != nil {
				return err
			}
			if len(q.Key) > 0 && q.Table == "" {
				return usagef("--key needs the table that it is of").WithFix("add --table shop.orders")
			}
			if q.Limit < 1 || q.Limit > 200 {
				return usagef("--limit %d is not from 1 to 200", q.Limit)
			}
			if at != "" && event == "" {
				return usagef("--at is of an event").WithFix("add --event ID")
			}
			if event != "" && (q.Object != "" || q.Rule != "" || q.Table != "" || from != "" || to != "") {
				return usagef("--event says already which records are meant").WithFix("leave out --object, --rule, --table, --key, --from and --to")
			}
			if event != "" {
				list, err := a.deliveriesOf(cmd.Context(), event, at, q)
				if err != nil {
					return interrupted(cmd.Context(), err)
				}
				return a.ui.result(kind(cmd), list, func(w io.Writer) {
					a.printDeliveries(w, list)
					for _, d := range list.Deliveries {
						fmt.Fprintf(w, "it is record %d of entry %d: cdcd delivery show %d --pass %d --limit 1\n",
							d.Found[0].Number, d.Leaf, d.Leaf, d.Found[0].Number-1)
					}
				})
			}
			var list api.DeliveryList
			err = a.askDeliveries(cmd.Context(), "/deliveries?"+deliveryQuery(q).Encode(), &list,
				func(d *deliveries) (err error) { list, err = d.list(cmd.Context(), q); return err })
			if err != nil {
				return interrupted(cmd.Context(), err)
			}
			return a.ui.result(kind(cmd), list, func(w io.Writer) { a.printDeliveries(w, list) })
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&q.Feeds, "feed", nil, "only of these feeds")
	f.StringVar(&q.Object, "object", "", "only objects with this in their keys")
	f.StringVar(&q.Rule, "rule", "", "only with a record that this rule matched")
	f.StringVar(&q.Table, "table", "", "only with a record of this table (schema.table)")
	f.StringArrayVar(&q.Key, "key", nil, "of this row: value of the primary key, once for each of its columns, in their order")
	f.StringVar(&event, "event", "", "where this change was delivered: no:NUMBER, or its ID")
	f.StringVar(&at, "at", "", "with the ID of an event: when it was committed, or a time before, which makes finding it fast")
	f.StringVar(&from, "from", "", "commit time to begin with: 2026-11-21, or 2026-11-21T02:00:00Z")
	f.StringVar(&to, "to", "", "commit time to end before")
	f.Int64Var(&q.Before, "before", 0, "go on before this entry of the log")
	f.IntVar(&q.Limit, "limit", q.Limit, "most deliveries to show")
	return cmd
}

// deliveriesOf returns where a change was delivered.
func (a *app) deliveriesOf(ctx context.Context, ref, at string, q console.DeliveryQuery) (list api.DeliveryList, err error) {
	id := ref
	if strings.HasPrefix(ref, "no:") {
		id = ""
	}
	from, err := timeOf("--at", at, time.Now())
	if err != nil {
		return list, err
	}
	query := deliveryQuery(q)
	if !from.IsZero() {
		query.Set("at", from.UTC().Format(time.RFC3339Nano))
	}
	err = a.askDeliveries(ctx, "/events/"+url.PathEscape(ref)+"/deliveries?"+query.Encode(), &list, func(d *deliveries) error {
		e, err := a.eventOf(ctx, ref, at, nil)
		if q.Event, err = eventRef(e, id, err); err != nil {
			return err
		}
		if q.Event.PartNo == 0 {
			q.From = from
		}
		list, err = d.list(ctx, q)
		return err
	})
	return list, err
}

// deliveryQuery writes a query as the API takes it.
func deliveryQuery(q console.DeliveryQuery) url.Values {
	v := url.Values{"limit": {strconv.Itoa(q.Limit)}}
	add := func(name, value string) {
		if value != "" {
			v.Add(name, value)
		}
	}
	for _, feed := range q.Feeds {
		add("feed", feed)
	}
	add("object", q.Object)
	add("rule", q.Rule)
	add("table", q.Table)
	for _, value := range q.Key {
		v.Add("key", value)
	}
	when := func(name string, t time.Time) {
		if !t.IsZero() {
			v.Set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	when("from", q.From)
	when("to", q.To)
	if q.Before > 0 {
		v.Set("before", strconv.FormatInt(q.Before, 10))
	}
	return v
}

func newDeliveryShowCmd(a *app) *cobra.Command {
	pass, limit := 0, 50
	cmd := &cobra.Command{
		Use:   "show ENTRY",
		Short: "Show what a partner got in one object, and what became of it",
		Example: `  cdcd delivery show 17
  cdcd delivery show 17 -o json | jq -r '.result.records[].line'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			leaf, err := deliveryArg(args[0])
			if err != nil {
				return err
			}
			if limit < 1 || limit > 500 || pass < 0 {
				return usagef("--limit %d is not from 1 to 500, or --pass %d is negative", limit, pass)
			}
			var detail api.DeliveryDetail
			err = a.askDeliveries(cmd.Context(), fmt.Sprintf("/deliveries/%d?pass=%d&limit=%d", leaf, pass, limit), &detail,
				func(d *deliveries) (err error) { detail, err = d.show(cmd.Context(), leaf, pass, limit); return err })
			if err != nil {
				return interrupted(cmd.Context(), err)
			}
			return a.ui.result(kind(cmd), detail, func(w io.Writer) { a.printDelivery(w, detail) })
		},
	}
	cmd.Flags().IntVar(&pass, "pass", 0, "records to pass over")
	cmd.Flags().IntVar(&limit, "limit", limit, "most records to show")
	return cmd
}

func newDeliveryResendCmd(a *app) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "resend ENTRY --why REASON",
		Short: "Tell a partner once more of an object",
		Long: `Resend has the running cdcd send the trigger of an object once more, to each place that the feed's trigger names. The event has
the ID that it had, so whoever has had it drops it. The audit log gets a note of it. It exits with 1 when somebody does not take it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			leaf, err := deliveryArg(args[0])
			if err != nil {
				return err
			}
			if strings.TrimSpace(why) == "" {
				return usagef("resend needs a reason, for the audit log").WithFix("add --why 'the partner lost its queue'")
			}
			cfg, err := a.config()
			if err != nil {
				return err
			}
			var sent api.Resent
			if err := askConsole(cmd.Context(), cfg, http.MethodPost, fmt.Sprintf("/deliveries/%d/resend", leaf),
				map[string]string{"why": why, "by": whoAmI()}, &sent); err != nil {
				return interrupted(cmd.Context(), err)
			}
			return a.ui.verdict(kind(cmd), sent.OK(), sent, func(w io.Writer) {
				for _, s := range sent.Sent {
					if s.Taken {
						fmt.Fprintf(w, "%s %s %s took it\n", a.ui.out(green, "✓"), s.By, s.Place)
					} else {
						fmt.Fprintf(w, "%s %s %s: %s\n", a.ui.out(red, "✗"), s.By, s.Place, s.Error)
					}
				}
			})
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "why; it goes into the audit log")
	return cmd
}

func deliveryArg(text string) (int64, error) {
	leaf, err := strconv.ParseInt(text, 10, 64)
	if err != nil || leaf < 0 {
		return 0, usagef("'%s' is not an entry of the audit log", text).WithFix("take its number from `cdcd delivery list`")
	}
	return leaf, nil
}

// askDeliveries asks the running cdcd, or else the log and the stores.
func (a *app) askDeliveries(ctx context.Context, path string, answer any, alone func(*deliveries) error) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	err = askConsole(ctx, cfg, http.MethodGet, path, nil, answer)
	if cdc.CodeOf(err) != codeNotRunning {
		return err
	}
	place := auditPlace{}
	if err := place.find(a, true); err != nil {
		return err
	}
	log, err := place.open("")
	if err != nil {
		return err
	}
	d := &deliveries{log: log, read: &recordReader{a: a, cfg: cfg, stores: map[string]audit.Store{}}}
	defer d.close()
	return alone(d)
}

// askConsole asks the API of the running cdcd. A wish is the request's body.
func askConsole(ctx context.Context, cfg *config, method, path string, wish, answer any) error {
	var body io.Reader
	if wish != nil {
		text, err := json.Marshal(wish)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	resp, err := callRunning(ctx, cfg, method, "/api/v1"+path, body, time.Minute)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var envelope api.Answer[json.RawMessage]
	if err := json.NewDecoder(resp.Body).Decode(&envelope); err != nil {
		return fmt.Errorf("%s%s: %s: %w", cfg.Console.Listen, path, resp.Status, err)
	}
	if e := envelope.Error; e != nil {
		if e.Code == "" {
			return fmt.Errorf("%s", e.Message)
		}
		return &cdc.Error{Code: e.Code, What: e.Message, Fix: e.Fix}
	}
	return json.Unmarshal(envelope.Result, answer)
}

func (a *app) printDeliveries(w io.Writer, list api.DeliveryList) {
	var rows [][]string
	for _, d := range list.Deliveries {
		rows = append(rows, []string{fmt.Sprint(d.Leaf), d.Feed, fmt.Sprint(d.Object.Ordinal), d.Logged.UTC().Format("2006-01-02 15:04:05Z"), fmt.Sprint(d.Object.Records),
			size(d.Object.Bytes), toldText(d), d.Object.Key})
	}
	if len(rows) == 0 {
		fmt.Fprintf(w, "nothing of that in %s\n", plural(list.Searched, "object"))
	} else {
		a.ui.table(w, []string{"ENTRY", "FEED", "NO", "DELIVERED", "RECORDS", "SIZE", "PARTNER", "OBJECT"}, rows)
	}
	for _, fault := range list.Faults {
		fmt.Fprintf(w, "%s %s\n", a.ui.out(yellow, "!"), fault)
	}
	if list.Before > 0 {
		fmt.Fprintf(w, "older ones: --before %d\n", list.Before)
	}
}

// toldText says in a word what is known of the partner.
func toldText(d api.Delivery) string {
	if d.Fetch == "received" {
		return "received"
	}
	state := ""
	for _, t := range d.Told {
		if state == "" || t.State != "told" {
			state = t.State
		}
	}
	return cmp.Or(state, "-")
}

func (a *app) printDelivery(w io.Writer, d api.DeliveryDetail) {
	o := d.Object
	fmt.Fprintf(w, "%s/%s\n", o.Store, o.Key)
	fmt.Fprintf(w, "object %d of %s, entry %d of the audit log, delivered %s\n", o.Ordinal, o.Chain, d.Leaf, d.Logged.UTC().Format(time.RFC3339))
	fmt.Fprintf(w, "%s, %s, sha256 %s\n", plural(o.Records, "record"), size(o.Bytes), o.SHA256)
	for _, t := range d.Told {
		switch {
		case t.At != nil:
			fmt.Fprintf(w, "%s %s %s was told at %s, after %s\n", a.ui.out(green, "✓"), t.By, t.Place, t.At.UTC().Format(time.RFC3339), plural(t.Attempts, "attempt"))
		case t.Error != "":
			fmt.Fprintf(w, "%s %s %s: %s: %s\n", a.ui.out(red, "✗"), t.By, t.Place, t.State, t.Error)
		default:
			fmt.Fprintf(w, "  %s %s: %s\n", t.By, t.Place, t.State)
		}
	}
	if d.Fetch != "" {
		fmt.Fprintf(w, "receipt of the partner: %s\n", d.Fetch)
	}
	if d.Fault != "" {
		fmt.Fprintf(w, "%s %s\n", a.ui.out(red, "✗"), d.Fault)
	}
	fmt.Fprintln(w)
	for _, r := range d.Records {
		fmt.Fprintln(w, r.Line)
	}
	if d.More > 0 {
		fmt.Fprintf(w, "%d more: --pass %d\n", d.More, len(d.Records))
	}
}
