package s3

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/cdcd-project/cdcd/cdc"
)

// Codes of errors that a person has to act on.
const (
	codeConfig      = "CDCD-4001"
	codeCredentials = "CDCD-4002"
	codeAccess      = "CDCD-4003"
	codeBucket      = "CDCD-4004"
	codeRegion      = "CDCD-4005"
	codeClock       = "CDCD-4006"
	codeConditions  = "CDCD-4007"
	codeTooLarge    = "CDCD-4008"
	codeKey         = "CDCD-4009"
	codeOrder       = "CDCD-4010"
	codeRetention   = "CDCD-4520"
)

// explain turns what a person has to mend into a [cdc.Error]; the rest stays what it is.
func (s *Store) explain(verb, key string, err error) error {
	var mine *cdc.Error
	if errors.As(err, &mine) {
		return fmt.Errorf("%s %s in %s: %w", verb, key, s, err)
	}
	name := strings.TrimSuffix("s3://"+s.bucket+"/"+s.prefix+key, "/")
	fail := func(code, why string) *cdc.Error { return cdc.Errorf(code, "%s %s: %s: %w", verb, name, why, err) }
	switch status, code := statusOf(err), codeOf(err); {
	case code == "RequestTimeTooSkewed":
		return fail(codeClock, "this machine's clock and the store's differ too much").
			WithFix("synchronise the clock (timedatectl set-ntp true), then look at `date -u`")
	case code == "NoSuchBucket":
		return fail(codeBucket, "there is no bucket "+s.bucket).
			WithFix("create it (aws s3 mb s3://%s) or mend the feed's `to`", s.bucket)
	case code == "PermanentRedirect", code == "AuthorizationHeaderMalformed" && strings.Contains(err.Error(), "region"),
		code == "IllegalLocationConstraintException", status == http.StatusMovedPermanently:
		return fail(codeRegion, "the bucket is in another region").
			WithFix("set s3.region to the bucket's (aws s3api get-bucket-location --bucket %s)", s.bucket)
	case code == "NotImplemented":
		return fail(codeConditions, "the store can't write conditionally").
			WithFix("use a store that honours If-None-Match, see `cdcd errors %s`", codeConditions)
	case s.retention.For > 0 && code == "InvalidRequest" && strings.Contains(strings.ReplaceAll(err.Error(), " ", ""), "ObjectLock"):
		return s.noLock(err)
	case code == "EntityTooLarge", status == http.StatusRequestEntityTooLarge:
		return fail(codeTooLarge, "the object is too large for the store").WithFix("lower rotate.bytes of the feed")
	case status == http.StatusForbidden, status == http.StatusUnauthorized,
		code == "XAdminUserNotFound": // versitygw's word for an unknown access key, with status 404
		return fail(codeAccess, "the store refuses access").
			WithFix("allow s3:PutObject, s3:GetObject on %s/* and s3:ListBucket on the bucket, for the keys in use", s)
	case status == 0 && isMissingCredentials(err):
		return fail(codeCredentials, "no credentials could be had").
			WithFix("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role for this machine")
	}
	return fmt.Errorf("%s %s: %w", verb, name, err)
}

func codeOf(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

// isMissingCredentials recognises what the credential chain says when it found nothing. It has no type for that.
func isMissingCredentials(err error) bool {
	for _, text := range [...]string{"failed to refresh cached credentials", "get identity: get credentials", "static credentials are empty"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}
