import json

import polars as pl
import pytest
import torch
from safetensors import safe_open

from lightrec.__main__ import main
from lightrec.encoders.words import WordEncoder

ITEMS = "sku,title,brand\n7,red lamp,Ada\n8,,\n9,blue chair,Bo\n"
TEXTS = ["red lamp. brand: Ada", "blue chair. brand: Bo"]


@pytest.fixture
def items(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text(ITEMS)
    return path


def test_vectors_are_those_of_the_domains_words(items, tmp_path, capsys):
    expected = torch.zeros(3, WordEncoder.size)
    expected[[0, 2]] = WordEncoder().encode(TEXTS)
    parquet, tensors = tmp_path / "v.parquet", tmp_path / "v.safetensors"
    for out in (parquet, tensors):
        assert main(["encode", str(items), "--encoder", "WordEncoder", "--out", str(out)]) == 0
        assert "3 items, 1 of them without words" in capsys.readouterr().out
    table = pl.read_parquet(parquet)
    assert table["item"].to_list() == ["7", "8", "9"]
    assert torch.equal(table["vector"].to_torch(), expected)
    with safe_open(tensors, "pt") as file:
        assert torch.equal(file.get_tensor("vectors"), expected)
        assert json.loads(file.metadata()["items"]) == ["7", "8", "9"]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--out", "v.csv"], "must end in .parquet or .safetensors, not v.csv"),
        (["--out", "v.parquet", "--encoder", "no/model"], "'no/model' is neither a folder nor"),
    ],
)
def test_what_cannot_be_encoded_is_said(items, more, sentence, capsys):
    assert main(["encode", str(items), *more]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_a_run_without_a_ranker_has_no_vectors_yet(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    assert main(["encode", str(tmp_path), "--out", str(tmp_path / "v.parquet")]) == 2
    assert "has no ranker yet" in capsys.readouterr().err
