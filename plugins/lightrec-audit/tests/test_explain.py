"""Why an item comes: attributions add up, reasons are real, and what would change it changes it."""

import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightrec_audit.explain import explain, first_layer, integrated, vectors_of_states

from lightrec.__main__ import main
from lightrec.errors import RecipeError
from lightrec.evaluation.rankers import RunRanker
from lightrec.keys import Key
from lightrec.ranking.ranker import Ranker
from lightrec.recommend import load

K = 3


@pytest.fixture(scope="module", params=["blend", "policy", "mixture"])
def recommender(request, tiny_run, tmp_path_factory):
    # Without the stage final: what it trains on so few events is so sure of the item that comes
    # first that hardly anything changes its probability.
    run = tmp_path_factory.mktemp("explained") / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("final", ".work"))
    return load(run, request.param)


def events_of(recommender, user):
    """The titles of a user's events, oldest first."""
    row = recommender.store.user_ids.to_list().index(user)
    start, end = recommender.store.offsets[row : row + 2]
    return [recommender.catalog["title"][int(i) - 1] for i in recommender.store.items[start:end]]


def test_a_linear_score_is_attributed_to_its_weights():
    weights = torch.tensor([0.5, -2.0, 0.0, 3.0])
    nats, error, closed = integrated(lambda masks: masks @ weights + 7, 4)
    torch.testing.assert_close(nats, weights)
    assert error < 1e-6
    assert closed == 7
    # More points are taken for a step that twelve points see badly.
    nats, error, _ = integrated(lambda masks: (200 * (masks.sum(1) - 1.5)).sigmoid(), 2)
    assert error <= 0.05
    torch.testing.assert_close(nats, torch.full((2,), 0.5), atol=0.03, rtol=0)


def test_events_are_the_history_and_add_up(recommender):
    result = explain(recommender, "u3", k=K)
    first = recommender.recommend("u3", k=1)
    assert (result.rank, result.item) == (1, first["item"][0])
    assert result.score == pytest.approx(first["score"][0], abs=1e-4)
    titles = events_of(recommender, "u3")
    assert {event.position: event.title for event in result.events} == dict(enumerate(titles, 1))
    assert result.events[0].time.startswith("2024-01-")
    assert result.completeness_error <= 0.05
    whole = np.log(result.probability) - np.log(result.average_probability)
    added = sum(event.nats for event in result.events)
    assert added == pytest.approx(whole, rel=result.completeness_error + 1e-3)
    assert sum(abs(event.share) for event in result.events) == pytest.approx(1)


def test_the_probability_is_that_of_the_list(recommender):
    everything = recommender.recommend("u3", k=recommender.store.num_items)
    shares = np.exp(everything["score"].to_numpy())
    result = explain(recommender, "u3", item=everything["title"][4], k=K)
    assert result.rank == 5
    assert result.among == everything.height
    assert result.probability == pytest.approx(shares[4] / shares.sum(), rel=1e-3)
    assert result.change is None


def test_the_change_changes_it_and_nothing_of_it_is_needless(recommender):
    def comes(titles, left_out, item):
        history = [title for place, title in enumerate(titles, 1) if place not in left_out]
        # What was seen stays seen.
        return item in recommender.recommend(history=history, exclude=titles, k=1)["item"]

    changed = 0
    for user in ("u0", "u3", "u17", "u41", "u59"):
        result, titles = explain(recommender, user, k=1), events_of(recommender, user)
        left_out = result.change.without
        changed += len(left_out) > 1
        assert not left_out or not comes(titles, left_out, result.item)
        for back in left_out:
            others = [place for place in left_out if place != back]
            assert comes(titles, others, result.item)
    assert changed


def test_words_are_those_of_the_text_and_add_up(tiny_run, lightrec_tiny_encoder):
    recommender, encoder = load(tiny_run, "blend"), lightrec_tiny_encoder
    texts = recommender.catalog["text"].to_list()
    ranker = Ranker(len(texts), 12, size=8, use_ids=False).eval()
    torch.nn.init.normal_(ranker.items.project.weight)
    ranker.items.set_vectors(torch.nn.functional.pad(encoder.encode(texts), (0, 0, 1, 0)))
    recommender.ranker = RunRanker(len(texts), ranker)
    recommender.run.wishes = SimpleNamespace(encoder=encoder)
    result = explain(recommender, "u3", k=K)
    assert "words" not in result.missing
    text = texts[recommender.item(result.item) - 1]
    assert sorted(word.word for word in result.words) == sorted(re.findall(r"\w+", text))
    states, blank, places = first_layer(encoder, text)
    for place, (begin, end) in enumerate(places):
        if not text[begin:end].isalnum():  # marks and punctuation stay
            blank[:, place] = states[:, place]
    with torch.no_grad():
        toward = ranker.user_vectors(recommender.person("u3").known[Key.HISTORY])[0]
        whole, without = (vectors_of_states(encoder, each)[0] for each in (states, blank))
        difference = float(ranker.items.project(whole - without) @ toward)
    assert sum(word.nats for word in result.words) == pytest.approx(difference, rel=0.03)
    ranker.items.set_vectors(torch.randn(len(texts) + 1, 12))
    assert "not the one that the ranker" in explain(recommender, "u3", k=K).missing["words"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "give a user of the log or a history"),
        ({"history": "lamp number 3", "item": "lamp number 3"}, "“lamp number 3” .* has seen it"),
        (
            {"history": "lamp number 3", "item": "tea number 3", "only": "kind=lamp"},
            "“tea number 3” does not come, .* it is excluded",
        ),
    ],
)
def test_mistakes_are_told(recommender, arguments, says):
    with pytest.raises(RecipeError, match=says):
        explain(recommender, **arguments)


def test_the_command_prints_and_writes(tiny_run, tmp_path, capsys):
    line = ["explain", str(tiny_run), "--user", "u3", "--by", "blend", "-k", "3"]
    assert main(line) == 0
    result = explain(load(tiny_run, "blend"), "u3", k=K)
    assert result.events[0].title in capsys.readouterr().out
    assert main([*line, "--out", str(tmp_path / "reasons.json")]) == 0
    written = json.loads((tmp_path / "reasons.json").read_text())
    assert written["change"]["without"] == result.change.without
    assert main([*line, "--out", "reasons.txt"]) == 2
    assert "--out must end in .html or .json, not reasons.txt." in capsys.readouterr().err
