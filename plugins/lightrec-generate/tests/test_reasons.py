"""Reasons name events that matter, and no others, and say nothing else."""

import pytest
import torch
from lightrec_audit.explain import explain
from lightrec_generate.reasons import FIRST, LEAST, reasons
from lightrec_testing import tiny

from lightrec.__main__ import main
from lightrec.keys import Key
from lightrec.recommend import load


@pytest.fixture(scope="module")
def run():
    return tiny.kit_run()


@pytest.fixture(scope="module", params=["blend", "policy", "even-mixture"])
def recommender(request, run):
    return load(run, request.param)


def deleted(recommender, user, item):
    """What an item's log-probability and score lose without each event, by cut histories."""
    person = recommender.person(user)
    seen = person.known[Key.SEEN]
    may = recommender.may_see(person, recommender.allowed((), ())[0]).scatter(1, seen, False)

    def scored(places):
        cut = {
            name: table[:, places] if name in (Key.HISTORY, Key.FEEDBACK, Key.GAP) else table
            for name, table in person.known.items()
        }
        scores, place = recommender.raw(cut).detach()[0], recommender.item(item)
        likely = scores.masked_fill(~may[0], -torch.inf).log_softmax(0)
        return torch.stack([likely[place], scores[place]]).double()

    places = [*range(person.known[Key.HISTORY].shape[1])]
    whole = scored(places)
    lost = [whole - scored([p for p in places if p != place]) for place in places]
    return torch.stack(lost, 1)


@pytest.mark.slow
def test_what_is_named_is_among_the_three_that_matter_most(recommender):
    named = silent = 0
    for user in ("u0", "u3", "u17", "u41", "u59"):
        for reason in reasons(recommender, user, k=3):
            lost = deleted(recommender, user, reason.item)
            least = lost.abs().sort(descending=True).values[:, :FIRST][:, -1] - 1e-4
            explanation = explain(recommender, user, item=reason.item, k=3, words=False)
            nats = {event.position: event.nats for event in explanation.events}
            for event in reason.events:
                without = lost[:, event.position - 1]
                assert event.lost == pytest.approx(float(without[0]), abs=1e-4)
                assert event.lost >= LEAST
                assert (without >= least).all()
                assert (without > 0).all()
                assert event.nats == pytest.approx(nats[event.position], abs=1e-5)
                assert event.nats > 0
            adding = [event.nats for event in reason.events]
            assert adding == sorted(adding, reverse=True)
            assert len(adding) <= 2
            named, silent = named + bool(adding), silent + (not adding)
    assert named


def test_the_command(run, capsys):
    answers = reasons(load(run), "u3", k=2)
    assert main(["reasons", str(run), "--user", "u3", "-k", "2"]) == 0
    lines = [f"{reason.rank:>2}. {reason.text}" for reason in answers]
    assert capsys.readouterr().out.splitlines() == lines
