"""The report: a self-contained page, a picture and a summary for the terminal.

Evaluators bring their own sections; here they are laid out, next to what the stages left.
"""

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import yaml
from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup, escape

import lightrec
from lightrec.data.files import RELIABILITY
from lightrec.data.findings import LEFT_OUT, TIES, TOLERATED, in_words
from lightrec.data.languages import in_words as in_languages
from lightrec.data.languages import wording
from lightrec.data.store import TEST, EventStore
from lightrec.encoders.base import ENCODER
from lightrec.encoders.hub import advice
from lightrec.evaluation import session_tables
from lightrec.evaluation.base import Answers, Chart, Curve, Findings, Metrics, Section, Table
from lightrec.evaluation.evidence import BY, REASON, Favoured, favoured, favoured_by, named
from lightrec.evaluation.receipt import COMPARED, RECEIPT, receipt
from lightrec.report import charts, examples
from lightrec.report.summary import LONG_RUN, WIDTH, from_before, owner, recommending, summary
from lightrec.run import Run

PROSE = re.compile(r"[^\W\d]{3,}.* ")
"""What is found in a cell of words, and not in one of numbers."""
LISTED = 8
"""Values of a list that are shown, at most."""
WITHOUT_NEXT = "The same command without `next` trains and judges them."
ASSUMED = Section(
    "What the assumptions do",
    "A log without impressions says nothing of how far people look ahead, how often they choose "
    "nothing and how often they leave. To see what the result owes to what was assumed, give the "
    "command that made this run once more with `--until assumptions`: it halves and doubles each "
    "assumption and leaves assumptions/report.html.",
)
CURVES = {
    ("ranker", "validation/ndcg@10"): "ranker: validation NDCG@10",
    ("users_a", "validation/log_likelihood"): "user model A: validation log-likelihood",
    ("users_b", "validation/log_likelihood"): "user model B: validation log-likelihood",
    ("policy", "validation/return"): "policy: return in user model A",
}
MODELS = {"a": "user model A", "b": "user model B"}
COLUMNS = {
    "log_likelihood": "log-likelihood",
    "popularity": "popularity",
    "calibration_error": "calibration error",
    "temperature": "temperature",
}
PARTS = {
    f"{model}/{name}": f"{title}, user model {model.upper()}"
    for name, title in {
        "leaving": "leaving after a step",
        "value": "value of what was chosen",
        "return": "time until the next session",
    }.items()
    for model in MODELS
}
FORECASTS = 20
"""Bins with fewer forecasts are not drawn."""


def write(
    run: Run, folder: Path, metrics: Metrics, findings: Sequence[Findings], stages: Sequence[str]
) -> None:
    """Write ``report.html``, its picture, ``summary.txt``, metrics and receipt into a folder.

    There is no picture where no evaluator has a chart for it.

    :param metrics: those of all stages and evaluators.
    :param findings: what the evaluators found, in their order.
    :param stages: the stages whose settings are quoted.
    """
    earlier = "policy" in run.about.get("elsewhere", {})
    chosen = favoured_by(run) if earlier else favoured(metrics, "policy" in stages)
    write_metrics(folder, {**metrics, BY: chosen.by, REASON: chosen.reason})
    noted = receipt(run)
    (folder / RECEIPT).write_text(json.dumps(noted, indent=2) + "\n", encoding="utf-8")
    meta = run.data.meta
    text = data_lines(meta) + "\n" + summary(metrics, [each.summary for each in findings])
    if apart := session_tables.unlike(metrics):
        text += textwrap.fill(apart, WIDTH) + "\n"
    if older := from_before(run):
        text += "\n" + textwrap.fill(older, WIDTH) + "\n"
    (folder / "summary.txt").write_text(text, encoding="utf-8")
    headline = [chart for each in findings for chart in each.headline]
    if headline:
        charts.draw(headline).savefig(folder / "report.png", dpi=110, metadata={"Software": None})
    shown: list[Section | None] = [section for each in findings for section in each.sections]
    seed = run.stamp("ranker")["seed"]
    shown += [examples.histories(run, seed), examples.catalog_map(run, seed)]
    if "users_a" in stages:
        shown += [session_tables.against_log(metrics), user_models_section(run, metrics), ASSUMED]
    elif older:
        shown.append(Section("From earlier versions", older))
    else:
        shown.append(Section("The long run", f"{LONG_RUN} {'' if run.about else WITHOUT_NEXT}"))
    shown.append(curves(run))
    path = run.folder("ranker") / ENCODER
    about = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    warning = language_advice(run.data, {"class_path": about.get("class"), "init_args": about})
    warning = f"{rates(run.data)} {warning}".strip()
    sections = [*filter(None, shown), data_section(meta, about, warning), receipt_section(noted)]
    opening = owner(metrics, run.data)
    opening += questions([each.answers for each in findings if each.answers], chosen)
    opening += [("", sentence) for each in findings for sentence in each.verdict]
    page = page_of(run, sections, opening, headline, stages)
    (folder / "report.html").write_text(page, encoding="utf-8")


def rates(store: EventStore) -> str:
    """Say how often something was chosen, and how often the goal was reached, where a log tells."""
    said = []
    if store.goal:
        said.append(f"So did {store.conversion:.1%} of the sessions (the conversion rate).")
    if store.has_nothing:
        chosen = np.asarray(store.items) <= store.num_items
        held = np.asarray(store.parts) == TEST
        tested = f" ({chosen[held].mean():.1%} in the test)" if held.any() else ""
        said.append(f"People chose from {chosen.mean():.1%} of the offers, the click rate{tested}.")
    return " ".join(said)


def questions(answers: Sequence[Answers], chosen: Favoured) -> list[tuple[str, str]]:
    """Pose the three questions that open the page, and answer them with what evaluators say."""
    if not answers:
        return [("", recommending(chosen))]
    ranks = f"So `lightrec recommend` ranks by {named(chosen.by)}."
    return [
        ("Is it better?", " ".join([*(each.better for each in answers), ranks])),
        ("By how much?", " ".join(each.by_how_much for each in answers)),
        ("Can I believe it?", " ".join(each.believe for each in answers)),
    ]


def receipt_section(noted: Mapping[str, Mapping[str, object]]) -> Section:
    """Show what must be the same in two runs that are compared."""
    rows = [[f"{part}, {n}", _listed(noted[part][n])] for part in COMPARED for n in noted[part]]
    text = (
        "Figures of two runs may be compared where all of this is the same: `lightrec compare` "
        f"sees to that. {RECEIPT} has the commands and the formulas, too."
    )
    return Section("The receipt", text, [Table(["", "this run"], rows)])


def curves(run: Run) -> Section | None:
    """Read the learning curves from TensorBoard's files; None where there are none."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    lines = []
    for (stage, tag), title in CURVES.items():
        if not (folder := run.path / "logs" / stage).is_dir():
            continue
        events = EventAccumulator(str(folder))
        events.Reload()
        if tag in events.Tags()["scalars"]:
            # A resumed run may have written an epoch twice; the last writing counts.
            by_step = {e.step: e.value for e in events.Scalars(tag)}
            values = [by_step[step] for step in sorted(by_step)]
            lines.append(Curve(range(1, len(values) + 1), values, ("epoch", ""), title))
    text = "By epoch; `tensorboard --logdir` shows more."
    return Section("Learning curves", text, charts=lines) if lines else None


def data_section(
    meta: Mapping[str, Any], encoder: Mapping[str, Any] = MappingProxyType({}), warning: str = ""
) -> Section:
    """Show what was read, what was left out and why, by the prepared log's ``meta.json``.

    :param encoder: what the text encoder notes of itself.
    :param warning: where it does not read the items' language.
    """
    counts = meta["counts"]
    rows = [["events read", f"{counts['events_read']:,}"]]
    left_out = in_words(counts, LEFT_OUT, meta.get("left_out"))
    rows += [[f"− {words}", f"{count:,}"] for count, words in left_out]
    rows += [["events used", f"{counts['events']:,}"]]
    tables = [Table(["", "events"], rows, "events used")]
    worth = meta["settings"]["weights"] or {}
    used = [[n, f"{c:,}", f"{worth.get(n, 1):g}"] for n, c in meta.get("used", {}).items() if c]
    if len(used) > 1:
        tables.append(Table(["feedback", "events used", "worth"], used))
    kept = [[words, f"{count:,}"] for count, words in in_words(counts, TOLERATED)]
    if kept:
        tables.append(Table(["kept as they are", ""], kept))
    if encoder:
        noted = [[name.replace("_", " "), _listed(value)] for name, value in encoder.items()]
        tables.append(Table(["text encoder", ""], noted))
    titles = in_languages(meta.get("languages", {}))
    order = "by time" if meta["order"] == "time" else "by their order in the file, without times"
    parts = [
        f"{counts['events']:,} events of {counts['users']:,} users with {counts['items']:,} items, "
        f"ordered {order}.",
        meta.get("order_note"),
        titles and f"Titles are in {titles}.",
        _goal(meta),
        warning,
    ]
    return Section("Data", " ".join(filter(None, parts)), tables)


def user_models_section(run: Run, metrics: Metrics) -> Section:
    """Show how well the user models predict held-out choices, leaving, values and returns."""
    compared = {"log_likelihood": "log-likelihood", "constant": "same for all users"}
    choices = Table.of(metrics, "choice/{}/{}", MODELS, COLUMNS)
    parts = Table.of(metrics, "choice/{}/{}", PARTS, compared)
    return Section(
        "The user models",
        "Mean log-likelihood of a held-out choice among its candidates, in nats (higher is "
        "better), next to a model that knows popularity only, fitted in the same way; the expected "
        "calibration error of the probabilities of all alternatives; and the temperature by which "
        "validation choices calibrated them.",
        [choices, parts] if parts.rows else [choices],
        [*filter(None, (calibration(run, name) for name in MODELS))],
        returns_left_out(metrics),
    )


def calibration(run: Run, model: str) -> Curve | None:
    """Draw how often forecasts of held-out choices came true; None where it was not noted."""
    path = run.folder(f"users_{model}") / RELIABILITY
    if not path.is_file():
        return None
    counts = json.loads(path.read_text(encoding="utf-8"))
    return Curve.of_reliability(counts, MODELS[model], FORECASTS)


def returns_left_out(metrics: Metrics) -> str:
    """Say why the days until users come back are missing; nothing where they are not."""
    likelihood = metrics.get("choice/b/return/log_likelihood")
    if likelihood is None or any(key.endswith("/days_away") for key in metrics):
        return ""
    start = "The days until users of model B come back are left out: "
    if likelihood <= metrics["choice/b/return/constant"]:
        return f"{start}held-out sessions are predicted no better than by one law for all users."
    return f"{start}most users are not expected back within the time that the log spans."


def _goal(meta: Mapping[str, Any]) -> str:
    """Say what is held out and judged on, and how many users reached it; empty without a goal."""
    if not (goal := meta["settings"].get("goal")):
        return ""
    counts = meta["counts"]
    users, reached, leads = counts["users"], counts["users_with_goal"], counts.get("leads", 0)
    hidden = f" {leads:,} events only led to it in the same visit and are in no history."
    return (
        f"The goal is {' or '.join(goal)}: {counts['validation']:,} validation and "
        f"{counts['test']:,} test events, all NDCG is of it, and {reached:,} of {users:,} users "
        f"({reached / users:.1%}) reached it.{hidden if leads else ''}"
    )


def _listed(value: object) -> str:
    """Set a value for a table; of a long list its beginning."""
    if not isinstance(value, list | tuple):
        return f"“{value}”" if isinstance(value, str) and value != value.strip() else str(value)
    more = f" and {len(value) - LISTED} more" if len(value) > LISTED else ""
    return ", ".join(map(str, value[:LISTED])) + more


def language_advice(store: EventStore, encoder: object) -> str:
    """Say whether a text encoder, as recipes name it, reads the titles; see ``hub.advice``."""
    return advice(store.meta.get("languages", {}), wording(store.catalog), encoder)


def data_lines(meta: Mapping[str, Any]) -> str:
    """Set the same in lines for a terminal."""
    counts = meta["counts"]
    reasons = in_words(counts, LEFT_OUT, meta.get("left_out"))
    left_out = "; ".join(f"{count:,} {words}" for count, words in reasons) or "nothing"
    with_text = counts.get("items_with_own_text", 0)
    goal, used = _goal(meta), meta.get("used", {})
    if goal:
        goal += " Used are " + ", ".join(f"{kind} {n:,}" for kind, n in used.items() if n) + "."
    texts = f"texts: the table's own for {with_text:,} items, the domain's words for the rest\n"
    return (
        f"data: {counts['events']:,} of {counts['events_read']:,} events read are used: "
        f"{counts['users']:,} users, {counts['items']:,} items\n"
        f"left out: {left_out}\n"
        + "".join(f"ties: {count:,} {words}\n" for count, words in in_words(counts, TIES))
        + (texts if with_text else "")
        + (f"{goal}\n" if goal else "")
    )


def write_metrics(folder: Path, metrics: Mapping[str, float | str]) -> None:
    """Write ``metrics.json``, flat and sorted."""
    text = json.dumps(dict(metrics), indent=2, sort_keys=True, allow_nan=False)
    (folder / "metrics.json").write_text(f"{text}\n")


def page_of(
    run: Run,
    sections: Sequence[Section],
    opening: Sequence[tuple[str, str]],
    headline: Sequence[Chart] = (),
    stages: Sequence[str] = (),
) -> str:
    """Lay out a page about a run: opening, picture, sections, and the stages' settings.

    :param opening: questions, perhaps empty, and what answers them.
    """
    settings = {}
    for stage in stages:
        chosen = {key: run.stamp(stage)[key] for key in ("recipe", "overrides")}
        settings[stage] = yaml.safe_dump(chosen, sort_keys=False)
    counts = run.data.meta["counts"]
    return _template("report").render(
        name=run.name,
        version=lightrec.__version__,
        seed=run.stamp("ranker")["seed"],
        counts=", ".join(f"{counts[key]:,} {key}" for key in ("users", "items", "events")),
        disclaimer=run.domain.disclaimer,
        opening=opening,
        headline=headline,
        sections=sections,
        settings=settings,
    )


def part(section: Section | None) -> str:
    """Set one section as HTML, for a notebook; empty for None."""
    return _template("section").render(section=section) if section else ""


def _template(name: str) -> Template:
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    environment.filters["prose"] = prose
    environment.globals |= {"svg": charts.svg, "worded": worded}
    return environment.get_template(f"{name}.html.j2")


def prose(text: str) -> Markup:
    """Escape a sentence, and set what stands between backticks as code."""
    safe = str(escape(str(text)))  # joining pieces of Markup would escape the marks, too
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", safe))


def worded(table: Table) -> set[int]:
    """The columns of words, which are set to the left, not those of numbers."""
    columns = enumerate(zip(*table.rows, strict=True))
    return {n for n, cells in columns if n and any(PROSE.search(cell) for cell in cells)}
