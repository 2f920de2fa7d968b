package s3

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/cdcd-project/cdcd/cdc"
)

// Config says which bucket, and how to reach it. URL is all that is needed on AWS.
type Config struct {
	URL       string // s3://bucket or s3://bucket/prefix
	Endpoint  string // URL of a server other than AWS, e.g. http://127.0.0.1:7070; default AWS
	Region    string // default: what the environment or the profile says; us-east-1 when Endpoint is set
	PathStyle bool   // http://host/bucket/key instead of http://bucket.host/key

	// AccessKey, SecretKey and, if they are temporary, SessionToken. When empty, the credentials come from AWS's own
	// chain: environment, profile, web identity, container, instance.
	AccessKey    string
	SecretKey    string
	SessionToken string

	Retention Retention // of what is put; the bucket must have Object Lock: see CheckRetention

	Timeout  time.Duration // of one request, to which a second per MiB of the body is added; default 30 s
	PageSize int32         // keys that List asks for at once; default 1000, which is also the most
}

// Store is one bucket, or what is below one prefix in it. Its methods may be called by many goroutines at once.
type Store struct {
	client   *sdk.Client
	bucket   string
	prefix   string // "" or ends with a slash
	timeout  time.Duration
	pageSize int32
	aws      bool // the real one

	retention Retention
}

const (
	maxObject   = 1 << 30
	maxMetadata = 2 << 10 // Amazon's limit over names and values
)

// Open makes a store. It looks for credentials, but does not talk to the bucket.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	bucket, prefix, err := parseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	if m := cfg.Retention.Mode; m != "" && m != Governance && m != Compliance {
		return nil, cdc.Errorf(codeConfig, "store %s: retention mode %q is not known", cfg.URL, m).WithFix("use governance or compliance")
	}
	if (cfg.AccessKey == "") != (cfg.SecretKey == "") {
		return nil, cdc.Errorf(codeConfig, "store %s: access key and secret key belong together, only one of them is set", cfg.URL)
	}
	if cfg.Endpoint != "" {
		if u, err := url.Parse(cfg.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, cdc.Errorf(codeConfig, "store %s: endpoint %q is not a URL", cfg.URL, cfg.Endpoint).
				WithFix("write it with its scheme, like https://s3.example.com")
		}
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.PageSize <= 0 || cfg.PageSize > 1000 {
		cfg.PageSize = 1000
	}

	var options []func(*config.LoadOptions) error
	if cfg.Region != "" {
		options = append(options, config.WithRegion(cfg.Region))
	}
	if cfg.AccessKey != "" {
		options = append(options, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(cfg.AccessKey, cfg.SecretKey, cfg.SessionToken)))
	}
	c, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, cdc.Errorf(codeCredentials, "store %s: AWS configuration: %w", cfg.URL, err)
	}
	client := sdk.NewFromConfig(c, func(o *sdk.Options) {
		if cfg.Endpoint != "" {
			o.BaseEndpoint = &cfg.Endpoint
		}
		if o.BaseEndpoint != nil { // also when the environment says it
			// Some servers do not understand the checksum trailers that the SDK sends by default. The signature covers
			// a sha256 of the body anyway.
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
			o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
			o.Region = cmp.Or(o.Region, "us-east-1")
		}
		o.UsePathStyle = cfg.PathStyle
		o.DisableLogOutputChecksumValidationSkipped = true
		// A store that throttles is asked less often, and by and by more often again.
		o.Retryer = retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
			o.StandardOptions = append(o.StandardOptions, func(o *retry.StandardOptions) {
				o.MaxAttempts, o.MaxBackoff = 3, 2*time.Second
			})
		})
	})
	if client.Options().Region == "" {
		return nil, cdc.Errorf(codeConfig, "store %s: no region is set", cfg.URL).WithFix("set s3.region in the feed, or AWS_REGION")
	}
	real := client.Options().BaseEndpoint == nil
	return &Store{client: client, bucket: bucket, prefix: prefix, timeout: cfg.Timeout, pageSize: cfg.PageSize, aws: real, retention: cfg.Retention}, nil
}

func parseURL(text string) (bucket, prefix string, err error) {
	bad := func(why string) error {
		return cdc.Errorf(codeConfig, "store %q: %s", text, why).WithFix("write it like s3://bucket/prefix")
	}
	rest, ok := strings.CutPrefix(text, "s3://")
	if !ok {
		return "", "", bad("it does not begin with s3://")
	}
	bucket, prefix, _ = strings.Cut(rest, "/")
	if bucket == "" || strings.ContainsAny(bucket, "@:?# ") {
		return "", "", bad("it does not name a bucket")
	}
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix == "" {
		return bucket, "", nil
	}
	for part := range strings.SplitSeq(prefix, "/") {
		if part == "" || part == "." || part == ".." {
			return "", "", bad("its prefix has an empty or dotted part")
		}
	}
	return bucket, prefix + "/", nil
}

// String returns the store's URL, without secrets.
func (s *Store) String() string {
	return strings.TrimSuffix("s3://"+s.bucket+"/"+s.prefix, "/")
}

// Put creates the object if there is none under key; created reports whether this call did. When it did not, somebody's
// object is there, perhaps one that the same caller made without getting to know: see Head. After an
// error it is not known whether the object was created; the condition makes it safe to put it again. The caller keeps
// body and meta. Names in meta are lower case letters, digits and hyphens, values printable ASCII, all below 2 KiB.
func (s *Store) Put(ctx context.Context, key string, body []byte, meta map[string]string) (created bool, err error) {
	if err := s.checkKey(key); err != nil {
		return false, err
	}
	if err := checkMeta(meta); err != nil {
		return false, fmt.Errorf("put %s in %s: %w", key, s, err)
	}
	in := &sdk.PutObjectInput{
		Bucket:        &s.bucket,
		Key:           aws.String(s.prefix + key),
		Metadata:      meta,
		IfNoneMatch:   aws.String("*"),
		ContentLength: aws.Int64(int64(len(body))),
	}
	if s.aws {
		sum := sha256.Sum256(body)
		in.ChecksumSHA256 = aws.String(base64.StdEncoding.EncodeToString(sum[:]))
	}
	s.retention.retain(in, body, time.Now())
	for attempt := 0; ; attempt++ {
		in.Body = bytes.NewReader(body)
		err := s.request(ctx, int64(len(body)), func(ctx context.Context, _ func(int64)) error {
			// The SDK must not repeat it by itself: after a reply that got lost, the repetition would find our own
			// object and call it somebody else's.
			_, err := s.client.PutObject(ctx, in, func(o *sdk.Options) { o.Retryer = aws.NopRetryer{} })
			return err
		})
		switch {
		case err == nil:
			return true, nil
		case statusOf(err) == http.StatusPreconditionFailed:
			return false, nil
		case statusOf(err) == http.StatusConflict && codeOf(err) == "ConditionalRequestConflict" && attempt < 8:
			// Another write to the same key is under way. It is not known yet which of the two wins.
			select {
			case <-time.After(20 * time.Millisecond << attempt):
			case <-ctx.Done():
				return false, fmt.Errorf("put %s in %s: %w", key, s, ctx.Err())
			}
		case codeOf(err) == "AccessDenied" && (s.retention.For > 0 || strings.Contains(err.Error(), "object lock")):
			// versitygw looks at the retention of what is there before it looks at the condition.
			if _, _, there, _ := s.Head(ctx, key); there {
				return false, nil
			}
			return false, s.explain("put", key, err)
		case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
			statusOf(err) == http.StatusBadGateway, statusOf(err) == http.StatusGatewayTimeout:
			// A server may answer before it has read the whole body and then close the connection. The reset that
			// this causes can overtake the answer, over and over again, for us or for a gateway between us: ask in
			// another way.
			if _, _, there, _ := s.Head(ctx, key); there {
				return false, nil
			}
			return false, s.explain("put", key, err)
		default:
			return false, s.explain("put", key, err)
		}
	}
}

// Head returns the object's metadata and size; ok is false when there is none.
func (s *Store) Head(ctx context.Context, key string) (meta map[string]string, size int64, ok bool, err error) {
	if err := s.checkKey(key); err != nil {
		return nil, 0, false, err
	}
	var out *sdk.HeadObjectOutput
	err = s.request(ctx, 0, func(ctx context.Context, _ func(int64)) (err error) {
		out, err = s.client.HeadObject(ctx, &sdk.HeadObjectInput{Bucket: &s.bucket, Key: aws.String(s.prefix + key)})
		return err
	})
	if statusOf(err) == http.StatusNotFound { // without a body that says of what; a missing bucket shows at the first Put
		return nil, 0, false, nil
	}
	if err != nil {
		return nil, 0, false, s.explain("head", key, err)
	}
	return lowerNames(out.Metadata), aws.ToInt64(out.ContentLength), true, nil
}

// Get returns the object's bytes; ok is false when there is none. Objects of more than 1 GiB are refused.
func (s *Store) Get(ctx context.Context, key string) (body []byte, ok bool, err error) {
	if err := s.checkKey(key); err != nil {
		return nil, false, err
	}
	err = s.request(ctx, 0, func(ctx context.Context, more func(size int64)) error {
		out, err := s.client.GetObject(ctx, &sdk.GetObjectInput{Bucket: &s.bucket, Key: aws.String(s.prefix + key)})
		if err != nil {
			return err
		}
		defer out.Body.Close()
		size := aws.ToInt64(out.ContentLength)
		if size > maxObject {
			return cdc.Errorf(codeTooLarge, "%d bytes are more than 1 GiB", size)
		}
		more(size)
		body = make([]byte, size)
		_, err = io.ReadFull(out.Body, body)
		return err
	})
	if code := codeOf(err); statusOf(err) == http.StatusNotFound && (code == "NoSuchKey" || code == "NotFound") {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, s.explain("get", key, err)
	}
	return body, true, nil
}

// List calls yield with each key that begins with prefix and sorts after `after` ("" for all), in lexical order, until
// yield returns false.
func (s *Store) List(ctx context.Context, prefix, after string, yield func(key string, size int64) bool) error {
	in := &sdk.ListObjectsV2Input{Bucket: &s.bucket, Prefix: aws.String(s.prefix + prefix), MaxKeys: &s.pageSize}
	if after != "" {
		in.StartAfter = aws.String(s.prefix + after)
	}
	last := after
	for {
		var out *sdk.ListObjectsV2Output
		err := s.request(ctx, 0, func(ctx context.Context, _ func(int64)) (err error) {
			out, err = s.client.ListObjectsV2(ctx, in)
			return err
		})
		if err != nil {
			return s.explain("list", prefix, err)
		}
		for _, o := range out.Contents {
			key, ok := strings.CutPrefix(aws.ToString(o.Key), s.prefix)
			if !ok || !strings.HasPrefix(key, prefix) || key <= last {
				// Recovery relies on the order: a chain's head is the last key.
				return cdc.Errorf(codeOrder, "list %s in %s: the store returned %q after %q", prefix, s, key, last).
					WithFix("reach the store itself, not through a gateway; directory buckets can't be used")
			}
			last = key
			if !yield(key, aws.ToInt64(o.Size)) {
				return nil
			}
		}
		if !aws.ToBool(out.IsTruncated) {
			return nil
		}
		if aws.ToString(out.NextContinuationToken) == "" {
			return fmt.Errorf("list %s in %s: the store says that there is more, but not where", prefix, s)
		}
		in.ContinuationToken, in.StartAfter = out.NextContinuationToken, nil
	}
}

// request runs one call with a time limit of its own, for size bytes; the call may ask for more time when it knows more.
func (s *Store) request(ctx context.Context, size int64, call func(ctx context.Context, more func(size int64)) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := func(size int64) time.Duration { return s.timeout + time.Duration(size>>20)*time.Second }
	timer := time.AfterFunc(limit(size), func() { cancel(errTimeout) })
	defer timer.Stop()
	err := call(ctx, func(size int64) { timer.Reset(limit(size)) })
	if err != nil && errors.Is(context.Cause(ctx), errTimeout) {
		return fmt.Errorf("%w: %w", errTimeout, err)
	}
	return err
}

var errTimeout = errors.New("the store does not answer in time")

func (s *Store) checkKey(key string) error {
	if key == "" || key[0] == '/' || len(s.prefix)+len(key) > 1024 {
		return cdc.Errorf(codeKey, "store %s: %q can't be a key", s, key)
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "." || part == ".." {
			return cdc.Errorf(codeKey, "store %s: %q can't be a key: it has a dotted part", s, key)
		}
	}
	return nil
}

func checkMeta(meta map[string]string) error {
	size := 0
	for _, name := range slices.Sorted(maps.Keys(meta)) {
		value := meta[name]
		size += len(name) + len(value)
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return fmt.Errorf("metadata name %q is not of lower case letters, digits and hyphens", name)
		}
		for _, c := range []byte(value) {
			if c < ' ' || c > '~' {
				return fmt.Errorf("metadata %s: %q is not printable ASCII", name, value)
			}
		}
		if strings.TrimSpace(value) != value {
			return fmt.Errorf("metadata %s: %q has space around it", name, value)
		}
	}
	if size >= maxMetadata {
		return fmt.Errorf("metadata of %d bytes, the limit is %d", size, maxMetadata)
	}
	return nil
}

// lowerNames undoes what HTTP libraries on the way do to the names of headers.
func lowerNames(meta map[string]string) map[string]string {
	out := make(map[string]string, len(meta))
	for name, value := range meta {
		out[strings.ToLower(name)] = value
	}
	return out
}

func statusOf(err error) int {
	var r *smithyhttp.ResponseError
	if errors.As(err, &r) {
		return r.HTTPStatusCode()
	}
	return 0
}

// Presign returns a URL with which anybody can get the object for that time, at most seven days; with credentials that end
// earlier, until then. It is a secret.
func (s *Store) Presign(ctx context.Context, key string, valid time.Duration) (string, error) {
	if err := s.checkKey(key); err != nil {
		return "", err
	}
	signed, err := sdk.NewPresignClient(s.client).PresignGetObject(ctx, &sdk.GetObjectInput{Bucket: &s.bucket, Key: aws.String(s.prefix + key)},
		sdk.WithPresignExpires(valid))
	if err != nil {
		return "", s.explain("presign", key, err)
	}
	return signed.URL, nil
}
