//go:build no_console

package console

import (
	"strings"
	"testing"
)

func TestWithoutThePageTheAPIIsThere(t *testing.T) {
	c := newFixed(&fixed{})
	if status, body, _ := get(t, c, "/rules"); status != 404 || !strings.Contains(body, "built without the console") {
		t.Errorf("the page: %d %s", status, body)
	}
	if status, body, _ := get(t, c, "/api/v1/settings"); status != 200 || !strings.Contains(body, `"ok":true`) {
		t.Errorf("the API: %d %s", status, body)
	}
}
