"""What may be searched, and what is told of a file that cannot be."""

import pytest

from lightrec.errors import DataError, RecipeError
from lightrec.stages.space import DEFAULTS, Choices, Range, default, parse, read


def test_ranges_and_choices_of_any_kind():
    space = parse(
        """
        model.init_args.learning_rate: {low: 1e-4, high: 1e-2, log: true}
        model.init_args.dropout: {low: 0, high: .5}
        model.init_args.layers: {low: 1, high: 5, step: 2}
        model.init_args.start: [random, cooccurrence]
        data.init_args.transforms: [null, [{class_path: Crop}]]
        """,
        "here",
    )
    assert list(space.values()) == [
        Range(1e-4, 1e-2, log=True),
        Range(0.0, 0.5),
        Range(1, 5, step=2),
        Choices(("random", "cooccurrence")),
        Choices(("null", '[{"class_path": "Crop"}]')),
    ]
    assert [given.extremes for given in space.values()][1:3] == [["0.0", "0.5"], ["1", "5"]]


@pytest.mark.parametrize(
    ("given", "value", "held"),
    [
        (Range(1, 5, step=2), 3, 3),
        (Range(1, 5, step=2), 2, None),
        (Range(1, 5), 2.5, None),
        (Range(1, 5), True, None),
        (Range(0.0, 0.3, step=0.1), 0.3, 0.3),
        (Range(0.0, 0.3), 0, 0.0),
        (Range(0.0, 0.3), 0.31, None),
        (Range(0.0, 0.3), None, None),
        (Choices(("null", "1", "mean")), None, "null"),
        (Choices(("null", "1", "mean")), 1, "1"),
        (Choices(("null", "1", "mean")), "mean", "mean"),
        (Choices(("null", "1", "mean")), 2, None),
        (Choices(("null", "1", "mean")), object(), None),
    ],
)
def test_what_a_space_holds(given, value, held):
    found = given.holds(value)
    assert found == held
    assert type(found) is type(held)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ("{low: 1}", "A range has low and high, may have log and step, and has nothing else"),
        ("{low: 1, high: 2, logg: true}", "found were low, high, logg"),
        ("{low: 2, high: 1}", "low must be less than high, and 2 is not less than 1"),
        ("{low: 1, high: .nan}", "high must be a number, not nan"),
        ("{low: a, high: 2}", "low must be a number, not 'a'"),
        ("{low: true, high: 2}", "low must be a number, not True"),
        ("{low: 0, high: 2, log: true}", "must begin above 0, not at 0"),
        ("{low: 1, high: 2, log: 3}", "log must be true or false, not 3"),
        ("{low: 1, high: 2, log: true, step: 1}", "either log or step"),
        ("{low: 1, high: 2, step: 0}", "step must be above 0, not 0"),
        ("{low: 1, high: 2, step: .5}", "step must be a whole number"),
        ("[1]", "Choices must be two or more, each once"),
        ("[1, 1]", "Choices must be two or more, each once"),
        ("0.3", "Expected a range such as {low: 0.1, high: 0.5}, or choices"),
    ],
)
def test_what_is_no_range_and_no_choice_is_told(values, told):
    with pytest.raises(DataError) as raised:
        parse(f"model.size: {values}", "space.yaml")
    assert f"space.yaml: model.size: {told}" in str(raised.value) or told in str(raised.value)


def test_all_problems_are_told_at_once(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("--model.size: [1, 2]\nmodel.layers: 3\nmodel.heads: [1, 2]\n")
    with pytest.raises(DataError) as raised:
        read(path)
    first, second = str(raised.value).splitlines()
    assert first.startswith(f"{path}: --model.size: A setting is named as in the recipe")
    assert second.startswith(f"{path}: model.layers: Expected a range")


@pytest.mark.parametrize("content", ["", "[1, 2]", "3", "a: [", "{}"])
def test_what_is_no_mapping_is_told(content):
    with pytest.raises(DataError, match=r"The space (must be a mapping|is not valid YAML)"):
        parse(content, "here")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match="The space cannot be read"):
        read(tmp_path / "none.yaml")


@pytest.mark.parametrize("stage", DEFAULTS)
def test_default_spaces_are_spaces(stage):
    assert parse(default(stage), stage)


def test_a_stage_without_a_space_says_what_to_do():
    with pytest.raises(RecipeError, match=r"no default space for the stage users_a.*--space"):
        default("users_a")
