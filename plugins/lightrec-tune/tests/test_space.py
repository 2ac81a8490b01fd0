"""Spaces that may be searched, and what is said of a file that cannot be."""

import re

import pytest
from lightrec_tune.space import parse_space
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


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ("{low: 1}", "Expected a range such as {low: 0.1, high: 0.5}"),
        ("{low: 1, high: .nan}", "Expected a number, not nan"),
        ("[1]", "two or more different choices"),
    ],
)
def test_what_is_no_range_and_no_choice_is_refused(values, sentence):
    with pytest.raises(DataError, match=f"^space.yaml: model.size: .*{re.escape(sentence)}"):
        parse_space(f"model.size: {values}", "space.yaml")
