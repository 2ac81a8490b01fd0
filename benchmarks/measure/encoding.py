"""A catalog's texts into vectors by `lightrec encode`, killed halfway, beside the bare model."""

import os
import subprocess
import time

import numpy as np
import polars as pl
import torch
from transformers import AutoModel, AutoTokenizer

from benchmarks import LIGHTREC
from benchmarks.logs import popular, words
from benchmarks.measure import Cell
from lightrec.encoders.hub import MINILM, files_of

BATCH, READ = 64, 20_000


def bare(texts: list[str]) -> float:
    """Texts per CPU second of the model with the mean of its states, in batches of like length."""
    folder, texts = files_of(MINILM), sorted(texts, key=len)
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    began = time.process_time()
    for at in range(0, len(texts), BATCH):
        tokens = tokenizer(texts[at : at + BATCH], padding=True, return_tensors="pt")
        with torch.no_grad():
            states, mask = model(**tokens).last_hidden_state, tokens["attention_mask"][..., None]
        (states * mask).sum(1) / mask.sum(1)
    return len(texts) / (time.process_time() - began)


def measure(cell: Cell) -> dict[str, float]:
    """Encode texts of 20 words, killed once; the bare model reads some of them."""
    common, generator = words(), np.random.default_rng(cell.seed)
    shares = popular(len(common), 5, 1)
    drawn = common[generator.choice(len(common), (cell["texts"], 20), p=shares)]
    titles = [" ".join(row) for row in drawn]
    items, out = cell.out / "items.csv", cell.out / "vectors.parquet"
    pl.DataFrame({"item": np.arange(len(titles)), "title": titles}).write_csv(items)
    command = [LIGHTREC, "encode", items, "--out", out]
    cpu, peaks = 0.0, []
    for limit in (cell["killed_after"], None):
        process = subprocess.Popen(command, env=os.environ | {"LIGHTREC_CACHE": str(cell.out)})
        if limit is not None:
            time.sleep(limit)
            process.kill()
        usage = os.wait4(process.pid, 0)[2]
        cpu += usage.ru_utime + usage.ru_stime
        peaks.append(usage.ru_maxrss / 2**20)
    speed, usual = len(titles) / cpu, bare(titles[:READ])
    found = {"texts_per_cpu_second": speed, "bare": usual, "share_of_bare": speed / usual}
    return found | {"peak_gib": max(peaks)}
