package s3

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/cdcd-project/cdcd/cdc"
)

// Modes of retention: who may remove an object before its time.
const (
	Governance = "governance" // whoever has the right s3:BypassGovernanceRetention
	Compliance = "compliance" // nobody, not even the owner of the account
)

// Retention says for how long the store keeps what is put into it (S3's Object Lock). The zero value asks for nothing.
type Retention struct {
	For  time.Duration
	Mode string // Governance (default) or Compliance
}

// retain asks for the retention of an object that is put.
func (r Retention) retain(in *sdk.PutObjectInput, body []byte, now time.Time) {
	if r.For <= 0 {
		return
	}
	in.ObjectLockMode = types.ObjectLockModeGovernance
	if r.Mode == Compliance {
		in.ObjectLockMode = types.ObjectLockModeCompliance
	}
	in.ObjectLockRetainUntilDate = aws.Time(now.Add(r.For).UTC().Truncate(time.Second))
	if in.ChecksumSHA256 == nil { // one of the two is demanded
		sum := md5.Sum(body)
		in.ContentMD5 = aws.String(base64.StdEncoding.EncodeToString(sum[:]))
	}
}

// CheckRetention reports whether the bucket can keep objects as Config.Retention asks for. Without it there is nothing to
// check.
func (s *Store) CheckRetention(ctx context.Context) error {
	if s.retention.For <= 0 {
		return nil
	}
	var out *sdk.GetObjectLockConfigurationOutput
	err := s.request(ctx, 0, func(ctx context.Context, _ func(int64)) (err error) {
		out, err = s.client.GetObjectLockConfiguration(ctx, &sdk.GetObjectLockConfigurationInput{Bucket: &s.bucket})
		return err
	})
	code := codeOf(err)
	switch {
	case code == "ObjectLockConfigurationNotFoundError", err == nil && (out.ObjectLockConfiguration == nil ||
		out.ObjectLockConfiguration.ObjectLockEnabled != types.ObjectLockEnabledEnabled):
		return s.noLock(fmt.Errorf("object lock is not enabled"))
	case code == "NotImplemented", statusOf(err) == http.StatusNotImplemented, statusOf(err) == http.StatusMethodNotAllowed:
		return s.noLock(err)
	case err != nil:
		return s.explain("read the object lock configuration of", "", err)
	}
	return nil
}

func (s *Store) noLock(err error) error {
	return cdc.Errorf(codeRetention, "the bucket %s cannot keep objects for a time: %w", s.bucket, err).
		WithFix("make a bucket with Object Lock (aws s3api create-bucket --object-lock-enabled-for-bucket), or remove s3.retention from the feed")
}
