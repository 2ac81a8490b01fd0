"""The command line answers quickly and in whole sentences, and the doctor tells no secret."""

import json
from importlib import metadata

import pytest

from lightrec.__main__ import main
from lightrec.cli import doctor
from tests.processes import alone

SLOW = (
    *("pyarrow", "lightning", "torchrl", "tensordict", "transformers", "torchmetrics"),
    *("jsonargparse", "huggingface_hub", "matplotlib"),
    *(f"scipy.{module}" for module in ("linalg", "sparse", "special")),
)
HEAVY = ("torch", "lightning", "transformers", "torchrl", "polars")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["plugins", "list"]])
def test_light_commands_import_nothing_heavy(arguments):
    alone(
        "import sys; from lightrec.__main__ import main; "
        f"status = main({arguments!r}); "
        f"heavy = [m for m in {HEAVY!r} if m in sys.modules]; "
        "sys.exit(f'imported {heavy}' if heavy or status else 0)"
    )


def test_answers_import_no_more_than_torch_and_polars_need(tiny_run, tmp_path):
    (tmp_path / "mine.csv").write_text("user,item,score\nu3,i0,1\n")
    alone(f"""
import sys
from lightrec.__main__ import main
for words in (
    ["recommend", {str(tiny_run)!r}, "--user", "u3", "--by", "blend"],
    ["recommend", {str(tiny_run)!r}, "--user", "u3", "--by", "policy"],
    ["evaluate", {str(tiny_run)!r}, "--predictions", {str(tmp_path / "mine.csv")!r}],
):
    assert main(words) == 0, words
    named = {SLOW!r} if words[0] == "recommend" else {SLOW[1:]!r}
    assert not (found := [name for name in named if name in sys.modules]), (words, found)
""")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "no command 'rnu'"),
        (["run", "no-such-domain"], "no set of recipes and no domain 'no-such-domain'"),
        (["run", "generic", "--log", "no-such.csv"], "no-such.csv: The file does not exist."),
        (["run", "generic", "stray"], "what to do with the argument 'stray'"),
        (["run", "generic", "--colour", "red"], "no option --colour"),
        (["run", "generic", "--offline", "--encodr.seed", "1"], "no option --encodr.seed"),
        (["fit"], "needs a recipe"),
        (["fit", "-c", "generic/no-such"], "no recipe 'generic/no-such'"),
        (["recommend", "no-such-run", "--user", "1"], "holds no finished ranker stage"),
        (["recommend", "no-such-run", "--all"], "name it with --out"),
    ],
)
def test_mistakes_end_with_a_sentence_and_status_2(
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_numbers_beyond_64_bits_are_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["recommend", "runs/none", "--user", "1", "-k", "1" + "0" * 30])
    assert "10000000000000000000… is too large a number" in capsys.readouterr().err


def test_what_is_wrong_is_marked_and_no_secret_is_told(capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_TOKEN", "secret-of-mine")
    versions = metadata.version
    monkeypatch.setattr(
        doctor.metadata, "version", lambda name: "0.9" if name == "pluggy" else versions(name)
    )
    assert main(["doctor", "--json"]) == 2
    printed = capsys.readouterr().out
    assert "secret-of-mine" not in printed
    (bad,) = [f for f in json.loads(printed) if f["name"] == "pluggy"]
    assert bad["value"] == "0.9"
    assert "pip install 'pluggy" in bad["mend"]
