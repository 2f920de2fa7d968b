# Everything a developer runs. `make help` lists it; .ci/run runs the same targets.

FUZZTIME    ?= 60s
SIMTIME     ?= 60s
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.8.0

# Packages whose tests run under the race detector. The others start real servers and run long as it is.
RACE := ./cdc/... ./engine/... ./bus/... ./sinks/... ./wasm

.DEFAULT_GOAL := help
.PHONY: help build demo setup ui ui-test ui-e2e test bench bench-delivery bench-rules bench-wasm mutate-rules simulate mutate-delivery fuzz lint generate clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the static binary bin/cdcd
	CGO_ENABLED=0 go build -trimpath -o bin/cdcd ./cmd/cdcd

demo: ## Run the whole thing here, with a private source and a live workload
	go run ./cmd/cdcd demo

ui: console/ui/node_modules ## Build the web console into console/ui/dist, which is committed
	cd console/ui && npx openapi-typescript ../../docs/openapi.json -o src/lib/api.gen.ts >/dev/null && npm run -s build -- --logLevel warn

ui-test: ui ## Check and test the web console's sources, and that what is committed is what they are built to
	cd console/ui && npm run -s check && npm test -s
	git diff --exit-code --stat -- console/ui/dist console/ui/src/lib/api.gen.ts
	@untracked=$$(git ls-files --others --exclude-standard console/ui/dist); [ -z "$$untracked" ] || { echo "not committed: $$untracked"; exit 1; }

ui-e2e: setup ui build ## Try the web console in a browser, on the demo
	cd console/ui && npm run -s e2e

console/ui/node_modules: console/ui/package-lock.json
	cd console/ui && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund --loglevel=error
	@touch $@

setup: ## Install the servers that the tests need, where missing
	@scripts/setup

test: setup ## Run all tests, against real servers
	go vet ./...
	go test -timeout 2m -tags no_console -run WithoutThePage ./console
	go test -race -timeout 10m $(RACE)
	go test -race -timeout 10m -run Goroutines ./rules ./internal/match
	go test -timeout 5m -run Allocate ./cdc
	cd sdk/go && go vet ./... && GOOS=wasip1 GOARCH=wasm go vet . && go test -timeout 5m ./...
	go test -count=1 -timeout 15m -parallel 4 $$(go list ./... | grep -vxF "$$(go list $(RACE))")

bench: setup ## Measure the whole program on real servers (some minutes), see docs/performance.md
	go test ./internal/bench -run '^$$' -bench Figures -benchtime 1x -timeout 15m
	go test ./internal/bench -run '^$$' -bench StartWithAPlugin -benchtime 5x -timeout 5m

bench-delivery: setup ## Measure what each form of a feed costs, and how soon a partner knows (four minutes)
	go test ./internal/bench -run '^$$' -bench Delivery -benchtime 1x -timeout 15m

bench-rules: ## Measure what many rules cost, beside cel-go and expr-lang (some minutes)
	cd internal/bench/rules && go run .

bench-wasm: setup ## Measure what plugins cost, beside wazero as it is and Extism (two minutes)
	cd internal/bench/wasm && go run .

mutate-rules: ## Judge the tests of the index over rules: break it in many places and see that a test fails
	go run ./internal/match/mutate

simulate: ## Run delivery through schedules of faults for SIMTIME (default 60s); CDCD_SIM_SEED=n runs one again
	CDCD_SIM_TIME=$(SIMTIME) go test ./internal/sim -count=1 -v -run Schedules -timeout 1h

mutate-delivery: ## Judge the simulation: break delivery in many places and see that it finds each (some minutes)
	go run ./internal/sim/mutate

fuzz: ## Fuzz every target for FUZZTIME each (default 60s)
	@targets=$$(go test -list '^Fuzz' ./fuzz) || { echo "$$targets"; exit 1; }; \
	for target in $$(echo "$$targets" | grep '^Fuzz'); do \
		scripts/fuzz "$$target" $(FUZZTIME) || exit 1; \
	done

lint: ## Check formatting, vet, staticcheck, known vulnerabilities
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "not formatted (gofmt -w):"; echo "$$unformatted"; exit 1; }
	go vet ./...
	go vet -tags no_console ./console ./cmd/cdcd
	go run $(STATICCHECK) ./...
	cd sdk/go && go run $(STATICCHECK) ./...
	@echo go run $(GOVULNCHECK) ./...; \
	if ! found=$$(go run $(GOVULNCHECK) ./... 2>&1); then \
		echo "$$found"; \
		echo "$$found" | grep -q '^govulncheck: fetching vulnerabilities:' || exit 1; \
		echo "KNOWN VULNERABILITIES NOT CHECKED: the database at vuln.go.dev cannot be reached from here"; \
	fi

generate: ## Rebuild generated files
	go generate ./...

clean: ## Remove what was built here
	rm -rf bin
