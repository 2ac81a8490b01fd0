"""Each check of a plugin fails for one that is wrong in just that; the fixtures of everybody."""

import sys
from pathlib import Path

import pytest
import torch
from lightrec_testing import ContractError, check_all, plugin_checks, tiny
from lightrec_testing.plugins import check

from lightrec import plugins
from lightrec.errors import PluginError

RIGHT = """
from pathlib import Path
from typing import Any
from lightrec.hookspecs import gives

LIGHTREC_API = 2
lightrec_domains = gives({"chess": "parts_of_chess:Chess"})
lightrec_rewards = gives({"Patience": "parts_of_chess:Patience"})
lightrec_components = gives({"LastMoves": "parts_of_chess:LastMoves"})
lightrec_recipes = gives([Path(__file__).parent / "recipes"])
"""
PARTS = '''
from lightrec.data.domain import Domain
from lightrec.nn.towers import CausalTransformer
from lightrec.rewards.accepted import EngagementReward


class Chess(Domain):
    """Games of chess."""

    name = "chess"

    def text(self, items):
        return super().text(items.select("item"))


class LastMoves(CausalTransformer):
    """Moves weigh less the longer ago they were."""

    def forward(self, x, present):
        return super().forward(x, present)


class Patience(EngagementReward):
    """Counts what was accepted.

    :param weight: of an accepted item.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
'''

DATA = "# Games.\nfunction: lightrec.stages.data.prepare_log\nseed: 0\nk_core: 5\n"


@pytest.fixture
def chess(lightrec_plugins, monkeypatch):
    """Install the plugin, its hooks, parts and recipe changed by replacing text."""

    def install(old="", new=""):
        assert old in RIGHT + PARTS + DATA
        (lightrec_plugins.folder / "parts_of_chess.py").write_text(PARTS.replace(old, new))
        folder = lightrec_plugins.folder / "recipes" / "chess"
        folder.mkdir(parents=True)
        (folder / "data.yaml").write_text(DATA.replace(old, new))
        lightrec_plugins.add("chess", RIGHT.replace(old, new))
        return plugin_checks("chess")

    return install


def test_a_right_one_passes_with_the_contracts_of_its_parts(chess, failing):
    checks = chess()
    assert failing(checks) == set()
    assert {check.part for check in checks} == {"chess", "Patience", "LastMoves", "chess-recipes"}
    ids = {"chess-hook-module", "chess-output-as-declared", "Patience-taken-under-next"}
    assert {check.id for check in checks} > ids | {"LastMoves-future"}


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("lightrec_domains", "lightrec_domain", {"usable"}),
        ("LIGHTREC_API = 2", "", {"hook module"}),
        ('"chess": ', '"generic": ', {"usable"}),
        ("from typing import Any", "import polars", {"hook module"}),
        ("(EngagementReward)", "", {"imports"}),
        ("parts_of_chess:Patience", "parts_of_chess:Hurry", {"imports"}),
        ('"""Games of chess."""', "", {"described"}),
        ("weight: float", "weight", {"described"}),
        ("(x, present)", "(x, present.flip(0))", {"rows apart", "last only"}),
        ('name = "chess"', 'name = "draughts"', {"described"}),
        ("k_core: 5", "k_coer: 5", {"recipes"}),
    ],
)
def test_a_wrong_one_fails(chess, failing, old, new, names):
    assert failing(chess(old, new)) == names


def test_a_plugin_that_is_not_there(lightrec_plugins, failing):
    assert failing(plugin_checks("checkers")) == {"usable"}
    with pytest.raises(ContractError, match="none called 'checkers' among lightrec"):
        check_all(plugin_checks("checkers"))


def test_what_the_kit_cannot_build_is_left_to_its_package(chess):
    checks = chess("weight: float = 1.0", "clock: str")
    (contract,) = (check for check in checks if check.id == "Patience-contract")
    why = "It needs clock; run RewardChecks(make) in the package's own tests, where `make` builds "
    assert contract.outcome() == ("not checked", f"{why}Patience.")


def test_a_kind_without_checks_says_so(chess):
    checks = chess("class LastMoves(CausalTransformer)", "class LastMoves")
    (contract,) = (check for check in checks if check.id == "LastMoves-contract")
    assert contract.outcome()[0] == "not checked"


def test_what_cannot_be_imported_comes_first_once_and_recipes_last(chess):
    checks = chess("from lightrec.data.domain", "import no_chess\nfrom lightrec.data.domain")
    said = [(check.name, *check.outcome()) for check in checks]
    assert [name for name, *_ in said] == ["usable", "imports", "hook module", "recipes"]
    assert [status for _, status, _ in said] == ["passed", "failed", "passed", "passed"]
    assert said[1][2].count("No module named 'no_chess'") == 3
    assert "The same error stops 2 more" in said[1][2]


def test_recipes_that_name_what_cannot_be_imported_are_not_checked(chess):
    chess("parts_of_chess:Patience", "parts_of_chess:Hurry")
    folder = Path(plugins.installed().parts["recipes"]["chess"].path)
    (folder / "policy.yaml").write_text("model: {class_path: PolicyModule, reward: Patience}\n")
    why = "They name Patience, which cannot be imported, as said above."
    assert plugin_checks("chess")[-1].outcome() == ("not checked", why)


def test_the_command_counts_what_was_checked(chess, capsys):
    chess()
    assert check("chess", part="Patience") == 0
    said, progress = capsys.readouterr()
    assert progress.startswith("Patience took ")
    assert "described" not in said
    assert said.endswith("10 passed, 0 failed, 1 not applicable, 0 not checked\n")


def test_the_command_ends_with_2_where_something_failed(chess, capsys):
    chess("weight: float = 1.0", "clock")
    assert check("chess", part="Patience") == 2
    said = capsys.readouterr().out
    assert said.count("FAILED") == 1
    assert "0 passed, 1 failed, 0 not applicable, 1 not checked\n" in said


def test_one_part_alone(chess):
    chess()
    assert {check.part for check in plugin_checks("chess", "LastMoves")} == {"LastMoves"}
    assert {check.part for check in plugin_checks("chess", "recipes chess")} == {"chess-recipes"}
    assert {check.part for check in plugin_checks("chess", "domains chess")} == {"chess"}
    with pytest.raises(PluginError, match=r"'Rook'.* Patience, domains chess, recipes chess\."):
        plugin_checks("chess", "Rook")


DOMAIN = 'lightrec_domains = hookimpl(lambda: {"chess": "lightrec.data.domain:Domain"})'


def test_models_are_the_same_each_time_and_leave_chance_alone():
    torch.manual_seed(3)
    first, second = (tiny.tiny_user_model().state_dict() for _ in range(2))
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.rand(1) == after
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert tiny.tiny_starts().num_users == 4


def test_plugins_of_one_test(lightrec_plugins):
    assert set(plugins.installed().parts["domains"]) == {"generic"}
    lightrec_plugins.add("mine", DOMAIN)
    assert plugins.installed().parts["domains"]["chess"].path == "lightrec.data.domain:Domain"
    assert plugins.installed() is plugins.installed()
    assert plugins.installed().package("mine") is not None


def test_they_are_gone_in_the_next(lightrec_plugins):
    assert "hooks_of_mine" not in sys.modules
    assert set(plugins.installed().parts["domains"]) == {"generic"}


def test_a_run_of_the_kit_is_made_once_and_is_each_process_s_own(tmp_path, monkeypatch):
    made = []

    def tiny_run(folder, until, text_encoder):
        made.append(until)
        (folder / "tiny").mkdir()
        (folder / "tiny" / "file").write_text("as made")

    monkeypatch.setenv("LIGHTREC_CACHE", str(tmp_path))
    monkeypatch.setattr(tiny, "tiny_run", tiny_run)
    first, second = (tiny.kit_run.__wrapped__() for _ in range(2))
    assert made == ["policy"]
    (first / "file").write_text("changed")
    assert (second / "file").read_text() == "as made"
    assert (tiny.kit_run.__wrapped__() / "file").read_text() == "as made"
