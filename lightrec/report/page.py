"""The report: a self-contained page, a picture and a summary for the terminal.

Everything is made from the flat metrics, the prepared log's counts and the stages' settings.
"""

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader

import lightrec
from lightrec.evaluation.evidence import BY, REASON, favoured
from lightrec.evaluation.sections import Section, Table, number, signed
from lightrec.report import plots
from lightrec.report.cold import cold_items
from lightrec.report.data import data_lines, data_section
from lightrec.report.held_out import (
    against_item_models,
    beyond_the_mean,
    rankers,
    validation_lines,
)
from lightrec.report.predictions import prediction_lines
from lightrec.report.reward import learned_reward
from lightrec.report.sessions import (
    contenders,
    paired,
    session_lines,
    sessions,
)
from lightrec.report.users import returns_left_out, statistics, user_parts
from lightrec.run import Run

Metrics = Mapping[str, float]

ASSUMED = Section(
    "What the assumptions do",
    "A log without impressions says nothing of how far people look ahead, how often they choose "
    "nothing and how often they leave. To see what the result owes to what was assumed, give the "
    "command that made this run once more with `--until assumptions`: it halves and doubles each "
    "assumption and leaves assumptions/report.html.",
)
WIDTH = 100
"""Characters of a line in a terminal."""
CURVES = {
    ("ranker", "validation/ndcg@10"): "ranker: validation NDCG@10",
    ("users_a", "validation/log_likelihood"): "user model A: validation log-likelihood",
    ("users_b", "validation/log_likelihood"): "user model B: validation log-likelihood",
    ("policy", "validation/return"): "policy: return in user model A",
}


def ranking(metrics: Metrics) -> Section | None:
    """Tell how well the held-out events are ranked; None where the recipe does not rank them."""
    if "test/events" not in metrics:
        return None
    columns = [f"{m}@{k}" for m in ("ndcg", "recall", "mrr") for k in (5, 10, 20)]
    shown = rankers(metrics)
    rows = [
        [title, *(number(metrics.get(f"test/{name}/{c}")) for c in columns)]
        for name, title in shown.items()
    ]
    drawn, axes = plots.figure(6, 0.4 * len(rows) + 0.9)
    values = {title: metrics[f"test/{name}/ndcg@10"] for name, title in shown.items()}
    plots.bars(axes[0], values, "blend", "test NDCG@10")
    text = (
        f"{int(metrics['test/events'])} held-out events; all items are ranked, those already seen "
        "left out, equal scores counted at the mean of their ranks."
    )
    if forbidden := int(metrics.get("test/ineligible_events", 0)):
        text += (
            f" {forbidden} of the events are about an item that the domain forbids its user: "
            "nobody ranks it, and all miss it."
        )
    return Section(
        "The next event, on the held-out log",
        text,
        [
            Table(
                [
                    "",
                    *(
                        c.replace("ndcg", "NDCG").replace("recall", "Recall").replace("mrr", "MRR")
                        for c in columns
                    ),
                ],
                rows,
                "blend",
            )
        ],
        plots.svg(drawn),
    )


def likelihood(metrics: Metrics) -> Section:
    """Tell how well the user models foresee held-out choices."""
    rows = [
        [
            f"user model {m.upper()}",
            number(metrics.get(f"choice/{m}/log_likelihood")),
            number(metrics.get(f"choice/{m}/popularity")),
            number(metrics.get(f"choice/{m}/calibration_error"), 4),
            number(metrics.get(f"choice/{m}/temperature"), 2),
        ]
        for m in ("a", "b")
    ]
    return Section(
        "The user models",
        "Mean log-likelihood of a held-out choice among its candidates, in nats (higher is "
        "better), beside a model that knows popularity only, fitted in the same way; the expected "
        "calibration error of the probabilities of all alternatives; and the temperature by which "
        "validation choices calibrated them.",
        [
            Table(["", "log-likelihood", "popularity", "calibration error", "temperature"], rows),
            *user_parts(metrics),
        ],
        note=returns_left_out(metrics),
    )


def truth(metrics: Metrics) -> Section | None:
    """Tell, in a world whose truth is known, how much of it was recovered."""
    names = {
        "learned": "learned reward",
        "logit": "conditional logit (γ = 0)",
        "popularity": "popularity",
    }
    if "truth/learned/spearman" not in metrics:
        return None
    rows = [[title, number(metrics.get(f"truth/{n}/spearman"))] for n, title in names.items()]
    return Section(
        "The truth, known in this world",
        "Mean within-set Spearman correlation of each score with the true reward, over the "
        "candidates of fresh sessions that no stage has seen.",
        [Table(["", "Spearman"], rows, "learned reward")],
    )


def read_curves(run: Path) -> dict[str, plots.Curve]:
    """Read the learning curves from TensorBoard's files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    lines: dict[str, plots.Curve] = {}
    for (stage, tag), title in CURVES.items():
        events = EventAccumulator(str(run / "logs" / stage))
        if not (run / "logs" / stage).is_dir():
            continue
        events.Reload()
        if tag in events.Tags()["scalars"]:
            # A resumed run may have written an epoch twice; the last writing counts.
            by_step = {e.step: e.value for e in events.Scalars(tag)}
            values = [by_step[step] for step in sorted(by_step)]
            lines[title] = (list(range(1, len(values) + 1)), values)
    return lines


def verdict(metrics: Metrics) -> list[str]:
    """Say in whole sentences what came out, the unwelcome included."""
    sentences = []
    if "test/events" in metrics:
        own, popularity = metrics["test/ndcg@10"], metrics["test/popularity/ndcg@10"]
        sentences.append(
            f"The blend ranks the next event with NDCG@10 {own:.3f}; popularity has "
            f"{popularity:.3f}."
        )
        if own <= popularity:
            sentences.append("The blend does not beat popularity on this log.")
        sentences += against_item_models(metrics)
    for title, (mean, low, high) in paired(metrics).items():
        outcome = "more" if low > 0 else "fewer" if high < 0 else "no clearly different number of"
        sentences.append(
            f"In user model B the policy's sessions hold {outcome} accepted items than those of "
            f"{title}: {signed(mean, low, high)}."
        )
    return [*sentences, recommending(metrics)]


def recommending(metrics: Metrics) -> str:
    """Say what `lightrec recommend` ranks by, and why."""
    chosen = favoured(metrics)
    by = "the policy" if chosen.by == "policy" else "the blend (--by blend)"
    return f"`lightrec recommend` ranks by {by}. {chosen.reason}"


def summary(metrics: Metrics) -> str:
    """Set the headline numbers for a terminal, a table for each thing that the recipe computes."""
    tables = [
        validation_lines(metrics) if "test/events" not in metrics else [],
        ranking_lines(metrics),
        prediction_lines(metrics),
        session_lines(metrics),
        truth_lines(metrics),
        textwrap.wrap(recommending(metrics), WIDTH) if contenders(metrics) else [],
    ]
    return "\n".join("\n".join(table) + "\n" for table in tables if table)


def ranking_lines(metrics: Metrics) -> list[str]:
    """Set how well the held-out events are ranked; nothing where the recipe does not rank them."""
    ranked = rankers(metrics)
    if not ranked:
        return []
    lines = [f"{'held-out log':<22}{'NDCG@10':>9}{'Recall@10':>11}{'MRR@10':>9}"]
    for name, title in ranked.items():
        ndcg, recall, mrr = (metrics[f"test/{name}/{m}@10"] for m in ("ndcg", "recall", "mrr"))
        lines.append(f"{title:<24}{ndcg:>7.3f}{recall:>11.3f}{mrr:>9.3f}")
    return lines


def truth_lines(metrics: Metrics) -> list[str]:
    """Set how much of a known truth was recovered; nothing in a log of people."""
    if "truth/learned/spearman" not in metrics:
        return []
    names = ("learned", "logit", "popularity")
    found = (f"{n} {metrics[f'truth/{n}/spearman']:.3f}" for n in names)
    return ["within-set Spearman with the true reward: " + ", ".join(found)]


def headline(metrics: Metrics) -> plots.Figure | None:
    """Draw the picture of the whole result; None where the recipe computes nothing of it."""
    ranked = {t: metrics[f"test/{n}/ndcg@10"] for n, t in rankers(metrics).items()}
    played = {t: metrics[f"simulator/{n}/accepted"] for n, t in contenders(metrics).items()}
    panels = [
        (ranked, "blend", "test NDCG@10, held-out log"),
        (played, "policy", "accepted items a session, user model B"),
    ]
    shown = [panel for panel in panels if panel[0]]
    if not shown:
        return None
    height = max(2.6, 0.24 * len(ranked) + 0.8)
    drawn, axes = plots.figure(4.5 * len(shown), height, len(shown))
    for axis, panel in zip(axes, shown, strict=True):
        plots.bars(axis, *panel)
    return drawn


def write(run: Path, folder: Path, metrics: Metrics, stages: Sequence[str]) -> None:
    """Write ``report.html``, ``report.png``, ``summary.txt`` and ``metrics.json`` into a folder.

    What the recipe does not compute is left out; ``report.png``, too, where nothing is left of it.

    :param run: the run folder.
    :param stages: the stages whose settings are quoted.
    """
    chosen = favoured(metrics)
    write_metrics(folder, {**metrics, BY: chosen.by, REASON: chosen.reason})
    meta = json.loads((run / "data" / "meta.json").read_text())
    (folder / "summary.txt").write_text(data_lines(meta) + "\n" + summary(metrics))
    picture = headline(metrics)
    if picture is not None:
        picture.savefig(folder / "report.png", dpi=110, metadata={"Software": None})
    sections = [
        ranking(metrics),
        beyond_the_mean(metrics, rankers(metrics)),
        cold_items(metrics),
        sessions(metrics),
        truth(metrics),
        likelihood(metrics),
        learned_reward(run, metrics),
        statistics(metrics),
        ASSUMED,
    ]
    lines = read_curves(run)
    if lines:
        sections.append(
            Section(
                "Learning curves",
                "By epoch; `tensorboard --logdir` shows more.",
                figure=plots.svg(plots.curves(lines, {})),
            )
        )
    sections.append(data_section(meta))
    shown = "" if picture is None else plots.svg(picture)
    write_page(run, folder, stages, [s for s in sections if s], verdict(metrics), shown)


def write_metrics(folder: Path, metrics: Mapping[str, float | str]) -> None:
    """Write ``metrics.json``, flat and sorted."""
    (folder / "metrics.json").write_text(
        json.dumps(dict(sorted(metrics.items())), indent=2, allow_nan=False) + "\n"
    )


def write_page(
    run: Path,
    folder: Path,
    stages: Sequence[str],
    sections: Sequence[Section],
    verdict: Sequence[str],
    figure: str,
) -> None:
    """Write ``report.html`` into a folder.

    :param run: the run folder.
    :param stages: the stages whose settings are quoted.
    :param verdict: sentences that stand first.
    :param figure: SVG that stands below them.
    """
    meta = json.loads((run / "data" / "meta.json").read_text())
    stamps = {s: Run(run).stamp(s) for s in stages}
    settings = {
        s: yaml.safe_dump(
            {"recipe": stamp["recipe"], "overrides": stamp["overrides"]}, sort_keys=False
        )
        for s, stamp in stamps.items()
    }
    counts = ", ".join(
        f"{value:,} {key}"
        for key, value in meta["counts"].items()
        if key in ("users", "items", "events")
    )
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    page = environment.get_template("report.html.j2").render(
        name=run.name,
        version=lightrec.__version__,
        seed=stamps["ranker"]["seed"],
        counts=counts,
        verdict=verdict,
        headline_figure=figure,
        sections=sections,
        settings=settings,
    )
    (folder / "report.html").write_text(page, encoding="utf-8")
