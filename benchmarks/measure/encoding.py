"""Texts into vectors by `lightrec encode`, killed every so often, beside the bare model.

The bare model reads some of the texts after each kill, so that both meet the machine as it is then.
What was done stays in the cache: a measurement that is stopped goes on from there.
"""

import json
import os
import shutil
import subprocess
import time
from resource import RUSAGE_CHILDREN, getrusage

import numpy as np
import polars as pl
import torch
from transformers import AutoModel, AutoTokenizer

from benchmarks import LIGHTREC
from benchmarks.logs import popular, words
from benchmarks.measure import Cell, resident
from lightrec.data.files import cache_folder
from lightrec.encoders.hub import MINILM, files_of

BATCH, READ = 64, 2_000


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
    """Encode texts of 20 words, killed and resumed; the bare model reads some between."""
    common, generator = words(), np.random.default_rng(cell.seed)
    shares = popular(len(common), 5, 1)
    drawn = common[generator.choice(len(common), (cell["texts"], 20), p=shares)]
    titles = [" ".join(row) for row in drawn]
    folder = cache_folder() / "bench" / f"encoding-{cell['texts']}-{cell.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    items, noted = folder / "items.csv", folder / "legs.json"
    pl.DataFrame({"item": np.arange(len(titles)), "title": titles}).write_csv(items)
    legs = json.loads(noted.read_text()) if noted.is_file() else []
    command = [LIGHTREC, "encode", items, "--out", folder / "vectors.parquet"]
    while not any(leg.get("ended") for leg in legs):
        before, began = getrusage(RUSAGE_CHILDREN), time.monotonic()
        process = subprocess.Popen(command, env=os.environ | {"LIGHTREC_CACHE": str(folder)})
        legs.append(leg := {})
        while process.poll() is None and (seconds := time.monotonic() - began) < cell["leg"]:
            leg["cpu"] = seconds  # at most, where this process ends before the other
            leg["peak_gib"] = max(leg.get("peak_gib", 0.0), resident(process.pid))
            noted.write_text(json.dumps(legs))
            time.sleep(1)
        process.kill()
        if process.wait() > 0:
            raise SystemExit(process.returncode)
        usage = getrusage(RUSAGE_CHILDREN)
        leg["cpu"] = usage.ru_utime + usage.ru_stime - before.ru_utime - before.ru_stime
        leg["bare"] = bare(generator.choice(titles, min(READ, len(titles)), False).tolist())
        leg["ended"] = process.returncode == 0
        noted.write_text(json.dumps(legs))
    shutil.rmtree(folder)
    seconds = sum(leg["cpu"] for leg in legs)
    measured = [leg for leg in legs if "bare" in leg]
    usual = sum(leg["cpu"] * leg["bare"] for leg in measured) / sum(leg["cpu"] for leg in measured)
    speed, most = len(titles) / seconds, max(leg.get("peak_gib", 0.0) for leg in measured)
    found = {"texts_per_cpu_second": speed, "bare": usual, "share_of_bare": speed / usual}
    return found | {"peak_gib": most, "kills": len(legs) - 1}
