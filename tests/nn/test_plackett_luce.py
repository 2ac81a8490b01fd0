"""Plackett–Luce and its fast draws against the definition in fractions, and with little left."""

from fractions import Fraction
from itertools import permutations

import pytest
import torch
from scipy.stats import chisquare

from lightrec.nn import slates
from lightrec.nn.plackett_luce import LONG, PlackettLuce
from lightrec.nn.slates import EMPTY, SlateSampler, draw_slates

ROWS = 60_000
GENTLE = [0.3, -1.2, 2.0, 0.0, 0.7, -0.4]
PEAKED = [9.0, 0.0, 8.0, 1.0, -1.0, 0.5]
"""Five draws of three distinct columns hardly ever suffice."""
MASKED = [0.3, -torch.inf, 2.0, 0.0, -torch.inf, -0.4]
LOGITS = torch.tensor(GENTLE, dtype=torch.float64)


def exact(logits: list[float], slate: tuple[int, ...]) -> Fraction:
    """Probability of an ordered slate by the definition, in fractions of the float64 weights."""
    top = max(logits)
    weights = [Fraction(torch.tensor(x - top, dtype=torch.float64).exp().item()) for x in logits]
    left, probability = sum(weights), Fraction(1)
    for column in slate:
        probability *= weights[column] / left
        left -= weights[column]
    return probability


def fits_the_law(columns: torch.Tensor, logits: list[float]) -> bool:
    """Whether counts of ordered slates of 6 columns are as expected, those below 5 as one."""
    places = columns.shape[1]
    code = (columns * 6 ** torch.arange(places)).sum(1)
    counts = torch.bincount(code, minlength=6**places)
    found, wanted, rare = [], [], [0, 0.0]
    for slate in permutations(range(6), places):
        count = int(counts[sum(c * 6**p for p, c in enumerate(slate))])
        probability = len(columns) * float(exact(logits, slate))
        if probability == 0:
            assert count == 0
        elif probability < 5:
            rare = [rare[0] + count, rare[1] + probability]
        else:
            found.append(count)
            wanted.append(probability)
    if rare[1]:
        found.append(rare[0])
        wanted.append(rare[1])
    assert sum(found) == len(columns), "a slate repeats a column"
    return chisquare(found, wanted).pvalue > 0.001


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_log_probabilities_of_all_slates_equal_the_definition_and_samples_follow_it(size):
    table = list(permutations(range(6), size))
    law = PlackettLuce(LOGITS.expand(len(table), -1), slate_size=size)
    expected = [float(exact(GENTLE, slate)) for slate in table]
    assert law.log_prob(torch.tensor(table)).exp().tolist() == pytest.approx(expected, rel=1e-10)
    torch.manual_seed(0)
    assert fits_the_law(PlackettLuce(LOGITS, slate_size=size).sample((ROWS,)), GENTLE)


def test_masked_columns_never_come_and_the_rest_is_renormalised():
    torch.manual_seed(2)
    mask = torch.tensor([True, False, True, True, False, True])
    masked = PlackettLuce(LOGITS, mask, 3)
    small = PlackettLuce(LOGITS[mask], slate_size=3)
    assert not torch.isin(masked.sample((500,)), torch.tensor([1, 4])).any()
    torch.testing.assert_close(
        masked.log_prob(torch.tensor([5, 0, 3])), small.log_prob(torch.tensor([3, 0, 2]))
    )
    torch.testing.assert_close(masked.entropy(), small.entropy())
    assert masked.mode.tolist() == [2, 0, 3]


def test_places_left_empty_keep_gradients_finite():
    mask = torch.zeros(2, 6, dtype=torch.bool)
    mask[0, [1, 4]] = True
    logits = LOGITS.expand(2, 6).clone().requires_grad_()
    law = PlackettLuce(logits, mask, 3)
    slates = law.sample()
    assert sorted(slates[0, :2].tolist()) == [1, 4]
    assert slates[0, 2] == EMPTY
    assert slates[1].tolist() == [EMPTY] * 3
    log_prob = law.log_prob(slates)
    pair = PlackettLuce(LOGITS[slates[0, :2]], slate_size=2)
    torch.testing.assert_close(log_prob[0], pair.log_prob(torch.tensor([0, 1])))
    assert log_prob[1] == 0
    (log_prob.sum() + law.entropy().sum()).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("draws", [1, 3, 8])
@pytest.mark.parametrize("logits", [GENTLE, PEAKED, MASKED], ids=["gentle", "peaked", "masked"])
def test_slates_follow_the_law_whatever_the_number_of_draws(logits, draws):
    torch.manual_seed(draws)
    rows = torch.tensor(logits).expand(ROWS, 6)
    columns, _, _ = SlateSampler(ROWS, 6, 3, rows, draws, block=2).draw(rows)
    assert fits_the_law(columns, logits)


@pytest.mark.parametrize("spread", [1.0, 5.0, 30.0])
@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-5)])
def test_log_probabilities_equal_the_definition(kind, tolerance, spread):
    torch.manual_seed(4)
    logits = (spread * torch.randn(40, 700)).to(kind)
    drawn = draw_slates(logits, 5)
    plain = PlackettLuce(logits, slate_size=5).log_prob(drawn.columns)
    for row, slate in enumerate(drawn.columns.tolist()):
        chance = exact(logits[row].double().tolist(), tuple(slate))
        # A chance near 1 is told by what is missing.
        log = torch.tensor(float(chance - 1), dtype=torch.float64).log1p()
        if chance < 0.5:
            log = torch.tensor(float(chance), dtype=torch.float64).log()
        for found in (drawn.log_probabilities[row], plain[row]):
            assert found.dtype == kind
            torch.testing.assert_close(found.double(), log, rtol=tolerance, atol=1e-12)


def test_a_row_of_peaks_ends_and_has_the_right_order():
    """Each column outweighs all after it by e^200: float32 knows no weight of the second."""
    torch.manual_seed(5)
    order = torch.randperm(400)
    logits = torch.empty(400).scatter_(0, order, -200.0 * torch.arange(400))
    drawn = draw_slates(logits.expand(3, -1), 12)
    assert torch.equal(drawn.columns, order[:12].expand(3, -1))
    assert (drawn.log_probabilities == 0).all()
    # Below the first, two that are alike: as likely as not.
    logits = torch.tensor([0.0, -300.0, -300.0, -torch.inf]).expand(4000, -1)
    second = draw_slates(logits, 2)
    assert (second.columns[:, 0] == 0).all()
    assert abs((second.columns[:, 1] == 1).float().mean() - 0.5) < 0.04
    torch.testing.assert_close(second.log_probabilities, torch.full((4000,), 0.5).log())


def test_short_rows_leave_places_empty():
    torch.manual_seed(6)
    logits = torch.randn(5, 300)
    mask = torch.zeros(5, 300, dtype=torch.bool)
    mask[1, 7] = mask[2, [3, 250]] = True
    mask[3, 10:14] = True
    mask[4] = True
    drawn = draw_slates(logits.masked_fill(~mask, -torch.inf), 4)
    assert drawn.columns[0].tolist() == [EMPTY] * 4
    assert drawn.columns[1].tolist() == [7, EMPTY, EMPTY, EMPTY]
    assert sorted(drawn.columns[2].tolist()) == [EMPTY, EMPTY, 3, 250]
    assert drawn.columns[2, 2:].tolist() == [EMPTY, EMPTY]
    assert sorted(drawn.columns[3].tolist()) == [10, 11, 12, 13]
    plain = PlackettLuce(logits, mask, 4).log_prob(drawn.columns)
    torch.testing.assert_close(drawn.log_probabilities, plain)
    assert drawn.log_probabilities[:2].tolist() == [0, 0]
    assert draw_slates(logits[:, :2], 3).columns[:, 2].tolist() == [EMPTY] * 5
    assert draw_slates(logits[:0], 3).columns.shape == (0, 3)


@pytest.mark.parametrize("masked", [False, True])
def test_parts_of_the_rows_are_the_whole(monkeypatch, masked):
    torch.manual_seed(7)
    logits, mask = torch.randn(23, 500), torch.rand(23, 500) < (0.5 if masked else 1.0)
    monkeypatch.setattr(slates, "CHUNK", 5 * 500)
    drawn = draw_slates(logits.masked_fill(~mask, -torch.inf), 6)
    law = PlackettLuce(logits, mask, 6)
    torch.testing.assert_close(drawn.log_probabilities, law.log_prob(drawn.columns))
    assert mask.gather(1, drawn.columns).all()


def test_the_distribution_draws_long_rows_fast_and_alike():
    torch.manual_seed(9)
    logits = torch.randn(4, 2, 4 * LONG, requires_grad=True)
    mask = torch.rand(4, 2, 4 * LONG) < 0.9
    law = PlackettLuce(logits, mask, 3)
    with torch.no_grad():
        columns, log_probabilities = law.sample_and_log_prob((5,))
    assert columns.shape == (5, 4, 2, 3)
    assert mask.expand(5, -1, -1, -1).gather(-1, columns).all()
    assert not log_probabilities.requires_grad
    torch.testing.assert_close(log_probabilities, law.log_prob(columns).detach())
    assert law.sample_and_log_prob((5,))[1].requires_grad
    low = PlackettLuce(logits.detach().bfloat16(), mask, 3).sample_and_log_prob((5,))
    assert low[1].dtype == torch.float32
    assert mask.expand(5, -1, -1, -1).gather(-1, low[0]).all()
