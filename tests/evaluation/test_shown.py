"""What a run would earn, from a log of items that somebody else showed."""

import json

import numpy as np
import polars as pl
import pytest
import torch

from lightrec.__main__ import main
from lightrec.data.log import InteractionLog
from lightrec.errors import DataError
from lightrec.evaluation.estimators import Verdict
from lightrec.evaluation.shown import estimates, rounds, with_item_means
from lightrec.keys import Key
from lightrec.policies.base import session_start
from lightrec.run import Run

ROUNDS = 6_000


@pytest.fixture(scope="module")
def shown(tiny_run, tmp_path_factory):
    """A uniform log among all items but those that a user has met, and its clicks: tea pays."""
    store = Run(tiny_run).data
    rng = np.random.default_rng(0)
    rows = rng.integers(len(store.user_ids), size=ROUNDS)
    names, titles = store.catalog["item"].to_list(), store.catalog["title"].to_list()
    seen = [set(store.items[slice(*store.offsets[row : row + 2])]) for row in range(60)]
    free = [[item for item in range(1, 49) if item not in seen[row]] for row in range(60)]
    items = np.array([rng.choice(free[row]) for row in rows])
    worth = np.array([0.6 if "tea" in titles[item - 1] else 0.2 for item in items])
    frame = pl.DataFrame(
        {
            "user": store.user_ids.gather(rows),
            "item": [names[item - 1] for item in items],
            "value": (rng.random(ROUNDS) < worth).astype(float),
            "propensity": [1 / len(free[row]) for row in rows],
        }
    )
    path = tmp_path_factory.mktemp("shown") / "shown.csv"
    frame.write_csv(path)
    return path, InteractionLog(frame), rows, titles


def test_the_blends_value_is_that_of_its_best_items(tiny_run, shown):
    _, log, rows, titles = shown
    run = Run(tiny_run)
    found = estimates(run, log, "blend", "student")
    store, truth = run.data, []
    for row in rows:
        begin, end = store.offsets[row : row + 2]
        history = torch.from_numpy(np.array(store.items[begin:end])).long()[None]
        scores = run.blend.scores(history)
        scores[0, history[0]] = -torch.inf
        scores[0, 0] = -torch.inf
        truth.append(0.6 if "tea" in titles[int(scores.argmax()) - 1] else 0.2)
        if len(truth) == 600:
            break
    given = rounds(run, log, "blend")
    assert given.uncovered < 0.01
    assert found["log"].value == pytest.approx(log.events["value"].mean())
    for name in ("IPS", "SNIPS", "DR"):
        assert found[name].low <= np.mean(truth) + 0.02
        assert found[name].high >= np.mean(truth) - 0.02
    assert found["DM"].verdict is Verdict.WEAK


def test_a_policys_law_is_its_own_among_what_may_be_shown(tiny_run, shown):
    _, log, rows, _ = shown
    run = Run(tiny_run)
    given = rounds(run, log, "policy")
    store, row = run.data, int(rows[0])
    history = torch.from_numpy(np.array(store.items[slice(*store.offsets[row : row + 2])])).long()
    state = session_start(history[None])
    state[Key.MASK] = torch.ones(1, 49, dtype=torch.bool).scatter(1, history[None], False)
    state[Key.MASK][:, 0] = False
    logits = run.policy.logits(state)[0, 1:].masked_fill(~state[Key.MASK][0, 1:], -torch.inf)
    torch.testing.assert_close(given.target[0, :-1].float(), logits.softmax(0), atol=1e-4, rtol=0)
    assert given.target.sum(1).allclose(torch.ones(ROUNDS).double())


def test_candidates_and_strangers(tiny_run, shown):
    _, log, _, _ = shown
    names = Run(tiny_run).data.catalog["item"].to_list()
    few = (
        log.events.filter(pl.col("item") != names[0])
        .head(40)
        .with_columns(
            user=pl.lit("nobody"), candidates=pl.concat_list(pl.col("item"), pl.lit(names[0]))
        )
    )
    given = rounds(Run(tiny_run), InteractionLog(few), "policy")
    assert given.users.unique().numel() == 40
    allowed = given.target[:, :-1] > 0
    assert (allowed.sum(1) <= 2).all()


def test_item_means_are_of_other_folds(tiny_run, shown):
    given = with_item_means(rounds(Run(tiny_run), shown[1], "blend"))
    flipped = with_item_means(
        rounds(
            Run(tiny_run),
            InteractionLog(shown[1].events.with_columns(value=1 - pl.col("value"))),
            "blend",
        )
    )
    torch.testing.assert_close(given.expected, 1 - flipped.expected)


def test_the_command_prints_a_table_and_refuses_what_it_cannot_use(
    tiny_run, shown, tmp_path, capsys
):
    path, log, _, _ = shown
    out = tmp_path / "found.json"
    assert main(["estimate", str(tiny_run), str(path), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "blend, SNIPS" in printed
    assert "what was shown" in printed
    assert json.loads(out.read_text())["DR"]["diagnosis"]["rounds"] == ROUNDS
    run = Run(tiny_run)
    for changed, says in (
        (log.events.with_columns(propensity=None), f"'propensity' is empty in {ROUNDS}"),
        (log.events.with_columns(value=None), "give every round its reward"),
        (log.events.with_columns(item=pl.lit("pear")), "1 of the items .* such as pear"),
    ):
        with pytest.raises(DataError, match=says):
            rounds(run, InteractionLog(changed), "blend")
