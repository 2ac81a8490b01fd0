"""Session models: closed forms, and what they find in logs whose laws are known."""

import math

import pytest
import torch
from torch.nn.functional import one_hot

from benchmarks.session_fitting import (
    SessionSteps,
    fit_sessions,
    log_likelihoods,
    rows_of,
    states,
)
from benchmarks.session_model import ReturnHazard, SessionModel, SlateModel, TakenValue


def steps_of(users, **given):
    """Steps of users with one item each in the slate, all of them taken."""
    users = torch.tensor(users)
    count = len(users)
    plain = {
        "context": torch.zeros(count, 1),
        "slate": torch.ones(count, 1, dtype=torch.int64),
        "place": torch.zeros(count, dtype=torch.int64),
        "value": torch.ones(count),
        "step": torch.ones(count, 1, dtype=torch.int64),
        "accepted": torch.ones(count, 1),
        "ended": torch.zeros(count, dtype=torch.bool),
        "cut": torch.zeros(count, dtype=torch.bool),
        "absence": torch.zeros(count, dtype=torch.int64),
        "seen": torch.zeros(count, dtype=torch.bool),
    }
    return SessionSteps(users, **(plain | given))


def model_of(items=3, context=1, **settings):
    return SessionModel(items, items, context, **settings).set_items(torch.eye(items + 1)[:, 1:])


def test_untrained_hazards_halve_what_is_left():
    hazard, state = ReturnHazard(2, 3), torch.randn(4, 2)
    law = hazard(state)
    torch.testing.assert_close(law.exp(), torch.tensor([0.5, 0.25, 0.125, 0.125]).expand(4, -1))
    period, seen = torch.tensor([2, 2, 0, 3]), torch.tensor([True, False, False, False])
    found = hazard.log_likelihood(period, seen, state)
    # In the second period; not in the first two; nothing is known; not in all three.
    expected = torch.tensor([0.25, 0.25, 1.0, 0.125]).log()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_laws_of_slates_and_values_are_linear_in_vectors():
    model, vectors = SlateModel(1, 2), torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]])
    model.linear.bias.data = torch.tensor([1.0, 2.0, 0.5])
    there = torch.tensor([[True, True, False]])
    law = model(torch.zeros(1, 1), vectors, there)
    weights = torch.tensor([math.exp(1.5), math.exp(2.5), 0.0, 1.0])
    torch.testing.assert_close(law.exp()[0], weights / weights.sum())
    worth = TakenValue(1, 2)
    worth.linear.bias.data = torch.tensor([1.0, 2.0, 0.5, math.log(2)])
    mean, deviation = worth(torch.zeros(1, 1), vectors)
    torch.testing.assert_close(mean, torch.tensor([[1.5, 2.5, 0.5]]))
    torch.testing.assert_close(deviation, torch.full((1, 3), 2.0))
    found = worth.log_likelihood(torch.tensor([math.e]), torch.zeros(1, 1), vectors[:, :1])
    normal = torch.distributions.Normal(1.5, 2.0).log_prob(torch.tensor([1.0]))
    torch.testing.assert_close(found, normal)


def test_traces_are_means_that_fade_by_their_half_lives():
    model = model_of(traces=2)
    items, value = torch.tensor([1, 3, 0, 2]), torch.tensor([1.0, 3.0, 0.0, 1.0])
    away = torch.tensor([0, 0, 7, 0])
    steps = steps_of(
        [5, 5, 5, 5],
        slate=items.clamp_min(1).unsqueeze(1),
        place=(items == 0).long(),
        value=value,
        absence=away,
    )
    before, after = states(model, steps)
    answers = torch.cat(
        [
            one_hot(items, 4)[:, 1:].float(),
            torch.stack([(items > 0).float(), value.log1p(), away.log1p()], 1),
        ],
        1,
    )
    for column, half_life in enumerate((1, 2)):
        keep = 0.5 ** (1 / half_life)
        expected = torch.zeros(6)
        for step in range(4):
            part = slice(1 + 6 * column, 7 + 6 * column)
            torch.testing.assert_close(before[step, part], expected)
            # What a session ends with does not know yet how long the user stays away.
            known = answers[step] * torch.tensor([1, 1, 1, 1, 1, 0])
            torch.testing.assert_close(after[step, part], keep * expected + (1 - keep) * known)
            expected = keep * expected + (1 - keep) * answers[step]


def test_every_user_begins_with_no_traces_and_is_drawn_whole():
    steps = steps_of([0, 0, 0, 1, 2, 2], value=torch.arange(1.0, 7.0))
    assert [wave.tolist() for wave in steps.waves()] == [[0, 3, 4], [1, 5], [2]]
    before, _ = states(model_of(), steps)
    assert not before[[0, 3, 4]].any()
    assert before[[1, 2, 5]].any(1).all()
    drawn = steps.resampled(torch.Generator().manual_seed(1))
    _, counts = drawn.user.unique_consecutive(return_counts=True)
    assert len(counts) == 3
    whole = {(1.0, 2.0, 3.0), (4.0,), (5.0, 6.0)}
    assert {tuple(part.tolist()) for part in drawn.value.split(counts.tolist())} <= whole


def test_one_law_for_everybody_has_the_frequencies_of_the_log():
    torch.manual_seed(0)
    count, chance = 4000, torch.Generator().manual_seed(0)
    ended = torch.rand(count, generator=chance) < 0.3
    period = torch.randint(1, 9, (count,), generator=chance)
    limit = torch.randint(1, 5, (count,), generator=chance)
    seen = ended & (period <= limit)
    steps = steps_of(
        range(count),
        place=(torch.rand(count, generator=chance) < 0.2).long(),
        ended=ended,
        absence=torch.where(seen, period, limit) * ended,
        seen=seen,
    )
    model = fit_sessions(model_of(periods=4), steps, 0, alike=True, updates=1000)
    found = log_likelihoods(model, steps, alike=True)

    def entropy(rate):
        return -(rate * rate.log() + (1 - rate) * (1 - rate).log())

    for name, happened in (("choice", steps.place == 0), ("going_on", ended)):
        assert found[name] == pytest.approx(-float(entropy(happened.double().mean())), abs=1e-4)
    # The hazards of Kaplan and Meier: who came back among those of whom it was to be known.
    law = model.returning(torch.zeros(1, model.context_size + model.trace_size)).exp()[0]
    over, hazards = steps.at(ended), []
    for n in range(1, 5):
        asked, came = over.absence >= n, (over.absence == n) & over.seen
        hazards.append(came.sum() / asked.sum())
    hazard = torch.stack(hazards)
    expected = hazard * torch.cat([torch.ones(1), (1 - hazard).cumprod(0)[:-1]])
    torch.testing.assert_close(law[:-1], expected, atol=5e-3, rtol=0)


def test_what_builds_up_over_a_session_is_found():
    """Users leave with a chance that grows with how often the second item was taken of late."""
    chance = torch.Generator().manual_seed(1)
    rows = []
    for user in range(1500):
        level = 0.0
        for step in range(1, 16):
            item = int(torch.randint(1, 4, (1,), generator=chance))
            level = 0.7 * level + (item == 2)
            ends = float(torch.rand(1, generator=chance)) < 1 / (1 + math.exp(4 - 2 * level))
            rows.append((user, item, step, ends))
            if ends:
                break
    user, item, step, ends = map(list, zip(*rows, strict=True))
    steps = steps_of(
        user,
        slate=torch.tensor(item).unsqueeze(1),
        step=torch.tensor(step).unsqueeze(1),
        accepted=torch.tensor(step).unsqueeze(1).float(),
        ended=torch.tensor(ends),
        cut=torch.tensor(step) == 15,
    )
    half = steps.user < 1000
    fit, test = steps.at(half), steps.at(~half)
    torch.manual_seed(0)
    model = fit_sessions(model_of(), fit, 0)
    rule = fit_sessions(model_of(context=1, traces=0), fit, 0)
    found, plain = (log_likelihoods(each, test)["going_on"] for each in (model, rule))
    assert found > plain + 0.05
    # A step later, the same again tells the law: e^-4 at rest, e^-2 after one.
    state = torch.zeros(2, 1 + model.trace_size)
    for row, taken in ((0, 1), (1, 2)):
        traces = torch.zeros(1, model.trace_size)
        for one in (1, 1, 1, taken):
            numbers = torch.ones(1), torch.zeros(1)
            traces = model.follow(traces, torch.tensor([one]), *numbers)
        state[row, 1:] = traces
    four = torch.full((2, 1), 4)
    logit = model.leaving(state, four, four.float(), torch.ones(2, 1))
    torch.testing.assert_close(logit, torch.tensor([-4.0, -2.0]), atol=0.6, rtol=0)


def test_steps_of_which_the_end_is_not_known_say_nothing_of_it():
    steps = steps_of([0, 0, 1], cut=torch.tensor([False, True, False]))
    rows = rows_of(model_of(valued=True, periods=2), steps)
    assert [len(outcomes[0]) for _, outcomes, _ in rows.values()] == [3, 2, 3, 0]
