"""Synthetic recipes and people who cook, whose truth is known.

People choose by taste for cuisines and like rich food better than healthy food; they avoid what
they are allergic to, and mostly what is bad for them.
"""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import yaml
from lightrec_formats.made_up import DAY, choose, write_made_up

from lightrec.api import Column
from lightrec_health.harm import NOTHING, SCORE

_WORDS: Final = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
CUISINES, DISHES, MAINS = _WORDS.values()
"""Cuisines; dishes with how healthy they are on average; main ingredients with their allergens."""
PEOPLE, EVENTS = 400, 20
RICH: Final = 1.5
"""Log-odds that a recipe of score 0 has over one of score 1."""
CONDITIONS: Final = {"hypertension": 0.45, "diabetes": 0.3}
"""Conditions, and the health score below which a recipe is bad for them."""


def write(folder: Path, seed: int) -> Path:
    """Write a log of 400 people with 20 recipes each, out of 240.

    :param folder: an existing folder.
    """
    chance = np.random.default_rng(seed)
    named = [(c, dish, main) for c in CUISINES for dish in DISHES for main in MAINS]
    count = len(named)
    around = np.array([DISHES[dish] for _, dish, _ in named])
    score = np.clip(around + chance.normal(0, 0.1, count), 0, 1).round(3)
    holds = [MAINS[main] or NOTHING for *_, main in named]
    bad = [[name for name, bound in CONDITIONS.items() if s < bound] or [NOTHING] for s in score]
    recipes = pl.DataFrame(
        {
            Column.ITEM: [f"R{number:03d}" for number in range(1, count + 1)],
            Column.TITLE: [f"{cuisine} {dish} with {main}" for cuisine, dish, main in named],
            "tags": [[cuisine, dish] for cuisine, dish, _ in named],
            "ingredients": [[main, "salt", "olive oil"] for *_, main in named],
            SCORE: score,
            "allergens": [[allergen] for allergen in holds],
            "contraindications": bad,
        }
    )
    allergens = [allergen for allergen in MAINS.values() if allergen]
    allergies = np.where(chance.random(PEOPLE) < 0.3, chance.choice(allergens, PEOPLE), NOTHING)
    drawn = chance.choice([*CONDITIONS], PEOPLE)
    conditions = np.where(chance.random(PEOPLE) < 0.2, drawn, NOTHING)
    taste = chance.normal(0, 1.2, (PEOPLE, len(CUISINES)))
    of_mains = chance.normal(0, 0.7, (PEOPLE, len(MAINS)))
    cuisine = [CUISINES.index(cuisine) for cuisine, *_ in named]
    main = [[*MAINS].index(main) for *_, main in named]
    appeal = taste[:, cuisine] + of_mains[:, main] + chance.normal(0, 0.4, count)
    appeal -= RICH * score
    appeal -= 8.0 * (allergies[:, None] == np.array(holds))
    for name, bound in CONDITIONS.items():
        appeal -= 2.0 * ((conditions == name)[:, None] & (score < bound))
    begin = np.datetime64("2024-01-01", "s").astype(np.int64)
    times = begin + np.sort(chance.integers(0, 200, (PEOPLE, EVENTS)), axis=1) * float(DAY)
    times += chance.integers(15 * 3600, 20 * 3600, times.shape)
    made = choose(appeal, np.sort(times, axis=1), chance)
    users = pl.DataFrame(
        {
            Column.USER: [f"cook-{number:03d}" for number in range(1, PEOPLE + 1)],
            "allergies": [[allergy] for allergy in allergies.tolist()],
            "conditions": [[condition] for condition in conditions.tolist()],
        }
    )
    log = made.log(users[Column.USER], recipes[Column.ITEM])
    return write_made_up(folder, log, recipes, users, appeal)
