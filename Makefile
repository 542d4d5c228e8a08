# One command for each thing. `make run` and `make test` need Debian's python3, gcc and make; what
# else there is to install, they install: Python packages into $(VENV), and Debian's packages (see
# tools/system.sh) where they are run by root.
#
#   make test ARGS='-k utf8 -x'     options for pytest, for the server of `make run`, for the benchmarks
#   make test WORKERS=0 ARGS=--pdb   in one process
#   make test VENV=.venv-3.13 PYTHON=python3.13

PYTHON  ?= python3
VENV    ?= .venv
JOBS    ?= 2
WORKERS ?= 4
TIME    ?= 60
SEED    ?=
ARGS    ?=

BIN  := $(VENV)/bin
ASAN := build/asan
PIP   = $(BIN)/python -m pip -qq --disable-pip-version-check

# What the compiled modules are made of: .pxd, .py beside it or .pyx, and the kernels in C.
CYTHON   := $(shell find src -name '*.pxd' -o -name '*.pyx')
COMPILED := setup.py $(CYTHON) $(wildcard $(CYTHON:.pxd=.py) src/duplexer/core/native/*.[ch])
# A browser is installed where there are tests that want one; `ip` cuts cables in tests/faults,
# and tests/proxies goes through proxies.
SYSTEM   := $(if $(wildcard tests/integration/*browser*),chromium) ip strace zlib openssl valgrind squid tinyproxy dante haproxy nginx apache caddy nss-wrapper

export DUPLEXER_STRICT = 1
.DELETE_ON_ERROR:
.PHONY: run test test-compiled test-interpreted check check-format check-style check-types check-layers check-tools check-asan format fuzz bench bench-micro bench-asgi docs build clean

run: $(VENV)/.with-all $(VENV)/.built
	$(BIN)/duplexer serve $(ARGS)

# Everything compiled, then once more interpreted what has the mark `both_builds`.
test: test-compiled test-interpreted

test-compiled test-interpreted: $(VENV)/.with-test $(VENV)/.sdists $(VENV)/.built
	tools/system.sh $(SYSTEM)
	DUPLEXER_PURE=$(PURE) DUPLEXER_BUILD=$(@:test-%=%) $(BIN)/pytest -n $(WORKERS) --dist worksteal $(ONLY) $(ARGS)

test-interpreted: PURE = 1
test-interpreted: ONLY = -m both_builds

# `make --keep-going check` says everything there is to say.
check: check-format check-style check-types check-layers check-tools

check-format: $(VENV)/.with-test
	$(BIN)/ruff format --check --quiet . || (echo 'cure: make format'; false)

check-style: $(VENV)/.with-test
	$(BIN)/ruff check --quiet .

check-types: $(VENV)/.with-test
	$(BIN)/mypy src tools $(wildcard tests/typing)

check-layers: $(VENV)/.with-test
	$(BIN)/lint-imports --no-logo

check-tools: check-sizes check-words check-modules check-fronts
check-%: $(VENV)/.with-test
	$(BIN)/python tools/$*.py

format: $(VENV)/.with-test
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format .

# The same tests over extensions with the sanitizers in them, built to a directory of their own
# that PYTHONPATH puts before the checkout. Python's own leaks at exit are not ours to report.
check-asan: $(VENV)/.with-test $(ASAN)/.built
	LD_PRELOAD=$$($${CC:-gcc} -print-file-name=libasan.so) PYTHONPATH=$(ASAN)/lib \
	DUPLEXER_PURE= PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
	DUPLEXER_BUILD=$(ASAN)/lib $(BIN)/python -m pytest -m both_builds --timeout=300 $(ARGS)

# TIME seconds for each target in fuzz/; ARGS names some of them. Without a SEED, no two runs are the
# same; a change is judged with one, so that it is never refused for what others left to be found.
fuzz: $(VENV)/.with-test $(VENV)/.with-fuzz $(VENV)/.built
	$(BIN)/python tools/fuzz.py --seconds $(TIME) $(if $(SEED),--seed $(SEED)) $(ARGS)

# Beside every peer that is installed; writes docs/benchmarks.md.
bench: $(VENV)/.with-bench $(VENV)/.built
	tools/system.sh zlib openssl
	$(BIN)/python -m benchmarks $(ARGS)

# Instructions of the pieces, against those on record; ARGS=--record writes the record anew.
bench-micro: $(VENV)/.with-bench $(VENV)/.built
	tools/system.sh valgrind
	$(BIN)/python -m benchmarks.micro $(ARGS)

# What a message costs uvicorn with our WebSockets, and with its own.
bench-asgi: $(VENV)/.with-bench $(VENV)/.built
	tools/system.sh valgrind
	$(BIN)/python -m benchmarks.asgi $(ARGS)

docs: $(VENV)/.with-docs
	DUPLEXER_PURE=1 $(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html
	@echo 'docs/_build/html/index.html'

build: $(VENV)/.built

clean:
	rm -rf $(VENV) build dist docs/_build docs/_generated .*_cache .hypothesis src/*.egg-info
	find src tests tools -name __pycache__ -prune -exec rm -rf {} +
	find src -name '*.so' -delete

# -- what the above stand on: files that say when something was last done ---------------------------

$(VENV)/.python:
	tools/system.sh venv headers
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=24'
	touch $@

# Changes only when what builds the package does, not with every line of pyproject.toml.
$(VENV)/tools.txt: pyproject.toml | $(VENV)/.python
	@$(BIN)/python -c "import tomllib; f = open('pyproject.toml', 'rb'); \
	    print(*tomllib.load(f)['build-system']['requires'], sep='\n')" > $@.new
	@cmp -s $@.new $@ || cp $@.new $@

$(VENV)/.tools: $(VENV)/tools.txt
	$(PIP) install -r $<
	touch $@

# Installing compiles nothing, so that only `.built` does.
$(VENV)/.with-%: pyproject.toml $(VENV)/.tools
	DUPLEXER_PURE=1 $(PIP) install --no-build-isolation -e '.[$*]'
	touch $@

# The tests of others that ours run are in what they publish; pip checks its hash.
$(VENV)/.sdists: tests/asgi/suite/requirements.txt $(VENV)/.tools
	rm -rf $(VENV)/sdists
	$(PIP) download --no-deps --no-binary uvicorn --require-hashes -d $(VENV)/sdists -r $<
	touch $@

$(VENV)/.built: $(COMPILED) $(VENV)/.tools
	$(if $(filter setup.py %.tools,$?),rm -rf build/cython)
	DUPLEXER_PURE= $(BIN)/python setup.py -q build_ext --inplace --parallel $(JOBS)
	touch $@

$(ASAN)/.built: $(COMPILED) $(shell find src -name '*.py') $(VENV)/.tools
	$(if $(filter setup.py %.tools,$?),rm -rf $(ASAN))
	DUPLEXER_PURE= DUPLEXER_ASAN=1 $(BIN)/python setup.py -q build --build-base $(ASAN) --build-lib $(ASAN)/lib \
	    --parallel $(JOBS)
	touch $@
