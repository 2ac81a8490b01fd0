"""Several columns in one vector, and vectors from a file."""

import json
import math
from functools import partial

import polars as pl
import pytest
import torch
from lightrec_images.fused import Fused
from lightrec_images.given import Given
from lightrec_testing import EncoderChecks, check_all, parametrize_checks, plugin_checks, tiny
from safetensors.torch import save_file

from lightrec.__main__ import main
from lightrec.encoders.base import Encoder, item_vectors
from lightrec.encoders.words import WordEncoder
from lightrec.errors import DataError, RecipeError
from lightrec.run import Run

TABLE = {"item": list("abcde"), "title": ["tea", "tea pot", None, "lamp", ""]}
TABLE["brand"] = ["ada", "bo", "bo", None, None]
TABLE["kinds"] = [["tea", "pot"], ["tea"], [], None, None]
ITEMS = pl.DataFrame(TABLE)


class Angle(Encoder):
    """Numbers as directions of any length; it reads no words."""

    size, reads_words, column = 2, False, "angle"

    def encode(self, values):
        return torch.tensor([[5 * math.cos(v), 5 * math.sin(v)] for v in values])


class Words(WordEncoder):
    def encode(self, values):
        assert all(isinstance(value, str) for value in values)
        return 3 * super().encode(values)


def test_the_product_of_whole_items_is_the_weighted_mean_of_their_cosines():
    angles = [0.0, 1.0, 2.5, -0.3, 2.0]
    catalog = ITEMS.with_columns(
        pl.Series("angle", angles), title=pl.lit("tea ") + pl.col("item"), brand=pl.lit("bo")
    )
    encoder = Fused([Words(32), Angle(), Words(16)], ["title", "angle", "brand"], [2.0, 1.0, 5.0])
    vectors = item_vectors(encoder, catalog)
    assert vectors.shape == (6, 50)
    assert not vectors[0].any()
    words = torch.nn.functional.normalize(WordEncoder(32).encode(catalog["title"].to_list()))
    angle = torch.tensor([[math.cos(a - b) for b in angles] for a in angles])
    expected = (2 * words @ words.T + angle + 5) / 8
    torch.testing.assert_close(vectors[1:] @ vectors[1:].T, expected, atol=1e-6, rtol=0)


def test_items_that_lack_parts_have_norm_1_and_are_compared_by_the_others():
    parts = Fused([Words(32), Words(16), Words(8)], ["title", "brand", "kinds"], [3.0, 1.0, 0.5])
    vectors = item_vectors(parts, ITEMS)
    assert vectors.norm(dim=1).tolist() == pytest.approx([0, 1, 1, 1, 1, 0])
    # A list is its members.
    kinds = WordEncoder(8).encode(["tea, pot"])[0]
    torch.testing.assert_close(vectors[1, 48:], kinds * (0.5 / 4.5) ** 0.5)
    assert parts.encode(["tea"]).norm().item() == pytest.approx(1), "a wish is read by all parts"
    # c has the brand alone, d the title alone, and both are as near to nothing as can be.
    assert not vectors[3, :32].any()
    assert not vectors[4, 32:].any()
    with pytest.raises(RecipeError, match="column 'colour', and the catalog has item, title"):
        item_vectors(Fused([Words(8), Words(8)], ["title", "colour"]), ITEMS)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Fused([]), "at least one encoder"),
        (lambda: Fused([WordEncoder()], ["title", "text"]), "has 1 encoders, 2 columns"),
        (lambda: Fused([WordEncoder()], weights=[0.0]), "a weight above 0"),
        (lambda: Fused([Fused([WordEncoder()])]), "reads several columns itself"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(make, sentence):
    with pytest.raises(RecipeError, match=sentence):
        make()


VECTORS = [[1.0, 0.0, 2.0], [0.0, 3.0, 0.5]]


@pytest.fixture(params=["parquet", "list", "safetensors"])
def file(request, tmp_path):
    path = tmp_path / f"vectors.{'safetensors' if request.param == 'safetensors' else 'parquet'}"
    if request.param == "safetensors":
        save_file({"vectors": torch.tensor(VECTORS)}, path, {"items": json.dumps(["b", "x"])})
    else:
        kind = pl.Array(pl.Float64, 3) if request.param == "parquet" else pl.List(pl.Float32)
        table = {"item": ["b", "x"], "title": ["", ""], "vector": pl.Series(VECTORS, dtype=kind)}
        pl.DataFrame(table).write_parquet(path)
    return str(path)


def test_given_vectors_are_those_of_the_file(file):
    encoder = Given(file)
    assert encoder.size == 3
    zero = [0.0, 0.0, 0.0]
    assert item_vectors(encoder, ITEMS).tolist() == [zero, zero, VECTORS[0], zero, zero, zero]
    assert encoder.about == {"class": "Given", "file": file, "vectors": 2}
    both = item_vectors(Fused([WordEncoder(8), encoder], ["title", "item"]), ITEMS)
    torch.testing.assert_close(both[2, 8:], torch.tensor([1.0, 0.0, 2.0]) / 10**0.5)
    with pytest.raises(RecipeError, match="2 items, such as 'b', and of none of the 1 that are"):
        encoder.encode(["a"])


@pytest.mark.slow
def test_given_vectors_keep_the_contract_of_encoders(file):
    check_all(EncoderChecks(partial(Given, file), values=list("bxbxb")))


@parametrize_checks(
    plugin_checks("lightrec-images"),
    EncoderChecks(
        partial(Fused, [WordEncoder(64), Angle()], ["title", "angle"]),
        values=[{"title": f"tea {n}", "angle": n / 3} for n in range(5)],
    ),
)
def test_contract(check):
    check()


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (None, "No vectors can be read from it"),
        ({"item": ["a", "b"], "vector": [[1.0], [1.0, 2.0]]}, r"of the lengths \[1, 2\]"),
        ({"item": ["a", "a"], "vector": [[1.0], [2.0]]}, "2 ids, 1 of them different"),
        ({"item": ["a", "b"], "vector": [[1.0], [math.nan]]}, "item 'b' has NaN"),
    ],
)
def test_a_file_without_proper_vectors_is_refused(tmp_path, table, sentence):
    path = tmp_path / "vectors.parquet"
    if table is not None:
        pl.DataFrame(table).write_parquet(path)
    with pytest.raises(DataError, match=sentence):
        item_vectors(Given(str(path)), ITEMS)


def test_one_setting_brings_several_columns_into_a_run(tmp_path):
    log, items = tiny.write_log(tmp_path)
    ids, file, run = pl.read_csv(items)["sku"][:40], str(tmp_path / "v.parquet"), tmp_path / "run"
    vectors = torch.randn(40, 3, generator=torch.manual_seed(0))
    pl.DataFrame({"item": ids, "vector": vectors.tolist()}).write_parquet(file)
    brought = {"class_path": "Given", "init_args": {"file": file}}
    columns, weights = ["title", "item"], [2, 1]
    settings = {"encoders": ["WordEncoder", brought], "columns": columns, "weights": weights}
    fused = json.dumps({"class_path": "Fused", "init_args": settings})
    words = ["run", "generic", "--log", str(log), "--items", str(items), "--until", "ranker"]
    words += ["--values.text_encoder", fused, "--data.k_core", "1", "--ranker.trainer.max_epochs"]
    words += ["1", "--ranker.model.init_args.size", "16", "--out", str(run)]
    assert main(words) == 0
    catalog = Run(run).data.catalog
    expected = item_vectors(Fused([WordEncoder(), Given(file)], columns, weights), catalog)
    assert torch.equal(Run(run).ranker.items.vectors, expected)
    out = str(tmp_path / "own.safetensors")
    assert main(["encode", str(run), "--out", out]) == 0
    assert torch.equal(item_vectors(Given(out), catalog), expected)
