package testenv

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/cdcd-project/cdcd/internal/child"
	"github.com/cdcd-project/cdcd/internal/dbserver"
)

// Store is a private S3 server (versitygw) that keeps its objects as files.
type Store struct {
	Addr      string // 127.0.0.1:port, the same after a restart
	Endpoint  string // "http://" + Addr
	Region    string
	AccessKey string
	SecretKey string
	Dir       string // Dir/<bucket>/<key> is an object's content

	program string
	log     string
	process *child.Process
}

// S3 starts an S3 server with keys of its own and no bucket in it.
func S3(t testing.TB) *Store {
	t.Helper()
	cache, err := cacheDir()
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	program := filepath.Join(cache, "bin", "versitygw")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("testenv: no S3 server: %v; scripts/setup installs it", err)
	}
	dir := tempDir(t, "s3")
	s := &Store{
		Addr: "127.0.0.1:" + strconv.Itoa(dbserver.FreePort()), Region: "us-east-1",
		AccessKey: rand.Text(), SecretKey: rand.Text(), Dir: filepath.Join(dir, "objects"),
		program: program, log: filepath.Join(dir, "log"),
	}
	s.Endpoint = "http://" + s.Addr
	if err := os.Mkdir(s.Dir, 0o700); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	s.Start(t)
	t.Cleanup(func() {
		s.process.Signal(syscall.SIGCONT)
		s.process.Kill()
	})
	return s
}

// Client returns a client with the server's keys. It retries nothing.
func (s *Store) Client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &s.Endpoint, Region: s.Region, UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials:                credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	})
}

// CreateBucket makes a bucket.
func (s *Store) CreateBucket(t testing.TB, name string) {
	t.Helper()
	if _, err := s.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatalf("testenv: create bucket %s: %v", name, err)
	}
}

// Start starts the server again after Stop or Kill, with its objects and at its address.
func (s *Store) Start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	defer log.Close() // the child has its own handle
	cmd := exec.Command(s.program, "--port", s.Addr, "--region", s.Region, "--health", "/health", "--quiet", "posix", s.Dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.AccessKey, "ROOT_SECRET_KEY="+s.SecretKey)
	cmd.Stdout, cmd.Stderr = log, log
	if s.process, err = child.Start(cmd); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	if err := s.waitReady(); err != nil {
		s.process.Kill()
		text, _ := os.ReadFile(s.log)
		t.Fatalf("testenv: start S3 server: %v\n%s", err, text)
	}
}

func (s *Store) waitReady() error {
	deadline := time.After(startTimeout)
	for {
		select {
		case <-s.process.Done():
			return fmt.Errorf("it ended: %v", s.process.Err())
		case <-deadline:
			return fmt.Errorf("no answer in %v", startTimeout)
		case <-time.After(10 * time.Millisecond):
		}
		if resp, err := http.Get(s.Endpoint + "/health"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
}

// Stop shuts the server down in an orderly way.
func (s *Store) Stop(t testing.TB) {
	t.Helper()
	if err := s.process.Stop(10 * time.Second); err != nil {
		t.Fatalf("testenv: %v", err)
	}
}

// Kill ends the server with SIGKILL.
func (s *Store) Kill() { s.process.Kill() }

// Pause stops the server in its tracks (SIGSTOP): its connections stay open, nothing answers.
func (s *Store) Pause(t testing.TB) { pause(t, s.process) }

// Resume ends a Pause.
func (s *Store) Resume(t testing.TB) { signal(t, s.process, syscall.SIGCONT) }
