"""A cell of `make bench NAME=headlines`: a map and layers are tuned on Upworthy's headline tests.

``python -m benchmarks.headlines_run SEED OUT FILE``. The weeks in which arms were probably not
drawn at random are left out, as the archive's authors advise.
"""

import json
import sys
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from lightrec.encoders.trials import TrialModule, Trials
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
    (out / "metrics.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(Path, sys.argv[2:]))
