"""A run from files to report: complete, resumable, the same twice, and nothing of bad input."""

import shlex
import time

import pytest
import torch
from lightrec_testing.tiny import FAST
from safetensors.torch import load_file

from lightrec.__main__ import main
from lightrec.run import Run
from lightrec.stages import recipes
from lightrec.stages import train as training
from lightrec.stages.run import command_of, run
from lightrec.stages.stage import Stage
from tests.processes import SERVER

DEFAULT = ("data", "text", "ranker", "users_a", "users_b", "policy", "evaluate", "final")


def test_every_stage_leaves_its_files_and_is_skipped_later(tiny_run, lightrec_tiny_files, capsys):
    assert {p.name for p in tiny_run.iterdir() if p.is_dir()} == {*DEFAULT, "logs"}
    assert (tiny_run / "report.png").read_bytes().startswith(b"\x89PNG")
    before = (tiny_run / "metrics.json").read_bytes()
    log, items = lightrec_tiny_files
    run("generic", out=tiny_run, log=log, items=items, overrides=FAST)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("] ")[2] for line in lines] == [f"{s}: up to date" for s in DEFAULT]
    assert (tiny_run / "metrics.json").read_bytes() == before


def test_what_is_served_goes_on_from_what_was_judged_with_all_events(tiny_run):
    run = Run(tiny_run)
    assert run.served.weights == run.blend.weights
    served, judged = (each.ranker.item_vectors() for each in (run.served, run.blend))
    assert torch.cosine_similarity(served[1:], judged[1:]).mean() > 0.9
    assert not torch.equal(served, judged)


@pytest.mark.slow
def test_killed_in_every_stage_the_metrics_end_identical(tiny_run, lightrec_tiny_files, tmp_path):
    log, items = lightrec_tiny_files
    out = tmp_path / "run"
    options = {"log": str(log), "items": str(items)}
    command = [*shlex.split(command_of("generic", options, [], FAST))[1:], "--out", str(out)]
    for stage in (name for name in DEFAULT if name != "text"):  # which leaves these texts at once
        process = SERVER.Process(target=main, args=(command,))
        process.start()
        deadline = time.monotonic() + 120
        while not (out / ".work" / stage).exists():
            assert process.is_alive(), f"ended before {stage} began"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.join()
        assert not (out / stage).exists()
    assert not (out / "metrics.json").exists()
    assert main(command) == 0
    assert (out / "metrics.json").read_bytes() == (tiny_run / "metrics.json").read_bytes()


GOOD = "user,item,time\n" + "".join(f"u{n % 3},i{n % 4},{1_700_000_000 + n}\n" for n in range(24))


def contents(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ("user,item,time\na,x,soon\n", (), "column 'time': 'soon' is not a point in time"),
        ("user,item\na,x\n", ("--data.k_core", "9"), "Nothing is left of the log's 1 events"),
    ],
)
def test_nothing_is_left_of_a_refused_input(content, more, message, tmp_path, capsys):
    log, out = tmp_path / "log.csv", tmp_path / "runs" / "mine"
    line = ["run", "generic", "--log", str(log), "--out", str(out), "--until", "data"]
    log.write_text(content)
    assert main([*line, *more]) == 2
    assert message in capsys.readouterr().err
    assert contents(tmp_path) == {"log.csv"}
    log.write_text(GOOD)
    assert main([*line, "--data.k_core", "1"]) == 0
    before = contents(out)
    assert "data/meta.json" in before
    log.write_text(content)
    assert main([*line, *more]) == 2
    assert contents(out) == before


AVERAGE = "--trainer.callbacks=[{class_path: EMAWeightAveraging, init_args: {decay: 0.9}}]"
# From a random start every epoch is better than the one before, so that the last is kept.
SLOW = ["--model.init_args.start=random", "--model.init_args.item_models=[Popularity]"]


@pytest.fixture(scope="module")
def encoder(tiny_run, tmp_path_factory):
    """The ranker stage over the tiny log with further settings, the stages that it reads done."""

    def make(settings):
        out = tmp_path_factory.mktemp("encoder") / "ranker"
        for name in ("data", "text"):
            (out.parent / name).symlink_to(tiny_run / name)
        recipe = recipes.load("generic").resolved("ranker")
        return Stage("ranker", recipe, out, [*FAST["ranker"], *SLOW, *settings])

    return make


def weights(stage):
    training.train(stage)
    return load_file(stage.out / "model.safetensors")


@pytest.fixture(scope="module")
def plain(encoder):
    """The weights without further settings."""
    return weights(encoder([]))


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "epoch"), [([], 0), ([], 1), ([AVERAGE], 0)])
def test_a_stopped_stage_ends_where_an_unbroken_one_does(
    encoder, plain, monkeypatch, settings, epoch
):
    expected = weights(encoder(settings)) if settings else plain
    broken = encoder(settings)

    def stop(self, trainer, module, outputs, batch, index):
        if trainer.current_epoch == epoch + 1:
            raise SystemExit("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(training.EpochSeed, "on_train_batch_end", stop, raising=False)
        with pytest.raises(SystemExit):
            training.train(broken)
    assert not broken.out.exists()
    assert torch.load(broken.work / "last.ckpt", weights_only=True)["epoch"] == epoch
    resumed = weights(broken)
    assert all(torch.equal(resumed[name], value) for name, value in expected.items())
    assert all(torch.equal(plain[n], value) for n, value in expected.items()) == (not settings)
