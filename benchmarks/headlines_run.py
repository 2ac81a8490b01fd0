"""A cell of `make bench NAME=headlines`: a map and layers are tuned on Upworthy's headline tests.

``python -m benchmarks.headlines_run SEED OUT FILE``. The weeks in which arms were probably not
drawn at random are left out, as the archive's authors advise.
"""

import json
import sys
from pathlib import Path

import polars as pl
import torch
from lightrec_news.trials import TrialModule, Trials
from torch import Tensor

from lightrec.evaluation.base import keys_of
from lightrec.intervals import bootstrap_interval
from lightrec.stages import recipes
from lightrec.stages.stage import Stage
from lightrec.stages.train import fit

BROKEN = (201325, 201402)
COLUMNS = {
    "trial": "clickability_test_id",
    "text": "headline",
    "shown": "impressions",
    "clicked": "clicks",
}
LEAST = {"all": 0.0, "clear": 1.645, "clearer": 1.96}
RULES = {
    "longest": len,
    "shortest": lambda text: -len(text),
    "question": lambda text: "?" in text,
    "number": lambda text: any(sign.isdigit() for sign in text),
    "quotation": lambda text: any(sign in "'\"“‘" for sign in text),
}
"""Fixed rules: each shows the headline of a test that has most of something."""


def tuned(out: Path, table: Path, seed: int, how: str) -> TrialModule:
    """Train by the recipe; gives the module with the best epoch's weights."""
    settings = [f"--data.init_args.path={table}", f"--model.init_args.tune={how}"]
    stage = Stage(
        "text",
        recipes.find("trials/text")[1],
        out / how / "text",
        [*settings, f"--seed_everything={seed}", "--trainer.accelerator=cpu"],
    )
    module = fit(stage).model
    state = torch.load(stage.work / "best.ckpt", map_location="cpu", weights_only=True)
    module.load_state_dict(state["state_dict"])
    return module.eval()


def replayed(trials: Trials, scores: Tensor | None) -> Tensor:
    """Replay a policy that shows each trial's best headline: what is clicked, (T,).

    Each visitor saw a headline drawn for them, so that the click rate of the one chosen is what
    the policy would have had; trials count by their visitors, and the mean of what is returned is
    the click rate of all. Headlines of equal score are drawn from evenly.

    :param scores: (T, A); None to draw from all.
    """
    there = trials.texts > 0
    scores = torch.zeros_like(trials.shown) if scores is None else scores
    best = scores.masked_fill(~there, -torch.inf)
    share = (best == best.amax(1, keepdim=True)).double()
    share /= share.sum(1, keepdim=True)
    rates = (trials.clicked / trials.shown.clamp(min=1)).double()
    visitors = trials.shown.sum(1).double()
    return (share * rates).sum(1) * visitors / visitors.mean()


def replay(
    parts: dict[str, Trials], texts: list[str], scores: dict[str, Tensor], seed: int
) -> dict:
    """Replay policies on test trials, beside chance and the rule that is best on the others."""
    marks = {n: torch.tensor([0.0, *(float(rule(t)) for t in texts)]) for n, rule in RULES.items()}
    known = parts["validation"], parts["train"]
    best = max(marks, key=lambda n: sum(replayed(p, marks[n][p.texts]).sum() for p in known))
    tested = parts["test"]
    clicked = {way: replayed(tested, own) for way, own in scores.items()}
    clicked |= {"rule": replayed(tested, marks[best][tested.texts])}
    clicked["chance"] = replayed(tested, None)
    metrics: dict[str, float | str] = {"replay/best rule": best}
    trials = torch.arange(len(tested.texts))
    for way, own in clicked.items():
        metrics |= keys_of(f"replay/{way}", bootstrap_interval(own, trials, seed=seed))
        for other in ("chance", "rule"):
            ahead = bootstrap_interval(own - clicked[other], trials, seed=seed)
            metrics |= keys_of(f"replay/{way}-minus-{other}", ahead)
    return metrics


@torch.no_grad()
def main(seed: int, out: Path, file: Path) -> None:
    """Tune, and write how the test's pairs are ordered."""
    out.mkdir(parents=True, exist_ok=True)
    tests = pl.read_parquet(file).filter(~pl.col("test_week").is_between(*BROKEN))
    tests.select(**COLUMNS).write_parquet(out / "trials.parquet")
    modules = {how: tuned(out, out / "trials.parquet", seed, how) for how in ("map", "layers")}
    data = modules["layers"].trainer.datamodule
    trials: Trials = data.parts["test"]

    def level(scores: Tensor) -> Tensor:
        return scores / scores[trials.texts > 0].std()

    lengths = torch.tensor([0.0, *(float(len(text)) for text in data.texts)])
    scores = {how: module.scores(trials.texts) for how, module in modules.items()}
    scores["length"] = lengths[trials.texts]
    scores["ridge"] = (data.vectors @ modules["layers"].frozen)[trials.texts]
    scores["mean"] = level(scores["ridge"]) + level(scores["layers"])
    metrics = {f"{name}/trials": len(own.texts) for name, own in data.parts.items()}
    for name, module in modules.items():
        metrics[f"validation/{name}"] = module.trainer.checkpoint_callbacks[
            0
        ].best_model_score.item()
    for pairs, least in LEAST.items():
        for way, own in scores.items():
            agreement = trials.agreement(own, least)
            metrics |= {f"{pairs}/pairs": len(agreement), f"{pairs}/{way}": agreement.mean().item()}
    metrics |= replay(data.parts, data.texts, scores, seed)
    (out / "metrics.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(Path, sys.argv[2:]))
