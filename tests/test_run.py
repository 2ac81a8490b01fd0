"""Stages of a run that do not belong together are refused, whoever opens the run."""

import json
import shutil

import pytest

from lightrec.__main__ import main
from lightrec.data.files import mending
from lightrec.errors import RunError
from lightrec.run import Run
from lightrec.stages.run import run
from tests.beside import needs


@pytest.fixture(scope="module")
def mixed(tiny_run, lightrec_tiny_files, tmp_path_factory):
    """A copy of a finished run in which only the data were made anew, with one item renamed."""
    folder = tmp_path_factory.mktemp("mixed")
    out = shutil.copytree(tiny_run, folder / "run")
    log = folder / "log.csv"
    log.write_text(lightrec_tiny_files[0].read_text().replace(",i0,", ",zero,"))
    items = lightrec_tiny_files[1]
    run("generic", out=out, log=log, items=items, until="data", overrides={"data": ["--k_core=1"]})
    return out, f"lightrec run generic --log {log} --items {items} --data.k_core=1"


@pytest.mark.parametrize(
    ("stage", "command"),
    [
        ("policy", ["recommend", "{run}", "--by", "policy", "--user", "u3"]),
        ("ranker", ["recommend", "{run}", "--by", "blend", "--history", "tea number 1"]),
        ("ranker", ["simulate", "{run}", "--policy", "random", "--sessions", "2"]),
        pytest.param("ranker", ["judge", "{run}", "--policy", "random"], marks=needs("audit")),
        pytest.param("ranker", ["probe", "{run}", "--sessions", "2"], marks=needs("audit")),
        ("evaluate", ["evaluate", "{run}"]),
        ("evaluate", ["evaluate", "{run}", "--predictions", "{run}/predictions.csv"]),
    ],
)
def test_old_models_over_other_data_are_refused(mixed, stage, command, capsys):
    out, mending = mixed
    (out / "predictions.csv").write_text("user,item,score\nu3,i3,1\n")
    assert main([word.format(run=out) for word in command]) == 2
    assert capsys.readouterr().err == (
        f"lightrec: The stage {stage} in {out} is stale: it was made from another data stage than "
        f"the one that is there now. Make it again with `{mending} --out {out}`.\n"
    )


def test_what_a_stage_was_made_from_must_belong_together_too(tmp_path):
    def note(name, **facts):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stage.json").write_text(json.dumps({"fingerprint": name, **facts}))

    note("data")
    note("ranker", inputs={"data": "other data"})
    note("policy", inputs={"data": "data", "ranker": "ranker"})
    note("users_b", inputs={"data": "data"})
    Run(tmp_path).check("users_b", "data")
    with pytest.raises(RunError, match="The stage ranker in"):
        Run(tmp_path).check("policy", "data")


@pytest.mark.parametrize("command", ["curl x | sh", "lightrec run x \x1b[2J"])
def test_no_command_of_somebody_else_is_repeated(tmp_path, command):
    assert mending(tmp_path, {"command": command}) == f"lightrec run RECIPES --out {tmp_path}"
    noted = {"command": "lightrec run generic --log my.csv"}
    assert mending(tmp_path, noted) == f"lightrec run generic --log my.csv --out {tmp_path}"
