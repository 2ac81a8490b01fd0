"""Exports against the run they are made from, in this process and in one that imports little."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightrec_export import export as exporting
from lightrec_export import parity
from lightrec_export.export import export
from lightrec_export.exported import FORMAT, ITEMS, MANIFEST, ONNX, Exported
from lightrec_export.towers import Towers, principal, whole
from lightrec_testing import tiny
from safetensors.torch import load_file

from lightrec.encoders.text import TextEncoder
from lightrec.errors import RecipeError, RunError
from lightrec.keys import Column
from lightrec.policies.candidate import CandidatePolicy
from lightrec.ranking.blend import Blend
from lightrec.ranking.ranker import Ranker
from lightrec.run import Run
from tests.processes import light

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def histories(num_items, seed=0):
    """Histories of 0 to 90 items, padded on the left."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([0, 1, 2, 7, 49, 50, 51, 90, *range(3, 20)])
    table = torch.randint(1, num_items + 1, (len(lengths), 90), generator=generator)
    return table * (torch.arange(90) >= 90 - lengths[:, None])


@pytest.fixture(scope="module")
def whole_export(tiny_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("exports") / "whole"
    export(Run(tiny_run), out, what="ranker", histories=True)
    return out


@torch.no_grad()
def test_an_export_scores_as_its_run_does_and_says_what_it_is(tiny_run, whole_export):
    run, held = Run(tiny_run), Exported(whole_export)
    ranker, some = run.served.ranker, histories(run.data.num_items)
    scores = held.queries(some) @ held.table.T + held.bias
    torch.testing.assert_close(scores[:, 1:], ranker.scores(some)[:, 1:], atol=1e-4, rtol=0)
    nothing = held.queries(torch.zeros(2, 0, dtype=torch.int64))
    assert nothing.equal(torch.zeros(2, held.table.shape[1]))
    assert held.queries(some[:0]).shape == (0, held.table.shape[1])
    store = run.data
    assert held.catalog.equals(store.catalog)
    assert held.kinds == store.item_kinds
    assert held.repeats == store.repeats
    assert held.history_length == run.ranker.max_length
    assert held.events.tolist() == store.popularity().tolist()
    assert held.text_vectors.shape == (store.num_items + 1, 0)
    with pytest.raises(RunError, match="has no text encoder"):
        held.encode(["a lamp"])
    for wrong, says in (
        (torch.tensor([[49]]), "must hold items 1 to 48"),
        (torch.ones(2), r"Expected histories \(B, L\) int64"),
    ):
        with pytest.raises(ValueError, match=says):
            held.queries(wrong)
    people = held.histories()
    assert list(people) == store.user_ids.to_list()
    user = store.user_ids[3]
    begin, end = store.offsets[3:5]
    assert people[user] == tuple(np.asarray(store.items)[begin:end].tolist())
    tried = held.manifest["parity"]
    assert tried["histories"] == 256
    assert tried["scores"] <= 1e-4
    assert tried["top10"] > 0.99
    assert json.loads((whole_export / "receipt.json").read_text())["log"]["users"] == tiny.USERS
    assert held.about["what"] == "ranker"


@torch.no_grad()
def test_a_ranker_that_tells_kinds_apart_is_traced_for_any_number_of_histories(tmp_path):
    ranker = Ranker(20, size=8, max_length=5, feedback_kinds=3, gaps=4).eval()
    for table in (ranker.asked, ranker.feedback, ranker.gaps, ranker.bias):
        torch.nn.init.normal_(table)
    ranker.asks.fill_(2)  # the goal's kind
    network = Towers(ranker).network
    program = exporting.traced(network, torch.zeros(2, 3, dtype=torch.int64)).module()
    some = histories(20)
    traced = program(some) @ ranker.item_vectors().T + ranker.bias
    torch.testing.assert_close(traced[:, 1:], ranker.scores(some)[:, 1:], atol=1e-4, rtol=0)


def test_an_export_is_read_without_heavy_packages(whole_export):
    program = (
        "import torch\n"
        "from lightrec_export.exported import Exported\n"
        "from lightrec_export.index import Flat\n"
        "import lightrec.data.filters, lightrec.data.names\n"
        f"held = Exported({str(whole_export)!r})\n"
        "queries = held.queries(torch.tensor([[1, 2, 3]]))\n"
        "print(Flat(held.table, held.bias).search(queries, 3).items.tolist())\n"
    )
    (items,) = light(program)
    held = Exported(whole_export)
    scores = held.queries(torch.tensor([[1, 2, 3]])) @ held.table.T + held.bias
    assert json.loads(items) == (1 + scores[:, 1:].topk(3).indices).tolist()


def manifest_with(**change):
    """Something that changes what an export says of itself."""

    def harm(folder):
        said = json.loads((folder / MANIFEST).read_text()) | change
        (folder / MANIFEST).write_text(json.dumps(said))

    return harm


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda f: (f / ONNX).write_bytes((f / ONNX).read_bytes()[:-1] + b"x"), "is not the file"),
        (lambda f: (f / ITEMS).unlink(), "items.safetensors is missing"),
        (lambda f: (f / MANIFEST).unlink(), "There is no export in"),
        (lambda f: (f / MANIFEST).write_text("[]"), "is damaged"),
        (manifest_with(format=FORMAT + 1), f"and this release reads up to {FORMAT}"),
        (
            manifest_with(files={"../secret": "0"}),
            r"names \.\./secret, which is no file of the",
        ),
        (manifest_with(files={}), "names no items.safetensors"),
    ],
)
def test_an_export_that_was_changed_is_refused(whole_export, tmp_path, harm, message):
    folder = shutil.copytree(whole_export, tmp_path / "copy")
    harm(folder)
    with pytest.raises(RunError, match=message):
        Exported(folder)


def test_an_export_is_refused_before_anything_is_written(tiny_run, tmp_path):
    run = Run(tiny_run)
    with pytest.raises(RecipeError, match="There is something at"):
        export(run, tmp_path)
    with pytest.raises(RecipeError, match="--size should be 1 to 15"):
        export(run, tmp_path / "out", size=16)
    run.__dict__["policy"] = SimpleNamespace()
    with pytest.raises(RunError, match="does not score by two towers"):
        export(run, tmp_path / "out", what="policy")
    run.__dict__["domain"] = SimpleNamespace(restricts=True, name="wine", disclaimer="")
    with pytest.raises(RunError, match="The domain wine says what may be shown to whom"):
        export(run, tmp_path / "out")
    assert not [*tmp_path.iterdir()]


def test_nothing_is_left_of_an_export_that_scores_otherwise(
    tiny_run, whole_export, tmp_path, monkeypatch
):
    # What is traced again would be the same files.
    monkeypatch.setattr(exporting, "traced", lambda *_: None)
    written = lambda _, path: shutil.copyfile(whole_export / path.name, path)  # noqa: E731
    monkeypatch.setattr(exporting, "write_onnx", written)
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    with pytest.raises(RunError, match="Nothing was exported"):
        export(Run(tiny_run), tmp_path / "out", what="ranker")
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
@torch.no_grad()
def test_texts_are_encoded_and_all_is_smaller_in_whole_numbers(tiny_run, tmp_path):
    run = Run(tiny_run)
    store = run.data
    model = tiny.tiny_text_model(tmp_path, layers=1)
    encoder = TextEncoder(str(model), prompt="a ", cache=False)
    ranker = Ranker(store.num_items, encoder.size, 16, max_length=5).eval()
    texts = store.catalog[Column.TEXT].fill_null("").to_list()
    ranker.items.set_vectors(torch.cat([torch.zeros(1, encoder.size), encoder.encode(texts)]))
    torch.nn.init.normal_(ranker.items.project.weight, std=0.1)
    run.__dict__["blend"] = Blend(ranker)
    run.__dict__["wishes"] = SimpleNamespace(encoder=encoder)
    manifest = export(run, tmp_path / "out", what="ranker")
    assert manifest["parity"]["text"] <= 1e-4
    held, some = Exported(tmp_path / "out"), ["", "a lamp of tea", "song " * 99, "rope"]
    torch.testing.assert_close(held.encode(some), encoder.encode(some), atol=1e-5, rtol=0)
    assert held.text_vectors.equal(ranker.items.vectors)

    manifest = export(run, tmp_path / "small", int8=True, size=8)
    small, drawn = Exported(tmp_path / "small"), histories(store.num_items)
    assert manifest["parity"]["network"] <= 1e-4
    assert load_file(tmp_path / "small" / ITEMS)["table"].dtype == torch.int8
    assert small.table.shape == (store.num_items + 1, 8)
    cosine = torch.cosine_similarity(small.encode(some), encoder.encode(some))
    assert (cosine > 0.99).all()
    whole_scores, scores = ((each.queries(drawn) @ each.table.T)[:, 1:] for each in (held, small))
    # What all items' scores have in common may be lost, and ranks nothing.
    centred = [each - each.mean(1, keepdim=True) for each in (whole_scores, scores)]
    assert torch.corrcoef(torch.stack([each.flatten() for each in centred]))[0, 1] > 0.9


@pytest.mark.slow
@torch.no_grad()
def test_a_policy_of_two_towers_is_exported(tiny_run, tmp_path):
    run = Run(tiny_run)
    policy = CandidatePolicy.from_run(run, history_length=6).eval()
    torch.nn.init.normal_(policy.query_network[-1].weight, std=0.2)
    run.__dict__["policy"] = policy
    manifest = export(run, tmp_path / "out", what="policy")
    held, drawn = Exported(tmp_path / "out"), histories(run.data.num_items)
    assert (manifest["class"], held.history_length) == ("CandidatePolicy", run.ranker.max_length)
    scores = held.queries(drawn) @ held.table.T + held.bias
    expected = policy.scores(drawn)
    torch.testing.assert_close(scores[:, 1:], expected[:, 1:], atol=1e-4, rtol=0)


def test_turned_towers_rank_alike_and_lose_least():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(6, 6, generator=generator)
    queries = torch.randn(400, 6, generator=generator) @ mixing
    table = torch.randn(31, 6, generator=generator).index_fill(0, torch.tensor([0]), 0.0)
    bias = torch.zeros(31)

    def left(size):
        turn, rows = principal(queries, table, bias, size)
        assert rows[0].equal(torch.zeros(size))
        error = (queries @ turn @ rows.T - queries @ table.T)[:, 1:]
        return (error - error.mean(1, keepdim=True)).square().mean()

    assert left(6) < 1e-8  # all but what is the same for all items
    losses = torch.stack([left(size) for size in range(1, 7)])
    assert (losses[1:] < losses[:-1]).all()


def test_whole_numbers_are_within_half_a_step():
    rows = torch.randn(50, 7) * torch.logspace(-3, 3, 50)[:, None]
    rows[4] = 0
    numbers, scale = whole(rows)
    assert numbers.dtype == torch.int8
    assert ((numbers * scale[:, None] - rows).abs() <= scale[:, None] * 0.5001).all()
    assert numbers.abs().amax(1)[[0, 9]].tolist() == [127, 127]
