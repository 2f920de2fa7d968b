// Package webhook posts signed events to a partner's URL. One [Hook] is one URL.
//
//	hook, err := webhook.New(webhook.Config{URL: "https://acme.example/hook", Keys: keys})
//	err = hook.Post(ctx, "shop/acme/00/17", body)
//	if r := (*webhook.Refusal)(nil); errors.As(err, &r) && r.Gone() { … }
//
// The headers are those of Standard Webhooks (https://www.standardwebhooks.com), one signature for each key: HMAC-SHA256 of
// a shared secret, Ed25519 of a private key. The same event has the same id as often as it is posted, so that the partner
// can tell a repetition; its timestamp and signatures are new each time. nil means that the partner has answered with a
// status of 200 to 299. Everything else is an error, after which the caller posts again: when, and how often, it decides.
//
// # Whom it calls
//
// The URL is the partner's, who may let its name point wherever he likes. So the address is judged when it is dialled, after
// the name was looked up, each time: only public ones are called, neither this machine nor its network nor the metadata
// service of a cloud, in IPv4, IPv6, or the one within the other. Redirects are not followed, proxies are not used, and
// without TLS nothing is sent, unless Config says otherwise. An answer is read for as long as Config.Timeout in all and no
// farther than a few KiB, however slowly it comes.
package webhook
