# Needs Go and make, nothing else. Each target is a thin call: everything also
# works without make.

GO ?= go
BIN := bin/sallyport

# Tools are pinned here, not in go.mod: they are nobody's dependency.
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Modules of their own: the SDK seen from outside, and heavy oracles.
MODULES := $(sort $(dir $(wildcard examples/go.mod examples/*/go.mod test/*/go.mod)))

# The race detector needs cgo, and cgo a C compiler.
RACE := $(shell command -v $$($(GO) env CC) >/dev/null 2>&1 && echo -race)
ifeq ($(RACE),)
RACE_NOTE = @echo "note: no C compiler found, so the tests run without the race detector"
endif

.PHONY: all build test check bench soak interop conformance fuzz demo clean help
.PHONY: certs-mcp-all certs-mcp-ca certs-mcp-gateway certs-mcp-plugin certs-mcp-check certs-mcp-renew

all: build

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

build: ## build bin/sallyport
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -tags grpcnotrace -o $(BIN) ./cmd/sallyport

demo: build bin/notes ## show it all at work (KEEP=1 leaves it running)
	@KEEP="$(KEEP)" $(GO) run ./test/demo $(BIN) bin/notes

.PHONY: bin/notes
bin/notes: # the MCP server that the demo guards
	@cd examples/notes && $(GO) build -o ../../bin/notes .

test: ## run all tests, those of examples/ and test/ too
	$(RACE_NOTE)
	$(GO) test $(RACE) -shuffle=on ./...
	@set -e; for dir in $(MODULES); do echo "cd $$dir && $(GO) test ./..."; (cd $$dir && $(GO) test -shuffle=on ./...); done

check: ## format, vet, lint, import policy
	@files=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$files" || { echo "not formatted: $$files"; exit 1; }
	$(GO) vet ./...
	@set -e; for dir in $(MODULES); do echo "cd $$dir && $(GO) vet ./..."; (cd $$dir && $(GO) vet ./...); done
	$(GO) run $(GOLANGCI_LINT) run ./...
	$(GO) test -run '^(TestImportsFollowThePolicy|TestEachPackageHasOneComment|TestNoFileIsOver800Lines)$$' .

bench: build ## measure plugins, hook and tool calls (after make interop: pii_filter against ContextForge; PEERS=1: other gateways)
	@PEERS="$(PEERS)" $(GO) run ./test/bench $(BIN)

soak: ## kill, hang and restart servers under load for SOAK (60s)
	SOAK=$${SOAK:-60s} $(GO) test -count=1 -v -timeout 30m ./test/soak

interop: build ## try real MCP servers and clients, from npm and PyPI, through the gateway
	@$(GO) run ./test/interop $(BIN)

conformance: build ## report the numbers of the MCP conformance suite, directly and through the gateway
	@$(GO) run ./test/interop -conformance $(BIN)

# Minimising one input may take a minute of its own by default: all of the run.
fuzz: ## run each fuzz target for FUZZTIME (60s)
	@set -e; for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $${FUZZTIME:-60s} -fuzzminimizetime 1s $$pkg; \
		done; done

clean: ## remove what was built; never touches certs/
	rm -rf bin .tools

# The guide's targets. Values reach the command as environment variables, as
# they are: $(value) keeps make from expanding them, and no shell ever sees
# them. An empty one counts as unset; defaults are the command's.
override MCP_CERT_DAYS := $(value MCP_CERT_DAYS)
override MCP_CA_DAYS := $(value MCP_CA_DAYS)
override MCP_PLUGIN_CONFIG := $(value MCP_PLUGIN_CONFIG)
override MCP_CERT_SANS := $(value MCP_CERT_SANS)
override PLUGIN_NAME := $(value PLUGIN_NAME)
export MCP_CERT_DAYS MCP_CA_DAYS MCP_PLUGIN_CONFIG MCP_CERT_SANS PLUGIN_NAME

certs-mcp-all: build ## make CA, gateway and plugin certificates
	@$(BIN) certs all

certs-mcp-ca: build ## make the certificate authority
	@$(BIN) certs ca

certs-mcp-gateway: build ## make the gateway's client certificate
	@$(BIN) certs gateway

certs-mcp-plugin: build ## make one plugin's server certificate (PLUGIN_NAME=…)
	@$(BIN) certs plugin -- "$$PLUGIN_NAME"

certs-mcp-check: build ## show when each certificate expires
	@$(BIN) certs check

certs-mcp-renew: build ## reissue what is due
	@$(BIN) certs renew
