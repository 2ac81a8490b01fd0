"""What a run says of the held-out log beside the means, looked up and computed again."""

import json
import math
import re

import pytest
import torch

from lightrec.data.store import TEST, EventStore
from lightrec.evaluation import held_out
from lightrec.evaluation.base import keys_of
from lightrec.evaluation.held_out import HeldOutLog
from lightrec.run import Run


@pytest.fixture(scope="module")
def metrics(tiny_run):
    return json.loads((tiny_run / "metrics.json").read_text())


@pytest.fixture(scope="module")
def lesser(metrics):
    """The same with figures that can be believed: the made-up log's next event is certain."""
    ranked = {k: v / 2 for k, v in metrics.items() if re.fullmatch(r"test/(\w+/)?ndcg@10", k)}
    return metrics | ranked


def test_popularity_recommends_the_most_popular_that_was_not_seen(tiny_run, metrics):
    store = EventStore(tiny_run / "data")
    counts = torch.from_numpy(store.popularity())
    order = sorted(range(1, store.num_items + 1), key=lambda i: (-counts[i], i))
    bits = []
    for event in store.events(TEST):
        user = store.users_of(event)
        seen = set(store.items[store.offsets[user] : event].tolist())
        listed = [i for i in order if i not in seen][:10]
        bits += [-math.log2(max(counts[i].item(), 1) / counts.sum().item()) for i in listed]
    assert metrics["test/popularity/novelty@10"] == pytest.approx(sum(bits) / len(bits))


@pytest.mark.parametrize(
    ("low", "high", "ahead"),
    [
        (0.1, 0.3, "clearly better than"),
        (-0.3, -0.1, "clearly worse than"),
        (-1, 1, "not clearly different from"),
    ],
)
def test_the_answers_name_the_best_item_model_on_validation(lesser, low, high, ahead):
    changed = {f"validation/{name}/ndcg@10": 0.1 for name in held_out.model_names(lesser)}
    changed["validation/EASE/ndcg@10"] = 0.2
    for name in ("EASE", "popularity"):
        changed |= keys_of(f"test/blend-minus-{name}/ndcg@10", (0.5, low, high))
    found = held_out.answers(lesser | changed, changed)
    assert found.better == (
        f"At the next event the blend is {ahead} popularity and EASE, the best single item model "
        "on the validation events."
    )
    assert f"a difference of +0.500 ({low:+.3f} to {high:+.3f})" in found.by_how_much
    assert "few events" in held_out.answers(lesser | changed | {"test/events": 299}, {}).believe
    assert "few events" not in held_out.answers(lesser | {"test/events": 300}, {}).believe


def test_discoveries_and_reminders_have_rivals_of_their_own(lesser):
    names = held_out.model_names(lesser)
    changed, validation = {**lesser}, {}
    for part, best in (("met", "ItemKNN"), ("discovered", "EASE")):
        changed |= {f"test/{name}/{part}/ndcg@10": 0.25 for name in ("popularity", "blend", *names)}
        changed[f"test/blend/{part}/events"] = 1_560
        validation |= {f"validation/{name}/{part}/ndcg@10": 0.1 for name in names}
        validation[f"validation/{best}/{part}/ndcg@10"] = 0.2
        changed |= keys_of(f"test/blend-minus-{best}/{part}/ndcg@10", (0.5, 0.4, 0.6))
    _, (new, _), (_, how_old) = held_out.compared(changed, validation)
    assert new == (
        "At discoveries (1,560 held-out events about items new to their user) the blend is not "
        "comparable, for want of users, with popularity; clearly better than EASE, the best single "
        "item model there on the validation events."
    )
    assert how_old.endswith("ItemKNN has 0.250, a difference of +0.500 (+0.400 to +0.600).")
    assert len(held_out.compared(lesser, {})) == 1


@pytest.mark.parametrize(
    ("name", "reason"), [("RepeatConsumption", "stands in the history already"), ("EASE", "copies")]
)
def test_what_is_too_good_to_be_true_is_said_first(lesser, name, reason):
    assert held_out.too_good(lesser) == ""
    changed = {**lesser, f"test/{name}/ndcg@10": 0.95}
    warning = held_out.too_good(changed)
    assert warning.startswith(f"TOO GOOD TO BE TRUE: {name} has NDCG@10 0.950, and nobody")
    assert reason in warning
    assert held_out.answers(changed, {}).better.startswith(warning)


def test_what_was_ranked_before_there_was_a_policy_is_not_ranked_again(
    tiny_run, metrics, monkeypatch
):
    run, evaluator, ranked = Run(tiny_run), HeldOutLog(), []
    early = evaluator.without_policy(run, 0)
    assert early == {k: metrics[k] for k in early}
    rank = HeldOutLog.rank

    def counted(self, store, scorer, seed):
        ranked.append(scorer)
        return rank(self, store, scorer, seed)

    monkeypatch.setattr(HeldOutLog, "rank", counted)
    evaluator.ranked = early
    found = evaluator.evaluate(run, 0)
    assert len(ranked) == 1
    assert found.metrics == {k: v for k, v in metrics.items() if k.startswith(("test/", "cold/"))}
