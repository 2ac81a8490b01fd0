"""Tables and figures of the documentation, made from results; `make pages` writes them.

``<!-- from far: table seeds -->`` on a page asks for a table that ``benchmarks/cells/far.yaml``
declares; ``<!-- from far: mean far/seed-* truth/gain .3f -->`` for a figure, see :data:`FIGURES`.

A table has ``head``, ``rows`` and ``texts``. A row's title stands for a value, or for values by
name, which take the place of ``$row``, or ``$name``, in the texts. A text holds figures in braces,
``{CELLS|METRIC:FORM}``: the mean over all cells whose keys match the pattern. ``{lowest~…}``,
``{highest~…}``, ``{value~…}``, ``{count~…}``, ``{each~…}``, ``{interval~…}`` and ``{words~…}`` sum
up otherwise. ``cell`` is the pattern of figures that name none. A text of which a figure is missing
is a dash. ``across`` repeats each text for values of a name; ``words`` has other words for texts.
"""

import re
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import translate
from functools import cache
from itertools import product
from pathlib import Path
from string import Template

import polars as pl
import yaml

from benchmarks import store

CELLS = Path(__file__).parent / "cells"
FIGURE = re.compile(r"\{(?:(\w+)~)?(?:([^|{}]*)\|)?([^{}|]+?):([^{}:]*)\}")
MISSING = "–"
FIGURES: dict[str, Callable[[Sequence[float]], float]] = {
    "value": lambda values: _only(values),
    "mean": statistics.fmean,
    "lowest": min,
    "highest": max,
    "count": len,
}
"""What takes patterns of cells' keys and of metrics, and a format of Python's."""


def figure(results: str, name: str, *arguments: str) -> str:
    """Make what a page asks for of a benchmark's results."""
    if name == "table":
        return table(results, *arguments)
    if name == "summary":
        return summary(results)
    key, metric, form = arguments
    return format(FIGURES[name](numbers(results, key, metric)), form).replace("-", "−")


def numbers(results: str, key: str, metric: str) -> list[float]:
    """List the metrics of all cells whose names match, such as ``far/seed-*`` and ``truth/gain``.

    :raises LookupError: where there are none.
    """
    found = _matching(results, key, metric)["value"].drop_nulls().to_list()
    if not found:
        raise LookupError(f"no {metric} in {key}")
    return found


def _matching(results: str, key: str, metric: str) -> pl.DataFrame:
    rows = store.tidy(results)
    cells, metrics = (
        _like(rows[name], pattern) for name, pattern in (("cell", key), ("metric", metric))
    )
    return rows.filter(cells & metrics)


def _like(column: pl.Series, pattern: str) -> pl.Series:
    if not set("*?[") & set(pattern):
        return column == pattern
    return column.str.contains("^" + translate(pattern).replace(r"\Z", "$"))


def _only(values: Sequence[float]) -> float:
    (value,) = values
    return value


@cache
def declared(results: str) -> dict:
    """Read what a benchmark's file says."""
    return yaml.safe_load((CELLS / f"{results}.yaml").read_text(encoding="utf-8"))


def tables(results: str) -> list[str]:
    """Make all tables of a benchmark for which there are results."""
    names = declared(results).get("tables", {})
    if not (store.RESULTS / f"{results}.json").is_file():
        return []
    return [table(results, name) for name in names]


def table(results: str, name: str) -> str:
    """Make a table as Markdown."""
    own = declared(results)["tables"][name]
    rows = []
    for title, given in _rows(own["rows"]):
        texts = [
            _text(results, own, text, {**given, **others})
            for text in own["texts"]
            for others in _across(own.get("across", {}))
        ]
        rows.append([title, *texts])
    if own.get("present"):
        rows = [row for row in rows if set(row[1:]) != {MISSING}]
    return markdown(own["head"], rows)


def summary(results: str) -> str:
    """The tables that a run printed, as a block of code, from the metrics of its only cell."""
    from lightrec.report.summary import summary as tables

    (cell,) = store.read(results).values()
    return f"```\n{tables(cell['metrics'])}```"


def _rows(rows: object) -> Iterable[tuple[str, Mapping[str, object]]]:
    pairs = rows.items() if isinstance(rows, Mapping) else ((row, row) for row in rows)
    for title, given in pairs:
        yield str(title), given if isinstance(given, Mapping) else {"row": given}


def _across(names: Mapping[str, Sequence]) -> Iterable[Mapping[str, object]]:
    for values in product(*names.values()):
        yield dict(zip(names, values, strict=True))


def _text(results: str, own: Mapping, text: str, given: Mapping[str, object]) -> str:
    def filled(mark: re.Match[str]) -> str:
        how, key, metric, form = mark.groups()
        return _figure(results, how, key or cell, metric.strip(), form, own.get("words", {}))

    cell = Template(own.get("cell", "*")).safe_substitute(given)
    try:
        return FIGURE.sub(filled, Template(text).safe_substitute(given))
    except LookupError:
        return MISSING


def _figure(
    results: str, how: str | None, key: str, metric: str, form: str, words: Mapping[str, str]
) -> str:
    if how == "words":
        found = _matching(results, key, metric)["text"].drop_nulls().unique().sort().to_list()
        if not found:
            raise LookupError(f"no {metric} in {key}")
        return ", ".join(sorted({words.get(each, each) for each in found}))
    if how == "interval":
        ends = (numbers(results, key, metric + end) for end in ("", "/low", "/high"))
        mean, low, high = (format(statistics.fmean(values), form) for values in ends)
        return f"{mean} ({low} to {high})"
    values = numbers(results, key, metric)
    if how == "each":
        form, _, between = form.partition(" ")
        return (between or ", ").join(format(value, form) for value in values)
    return format(FIGURES[how or "mean"](values), form)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Set a table as Markdown."""
    lines = [head, ["---"] * sum(cell.count(" | ") + 1 for cell in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(name: str, *metrics: str) -> None:
    """Print the results of a benchmark or of ``all``, a metric a column, means over seeds."""
    names = sorted(each.stem for each in store.RESULTS.glob("*.json")) if name == "all" else [name]
    rows = pl.concat(map(store.tidy, names))
    rows = rows.with_columns(pl.col("cell").str.replace(r"/?seed-\d+", ""))
    kept = rows.filter(pl.col("metric").is_in(metrics)) if metrics else rows
    index = ["benchmark", "cell"]
    pivot = kept.pivot("metric", index=index, values="value", aggregate_function="mean")
    with pl.Config(tbl_rows=-1, tbl_cols=-1, fmt_str_lengths=80):
        print(pivot)


if __name__ == "__main__":
    main(*sys.argv[1:])
