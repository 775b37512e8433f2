# make reproduce   everything that this machine can decide, from a fresh checkout to one verdict table
# make test        the same set-up, then the test suite (what .ci/run calls)
# make check       formatting, lints, types, import contracts and the Dockerfile
# make mutants     small changes to verify/ that some test has to notice (docs/mutants.md); half an hour
# make evidence    the committed records of a CPU from nothing (a minute or two on two cores), then `make claims`
# make claims      docs/claims.md, docs/theorems.md and the table in README, from the committed evidence; seconds
# make proofs      the theorems, checked by Coq from nothing (proofs/README.md); needs Debian's package coq; a minute
# make faults      kills, full disks, damaged files, a bad hub: what holds, as one table; a quarter of an hour
# make fuzz        100,000 damaged manifests, records, audits and checkpoints (docs/fuzzing.md); twenty minutes or more
# make test-container  builds the image and runs manifests in it, on a real engine; needs root; half an hour. Target cpu;
#                  with CUDA=1 the cuda target too, kernels compiled: hours, or one if wheels/ has a wheel of flash-attn
# make dist        wheel and sdist in dist/, each judging our packet in a fresh environment; needs the package index
# make test-browser  the page of `repro report` in a headless Chromium; needs npm, and Chromium or its download
# make test-packet  a packet of `repro export` and CITATION.cff through validators of their formats; a minute or two
# make venv        only the environment: leaves a working .venv/bin/repro

# The lock was compiled for Python 3.11. A `python3` that is 3.11 will do.
PYTHON ?= python3.11
IS_311 := -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'

# --no-deps and hashes: only what the lock names. --no-build-isolation: source-only packages are built with the
# lock's setuptools, not with the newest. --no-compile: byte code is made afterwards, on all cores, where it is needed.
PIP_INSTALL = .venv/bin/python -m pip install --quiet --progress-bar off --disable-pip-version-check \
	--no-deps --require-hashes --no-build-isolation --no-compile
# Three tries: pip gives up on a download whose connection breaks, and there are 2.5 GB. What was whole, it has kept.
tried = for try in 1 2 3; do [ $$try = 1 ] || echo "$(2): try $$try of 3" >&2; $(1) -r $(2) && break; done
install = $(call tried,$(PIP_INSTALL),$(1))

# One process for these 2.5 GB and one for the rest: they share no file, and installing is bound by one core.
LARGE := ^(torch|triton|nvidia-[a-z0-9-]+)==
TOOLS := ^(setuptools|wheel)==
# What no run imports: 5,000 of 12,000 files. Every __init__.py of transformers' models is, and some that others import.
NEVER := /tests?/|/(pip|nltk)/|$\
	/transformers/models/(?!auto/|bert/|encoder_decoder/|gpt_neox/|llama/|mamba/|olmo/|phi/|speecht5/|t5/)[a-z0-9_]+/[a-z]
# Entries of the lock whose first line matches (or does not match) a pattern, with their hashes.
matching = awk '/^[^ \#]/ { keep = /$(1)/ } keep' pinned-requirements.txt
others   = awk '/^[^ \#]/ { keep = !/$(1)/ } keep' pinned-requirements.txt

# Ours too: where Python may not write byte code, every process would compile it again, for half a second.
compile = .venv/bin/python -m compileall -q -j 0 repro runner verify benchmarks tools

.PHONY: reproduce dist test test-browser test-packet test-container check proofs faults fuzz mutants venv dev evidence claims
# 3: some jobs take weights or a GPU, and the table says which.
reproduce: venv
	@.venv/bin/repro run manifests/*.json --tier smoke || [ $$? -eq 3 ]

# A process a core, each with a copy of torch and of what it makes; a file stays with one process, and the short files of
# tests/verify come last, so that no process waits long for another.
test: dev
	@$(compile)
	@.venv/bin/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# What a CPU decides and takes jobs, but for those of theorem3 that need a GPU's kernels.
EVIDENCE := manifests/stability.json manifests/v3.json manifests/theorem3.json --only model=mamba-twin,model=mamba-euler,$\
	model=mamba-zoh,model=mamba2,model=x_proj,model=in_proj,model=query_key_value
evidence: venv
	@rm -rf .cache/evidence
	@.venv/bin/repro run $(EVIDENCE) --tier full --offline --out .cache/evidence
	@rm -rf evidence/cpu; mkdir evidence/cpu; mv .cache/evidence/runs .cache/evidence/jobs evidence/cpu
	@$(MAKE) --no-print-directory claims

# `verify` exits 1: claims are contradicted. Everything between README's markers is replaced.
claims: venv
	@mkdir -p .cache; .venv/bin/repro verify evidence --markdown > .cache/claims.md || [ $$? -eq 1 ]
	@mv .cache/claims.md docs/claims.md
	@.venv/bin/python -m tools.describe_theorems > .cache/theorems.md; mv .cache/theorems.md docs/theorems.md
	@sed -n '/^<!-- claims/,/^<!-- .claims/p' docs/claims.md > .cache/table.md
	@sed -i -e '/^<!-- .claims/r .cache/table.md' -e '/^<!-- claims/,/^<!-- .claims/d' README.md

# Outside the normal suite: it sets up an engine where there is none.
test-container: dev
	@$(if $(CUDA),CUDA=$(CUDA)) .venv/bin/python -m pytest tests/container/check_verify.py \
		tests/container/check_image.py tests/container/check_cuda.py

# Outside the normal suite too: it needs a browser. playwright has an environment of its own, on top of .venv, and the
# accessibility checker is fetched once, by version and digest.
BROWSER := .cache/browser
AXE := axe-core-4.14.1.tgz
AXE_SHA256 := e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745
test-browser: $(BROWSER)/.stamp $(BROWSER)/package/axe.min.js
	@command -v chromium >/dev/null || $(BROWSER)/venv/bin/playwright install chromium
	@AXE=$(BROWSER)/package/axe.min.js SCREENSHOTS=$(BROWSER)/screenshots \
		$(BROWSER)/venv/bin/python -m pytest tests/browser/check_report.py

$(BROWSER)/.stamp: .venv/.stamp-dev tests/browser/requirements.txt
	@rm -rf $(BROWSER)/venv; .venv/bin/python -m venv $(BROWSER)/venv
	@$(BROWSER)/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		-r tests/browser/requirements.txt
	@echo "$(CURDIR)/.venv/lib/python3.11/site-packages" > $(BROWSER)/venv/lib/python3.11/site-packages/project.pth
	@touch $@

$(BROWSER)/package/axe.min.js:
	@mkdir -p $(BROWSER); cd $(BROWSER) && npm pack --silent $(subst -4,@4,$(AXE:.tgz=)) >/dev/null
	@cd $(BROWSER) && echo "$(AXE_SHA256)  $(AXE)" | sha256sum --check --quiet && tar xzmf $(AXE)

# The same for packets: the validator needs newer versions than the lock has, so its programs are run, not imported.
PACKET := .cache/packet
test-packet: $(PACKET)/.stamp
	@PACKET_TOOLS=$(CURDIR)/$(PACKET)/venv/bin .venv/bin/python -m pytest tests/packet/check_packet.py

$(PACKET)/.stamp: .venv/.stamp-dev tests/packet/requirements.txt
	@rm -rf $(PACKET)/venv; .venv/bin/python -m venv $(PACKET)/venv
	@$(PACKET)/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		-r tests/packet/requirements.txt
	@touch $@

# Wheel and sdist, each judging our packet in a fresh environment; needs the package index; a few minutes. setuptools
# leaves files of its own beside what it builds.
dist: dev
	@rm -rf dist build
	@mkdir -p .cache; SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) .venv/bin/python -c \
		"from setuptools import build_meta as b; b.build_wheel('dist'); b.build_sdist('dist')" >.cache/dist.log 2>&1 \
		|| { cat .cache/dist.log; exit 1; }
	@rm -rf build lyapunov_repro.egg-info
	@DIST=$(CURDIR)/dist .venv/bin/python -m pytest tests/dist/check_dist.py

check: dev
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/hadolint Dockerfile

proofs:
	@proofs/check

mutants: .venv-mutants/.stamp
	@.venv-mutants/bin/mutmut run
	@.venv-mutants/bin/mutmut results

# Outside the normal suite, which does each a few times (tests/test_faults.py).
faults: dev
	@.venv/bin/python tests/faults/bench.py

# Outside the normal suite too, which runs a few hundred (tests/test_fuzz.py).
fuzz: dev
	@PYTHONPATH=tests .venv/bin/python -m fuzz.run

# mutmut needs a newer click than the lock has: an environment of its own, on top of .venv.
.venv-mutants/.stamp: .venv/.stamp-dev requirements-mutants.txt
	@rm -rf .venv-mutants; .venv/bin/python -m venv .venv-mutants
	@.venv-mutants/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		-r requirements-mutants.txt
	@echo "$(CURDIR)/.venv/lib/python3.11/site-packages" > .venv-mutants/lib/python3.11/site-packages/project.pth
	@touch $@

venv: .venv/.stamp-project
dev: .venv/.stamp-dev

# From nothing whenever the lock changed, so that no package of an older lock is left. The stamp comes last.
.venv/.stamp-lock: pinned-requirements.txt
	@for python in $(PYTHON) python3; do \
		if $$python $(IS_311) 2>/dev/null; then chosen=$$python; break; fi; \
	done; \
	if [ -z "$$chosen" ]; then \
		echo "Python 3.11 is needed (the lock was compiled for it); neither '$(PYTHON)' nor python3 is one." >&2; \
		echo "Name one with: make venv PYTHON=/path/to/python3.11" >&2; exit 2; \
	fi; \
	rm -rf .venv; $$chosen -m venv .venv
	@echo "installing pinned-requirements.txt: 2.5 GB to fetch, 5.3 GB on disk; one to a few minutes"
	@$(call matching,$(TOOLS)) > .venv/tools.txt
	@$(call matching,$(LARGE)) > .venv/large.txt
	@$(call others,$(LARGE)) > .venv/small.txt
	@$(call install,.venv/tools.txt)
	@($(call install,.venv/large.txt)) & large=$$!; \
	$(call install,.venv/small.txt); small=$$?; \
	wait $$large && [ $$small -eq 0 ]
	@.venv/bin/python -m pip --disable-pip-version-check check
	@# Without it a read-only environment, or one where Python may not write byte code, compiles at every start.
	@.venv/bin/python -m compileall -q -j 0 -x '$(NEVER)' .venv/lib/python3.11/site-packages
	@touch $@

.venv/.stamp-project: .venv/.stamp-lock pyproject.toml
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-index \
		--no-deps --no-build-isolation --no-compile --editable .
	@$(compile)
	@touch $@

.venv/.stamp-dev: .venv/.stamp-project requirements-dev.txt
	@$(call tried,$(filter-out --no-compile,$(PIP_INSTALL)),requirements-dev.txt)
	@.venv/bin/python -m pip --disable-pip-version-check check
	@touch $@
