"""Spaces that may be searched, and what is said of a file that cannot be."""

import re

import pytest
from lightrec_tune.space import ends, held, parse_space
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from lightrec.errors import DataError


def test_ranges_and_choices_of_any_kind():
    space = parse_space(
        """
        model.init_args.learning_rate: {low: 1e-4, high: 1e-2, log: true}
        model.init_args.dropout: {low: 0, high: .5}
        model.init_args.layers: {low: 1, high: 5, step: 2}
        model.init_args.start: [random, cooccurrence]
        trainer.callbacks: [null, [{class_path: EarlyStopping}]]
        """,
        "here",
    )
    assert list(space.values()) == [
        FloatDistribution(1e-4, 1e-2, log=True),
        FloatDistribution(0.0, 0.5),
        IntDistribution(1, 5, step=2),
        CategoricalDistribution(("random", "cooccurrence")),
        CategoricalDistribution(("null", '[{"class_path": "EarlyStopping"}]')),
    ]
    _, dropout, layers, start, _ = map(ends, space.values())
    assert (dropout, layers, start) == ((0.0, 0.5), (1, 5), ("random", "cooccurrence"))


@pytest.mark.parametrize(
    ("space", "value", "expected"),
    [
        (IntDistribution(1, 5, step=2), 3, 3),
        (IntDistribution(1, 5, step=2), 2, None),
        (FloatDistribution(0.0, 0.3, step=0.1), 0.3, 0.3),
        (FloatDistribution(0.0, 0.3), 0, 0.0),
        (FloatDistribution(0.0, 0.3), 0.31, None),
        (CategoricalDistribution(("null", "1", "mean")), None, "null"),
        (CategoricalDistribution(("null", "1", "mean")), "mean", "mean"),
        (CategoricalDistribution(("null", "1", "mean")), 2, None),
    ],
)
def test_what_a_space_holds(space, value, expected):
    chosen = held(space, value)
    assert (chosen, type(chosen)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ("{low: 1}", "Expected a range such as {low: 0.1, high: 0.5}"),
        ("{low: 2, high: 1}", "`low <= high` must hold, but got (low=2, high=1)"),
        ("{low: 1, high: .nan}", "Expected a number, not nan"),
        ("{low: a, high: 2}", "could not convert string to float: 'a'"),
        ("[1]", "two or more different choices"),
    ],
)
def test_what_is_no_range_and_no_choice_is_refused(values, sentence):
    with pytest.raises(DataError, match=f"^space.yaml: model.size: .*{re.escape(sentence)}"):
        parse_space(f"model.size: {values}", "space.yaml")
