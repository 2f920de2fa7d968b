package mysql

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
)

// The modes of [TLS], by the names that the servers' own clients have for them. There is no "preferred", which goes on
// without TLS when somebody in between asks for that.
const (
	TLSVerifyIdentity = "verify_identity" // the certificate is trusted, and is the server's
	TLSVerifyCA       = "verify_ca"       // the certificate is trusted, whoever has it
	TLSRequired       = "required"        // whatever certificate: nobody can listen, but anybody can answer
	TLSDisabled       = "disabled"
)

// TLS says how the connections to a server are protected.
type TLS struct {
	Mode       string // "" is TLSDisabled for a server on this machine, else TLSVerifyIdentity
	CAFile     string // authorities that are trusted, PEM; "": those that the system trusts
	CertFile   string // the certificate that shows who we are, PEM; for accounts with REQUIRE X509
	KeyFile    string // its key, PEM
	ServerName string // whose certificate it must be; "": the host of the address
}

// Config returns what [Config.TLS] takes for a server at addr. Errors are [*cdc.Error].
func (t TLS) Config(addr string) (*tls.Config, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	mode := t.Mode
	if mode == "" {
		mode = TLSVerifyIdentity
		if thisMachine(addr) {
			mode = TLSDisabled
		}
	}
	if mode == TLSDisabled {
		return nil, nil
	}
	c := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if c.ServerName == "" {
		c.ServerName = host
	}
	if t.CAFile != "" {
		text, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, badFile("ca_file", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, badFile("ca_file", errors.New(t.CAFile+" holds no certificate"))
		}
	}
	if t.CertFile != "" || t.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, badFile("cert_file and key_file", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	switch mode {
	case TLSRequired:
		c.InsecureSkipVerify = true
	case TLSVerifyCA:
		c.InsecureSkipVerify = true // and do all of it but the name
		c.VerifyConnection = func(s tls.ConnectionState) error {
			opts := x509.VerifyOptions{Roots: c.RootCAs, Intermediates: x509.NewCertPool()}
			for _, between := range s.PeerCertificates[1:] {
				opts.Intermediates.AddCert(between)
			}
			_, err := s.PeerCertificates[0].Verify(opts)
			return err
		}
	}
	return c, nil
}

func badFile(key string, err error) error {
	return cdc.Errorf("CDCD-1112", "source.mysql.tls.%s: %w", key, err).
		WithFix("name PEM files that the user who runs cdcd can read; certificate and key belong together")
}

// thisMachine reports whether nothing of a connection to addr goes over a network.
func thisMachine(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return strings.HasPrefix(addr, "/")
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// tlsError explains what went wrong while a protected connection was made; nil when it is nothing of that kind.
func tlsError(cfg *Config, err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var my *gomysql.MyError
	text := err.Error()
	switch {
	case errors.As(err, &my):
		if !strings.Contains(my.Message, "insecure transport") {
			return nil
		}
		return cdc.Errorf("CDCD-1111", "%s takes no connections without TLS: %w", cfg.Addr, err).
			WithFix("set source.mysql.tls: {mode: verify_identity, ca_file: …}")
	case strings.Contains(text, "does not support TLS"):
		return cdc.Errorf("CDCD-1107", "%s does not offer TLS", cfg.Addr).
			WithFix("give the server a certificate (ssl_cert, ssl_key); source.mysql.tls: {mode: disabled} goes without, for networks that nobody else is in")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return cdc.Errorf("CDCD-1110", "the certificate of %s is not valid now: %w", cfg.Addr, shorten(err)).
			WithFix("renew the server's certificate, and check the clocks of both machines")
	case errors.As(err, &name):
		return cdc.Errorf("CDCD-1109", "the certificate of %s is for another name: %w", cfg.Addr, shorten(err)).
			WithFix("set source.mysql.tls.server_name to the name in the certificate, or source.mysql.tls.mode to verify_ca if it has none (as those have that MySQL makes itself)")
	case errors.As(err, &unknown), errors.As(err, &invalid):
		return cdc.Errorf("CDCD-1108", "the certificate of %s is not trusted: %w", cfg.Addr, shorten(err)).
			WithFix("set source.mysql.tls.ca_file to the certificate of the authority that signed it (on the server: SELECT @@ssl_ca)")
	case strings.Contains(text, "remote error: tls:"):
		return cdc.Errorf("CDCD-1108", "%s does not accept our side of TLS: %w", cfg.Addr, shorten(err)).
			WithFix("check that source.mysql.tls.cert_file was signed by an authority that the server trusts (ssl_ca), and is not expired")
	case strings.Contains(text, "tls: "):
		return cdc.Errorf("CDCD-1107", "no TLS with %s: %w", cfg.Addr, shorten(err)).
			WithFix("the server must offer TLS 1.2 or 1.3: SELECT @@tls_version")
	}
	return nil
}

// tls says how the connection is protected.
func (p *preflight) tls() error {
	rows, err := p.server.query("SHOW SESSION STATUS WHERE Variable_name IN ('Ssl_version', 'Ssl_cipher')")
	if err != nil {
		return err
	}
	status := map[string]string{}
	for _, row := range rows {
		status[strings.ToLower(row[0])] = row[1]
	}
	switch version := status["ssl_version"]; {
	case version != "" && p.cfg.TLS != nil && p.cfg.TLS.InsecureSkipVerify && p.cfg.TLS.VerifyConnection == nil:
		p.add("mysql.tls", Warn, "%s, but whose certificate it is was not checked: anybody can answer in the server's place", "CDCD-1113",
			"set source.mysql.tls: {mode: verify_identity, ca_file: …}", version)
	case version != "":
		p.add("mysql.tls", OK, "%s, %s", "", "", version, status["ssl_cipher"])
	case thisMachine(p.cfg.Addr):
		p.add("mysql.tls", OK, "not used: the server is on this machine", "", "")
	default:
		p.add("mysql.tls", Warn, "the connection is not encrypted: the account can be stolen and the changes be read on the way", "CDCD-1113",
			"set source.mysql.tls: {mode: verify_identity, ca_file: …}")
	}
	return nil
}
