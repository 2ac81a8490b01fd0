"""Every shipped recipe runs: one batch of each training, over a tiny log."""

from pathlib import Path

import pytest
import yaml

from lightrec import plugins
from lightrec.policies.base import Policy
from lightrec.run import Run
from lightrec.simulators.worlds.far_log import FarLog
from lightrec.stages import recipes
from lightrec.stages import run as pipeline
from lightrec.stages.run import run
from lightrec.stages.stage import INPUTS, Stage
from lightrec.stages.train import train

SMALL = {"policy": ["--model.init_args.sessions=32", "--model.init_args.steps=2"]}
"""The policy's batch is made of sessions played; so few of them take no time."""
ROOT = Path(__file__).parents[2]
SETS = plugins.discover().parts[plugins.RECIPES]
RUNS = [name for name, part in SETS.items() if (Path(part.path) / "data.yaml").is_file()]
"""Sets that make a whole run; the others' recipes stand by themselves."""
SINGLE = [
    f"{name}/{path.stem}"
    for name, part in SETS.items()
    if name not in RUNS
    for path in sorted(Path(part.path).glob("*.yaml"))
]


def test_no_recipe_in_the_repository_is_left_out():
    roots = [ROOT / "recipes", *ROOT.glob("plugins/*/*/recipes")]
    found = {path.parent for root in roots for path in root.rglob("*.yaml")}
    assert found == {Path(part.path).resolve() for part in SETS.values()}
    for name in RUNS:
        assert {path.stem for path in Path(SETS[name].path).glob("*.yaml")} == set(INPUTS)


@pytest.mark.parametrize("name", SINGLE)
def test_every_recipe_that_stands_by_itself_runs(name, tmp_path):
    out = tmp_path / "run" / "policy"
    few = ["--trainer.fast_dev_run=1", "--model.init_args.sessions=4", "--data.init_args.judging=4"]
    train(Stage("policy", recipes.find(name), out, few))
    assert Run(out.parent).stamp(out.name)["seed"] == 0
    assert Policy.load(out).num_items > 0


@pytest.mark.parametrize("name", RUNS)
def test_every_recipe_runs(name, lightrec_tiny_files, tmp_path):
    log, items = lightrec_tiny_files
    rated = tmp_path / "log.csv"
    head, *rows = log.read_text().splitlines()
    rated.write_text("\n".join([f"{head},rating", *(f"{row},5" for row in rows)]) + "\n")
    out = run(
        name,
        out=tmp_path / "run",
        log=rated,
        items=items,
        fast_dev_run=True,
        until="assumptions",
        overrides=SMALL,
    )
    for stage in INPUTS:
        recipe = yaml.safe_load((Path(SETS[name].path) / f"{stage}.yaml").read_text())
        assert Run(out).stamp(stage)["recipe"] == recipe
    assert (out / "report.html").is_file()


def test_the_world_far_runs_too(tmp_path, monkeypatch):
    held_out = FarLog.held_out
    monkeypatch.setattr(FarLog, "held_out", lambda self, _, **k: held_out(self, 50, **k))
    out = run(
        "generic",
        out=tmp_path / "run",
        offline=True,
        fast_dev_run=True,
        until="policy",
        overrides={"data": ["--sessions", "60"], **SMALL},
    )
    assert Run(out).stamp("policy")
    assert pipeline.FAST_DEV_RUN.keys() <= INPUTS.keys()
