package bus

import (
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

func drafts(t *testing.T, s *Stream) *Drafts {
	t.Helper()
	d, err := s.Drafts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestADraftSurvivesARestartAndBelongsToItsAuthor(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	d := drafts(t, s)
	ctx := t.Context()
	for _, author := range []string{"ada@host", "bob, the other. *>"} {
		if _, err := d.Save(ctx, Draft{Author: author, Name: "paid", Text: "by " + author, Base: 7}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Save(ctx, Draft{Author: "ada@host", Name: "größe", Text: "x"}); err != nil {
		t.Fatal(err)
	}
	s.Close()

	d = drafts(t, open(t, Config{Dir: dir}))
	got, err := d.Get(ctx, "ada@host", "paid")
	if err != nil || got.Text != "by ada@host" || got.Base != 7 || got.Version == 0 || got.Saved.IsZero() {
		t.Errorf("ada's draft is %+v, %v", got, err)
	}
	mine, err := d.List(ctx, "ada@host")
	if err != nil || len(mine) != 2 || mine[0].Name != "größe" || mine[1].Name != "paid" {
		t.Errorf("ada's drafts are %+v, %v", mine, err)
	}
	if all, err := d.List(ctx, ""); err != nil || len(all) != 3 {
		t.Errorf("all drafts are %+v, %v", all, err)
	}
	if _, err := d.Get(ctx, "eve", "paid"); cdc.CodeOf(err) != codeNoDraft {
		t.Errorf("eve's draft: %v", err)
	}
}

func TestTwoTabsDoNotOverwriteEachOther(t *testing.T) {
	d := drafts(t, open(t, Config{Dir: t.TempDir()}))
	ctx := t.Context()
	one, err := d.Save(ctx, Draft{Author: "ada", Name: "paid", Text: "1"})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := d.Save(ctx, Draft{Author: "ada", Name: "paid", Text: "1"}); err != nil || again.Version != one.Version {
		t.Errorf("the same text saved twice: %+v, %v", again, err)
	}
	if _, err := d.Save(ctx, Draft{Author: "ada", Name: "paid", Text: "other"}); cdc.CodeOf(err) != codeDraftMoved {
		t.Errorf("a new draft over an old one: %v", err)
	}
	two := one
	two.Text = "2"
	if two, err = d.Save(ctx, two); err != nil || two.Version <= one.Version {
		t.Fatalf("saved again: %+v, %v", two, err)
	}
	one.Text = "from the other tab"
	if _, err := d.Save(ctx, one); cdc.CodeOf(err) != codeDraftMoved {
		t.Errorf("an old version: %v", err)
	}
	if err := d.Delete(ctx, "ada", "paid", one.Version); cdc.CodeOf(err) != codeDraftMoved {
		t.Errorf("an old version thrown away: %v", err)
	}
	if err := d.Delete(ctx, "ada", "paid", two.Version); err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(ctx, "ada", "paid", two.Version); err != nil {
		t.Errorf("thrown away twice: %v", err)
	}
	two.Text = "3"
	if _, err := d.Save(ctx, two); cdc.CodeOf(err) != codeDraftMoved {
		t.Errorf("saved after it was thrown away: %v", err)
	}
	two.Version = 0
	if _, err := d.Save(ctx, two); err != nil {
		t.Errorf("saved as a new one: %v", err)
	}
}

func TestDraftsAreBounded(t *testing.T) {
	d := drafts(t, open(t, Config{Dir: t.TempDir()}))
	for _, draft := range []Draft{{Name: "a"}, {Author: "a"}, {Author: "a", Name: strings.Repeat("n", maxDraftName+1)}, {Author: "a", Name: "a", Text: strings.Repeat("x", maxDraftText+1)}} {
		if _, err := d.Save(t.Context(), draft); cdc.CodeOf(err) != codeDraftSize {
			t.Errorf("%.20v: %v", draft, err)
		}
	}
}
