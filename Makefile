# Inventory Hub. It needs Go and make; "make test" brings what else it needs.

GO ?= go
TOOLS := $(CURDIR)/bin/tools
GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)
GITLEAKS_VERSION := v8.30.1
GITLEAKS := $(TOOLS)/gitleaks-$(GITLEAKS_VERSION)
GOVULNCHECK_VERSION := v1.1.4
GOVULNCHECK := $(TOOLS)/govulncheck-$(GOVULNCHECK_VERSION)
CYCLONEDX_VERSION := v1.10.0
CYCLONEDX := $(TOOLS)/cyclonedx-gomod-$(CYCLONEDX_VERSION)

# Static binaries, the same from every folder. run and build share their compiled packages.
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -ldflags="-s -w"

# The race detector makes SQLite, which is C transpiled to Go, many times slower, and would find nothing in it. Only that C is
# left out, not the driver around it: that uses sync.Map, whose code the linker shares among packages. Without the detector's
# marks it would seem to order nothing, and the detector would find races everywhere.
RACE := -race -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc=-race=false -buildvcs=false

.DEFAULT_GOAL := help
.PHONY: help run build test fuzz torture mutants bench lint secrets vuln sbom fmt clean check-format verify programs vet race-test
.NOTPARALLEL: # the checks of "make test" go from quick to slow

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## Build and start the API server
	$(BUILD) -o bin/api ./cmd/api
	exec bin/api

build: ## Build the static binaries into bin/
	$(BUILD) -o bin/ ./cmd/...

test: ## Run all checks: format, modules, vet, secrets, lint, tests with the race detector on private servers
# vet and lint read the packages that they depend on in compiled form. With the same flags as for the tests, those are
# compiled once.
test: export GOFLAGS += $(RACE)
test: export CGO_ENABLED = 1
test: check-format verify programs vet secrets lint race-test

# Go fuzzes one target at a time, and would spend most of a minute on making new inputs shorter. What it finds it writes into
# the package's testdata/fuzz, where "make test" tries it again.
FUZZTIME ?= 1m
fuzz: ## Fuzz each target for FUZZTIME=1m
	@$(GO) build -o $(TOOLS)/testservers ./internal/testservers/run
	@targets=$$($(GO) test -list '^Fuzz' ./...) || { echo "$$targets"; exit 1; }; \
	echo "$$targets" | awk '/^Fuzz/ { found[++n] = $$1 } /^ok/ { while (n) print $$2, found[n--] }' | \
	$(TOOLS)/testservers -rabbitmq=false sh -c 'while read -r package target; do echo "== $$target"; \
		$(GO) test -run "^$$" -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s "$$package" </dev/null || exit 1; done'

torture: ## Break the server in every way for DURATION=1m (SEED, INSTANCES, ENGINE), see docs/reliability.md
	@$(GO) build -o $(TOOLS)/torture ./internal/torture/run
	@DURATION='$(DURATION)' SEED='$(SEED)' INSTANCES='$(INSTANCES)' ENGINE='$(ENGINE)' $(TOOLS)/torture

mutants: ## See that torture notices when a safeguard is missing; takes minutes
	@$(GO) build -o $(TOOLS)/testservers ./internal/testservers/run
	@$(TOOLS)/testservers -rabbitmq=false sh internal/torture/testdata/mutants.sh

bench: ## Measure the server with a million products (PRODUCTS, ORDERS, ROUNDS, SECONDS, CASES), see docs/benchmarks.md
	@$(GO) build -o $(TOOLS)/bench ./bench
	@PRODUCTS='$(PRODUCTS)' ORDERS='$(ORDERS)' SMALL='$(SMALL)' EMBEDDED='$(EMBEDDED)' ROUNDS='$(ROUNDS)' SECONDS='$(SECONDS)' CASES='$(CASES)' $(TOOLS)/bench

lint: $(GOLANGCI_LINT) ## Run golangci-lint
	@echo '== golangci-lint'
	@$(GOLANGCI_LINT) run ./...

secrets: $(GITLEAKS) ## Look for passwords, keys and tokens in the tree with gitleaks
	@echo '== gitleaks'
	@$(GITLEAKS) dir --config .gitleaks.toml --no-banner --log-level warn --redact --verbose .

vuln: $(GOVULNCHECK) ## Look for known vulnerabilities in what the programs call, with govulncheck; asks vuln.go.dev
	@echo '== govulncheck'
	@$(GOVULNCHECK) ./...

sbom: $(CYCLONEDX) ## Write the software bill of materials bin/sbom.json (CycloneDX)
	@$(CYCLONEDX) mod -json -std -licenses -output bin/sbom.json .

fmt: ## Format the Go files
	gofmt -w .

clean: ## Remove what was built
	rm -rf bin

check-format:
	@echo '== gofmt'
	@files=$$(gofmt -l .) && if [ -n "$$files" ]; then echo "not formatted (run make fmt):"; echo "$$files"; exit 1; fi

verify:
	@echo '== go mod verify'
	@$(GO) mod verify

vet:
	@echo '== go vet'
	@$(GO) vet ./...

race-test:
	@echo '== go test'
	@$(GO) build -o $(TOOLS)/testservers ./internal/testservers/run
	@$(GO) build -o $(TOOLS)/evidence ./internal/evidence
	@$(TOOLS)/testservers $(TOOLS)/evidence -keep bin/test.json docs/security.md $(GO) test -json -vet=off -count=1 -timeout 30m ./...

# The race detector is linked through a C compiler, and a test tries the README's walk with curl.
INSTALL := $(if $(filter-out 0,$(shell id -u)),sudo -n) sh internal/testservers/install.sh

programs:
	@command -v $(firstword $(shell $(GO) env CC)) >/dev/null || { \
		echo '== installing gcc with apt-get: go test -race needs a C compiler'; \
		$(INSTALL) gcc libc6-dev || { echo 'make test needs a C compiler: install gcc'; exit 1; }; }
	@command -v curl >/dev/null || { \
		echo '== installing curl with apt-get: a test tries the walk of the README'; \
		$(INSTALL) curl || { echo 'make test needs curl: install it'; exit 1; }; }

# With the versions and checksums of each tool's own go.mod and of the checksum database, apart from this module's.
INSTALL_TOOL := GOBIN=$(TOOLS) GOFLAGS= CGO_ENABLED=0 $(GO) install

$(GOLANGCI_LINT):
	@echo '== building golangci-lint $(GOLANGCI_LINT_VERSION)'
	@$(INSTALL_TOOL) github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@mv $(TOOLS)/golangci-lint $@

$(GITLEAKS):
	@echo '== building gitleaks $(GITLEAKS_VERSION)'
	@$(INSTALL_TOOL) github.com/zricethezav/gitleaks/v8@$(GITLEAKS_VERSION)
	@mv $(TOOLS)/gitleaks $@

$(GOVULNCHECK):
	@echo '== building govulncheck $(GOVULNCHECK_VERSION)'
	@$(INSTALL_TOOL) golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
	@mv $(TOOLS)/govulncheck $@

# Not by go install, which asks for the list of all versions: some proxies have this version but not the list.
$(CYCLONEDX):
	@echo '== building cyclonedx-gomod $(CYCLONEDX_VERSION)'
	@rm -rf $(TOOLS)/cyclonedx && mkdir -p $(TOOLS)/cyclonedx && cd $(TOOLS)/cyclonedx && export GOFLAGS= CGO_ENABLED=0 && \
		$(GO) mod init tool 2>/dev/null && $(GO) mod edit -require=github.com/CycloneDX/cyclonedx-gomod@$(CYCLONEDX_VERSION) && \
		$(GO) build -mod=mod -o $@ github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
	@rm -r $(TOOLS)/cyclonedx
