package s3_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sinks/s3"
	"github.com/cdcd-project/cdcd/sinks/sinktest"
)

// config is that of a bucket on a private server.
func config(server *testenv.Store, bucket string) s3.Config {
	return s3.Config{
		URL: "s3://" + bucket + "/changes", Endpoint: server.Endpoint, Region: server.Region, PathStyle: true,
		AccessKey: server.AccessKey, SecretKey: server.SecretKey,
	}
}

func open(t *testing.T, cfg s3.Config) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStoreKeepsTheContract(t *testing.T) {
	server := testenv.S3(t)
	buckets := 0
	sinktest.Run(t, func(t *testing.T) sinktest.Store {
		buckets++
		bucket := fmt.Sprintf("bucket-%d", buckets)
		server.CreateBucket(t, bucket)
		cfg := config(server, bucket)
		cfg.PageSize = 7
		return open(t, cfg)
	})
}

func TestServersThatTakeChecksumsCheckThem(t *testing.T) {
	server := testenv.S3(t)
	server.CreateBucket(t, "acme")
	s := open(t, config(server, "acme"))
	s.PretendAWS()
	for _, size := range []int{0, 1, 5 << 20} {
		key, body := fmt.Sprint(size), bytes.Repeat([]byte("x"), size)
		if created, err := s.Put(t.Context(), key, body, nil); !created || err != nil {
			t.Fatalf("put of %d bytes: %v, %v", size, created, err)
		}
		if got, ok, err := s.Get(t.Context(), key); !ok || err != nil || !bytes.Equal(got, body) {
			t.Errorf("get of %d bytes: got %d, %v, %v", size, len(got), ok, err)
		}
		out, err := server.Client().HeadObject(t.Context(), &sdk.HeadObjectInput{
			Bucket: aws.String("acme"), Key: aws.String("changes/" + key), ChecksumMode: types.ChecksumModeEnabled,
		})
		sum := sha256.Sum256(body)
		if err != nil || aws.ToString(out.ChecksumSHA256) != base64.StdEncoding.EncodeToString(sum[:]) {
			t.Errorf("%d bytes: the server keeps checksum %v, %v", size, aws.ToString(out.ChecksumSHA256), err)
		}
	}
}

func TestPrefixIsAWallBetweenStores(t *testing.T) {
	server := testenv.S3(t)
	server.CreateBucket(t, "shared")
	cfg := config(server, "shared")
	var stores []*s3.Store
	for _, u := range []string{"s3://shared", "s3://shared/a", "s3://shared/a/", "s3://shared/ab"} {
		cfg.URL = u
		stores = append(stores, open(t, cfg))
	}
	if created, err := stores[1].Put(t.Context(), "k", []byte("x"), nil); err != nil || !created {
		t.Fatalf("put: %v, %v", created, err)
	}
	for i, want := range []string{"s3://shared a/k", "s3://shared/a k", "s3://shared/a k", "s3://shared/ab"} {
		got := stores[i].String()
		if err := stores[i].List(t.Context(), "", "", func(key string, _ int64) bool { got += " " + key; return true }); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestLostReplyIsAnErrorAndTheObjectIsThere(t *testing.T) {
	server := testenv.S3(t)
	server.CreateBucket(t, "acme")
	losing := sinktest.LosingReplies(t, server)
	cfg := config(server, "acme")
	cfg.Endpoint = losing.Endpoint
	s := open(t, cfg)
	for i, size := range []int{0, 10, 5 << 20} {
		key, body, meta := fmt.Sprint(i), bytes.Repeat([]byte("x"), size), map[string]string{"cdcd-writer": "me"}
		losing.Lose(1)
		if created, err := s.Put(t.Context(), key, body, meta); created || err == nil {
			t.Fatalf("%d bytes: put with a lost reply: created %v, error %v, want an error", size, created, err)
		}
		if created, err := s.Put(t.Context(), key, body, meta); created || err != nil {
			t.Errorf("%d bytes: second put: created %v, error %v, want false, nil", size, created, err)
		}
		if got, n, ok, err := s.Head(t.Context(), key); !maps.Equal(got, meta) || n != int64(size) || !ok || err != nil {
			t.Errorf("%d bytes: head: got %v, %d, %v, %v", size, got, n, ok, err)
		}
	}
}

func TestKilledServerLosesNoCommittedObjectAndMakesNoneTwice(t *testing.T) {
	server := testenv.S3(t)
	server.CreateBucket(t, "acme")
	s := open(t, config(server, "acme"))
	const objects = 300
	var created, failed atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() { // waited for below
		for i := range objects {
			key, body := fmt.Sprintf("k/%04d", i), bytes.Repeat([]byte{byte(i)}, 20<<10)
			mine := false
			for unknown := false; ; {
				ok, err := s.Put(t.Context(), key, body, map[string]string{"cdcd-n": fmt.Sprint(i)})
				if err != nil {
					failed.Add(1)
					unknown = true
					time.Sleep(5 * time.Millisecond)
					continue
				}
				mine = ok || unknown
				break
			}
			if !mine {
				t.Errorf("%s: created=false without a failure before", key)
			}
			created.Add(1)
		}
	})
	for range 3 {
		at := created.Load() + 20
		for created.Load() < at && created.Load() < objects {
			time.Sleep(time.Millisecond)
		}
		server.Kill()
		server.Start(t)
	}
	wg.Wait()
	if failed.Load() == 0 {
		t.Error("the server was killed three times and no put failed: the test tested nothing")
	}
	for i := range objects {
		key := fmt.Sprintf("k/%04d", i)
		body, ok, err := s.Get(t.Context(), key)
		if err != nil || !ok || !bytes.Equal(body, bytes.Repeat([]byte{byte(i)}, 20<<10)) {
			t.Errorf("get %s: %d bytes, %v, %v", key, len(body), ok, err)
		}
		if meta, _, _, err := s.Head(t.Context(), key); err != nil || meta["cdcd-n"] != fmt.Sprint(i) {
			t.Errorf("head %s: %v, %v", key, meta, err)
		}
	}
}

func TestUnreachableServersAreErrorsWithoutACode(t *testing.T) {
	server := testenv.S3(t)
	server.CreateBucket(t, "acme")
	line := testenv.NewProxy(t, server.Addr)
	cfg := config(server, "acme")
	cfg.Endpoint, cfg.Timeout = "http://"+line.Addr, 300*time.Millisecond
	s := open(t, cfg)
	if created, err := s.Put(t.Context(), "a", nil, nil); !created || err != nil {
		t.Fatalf("put: %v, %v", created, err)
	}
	for name, break_ := range map[string]func(){"stalled": line.Stall, "refused": line.Refuse} {
		break_()
		start := time.Now()
		created, err := s.Put(t.Context(), "b", []byte("x"), nil)
		var coded *cdc.Error
		if created || err == nil || errors.As(err, &coded) {
			t.Errorf("%s: put: %v, %v", name, created, err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: put took %v", name, took)
		}
		line.Restore(t)
	}
	if created, err := s.Put(t.Context(), "c", nil, nil); !created || err != nil {
		t.Errorf("put after all was well again: %v, %v", created, err)
	}
}

func TestMistakesHaveCodesAndFixes(t *testing.T) {
	server := testenv.S3(t)
	server.CreateBucket(t, "acme")
	for _, c := range []struct {
		name, code string
		change     func(*s3.Config)
	}{
		{"wrong secret", "CDCD-4003", func(c *s3.Config) { c.SecretKey = "wrong" }},
		{"unknown key", "CDCD-4003", func(c *s3.Config) { c.AccessKey = "nobody" }},
		{"no such bucket", "CDCD-4004", func(c *s3.Config) { c.URL = "s3://nowhere/changes" }},
		{"wrong region", "CDCD-4005", func(c *s3.Config) { c.Region = "eu-west-1" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(server, "acme")
			c.change(&cfg)
			_, err := open(t, cfg).Put(t.Context(), "k", []byte("x"), nil)
			wantCode(t, err, c.code)
			if strings.Contains(err.Error(), server.SecretKey) {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
}

// Answers that the server at hand can't be made to give.
func TestAnswersOfOtherStoresHaveCodes(t *testing.T) {
	for _, c := range []struct {
		status     int
		code, want string // want "" is an error to be retried
	}{
		{403, "AccessDenied", "CDCD-4003"},
		{403, "RequestTimeTooSkewed", "CDCD-4006"},
		{301, "PermanentRedirect", "CDCD-4005"},
		{400, "EntityTooLarge", "CDCD-4008"},
		{501, "NotImplemented", "CDCD-4007"},
		{503, "SlowDown", ""},
		{500, "InternalError", ""},
		{400, "RequestTimeout", ""},
	} {
		t.Run(c.code, func(t *testing.T) {
			var calls atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				w.WriteHeader(c.status)
				fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", c.code)
			}))
			defer server.Close()
			s := open(t, s3.Config{URL: "s3://b", Endpoint: server.URL, PathStyle: true, AccessKey: "a", SecretKey: "b"})
			created, err := s.Put(t.Context(), "k", []byte("x"), nil)
			if created || err == nil {
				t.Fatalf("put: %v, %v", created, err)
			}
			if calls.Load() != 1 {
				t.Errorf("the put was sent %d times: whether it is sent again is the caller's decision", calls.Load())
			}
			var coded *cdc.Error
			if c.want == "" && errors.As(err, &coded) {
				t.Errorf("got %v, want an error without a code", err)
			}
			if c.want != "" {
				wantCode(t, err, c.want)
			}
		})
	}
}

func TestConflictOfTwoWritersIsTriedAgain(t *testing.T) {
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "*" {
			t.Errorf("If-None-Match is %q", r.Header.Get("If-None-Match"))
		}
		if calls.Add(1) < 3 {
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, "<Error><Code>ConditionalRequestConflict</Code></Error>")
			return
		}
		w.WriteHeader(http.StatusPreconditionFailed)
		fmt.Fprint(w, "<Error><Code>PreconditionFailed</Code></Error>")
	}))
	defer server.Close()
	s := open(t, s3.Config{URL: "s3://b", Endpoint: server.URL, PathStyle: true, AccessKey: "a", SecretKey: "b"})
	created, err := s.Put(t.Context(), "k", []byte("x"), nil)
	if created || err != nil || calls.Load() != 3 {
		t.Errorf("got %v, %v after %d calls, want false, nil after 3", created, err, calls.Load())
	}
}

func TestStoreThatIgnoresConditionsOverwrites(t *testing.T) {
	server := testenv.S3(t)
	server.CreateBucket(t, "acme")
	cfg := config(server, "acme")
	cfg.Endpoint = sinktest.IgnoringConditions(t, server)
	s := open(t, cfg)
	for _, body := range []string{"one", "two"} {
		if created, err := s.Put(t.Context(), "p=00/a b", []byte(body), map[string]string{"cdcd-n": body}); !created || err != nil {
			t.Fatalf("put: %v, %v", created, err)
		}
	}
	if got, _, err := s.Get(t.Context(), "p=00/a b"); string(got) != "two" || err != nil {
		t.Errorf("got %q, %v: the helper is no longer a store that ignores conditions", got, err)
	}
}

func TestListOutOfOrderIsRefused(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `<ListBucketResult><Contents><Key>b</Key></Contents><Contents><Key>a</Key></Contents></ListBucketResult>`)
	}))
	defer server.Close()
	s := open(t, s3.Config{URL: "s3://b", Endpoint: server.URL, PathStyle: true, AccessKey: "a", SecretKey: "b"})
	wantCode(t, s.List(t.Context(), "", "", func(string, int64) bool { return true }), "CDCD-4010")
}

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	for name, cfg := range map[string]s3.Config{
		"no URL":         {},
		"another scheme": {URL: "https://bucket"},
		"no bucket":      {URL: "s3:///prefix"},
		"a password":     {URL: "s3://key:secret@bucket/prefix"},
		"dots":           {URL: "s3://bucket/a/../b"},
		"half a key":     {URL: "s3://bucket", Region: "eu-west-1", AccessKey: "a"},
		"endpoint":       {URL: "s3://bucket", Endpoint: "127.0.0.1:7070"},
		"no region":      {URL: "s3://bucket", AccessKey: "a", SecretKey: "b"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s3.Open(t.Context(), cfg)
			wantCode(t, err, "CDCD-4001")
		})
	}
}

func TestMetadataThatCannotTravelIsRefused(t *testing.T) {
	s := open(t, s3.Config{URL: "s3://b", Endpoint: "http://127.0.0.1:1", AccessKey: "a", SecretKey: "b"})
	for name, meta := range map[string]map[string]string{
		"upper case": {"Cdcd": "x"}, "line break": {"cdcd": "x\r\ny: z"}, "not ASCII": {"cdcd": "ü"},
		"space around": {"cdcd": " x"}, "too long": {"cdcd": strings.Repeat("x", 2048)}, "no name": {"": "x"},
	} {
		if _, err := s.Put(t.Context(), "k", nil, meta); err == nil || !strings.Contains(err.Error(), "metadata") {
			t.Errorf("%s: got %v, want an error about metadata", name, err)
		}
	}
}

func TestNoCredentialsHaveACode(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	s := open(t, s3.Config{URL: "s3://b", Endpoint: "http://127.0.0.1:1", PathStyle: true})
	_, err := s.Put(t.Context(), "k", nil, nil)
	wantCode(t, err, "CDCD-4002")
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var coded *cdc.Error
	if !errors.As(err, &coded) || coded.Code != code {
		t.Fatalf("got %v, want an error with code %s", err, code)
	}
	if coded.Fix == "" && code != "CDCD-4001" {
		t.Errorf("%v: does not say how to mend it", err)
	}
}

func TestAPresignedURLFetchesTheObject(t *testing.T) {
	server := testenv.S3(t)
	server.CreateBucket(t, "partner")
	s := open(t, s3.Config{URL: "s3://partner/acme", Endpoint: server.Endpoint, PathStyle: true, AccessKey: server.AccessKey, SecretKey: server.SecretKey})
	if _, err := s.Put(t.Context(), "p=00/a b+c.jsonl", []byte("hello"), nil); err != nil {
		t.Fatal(err)
	}
	signed, err := s.Presign(t.Context(), "p=00/a b+c.jsonl", time.Hour)
	if err != nil || strings.Contains(signed, server.SecretKey) {
		t.Fatalf("got %s, %v", signed, err)
	}
	for url, want := range map[string]string{signed: "200 hello", strings.Replace(signed, "Expires=3600", "Expires=7200", 1): "403"} {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := fmt.Sprintf("%d %s", resp.StatusCode, body); !strings.HasPrefix(got, want) {
			t.Errorf("got %.200s, want %s", got, want)
		}
	}
}
