# What people and CI run. `make test` needs Go alone; tests that need a real server, a browser or the data sets skip with one line without them.
GO       ?= go
FUZZTIME ?= 5s
PKGS     ?= ./...
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: check test test-race test-noasm fuzz bench peers bench-peers demo nightly generate

check:  ## formatting, vet, staticcheck, generated files, module files
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "not gofmt-ed:"; echo "$$files"; exit 1; fi
	$(GO) vet ./...
	$(STATICCHECK) ./...
	$(GO) mod tidy -diff
	$(GO) generate ./core/kernel/...
	git diff --exit-code -- core/kernel
	GOOS=linux GOARCH=arm64 $(GO) build ./...

test:  ## the short tests: what a change must pass
	$(GO) test -short ./...

test-race:  ## the short tests under the race detector (PKGS narrows them)
	$(GO) test -short -race $(PKGS)

test-noasm:  ## the portable kernels
	$(GO) test -short -tags noasm ./core/... ./models/... ./training/...

fuzz:  ## every fuzz target for FUZZTIME
	@./.ci/fuzz $(FUZZTIME)

bench:  ## benchmarks of every package
	$(GO) test -run '^$$' -bench . -benchmem ./...

peers: bench/peers/.venv/installed  ## PyTorch and ONNX Runtime in bench/peers/.venv, from PyPI (about 5.5 GB)

bench/peers/.venv/installed: bench/peers/requirements.txt
	python3 -m venv bench/peers/.venv
	bench/peers/.venv/bin/pip install --no-cache-dir -r bench/peers/requirements.txt
	touch $@

bench-peers: peers  ## products, steps, requests and epochs beside PyTorch, ONNX Runtime and FuxiCTR, taking turns; KERNELFLAGS and STEPFLAGS go to kernel.py and mlp_step.py
	$(GO) build -o millrace ./cmd/millrace
	bench/peers/.venv/bin/python bench/peers/kernel.py $(KERNELFLAGS)
	bench/peers/.venv/bin/python bench/peers/mlp_step.py $(STEPFLAGS)
	bench/peers/.venv/bin/python bench/peers/din_score.py
	bench/peers/.venv/bin/python bench/peers/din.py
	bench/peers/.venv/bin/python bench/peers/frappe_epoch.py --data $${MILLRACE_DATA:-../shared/data}/frappe

demo:  ## the whole river in one process, with a live page
	$(GO) run ./cmd/millrace demo

nightly:  ## everything: long tests, race on all, a minute a fuzz target
	$(GO) test -timeout 60m ./...
	$(MAKE) test-race test-noasm
	$(MAKE) fuzz FUZZTIME=60s

generate:  ## the generated assembly
	$(GO) generate ./core/kernel/...
