package console

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// site is the page: files that never change while the program runs.
type site struct {
	files map[string]*file // by path, with its slash
	index []byte
}

type file struct {
	kind  string // media type
	etag  string
	plain []byte
	gzip  []byte // nil: not smaller
}

// nonceMark stands in index.html where each answer has a nonce of its own.
const nonceMark = "{{nonce}}"

// openSite reads what is embedded, packs it and names each file by its content.
func openSite() *site {
	s := &site{files: map[string]*file{}}
	_ = fs.WalkDir(pages, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil // nothing is embedded
		}
		text, err := fs.ReadFile(pages, name)
		if err != nil {
			panic(err) // it is in the program
		}
		name = "/" + strings.TrimPrefix(name, "ui/dist/")
		if name == "/index.html" {
			s.index = text
			return nil
		}
		s.files[name] = newFile(name, text)
		return nil
	})
	return s
}

// kinds are the media types of what the page is made of, whatever the machine says they are.
var kinds = map[string]string{
	".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon",
	".json": "application/json", ".txt": "text/plain; charset=utf-8", ".woff2": "font/woff2", ".wasm": "application/wasm", ".webmanifest": "application/manifest+json",
}

// newFile packs a file.
func newFile(name string, text []byte) *file {
	sum := sha256.Sum256(text)
	f := &file{kind: kinds[path.Ext(name)], etag: hex.EncodeToString(sum[:12]), plain: text}
	if f.kind == "" {
		f.kind = "application/octet-stream"
	}
	var packed bytes.Buffer
	zw, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // the level is one that there is
	_, _ = zw.Write(text)                                       // to memory
	if _ = zw.Close(); packed.Len() < len(text)*9/10 {
		f.gzip = packed.Bytes()
	}
	return f
}

// ServeHTTP answers with a file, and at every other address with the page, which looks at the address itself.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "there is nothing to send this to", http.StatusMethodNotAllowed)
		return
	}
	if f, ok := s.files[r.URL.Path]; ok {
		f.serve(w, r)
		return
	}
	if path.Ext(r.URL.Path) != "" && strings.HasPrefix(r.URL.Path, "/assets/") {
		http.NotFound(w, r) // a script that is gone is not a page
		return
	}
	s.page(w)
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "no-cache") // names stay, contents change: ask each time
	h.Set("Vary", "Accept-Encoding")
	h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; frame-ancestors 'none'") // a worker obeys that of its file
	body, etag := f.plain, `"`+f.etag+`"`
	if f.gzip != nil && acceptsGzip(r) {
		body, etag = f.gzip, `"`+f.etag+`-gz"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", etag)
	for one := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if one = strings.TrimSpace(one); strings.TrimPrefix(one, "W/") == etag || one == "*" {
			h.Del("Content-Encoding")
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(body) // the client has gone away
}

// acceptsGzip reads Accept-Encoding as far as it is ever written.
func acceptsGzip(r *http.Request) bool {
	for one := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(one), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q = strings.ReplaceAll(q, " ", "")
			return q != "q=0" && !strings.HasPrefix(q, "q=0.0")
		}
	}
	return false
}

// page writes the page, whose styles carry a nonce that nobody can know before.
func (s *site) page(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	var random [18]byte
	rand.Read(random[:])
	nonce := base64.StdEncoding.EncodeToString(random[:])
	h.Set("Content-Security-Policy", "default-src 'self'; script-src 'self'; style-src 'self' 'nonce-"+nonce+"'; connect-src 'self'; "+
		"img-src 'self' data:; font-src 'self'; worker-src 'self'; manifest-src 'self'; frame-src 'none'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if s.index == nil {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte("<!doctype html><title>cdcd</title><p>This program was built without the console; its API is at <a href=/openapi.json>/openapi.json</a>.\n"))
		return
	}
	_, _ = w.Write(bytes.ReplaceAll(s.index, []byte(nonceMark), []byte(nonce))) // the client has gone away
}
