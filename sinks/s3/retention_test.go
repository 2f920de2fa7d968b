package s3_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sinks/s3"
)

func TestObjectsCannotBeRemovedBeforeTheirTime(t *testing.T) {
	server := testenv.S3(t)
	client := server.Client()
	if _, err := client.CreateBucket(t.Context(), &sdk.CreateBucketInput{Bucket: aws.String("locked"), ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{s3.Governance, s3.Compliance} {
		cfg := config(server, "locked")
		cfg.Retention = s3.Retention{For: 48 * time.Hour, Mode: mode}
		s := open(t, cfg)
		if err := s.CheckRetention(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{0, 1, 100_000} {
			body := make([]byte, size)
			key := mode + "-" + time.Duration(size).String()
			if created, err := s.Put(t.Context(), key, body, map[string]string{"cdcd-ordinal": "1"}); !created || err != nil {
				t.Fatalf("put of %d bytes: %v, %v", size, created, err)
			}
			if created, err := s.Put(t.Context(), key, body, nil); created || err != nil {
				t.Fatalf("put again: %v, %v", created, err)
			}
			out, err := client.GetObjectRetention(t.Context(), &sdk.GetObjectRetentionInput{Bucket: aws.String("locked"), Key: aws.String("changes/" + key)})
			if err != nil {
				t.Fatal(err)
			}
			until := time.Until(aws.ToTime(out.Retention.RetainUntilDate))
			if until < 47*time.Hour || until > 48*time.Hour || string(out.Retention.Mode) != map[string]string{s3.Governance: "GOVERNANCE", s3.Compliance: "COMPLIANCE"}[mode] {
				t.Errorf("it is kept for %v in mode %s", until, out.Retention.Mode)
			}
			if _, err := client.DeleteObject(t.Context(), &sdk.DeleteObjectInput{Bucket: aws.String("locked"), Key: aws.String("changes/" + key)}); err == nil {
				t.Error("it was removed")
			}
			if _, err := client.PutObject(t.Context(), &sdk.PutObjectInput{Bucket: aws.String("locked"), Key: aws.String("changes/" + key)}); err == nil {
				t.Error("it was overwritten")
			}
		}
	}
}

func TestABucketWithoutObjectLockIsRefusedWhereItIsAskedFor(t *testing.T) {
	server := testenv.S3(t)
	server.CreateBucket(t, "plain")
	cfg := config(server, "plain")
	if err := open(t, cfg).CheckRetention(t.Context()); err != nil {
		t.Errorf("nobody has asked for it: %v", err)
	}
	cfg.Retention = s3.Retention{For: time.Hour}
	s := open(t, cfg)
	if err := s.CheckRetention(t.Context()); cdc.CodeOf(err) != "CDCD-4520" {
		t.Errorf("got %v", err)
	}
	if _, err := s.Put(t.Context(), "k", []byte("x"), nil); cdc.CodeOf(err) != "CDCD-4520" {
		t.Errorf("put: got %v", err)
	}
	cfg.Retention.Mode = "forever"
	if _, err := s3.Open(t.Context(), cfg); cdc.CodeOf(err) != "CDCD-4001" {
		t.Errorf("got %v", err)
	}
	server.Stop(t)
	if err := s.CheckRetention(t.Context()); err == nil || cdc.CodeOf(err) != "" {
		t.Errorf("a store that does not answer: got %v", err)
	}
}
