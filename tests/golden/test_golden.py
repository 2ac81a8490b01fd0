"""What a user can name stays: commands, options, settings, metrics, and what runs hold."""

import json
import os

import pytest

from tests.golden import record


@pytest.mark.parametrize("made", [record.commands, record.recipes], ids=lambda made: made.__name__)
def test_what_a_user_names_is_still_there(made):
    compare(made.__name__, made())


def test_a_run_holds_what_it_held(tiny_run):
    found = record.run(tiny_run)
    if os.environ.get("LIGHTREC_RECORD"):  # a run is made by a fixture
        text = json.dumps(found, indent=1, ensure_ascii=False)
        (record.HERE / "run.json").write_text(text + "\n", encoding="utf-8")
    compare("run", found)


def compare(name: str, found: dict[str, list[str]]) -> None:
    kept = json.loads((record.HERE / f"{name}.json").read_text(encoding="utf-8"))
    gone = {key: sorted({*names} - {*found.get(key, ())}) for key, names in kept.items()}
    assert {key: names for key, names in gone.items() if names or key not in found} == {}, (
        "These are gone. If that is meant, say so in the changelog, and run "
        "`python -m tests.golden.record` and, for runs, this test with LIGHTREC_RECORD=1."
    )
