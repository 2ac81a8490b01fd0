"""Packages of version 1 of the API are refused where they must be, and work once they are mended.

`tests/stages/test_plugin_parts.py` makes whole runs of the mended `clinic`.
"""

import re
import sys
from importlib import import_module

import pytest
from lightrec_lab.towers import GRU
from lightrec_testing import plugin_checks

from lightrec import plugins
from lightrec.__main__ import main
from lightrec.errors import warn
from lightrec.simulators.rollout import ActingPolicy
from tests.frozen import MENDS, texts
from tests.installed import install

REFUSED = {
    "clinic": [
        r"Clinic of lightrec-clinic 1\.0 cannot be used: it was written for version 1 of "
        r"lightrec's API, and version 2 changed domains: Domain\.eligible\(users, items, time\) is "
        r"Domain\.eligible\(audience\).* state LIGHTREC_API = 2 .*migration\.md#version-2\)"
    ],
    "courses": [
        r"Syllabus of .* its method scores\(state\) overrides Policy\.scores"
        r"\(histories, users=None, \*, details=None\), and cannot be called",
        r"Courses of .* its method eligible\(users, items, time\) overrides Domain\.eligible"
        r"\(audience\), and cannot be called as that is\. .*migration\.md says",
    ],
}


def forget():
    for module in [m for m in sys.modules if m.startswith(("lightrec_clinic", "lightrec_courses"))]:
        del sys.modules[module]


@pytest.fixture
def frozen(tmp_path, monkeypatch):
    """Installs a package, as it is or mended."""
    forget()  # other tests have one of that name

    def installed(name, mends):
        install(tmp_path, name, **texts(name, mends))
        monkeypatch.syspath_prepend(tmp_path)
        plugins.installed.cache_clear()
        warn.cache_clear()

    yield installed
    plugins.installed.cache_clear()
    forget()


@pytest.mark.parametrize("name", REFUSED)
def test_one_of_version_1_is_refused_with_the_note(frozen, name, capsys):
    frozen(name, {})
    assert main(["plugins", "list"]) == 0
    assert not any(module.startswith(f"lightrec_{name}.p") for module in sys.modules)
    assert main(["plugins", "list", "--strict"]) == 2
    sentences = re.findall("unusable: (.*)", capsys.readouterr().out)
    assert len(sentences) == len(REFUSED[name])
    for sentence, expected in zip(sentences, REFUSED[name], strict=True):
        assert re.search(expected, sentence)


@pytest.mark.parametrize("name", [pytest.param("clinic", marks=pytest.mark.slow), "courses"])
def test_it_passes_its_checks_after_the_mends(frozen, name):
    frozen(name, MENDS)
    assert main(["plugins", "list", "--strict"]) == 0
    outcomes = {check.id: check.outcome() for check in plugin_checks(name)}
    assert {name: why for name, (status, why) in outcomes.items() if status == "failed"} == {}
    assert len(outcomes) > 25


def test_old_names_are_found_and_the_line_that_says_them_is_told(frozen, tmp_path, capsys):
    frozen("courses", MENDS)
    parts, file = import_module("lightrec_courses.parts"), tmp_path / "lightrec_courses/parts.py"
    said = capsys.readouterr().err
    lines = file.read_text().splitlines()
    for module, name, new in (
        ("lightrec.nn.towers", "GRU", "lightrec_lab.towers.GRU, of the package lightrec-lab"),
        ("lightrec.rewards.staying", "ShapedReward", "lightrec_rewards.staying.ShapedReward, of"),
        ("lightrec.users.irl.base", "RewardLearner", "lightrec.users.irl.RewardLearner, of the"),
    ):
        line = next(n for n, text in enumerate(lines, 1) if f"from {module} import" in text)
        place = f"Write the new name in {file}, line {line}."
        assert re.search(re.escape(f"{module}.{name} is now {new}") + ".*" + re.escape(place), said)
    assert parts.GRU is GRU
    assert parts.Contender is ActingPolicy
    assert parts.first_choice(parts.Syllabus(6)) == 1
    assert "Policy.scores(state) is now Policy.scores_in(state)." in capsys.readouterr().err
