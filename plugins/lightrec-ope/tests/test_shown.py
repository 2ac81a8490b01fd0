"""What a run would earn, from a log of items that somebody else showed."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_ope.estimators import BanditLog, Verdict
from lightrec_ope.shown import ESTIMATORS, estimates, rounds, with_item_means
from lightrec_testing import parametrize_checks, plugin_checks, tiny

import lightrec
from lightrec.__main__ import main
from lightrec.data.log import InteractionLog
from lightrec.data.people import Person
from lightrec.data.sequences import Sequences
from lightrec.errors import DataError
from lightrec.run import Run
from lightrec.stages.run import run as make_run
from tests.shops import Shop

ROUNDS = 6_000


@pytest.fixture(scope="module")
def shown(tiny_run, tmp_path_factory):
    """A uniform log among all items but those that a user has had, and its clicks: tea pays."""
    store = Run(tiny_run).data
    rng = np.random.default_rng(0)
    rows = rng.integers(len(store.user_ids), size=ROUNDS)
    names, titles = store.catalog["item"].to_list(), store.catalog["title"].to_list()
    seen = [set(store.items[slice(*store.offsets[row : row + 2])]) for row in range(60)]
    free = [[item for item in range(1, 49) if item not in seen[row]] for row in range(60)]
    items = np.array([rng.choice(free[row]) for row in rows])
    worth = np.array([0.6 if "tea" in titles[item - 1] else 0.2 for item in items])
    log = {"user": store.user_ids.gather(rows), "item": [names[item - 1] for item in items]}
    log["value"] = (rng.random(ROUNDS) < worth).astype(float)
    frame = pl.DataFrame(log | {"propensity": [1 / len(free[row]) for row in rows]})
    path = tmp_path_factory.mktemp("shown") / "shown.csv"
    frame.write_csv(path)
    return path, InteractionLog(frame), rows, titles


@pytest.fixture(scope="module")
def shop_run(tmp_path_factory):
    """A run with a goal, kinds of feedback, times, attributes, and people below its k-core."""
    folder = tmp_path_factory.mktemp("shop")
    files = Shop("category", customers=60, items=24, visits=5).write(folder)
    quick = {"text": tiny.FAST["text"], "ranker": tiny.FAST["ranker"], "data": ["--k_core", "10"]}
    how = {"out": folder / "run", "goal": ["order"], "until": "ranker", "overrides": quick}
    return make_run("generic", **files, **how)


def slates(user, items, time=None):
    """A log in which some items were shown to a person, one a round."""
    columns = {"item": items, "value": 0.0, "propensity": 0.5, "user": user, "time": time}
    return InteractionLog(pl.DataFrame(columns))


def test_the_blend_that_is_judged_is_the_one_that_recommend_shows(shop_run):
    run, recommender = Run(shop_run), lightrec.load(shop_run, by="blend")
    items, outside = run.data.catalog["item"].to_list(), recommender.people.outside
    assert outside.rows
    for user in [*run.data.user_ids[:12], *outside.rows]:
        law = rounds(run, slates(user, items), "blend").target
        assert (law == law[0]).all()
        assert items[int(law[0].argmax())] == recommender.recommend(user, k=1)["item"][0]
    law = rounds(run, slates("nobody", items), "blend").target
    assert items[int(law[0].argmax())] == recommender.recommend(history=[], k=1)["item"][0]


def test_only_what_came_before_a_round_is_known_in_it(shop_run):
    run, recommender = Run(shop_run), lightrec.load(shop_run, by="blend")
    items, user = run.data.catalog["item"].to_list(), run.data.user_ids[0]
    log = Sequences.chosen(run.data)
    begin, end = log.offsets[:2]
    for count in (end - begin - 1, 0):
        now = datetime.fromtimestamp(log.times[begin + count] / 1000, UTC)
        law = rounds(run, slates(user, items, now), "blend").target
        kept = log.until(np.array([0]), log.times[begin + count : begin + count + 1])
        before = recommender.people.events([0], log, kept)
        assert int((before["history"] > 0).sum()) == count
        scores = recommender.scores(Person(before, run.data.users[[0]]))[0].clone()
        scores[[0, *before["seen"][0].tolist()]] = -torch.inf
        assert int(law[0].argmax()) == int(scores.argmax()) - 1


def bandit(number, rounds=1_000, people=150, items=40):
    """A log of a policy that leans to what its people like, and what their best items earn."""
    fixed, chance = (torch.Generator().manual_seed(seed) for seed in (0, 1 + number))
    like, mood = torch.randn(2, people, items, generator=fixed, dtype=torch.float64)
    worth = (0.08 * (1.2 * like).exp()).clamp(max=0.95)
    scores = 1.5 * 0.7 * (like + mood)
    best, law = scores.argmax(1), scores.softmax(1)
    who = torch.randint(people, (rounds,), generator=chance)
    action = law[who].multinomial(1, generator=chance).squeeze(1)
    reward = torch.rand(rounds, generator=chance, dtype=torch.float64) < worth[who, action]
    target = torch.nn.functional.one_hot(best[who], items).double()
    log = BanditLog(action, reward.double(), target, law[who, action], users=who)
    return with_item_means(log, number), float(worth.gather(1, best[:, None]).mean())


@pytest.mark.slow
def test_what_is_offered_holds_the_truth_in_95_of_100_logs():
    """Of 100 intervals that hold it with probability .95, fewer than 90 do once in 70 times."""
    held = {name: [] for name in ESTIMATORS}
    for number in range(100):
        log, truth = bandit(number)
        for name, estimator in ESTIMATORS.items():
            estimate = estimator(log, "student", number)
            if estimate.verdict is Verdict.USABLE:
                held[name].append(estimate.low <= truth <= estimate.high)
    for name in ("IPS", "SNIPS", "DR", "SNDR"):
        assert len(held[name]) == 100
        assert sum(held[name]) >= 90
    # The bounds' bias is far outside their own intervals in most of these logs.
    offered = held["DR, bounded by SLOPE"]
    assert 10 < len(offered) < 60
    assert sum(offered) >= 0.9 * len(offered)


def test_the_command_prints_a_table_and_refuses_what_it_cannot_use(tiny_run, shown, capsys):
    path, log, _, _ = shown
    assert main(["estimate", str(tiny_run), str(path)]) == 0
    assert "blend, SNIPS" in capsys.readouterr().out
    run = Run(tiny_run)
    for changed, says in (
        (log.events.with_columns(propensity=None), f"'propensity' is empty in {ROUNDS}"),
        (log.events.with_columns(value=None), "give every round its reward"),
        (log.events.with_columns(item=pl.lit("pear")), "1 of the items .* such as pear"),
    ):
        with pytest.raises(DataError, match=says):
            rounds(run, InteractionLog(changed), "blend")


def test_the_run_whose_truth_is_known_is_judged_by_it(tiny_run, shown):
    """Tea pays .6 and all else .2: the value of what each shows is known in every round."""
    _, log, _, titles = shown
    run = Run(tiny_run)
    worth = torch.tensor([0.6 if "tea" in title else 0.2 for title in titles]).double()
    numbers = {item: n for n, item in enumerate(run.data.catalog["item"])}
    order = sorted(numbers[item] for item in set(log.events["item"]))
    for name in ("blend", "policy"):
        law = rounds(run, log, name).target
        truth = float((law[:, :-1] * worth[order]).sum(1).mean())
        found = estimates(run, log, name)["DR"]
        # Two intervals at once: a tenth more on either side.
        more = 0.1 * (found.high - found.low)
        assert found.low - more <= truth <= found.high + more


def test_there_is_no_number_of_what_a_log_never_shows(tiny_run, shown, tmp_path, capsys):
    _, log, _, _ = shown
    path = tmp_path / "one.csv"
    one = log.events.filter(pl.col("item") == pl.col("item").first())
    one.select("user", "item", "propensity", clicked="value").write_csv(path)
    assert main(["estimate", str(tiny_run), str(path), "--columns", "{value: clicked}"]) == 0
    said = capsys.readouterr().out
    assert said.index("THIS LOG CANNOT TELL") < said.index("mean reward a round")
    assert said.count("unusable") >= len(ESTIMATORS)
    assert "never shows" in said


@parametrize_checks(plugin_checks("lightrec-ope"))
def test_contract(check):
    check()
