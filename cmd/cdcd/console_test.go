package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/internal/envelope"
)

// deliveredDemo returns a pipeline that has delivered the recorded shop.
func deliveredDemo(t *testing.T, configure ...func(*config)) *pipeline {
	t.Helper()
	p := openDemo(t, configure...)
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// openDemo returns a pipeline that will deliver it.
func openDemo(t *testing.T, configure ...func(*config)) *pipeline {
	t.Helper()
	d := &demo{app: &app{ui: newUI(io.Discard, io.Discard, "table"), log: slog.New(slog.DiscardHandler)}, folder: t.TempDir(), source: "recorded", port: 8480}
	if err := d.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, change := range configure {
		change(d.cfg)
	}
	p, err := openPipeline(t.Context(), d.app, d.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// asked asks a console, and reads the result.
func asked[T any](t *testing.T, h http.Handler, path string) (result T) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8480"+path, nil)
	h.ServeHTTP(w, r)
	var answer api.Answer[T]
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK || answer.Error != nil {
		t.Fatalf("%s: %d %v\n%s", path, w.Code, err, w.Body)
	}
	return answer.Result
}

func TestTheConsoleShowsWhatThePipelineDid(t *testing.T) {
	p := deliveredDemo(t)
	h := p.handler()

	t.Run("overview", func(t *testing.T) {
		o := asked[api.Overview](t, h, "/api/v1/overview")
		var stages []string
		for _, g := range o.Stages {
			stages = append(stages, g.ID)
		}
		if o.Source != "shop" || fmt.Sprint(stages) != "[source stream rules delivery partner]" || o.Verdict == "" || o.Started.IsZero() {
			t.Errorf("got %+v", o)
		}
	})
	t.Run("status is what the command line reads", func(t *testing.T) {
		s := asked[api.Status](t, h, "/api/v1/status")
		if s.Source != "shop" || s.Capture.Rows < 200_000 || len(s.Feeds) != 1 || s.Rules.Modes["active"] != 3 {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("settings", func(t *testing.T) {
		s := asked[api.Settings](t, h, "/api/v1/settings")
		found := false
		for _, one := range s.Settings {
			found = found || one.Key == "feeds.acme.to" && strings.HasPrefix(one.Value.(string), "file:///")
		}
		if !found || s.Access.Me.Role != api.Operator || !s.Access.Open {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("tables are those of the stream where there is no server", func(t *testing.T) {
		l := asked[api.TableList](t, h, "/api/v1/tables")
		if l.From != "stream" || l.Error == nil || l.Error.Code != "CDCD-1226" || len(l.Tables) < 3 {
			t.Errorf("got %+v", l)
		}
		d := asked[api.TableDetail](t, h, "/api/v1/tables/orders")
		if d.Table.Table != "shop.orders" || len(d.Fields) != d.Columns || fmt.Sprint(d.Rules) != "[paid-big-order]" || d.Broken == nil {
			t.Errorf("got %+v", d)
		}
	})
	t.Run("events", func(t *testing.T) {
		newest := asked[api.EventList](t, h, "/api/v1/events?limit=50")
		if len(newest.Events) != 50 || newest.Before != newest.Events[49].No {
			t.Fatalf("%d events, before %d", len(newest.Events), newest.Before)
		}
		for i, e := range newest.Events {
			if want := newest.Events[0].No - uint64(i); e.No != want || !json.Valid([]byte(e.Line)) || e.Revision == 0 {
				t.Fatalf("event %d: %+v, want number %d", i, e, want)
			}
		}
		older := asked[api.EventList](t, h, fmt.Sprintf("/api/v1/events?limit=3&before=%d", newest.Before))
		if len(older.Events) != 3 || older.Events[0].No != newest.Before-1 {
			t.Errorf("got %+v", older)
		}
		updates := asked[api.EventList](t, h, "/api/v1/events?table=shop.orders&op=update&limit=5")
		for _, e := range updates.Events {
			if e.Table != "shop.orders" || e.Op != "update" {
				t.Errorf("got %+v", e)
			}
		}
		if len(updates.Events) != 5 {
			t.Errorf("%d updates of orders", len(updates.Events))
		}
		none := asked[api.EventList](t, h, "/api/v1/events?before=1")
		if len(none.Events) != 0 || none.Before != 0 {
			t.Errorf("before the first: %+v", none)
		}
		e := updates.Events[0]
		for _, ref := range []string{fmt.Sprintf("no:%d", e.No), url.PathEscape(e.ID)} {
			d := asked[api.EventDetail](t, h, "/api/v1/events/"+ref)
			if d.ID != e.ID || d.Line != e.Line || len(d.Columns) == 0 || len(d.Judged) != 1 || d.Judged[0].Rule != "paid-big-order" || d.Others != 2 || d.Judged[0].Summary == "" {
				t.Errorf("%s: got %+v", ref, d)
			}
		}
	})
	t.Run("deliveries, and what is in them", func(t *testing.T) {
		all := asked[api.DeliveryList](t, h, "/api/v1/deliveries")
		if len(all.Deliveries) != 5 || all.Before != 0 || all.Deliveries[0].Object.Ordinal != 5 || all.Deliveries[4].Feed != "acme" {
			t.Fatalf("got %+v", all)
		}
		page := asked[api.DeliveryList](t, h, fmt.Sprintf("/api/v1/deliveries?limit=2&before=%d", all.Deliveries[1].Leaf))
		if len(page.Deliveries) != 2 || page.Deliveries[0].Leaf != all.Deliveries[2].Leaf || page.Before != all.Deliveries[3].Leaf {
			t.Errorf("got %+v", page)
		}
		d := asked[api.DeliveryDetail](t, h, fmt.Sprintf("/api/v1/deliveries/%d?pass=1&limit=3", all.Deliveries[4].Leaf))
		if len(d.Records) != 3 || d.Records[0].Number != 2 || d.More != int64(d.Object.Records)-4 || d.Fault != "" {
			t.Fatalf("got %+v", d)
		}
		r := recordOf([]byte(d.Records[0].Line))
		found := asked[api.DeliveryList](t, h, fmt.Sprintf("/api/v1/deliveries?table=%s&key=%s&rule=%s", r.Table, r.Key[0], envelope.Read([]byte(d.Records[0].Line)).Rules[0]))
		if !slices.ContainsFunc(found.Deliveries, func(one api.Delivery) bool { return one.Leaf == d.Leaf && len(one.Found) > 0 }) {
			t.Errorf("%v is not found in %+v", r, found)
		}
	})
	t.Run("where a change was delivered", func(t *testing.T) {
		all := asked[api.DeliveryList](t, h, "/api/v1/deliveries")
		d := asked[api.DeliveryDetail](t, h, fmt.Sprintf("/api/v1/deliveries/%d?pass=2&limit=1", all.Deliveries[2].Leaf))
		r := envelope.Read([]byte(d.Records[0].Line))
		e := asked[api.EventDetail](t, h, "/api/v1/events/"+url.PathEscape(r.ID)+"?at="+r.Time.Format(time.RFC3339Nano))
		for _, ref := range []string{fmt.Sprintf("no:%d/deliveries?", e.No), url.PathEscape(e.ID) + "/deliveries?at=" + r.Time.Format(time.RFC3339Nano) + "&"} {
			list := asked[api.DeliveryList](t, h, "/api/v1/events/"+ref)
			if len(list.Deliveries) != 1 || list.Deliveries[0].Leaf != d.Leaf || len(list.Deliveries[0].Found) != 1 || list.Searched != 1 || list.Before != 0 ||
				list.Deliveries[0].Found[0] != d.Records[0] || list.Faults != nil {
				t.Errorf("%s: got %+v, want record %+v of %d", ref, list, d.Records[0], d.Leaf)
			}
			if list := asked[api.DeliveryList](t, h, "/api/v1/events/"+ref+"feed=another"); len(list.Deliveries) != 0 {
				t.Errorf("%s of another feed: got %+v", ref, list)
			}
		}
		unmatched := asked[api.EventList](t, h, "/api/v1/events?table=shop.customers&limit=1").Events[0]
		if list := asked[api.DeliveryList](t, h, fmt.Sprintf("/api/v1/events/no:%d/deliveries", unmatched.No)); len(unmatched.Matched) != 0 || len(list.Deliveries) != 0 {
			t.Errorf("%+v: got %+v", unmatched, list)
		}
		// One that the stream does not have is looked for in all objects.
		if list := asked[api.DeliveryList](t, h, "/api/v1/events/0-1-999999%2F0/deliveries"); len(list.Deliveries) != 0 || list.Searched != 5 || list.Before != 0 {
			t.Errorf("an ID that never was: got %+v", list)
		}
		sent[api.DeliveryList](t, h, http.MethodGet, "/api/v1/events/no:99999999/deliveries", nil, codeNoEvent)
		sent[api.DeliveryList](t, h, http.MethodGet, "/api/v1/events/nothing/deliveries", nil, "CDCD-1050")
	})
	t.Run("a change in objects whose numbers say nothing", func(t *testing.T) {
		at := func(minute int) time.Time { return time.Date(2026, 11, 21, 2, minute, 0, 0, time.UTC) }
		e := &console.EventRef{ID: "0-1-17/0", PartNo: 17, Commit: at(10)}
		for _, tt := range []struct {
			feed        string
			first, last uint64
			from, to    int
			ref         *console.EventRef
			want        bool
		}{
			{"acme", 10, 17, 0, 1, e, true},
			{"acme", 18, 20, 5, 15, e, false},
			{"acme", 18, 20, 5, 15, &console.EventRef{ID: e.ID}, true},
			{"acme.redriven", 1, 2, 0, 1, e, true},
			{"acme.replay", 1, 2, 5, 15, e, true},
			{"acme.replay", 1, 20, 0, 1, e, false},
		} {
			o := &cdc.Object{Chain: "shop/" + tt.feed + "/00", FirstPartNo: tt.first, LastPartNo: tt.last, FirstCommit: at(tt.from), LastCommit: at(tt.to)}
			if got := mayHave(o, tt.ref); got != tt.want {
				t.Errorf("%+v: %t", tt, got)
			}
		}
	})
	t.Run("pages of changes are bounded and leave nothing out", func(t *testing.T) {
		numbers := func(size pageSize, limit int) (all []uint64, pages int) {
			was := p.console.page
			p.console.page = size
			defer func() { p.console.page = was }()
			for before := uint64(0); len(all) < 300 && (pages == 0 || before > 0); pages++ {
				l := asked[api.EventList](t, h, fmt.Sprintf("/api/v1/events?op=update,insert&limit=%d&before=%d", limit, before))
				for _, e := range l.Events {
					all = append(all, e.No)
				}
				before = l.Before
			}
			return all[:300], pages
		}
		want, _ := numbers(largestPage, 200)
		for _, size := range []pageSize{{1, 1 << 20}, {1 << 20, 3000}, {1, 1}} {
			if got, pages := numbers(size, 200); !slices.Equal(got, want) || pages < 2 {
				t.Errorf("%+v: in %d pages\n%v, want\n%v", size, pages, got, want)
			}
		}
	})
	t.Run("of a table there is a change of each operation, and values", func(t *testing.T) {
		l := asked[api.EventList](t, h, "/api/v1/events?table=shop.orders&limit=20")
		ops := map[string]bool{}
		for i, e := range l.Events {
			ops[e.Op] = true
			if e.Table != "shop.orders" || i > 0 && e.No >= l.Events[i-1].No {
				t.Errorf("event %d: %+v", i, e)
			}
		}
		if len(l.Events) < 20 || l.Before != l.Events[19].No || !ops["insert"] || !ops["update"] {
			t.Errorf("%d events, before %d, operations %v", len(l.Events), l.Before, ops)
		}
		d := asked[api.TableDetail](t, h, "/api/v1/tables/shop.orders")
		for _, c := range d.Fields {
			if c.Name == "id" && (len(c.Samples) != 3 || !json.Valid([]byte(c.Samples[0]))) {
				t.Errorf("samples of id: %q", c.Samples)
			}
		}
	})
	t.Run("who follows gets what came while the line was broken", func(t *testing.T) {
		newest := asked[api.EventList](t, h, "/api/v1/events?limit=1").Events[0].No
		var got []uint64
		ctx, cancel := context.WithCancel(t.Context())
		err := p.console.live.Follow(ctx, newest-3, func(b *cdc.Batch) {
			for i := range b.Len() {
				got = append(got, b.Event(i).No())
			}
			cancel()
		})
		if !errors.Is(err, context.Canceled) || len(got) == 0 || got[len(got)-1] != newest {
			t.Errorf("got %v of %d, %v", got, newest, err)
		}
	})
	t.Run("what there is not", func(t *testing.T) {
		for path, want := range map[string]string{
			"/api/v1/events/no:99999999":  `"code":"CDCD-2340"`,
			"/api/v1/events/0-99-9%2F0":   `"code":"CDCD-2340"`,
			"/api/v1/tables/shop.ordders": `"fix":"did you mean 'shop.orders'?"`,
		} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8480"+path, nil))
			if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	})
}
