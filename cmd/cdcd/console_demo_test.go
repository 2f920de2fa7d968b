package main

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/internal/dbserver"
)

func TestTheDemosConsoleGoesOnWhenTheRecordingHasEnded(t *testing.T) {
	port := dbserver.FreePort()
	d := startDemo(t, "demo", "--source", "recorded", "--port", fmt.Sprint(port))
	d.waitFor(t, "stdout", fmt.Sprintf("http://127.0.0.1:%d/ ", port))
	d.waitFor(t, "stderr", "demo: the recording has ended")
	cfg := &config{fileConfig: fileConfig{Name: "shop", Console: consoleConfig{Listen: fmt.Sprintf("127.0.0.1:%d", port)}}}
	body, err := askRunning(t.Context(), cfg, "/api/v1/overview", 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	var answer api.Answer[api.Overview]
	if err := json.NewDecoder(body).Decode(&answer); err != nil || !answer.OK || answer.Result.Source != "shop" {
		t.Errorf("%v %+v", err, answer)
	}
	if code := d.end(t, os.Interrupt); code != 0 {
		t.Errorf("exit code %d\n%s", code, d.said("stderr"))
	}
}
