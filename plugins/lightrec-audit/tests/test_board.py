"""TensorBoard's projector of a run, read back as TensorBoard reads it."""

import polars as pl
import torch
from tensorboard.plugins.projector.projector_plugin import _read_tensor_tsv_file

from lightrec.run import Run


def test_the_projector_has_the_ranker_s_item_vectors_with_titles(tiny_run):
    logs, run = tiny_run / "logs" / "ranker", Run(tiny_run)
    vectors = torch.tensor(_read_tensor_tsv_file(str(logs / "items.tsv")))
    names = pl.read_csv(logs / "metadata.tsv", separator="\t")
    assert names.columns == ["title", "item", "events", "category"]
    assert names["title"].to_list() == run.data.catalog["title"].to_list()
    assert names["events"].to_list() == run.data.popularity()[1:].tolist()
    with torch.no_grad():
        torch.testing.assert_close(vectors, run.ranker.item_vectors()[1:], atol=1e-4, rtol=1e-4)
