"""Each check of a plugin fails for a plugin that is wrong in just that."""

import re
from pathlib import Path

import lightrec_worlds
import pytest
import yaml

from lightrec.stages import recipes
from lightrec.testing import ContractError, check_all, plugin_checks

RECIPES = Path(lightrec_worlds.__file__).parent / "recipes" / "worlds"
RIGHT = """
    from typing import Any

    LIGHTREC_API = 1

    @hookimpl
    def lightrec_domains():
        return {"chess": "parts_of_chess:Chess"}

    @hookimpl
    def lightrec_rewards():
        return {"Patience": "parts_of_chess:Patience"}

    @hookimpl
    def lightrec_components():
        return {"LastMoves": "parts_of_chess:LastMoves"}

    @hookimpl
    def lightrec_recipes():
        from pathlib import Path
        return [Path(__file__).parent / "recipes"]
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

DATA = "# Games.\nfunction: lightrec.stages.data.prepare_log\nseed: 0\n"


@pytest.fixture
def chess(lightrec_plugins, monkeypatch):
    """Install the plugin, its hooks, parts and recipe changed by replacing text."""

    def install(old="", new="", recipe=DATA + "k_core: 5\n", name="data"):
        if old:
            assert old in RIGHT + PARTS
        (lightrec_plugins.folder / "parts_of_chess.py").write_text(PARTS.replace(old, new))
        folder = lightrec_plugins.folder / "recipes" / "chess"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.yaml").write_text(recipe)
        lightrec_plugins.add("chess", RIGHT.replace(old, new))
        return plugin_checks("chess")

    return install


def test_a_right_one_passes_with_the_contracts_of_its_parts(chess, failing):
    checks = chess()
    assert failing(checks) == set()
    assert {check.part for check in checks} == {"chess", "Patience", "LastMoves", "chess-recipes"}
    ids = {check.id for check in checks}
    assert {
        "chess-hook-module",
        "chess-output-as-declared",
        "Patience-taken-under-next",
        "LastMoves-future",
    } <= ids


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("from typing import Any", "import no_such_module_here", {"usable"}),
        ("lightrec_domains", "lightrec_domain", {"usable"}),
        ("LIGHTREC_API = 1", "", {"hook module"}),
        ('"chess": ', '"generic": ', {"usable"}),
        ("from typing import Any", "import polars", {"hook module"}),
        ("(EngagementReward)", "", {"usable"}),
        ("parts_of_chess:Patience", "parts_of_chess:Hurry", {"usable"}),
        ('"""Games of chess."""', "", {"described"}),
        ("weight: float", "weight", {"described"}),
        ("weight: float = 1.0", "weight: object = object()", {"described"}),
        ("super().forward(x, present)", "super().forward(x, present.flip(0))", {"rows apart"}),
        ('name = "chess"', 'name = "draughts"', {"described"}),
        ('name = "chess"', 'name = "chess"; repeats = None', {"attributes"}),
    ],
)
def test_a_wrong_one_fails(chess, failing, old, new, names):
    assert failing(chess(old, new)) == names


@pytest.mark.parametrize("recipe", ["", "{}", "[1, 2]", "a: [", "just words"])
def test_a_recipe_that_says_nothing_fails(chess, failing, recipe):
    assert failing(chess(recipe=recipe)) == {"recipes"}


def test_a_misspelt_setting_of_a_recipe_is_named_with_its_file(chess):
    *_, check = (c for c in chess(recipe=DATA + "k_cor: 5\n") if c.name == "recipes")
    with pytest.raises(ContractError) as raised:
        check()
    assert re.sub(r"/\S*/", "", raised.value.found) == (
        "data.yaml: The settings of the stage data cannot be used. The stage data has no setting "
        "'k_cor'. Did you mean 'k_core'?"
    )


def test_the_recipe_of_a_training_passes(chess, failing):
    recipe = yaml.safe_dump(recipes.find("generic/ranker")[1])
    assert failing(chess(recipe=recipe, name="ranker")) == set()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"world": "Fra"}, "There is no 'Fra' among the simulators."),
        (
            {"settings": {"max_step": 3}},
            "Far has no setting 'max_step'. Did you mean",
        ),
        ({"settings": {"max_steps": "few"}}, "The setting max_steps takes int"),
    ],
)
def test_a_world_that_does_not_take_its_settings_is_named(chess, settings, why):
    recipe = yaml.safe_load((RECIPES / "ppo.yaml").read_text())
    recipe["data"]["init_args"] |= {"world": "Far", **settings}
    checks = chess(recipe=yaml.safe_dump(recipe), name="policy")
    (check,) = (check for check in checks if check.name == "recipes")
    with pytest.raises(ContractError) as raised:
        check()
    assert why in raised.value.found


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("max_epochs:", "max_epoch:", "Trainer has no setting 'max_epoch'. Did you mean"),
        ("path: EASE", "path: EAES", "There is no class 'EAES' that could be used here."),
    ],
)
def test_a_fault_in_the_recipe_of_a_training_is_named_with_its_file(chess, old, new, why):
    wrong = yaml.safe_dump(recipes.find("generic/ranker")[1]).replace(old, new, 1)
    (check,) = (c for c in chess(recipe=wrong, name="ranker") if c.name == "recipes")
    with pytest.raises(ContractError) as raised:
        check()
    found = re.sub(r"/\S*/", "", raised.value.found)
    assert found.startswith(f"ranker.yaml: The recipe or its settings cannot be used. {why}")
    assert "--print_config" not in found


def test_a_fault_is_not_laid_on_the_file_of_the_set(chess, lightrec_plugins):
    wrong = yaml.safe_dump(recipes.find("generic/users_a")[1]).replace("max_epochs:", "epochs:", 1)
    (check,) = (c for c in chess(recipe=wrong, name="users_a") if c.name == "recipes")
    (lightrec_plugins.folder / "recipes" / "chess" / "set.yaml").write_text("over: generic\n")
    with pytest.raises(ContractError) as raised:
        check()
    assert "users_a.yaml: " in raised.value.found
    assert "set.yaml" not in raised.value.found


def test_a_part_that_raises_is_named_with_the_line_to_mend(chess):
    found = chess("super().__init__()", "self.weight = 1 / 0")
    (check,) = (c for c in found if c.id == "Patience-padding")
    with pytest.raises(ContractError) as raised:
        check()
    advice = re.sub(r"/\S*/", "", raised.value.advice)
    assert advice == "Correct line 30 of parts_of_chess.py: `self.weight = 1 / 0`."


def test_a_plugin_that_is_not_there(lightrec_plugins, failing):
    assert failing(plugin_checks("checkers")) == {"usable"}
    with pytest.raises(ContractError, match="none called 'checkers' among lightrec"):
        check_all(plugin_checks("checkers"))


def test_what_the_kit_cannot_build_is_left_to_its_package(chess):
    checks = chess("weight: float = 1.0", "clock: str")
    (contract,) = (check for check in checks if check.id == "Patience-contract")
    why = "It needs clock; run RewardChecks(make) in the package's own tests, where `make` builds "
    assert contract.outcome() == ("not applicable", f"{why}Patience.")
