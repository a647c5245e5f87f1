# `make help` lists the targets. Knobs of `make run` are environment variables too: .env.example.
SHELL := /bin/bash
# What is given on the command line, such as AUTHOR='Pay$Me', reaches the programs as it was typed, in the environment.
# Otherwise make expands the `$` in it, and a recipe that holds it runs as shell code what a stranger chose as a name.
# This comes first: $(shell) expands what is exported.
$(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(eval override export $(name) := $$(value $(name)))))
export PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Its Python runs modules, not scripts: a script names the folder that it was installed in, and clones are moved.
VENV := .venv/bin
export DAGSTER_HOME := $(CURDIR)/.dagster
export DAGSTER_DISABLE_TELEMETRY := 1
# Two-thread torch that spins while it waits slows to a crawl on a busy machine.
export OMP_WAIT_POLICY := PASSIVE

.DEFAULT_GOAL := help
.PHONY: help install run ui stop status why logs test quick test-long lint bench bench-scale lock import label labels try erase versions deployments restore rollback approve reject prune mirror backup \
  restore-backup audit sbom digest up down FORCE

# On a team's server these commands act inside the stack, as the clone's owner; what would start a second pipeline beside
# it does not start.
INSIDE := status why logs import labels erase versions deployments restore rollback approve reject prune mirror digest stop
ifneq (,$(filter $(INSIDE) run ui label,$(MAKECMDGOALS)))
STACK := $(shell [ ! -x stack/stack.sh ] || stack/stack.sh running)
endif
ifeq ($(STACK),unknown)
$(error this clone is a team's server (stack/made), and no Docker engine answers you: start it, or be a user who may use it. \
  If it is none any more, delete stack/made/door/logins.cfg)
else ifneq (,$(and $(STACK),$(filter run ui label,$(MAKECMDGOALS))))
$(error the stack of this clone is up: start the job pipeline in its UI (DAGSTER_URL), label at /label/ \
  beside it, or stop the stack with make down)
endif
CLI := $(if $(STACK),stack/stack.sh inside,$(VENV)/python -m mlops_assets.cli)
HERE := $(if $(STACK),,.venv/.installed)

# 141: who read the list, such as `head`, has seen enough.
UNREAD_IS_FINE := || { status=$$?; [ $$status -eq 141 ] || exit $$status; }

help:  ## This list
	@{ grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16; \
	echo; \
	echo 'make run takes SOURCE=sample|file|play_store REVIEWS=a.csv[,b.csv] FROM=YYYY-MM PORT=8080'; \
	echo '               FORCE_RETRAIN=1 SKIP_DEPLOY=1 APP=package.name NOW=<ISO time>'; \
	echo '               DATES=day-first|month-first TIME_ZONE=Asia/Jakarta (make import too)'; \
	echo 'make ui takes  UI_PORT=3000'; } | cat $(UNREAD_IS_FINE)

install: .venv/.installed .venv-dvc/.installed  ## Both virtual environments, from the locks; mends them after a move

# Looked at each time, by the content of the locks: locks/install.py. `make install` itself looks into the packages too.
LOOK_INSIDE := $(if $(filter install,$(MAKECMDGOALS)),--look-inside)

.venv/.installed: FORCE
	@"$$PYTHON" locks/install.py $(LOOK_INSIDE) pipeline

.venv/.installed-dev: .venv/.installed FORCE
	@"$$PYTHON" locks/install.py dev

.venv-dvc/.installed: FORCE
	@"$$PYTHON" locks/install.py $(LOOK_INSIDE) dvc

run: install  ## Install, run the whole pipeline, leave the model serving
	@$(VENV)/python -m mlops_assets.cli run

ui: install  ## The Dagster UI on http://127.0.0.1:3000 (UI_PORT=), with schedule and sensors
	@$(VENV)/python -m mlops_assets.cli ui

stop: $(HERE)  ## Stop the service that `make run` left running
	@$(CLI) stop

status: $(HERE)  ## What serves, and how the last run ended
	@$(CLI) status $(UNREAD_IS_FINE)

why: $(HERE)  ## Why it ran, why it did not: what each trigger decided
	@$(CLI) why $(UNREAD_IS_FINE)

logs: $(HERE)  ## The log of what serves: WHAT=requests|gateway|previous, in the stack also daemon, door, …; FOLLOW=1 goes on
	@case "$$WHAT" in \
	""|service|requests|gateway|previous) $(CLI) logs --what="$$WHAT" --follow="$$FOLLOW" ;; \
	*) $(if $(STACK),stack/stack.sh logs --tail 200 $${FOLLOW:+--follow} "$$WHAT",$(CLI) logs --what="$$WHAT") ;; esac $(UNREAD_IS_FINE)

import: $(HERE)  ## Take a file of reviews into data/imports, without names: FILE=
	@$(CLI) import --file="$$FILE"

label: install  ## A page on which people label reviews, on http://127.0.0.1:3001 (LABEL_PORT=)
	@$(VENV)/python -m mlops_assets.cli label

labels: $(if $(STACK),,install)  ## Labels of people: TO=labels.csv writes, FILE= [BY=name] takes in, neither counts
	@$(CLI) labels --file="$$FILE" --to="$$TO" --by="$$BY"

try: install  ## Other recipes trained and judged beside the live model, as Markdown: PARAMS=file or key=value TO=folder
	@$(VENV)/python -m mlops_assets.cli try --params="$$PARAMS" --to="$$TO"

erase: $(HERE)  ## Remove a person's reviews from every current file: AUTHOR= or REVIEW=
	@$(CLI) erase --author="$$AUTHOR" --review="$$REVIEW"

versions: $(if $(STACK),,install)  ## List the versions of data and models, and which one is live
	@$(CLI) versions $(UNREAD_IS_FINE)

deployments: $(HERE)  ## What was live when, who or what put it there, with which data
	@$(CLI) deployments $(UNREAD_IS_FINE)

restore: $(if $(STACK),,install)  ## Data and models back to a version: VERSION=commit, data or model version
	@$(CLI) restore --version="$$VERSION"

rollback: $(HERE)  ## An earlier release live again: TO=release or model version
	@$(CLI) rollback --to="$$TO"

approve: $(HERE)  ## The release that waits for approval goes live: RELEASE= BY= COMMENT=
	@$(CLI) approve --release="$$RELEASE" --by="$$BY" --comment="$$COMMENT"

reject: $(HERE)  ## The release that waits for approval stays out: RELEASE= BY= COMMENT=
	@$(CLI) reject --release="$$RELEASE" --by="$$BY" --comment="$$COMMENT"

prune: $(HERE)  ## Remove what nothing needs any more, as the nightly job does: DRY_RUN=1 only lists it
	@[ ! -e stack/made/door/logins.cfg ] || stack/stack.sh old-images
	@$(CLI) prune --dry-run="$$DRY_RUN"

mirror: $(HERE)  ## Bring the mirrors in MongoDB and MLflow up to date (docs/mirrors.md)
	@$(CLI) mirror

backup: .venv/.installed  ## Databases and run history as one file in backups/: TO=folder
	@$(VENV)/python -m mlops_assets.cli backup --to="$$TO"

restore-backup: .venv/.installed  ## A backup in the place of what is here: FILE= OVERWRITE=1
	@$(CLI) restore-backup --file="$$FILE" --overwrite="$$OVERWRITE"

audit: .venv/.installed  ## Known vulnerabilities of every lock, by pip-audit
	@$(VENV)/python -m mlops_assets.cli audit

digest: $(HERE)  ## What reviews said in the last seven days, as one HTML file: TO=file
	@$(CLI) digest --to="$$TO"

sbom: .venv/.installed  ## The CycloneDX bill of materials of what serves
	@$(VENV)/python -m mlops_assets.cli sbom

up:  ## A team's server: check the settings, build, start, wait until all is healthy (docs/stack.md)
	@stack/stack.sh up

down:  ## Stop the server; the model goes on serving unless SERVICE=1
	@stack/stack.sh down

# Several workers share the cores: a second thread of torch would mostly wait until it gets one.
test quick test-long: export OMP_NUM_THREADS ?= 1

test: install .venv/.installed-dev  ## The test suite (under 15 minutes on two cores)
	$(VENV)/python -m pytest -n 2 -m 'not long'

quick: install .venv/.installed-dev  ## Unit tests alone, for the inner loop (about a minute)
	$(VENV)/python -m pytest -n 2 tests/unit -m 'not long and not slow'

test-long: install .venv/.installed-dev  ## Kills, soak, browser, full stacks (under 45 minutes on two cores)
	$(VENV)/python -m pytest -n 3 -m long

lint: install .venv/.installed-dev  ## Format, lint, types, import contracts
	$(VENV)/python -m ruff format --check .
	$(VENV)/python -m ruff check .
	$(VENV)/python -m basedpyright
	$(VENV)/python -c 'from importlinter.cli import lint_imports_command as lint; lint()'

bench: install .venv/.installed-dev  ## Measure; writes benchmarks/results.json
	$(VENV)/python -m benchmarks

bench-scale: install .venv/.installed-dev  ## What each stage costs with SIZE= reviews, in .bench-scale/; goes on after a kill
	$(VENV)/python -m benchmarks.scale "$${SIZE:-10000}"

lock: install  ## Write locks/ anew from pyproject.toml: UPGRADE=1 for the newest versions
	@UPGRADE=$(UPGRADE) locks/lock.sh
