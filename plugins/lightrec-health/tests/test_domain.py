"""What must not be shown to whom, in a million draws too, and the made-up log's truth."""

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_health.domain import HealthDomain
from lightrec_health.made_up import write
from tensordict import TensorDict

from lightrec.keys import Key
from lightrec.policies.baselines import PopularityPolicy, RandomPolicy
from lightrec.testing.truth import recovered

NOW = pl.Series([None])


def eligible(users, items):
    users = pl.DataFrame(users).with_row_index("user")
    items = pl.DataFrame(items).with_row_index("item")
    return HealthDomain().eligible(users, items, NOW)


def test_what_is_shared_forbids_and_what_is_unknown_is_not_risked():
    allowed = eligible(
        {"allergies": [["milk"], ["nuts", "Eggs"], ["none"], [], None]},
        {"allergens": [["milk", "eggs"], ["nuts "], ["none"], [], None]},
    )
    assert allowed.tolist() == [
        [False, True, True, True, False],
        [False, False, True, True, False],
        [True, True, True, True, True],
        [True, True, True, True, True],
        [False, False, True, True, False],
    ]


def test_strings_count_as_lists():
    allowed = eligible({"allergies": ["milk|nuts", "none"]}, {"allergens": ["eggs; nuts", "soy"]})
    assert allowed.tolist() == [[False, True], [True, True]]


def test_both_kinds_of_reasons_count():
    allowed = eligible(
        {"allergies": [["milk"], ["none"]], "conditions": [["none"], ["diabetes"]]},
        {"allergens": [["milk"], ["none"]], "contraindications": [["none"], ["diabetes"]]},
    )
    assert allowed.tolist() == [[False, True], [True, False]]


def test_where_items_say_nothing_only_the_healthy_are_shown_them():
    assert eligible({"allergies": [["milk"], ["none"], None]}, {"x": [1]}).tolist() == [
        [False],
        [True],
        [False],
    ]
    assert eligible({"age": [40]}, {"allergens": [["milk"]]}) is None


@pytest.mark.parametrize("policy", ["random", "popularity"])
def test_nothing_forbidden_in_a_million_draws(policy):
    chance, words = np.random.default_rng(0), np.array(["milk", "nuts", "eggs", "fish"])

    def drawn(count):
        held = chance.random((count, 4)) < 0.3
        return held, [words[row].tolist() for row in held]

    (has, allergies), (holds, allergens) = drawn(200), drawn(60)
    # A thing without allergens, so that something is left for everybody.
    holds[0], allergens[0] = False, ["none"]
    found = eligible({"allergies": allergies}, {"allergens": allergens})
    mask = torch.from_numpy(np.pad(found, ((0, 0), (1, 0))))
    appeal = torch.arange(61.0)
    policies = {"random": RandomPolicy(60), "popularity": PopularityPolicy.from_appeal(appeal)}
    rows = torch.arange(100_000) % 200
    state = TensorDict(
        {
            Key.MASK: mask[rows],
            Key.HISTORY: torch.zeros(len(rows), 1, dtype=torch.int64),
            Key.USER: rows,
            Key.STEP: torch.zeros(len(rows), 1, dtype=torch.int64),
            Key.ACCEPTED_TOTAL: torch.zeros(len(rows), 1),
        },
        [len(rows)],
    )
    law = policies[policy].distribution(state, 2)
    person = torch.from_numpy(has)[rows, None]
    thing = torch.from_numpy(np.pad(holds, ((1, 0), (0, 0))))
    for _ in range(5):  # 100,000 slates of two each
        assert not (thing[law.sample()] & person).any()


def test_words():
    items = pl.DataFrame(
        {"title": ["Bean salad", None], "tags": [["vegan"], []], "ingredients": ["beans", None]}
    )
    assert HealthDomain().text(items).to_list() == [
        "Bean salad. Tags: vegan. Ingredients: beans",
        "",
    ]


def test_people_avoid_what_harms_them_and_like_it_rich(tmp_path):
    folder = write(tmp_path, 3)
    log, recipes, people = (
        pl.read_parquet(folder / f"{name}.parquet") for name in ("log", "catalog", "users")
    )
    eaten = log.join(recipes, on="item").join(people, on="user")
    held = pl.col("allergens").list.set_intersection("allergies").list.set_difference(["none"])
    assert (eaten.select(held.list.len())["allergens"] > 0).mean() < 0.002
    assert eaten["health_score"].mean() < recipes["health_score"].mean() - 0.05


def test_the_truth_is_recovered_better_than_by_popularity(made_up):
    found = recovered(made_up.run, made_up.log)
    assert found["blend"] > found["popularity"] + 0.1
    assert found["blend"] > 0.3
