"""How fast texts are fine-tuned: `make bench NAME=tuning_speed`, with LIGHTREC_TEST_DATA set.

Titles of Amazon Beauty on one thread. Every loop does the same steps over the same texts from the
same start, with the loss of the stage `text` against a bank of all vectors, dropout off: the naive
one in full precision with titles in random order, padded to 128 tokens (as all-MiniLM-L6-v2 was
trained) or to the longest of a batch, torch's plain AdamW, and all weights trained. The others are
the stage's: batches of like lengths, fused AdamW, states of what is not trained computed before,
and bfloat16 where the processor has it. What counts is examples a CPU second of these steps, and
the loss on 512 titles afterwards.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch.nn.functional import normalize

from benchmarks.cells import LIGHTREC, Benchmark, markdown
from lightrec.encoders.base import unit_vectors
from lightrec.encoders.layers import Layers
from lightrec.encoders.text import TextEncoder
from lightrec.encoders.tuning_data import Nearby, TextData

SIZE, STEPS, JUDGED = 64, 32, 512
POOL = 16
"""Batches among which the stage's sampler sorts texts by length."""
RATE = 3e-4
BFLOAT16 = torch.cpu._is_avx512_bf16_supported()
"""Without, bfloat16 is far slower than full precision."""
LONGEST = 128
LOOPS = {
    "naive, padded to 128 tokens": None,
    "naive, padded to the longest of a batch": None,
    "all layers above the embeddings": {"layers": None},
    "two layers, cached states below": {"layers": 2},
    "all of the model": {"tune": "full"},
}


class Naive(torch.nn.Module):
    """A model that is trained as the first tutorial does it."""

    def __init__(self, encoder: TextEncoder, texts: list[str], longest: int | None) -> None:
        super().__init__()
        self.encoder, self.texts = encoder, texts
        self.how = {"padding": "max_length" if longest else True, "max_length": longest or 256}
        self.weights = encoder.load_weights()
        self.weights.pooler.requires_grad_(False)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        some = [self.texts[number - 1] for number in numbers.tolist()]
        tokens = self.encoder.tokenizer(some, truncation=True, return_tensors="pt", **self.how)
        return self.encoder(dict(tokens))


def measure(loop: str, data: Path, folder: Path) -> None:
    """Write what a loop takes and comes to."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    source = TextData(str(data), TextEncoder())
    nearby, examples = Nearby(source.examples), source.examples
    table = source.given[torch.from_numpy(examples.trained)]
    centre, bank = table.mean(0), unit_vectors(table)
    popular = torch.from_numpy(examples.shares).log()
    trained = torch.from_numpy(examples.trained)

    settings, began = LOOPS[loop], time.process_time()
    if settings is None:
        longest = LONGEST if str(LONGEST) in loop else None
        part = Naive(source.encoder, examples.texts, longest)
    else:
        part = Layers(source.encoder, examples.texts, **settings)
    for module in (part, part._hidden[0] if settings is not None else part):
        module.eval()  # no dropout
    before = time.process_time() - began
    fused = settings is not None
    optimizer = torch.optim.AdamW(part.parameters(), lr=RATE, weight_decay=0.0, fused=fused)

    order = torch.randperm(len(nearby), generator=torch.Generator().manual_seed(0))
    batches = list(order[: SIZE * STEPS].split(SIZE))
    if settings is not None:
        lengths = torch.tensor([len(examples.texts[n - 1]) for n in examples.trained])
        for at in range(0, STEPS, POOL):
            pool = torch.cat(batches[at : at + POOL])
            pool = pool[lengths[nearby.rows[pool]].argsort(stable=True)]
            batches[at : at + POOL] = pool.split(SIZE)
        shuffled = torch.randperm(STEPS, generator=torch.Generator().manual_seed(1))
        batches = [batches[number] for number in shuffled.tolist()]

    def loss(rows: torch.Tensor, bank: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        batch = nearby[nearby.rows[rows.numpy()]]
        text = batch["text"]
        own = normalize(part(trained[text]).float() - centre, dim=1)
        table = bank.index_copy(0, text, own)
        scores = (8 * own @ table.T + popular).scatter(1, text[:, None], -torch.inf)
        found = scores[batch["entry"], batch["near"]] * batch["share"]
        return (scores.logsumexp(1).sum() - found.sum()) / len(text), table.detach()

    began = time.process_time()
    for rows in batches:
        with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16 and settings is not None):
            value, bank = loss(rows, bank)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
    seconds = time.process_time() - began
    with torch.no_grad():
        judged = order[-JUDGED:].split(SIZE)
        after = sum(float(loss(rows, bank)[0]) for rows in judged) / len(judged)
    found = {"examples_a_second": SIZE * STEPS / seconds, "seconds_before": before, "loss": after}
    found["bfloat16"] = float(BFLOAT16 and settings is not None)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(found))


def main() -> None:
    """Run the cells and print the table."""
    if "--measure" in sys.argv:
        loop, data, folder = sys.argv[sys.argv.index("--measure") + 1 :]
        measure(loop, Path(data), Path(folder))
        return
    source = Path(os.environ["LIGHTREC_TEST_DATA"]) / "amazon-beauty-p5"
    benchmark = Benchmark("tuning_speed")
    run = Path("runs") / "tuning-speed"
    files = ["--log", str(source / "log.csv"), "--items", str(source / "items.csv")]
    until = ["--goal", "next", "--until", "data", "--out", str(run)]
    subprocess.run([LIGHTREC, "run", "generic", *files, *until], check=True)
    for loop in LOOPS:
        command = [sys.executable, "-m", "benchmarks.tuning_speed", "--measure", loop]
        command += [str(run / "data"), "{out}/measured"]
        benchmark.cell(loop, command, 0, "measured/metrics.json")
    print(table(benchmark.cells))


def table(cells: dict[str, dict]) -> str:
    """Set speeds, ratios and losses as Markdown."""
    found = {loop: cells[loop]["metrics"] for loop in LOOPS if loop in cells}
    naive = [found[loop]["examples_a_second"] for loop, how in LOOPS.items() if how is None]
    rows = [
        [
            loop,
            f"{own['examples_a_second']:.1f}",
            *(f"{own['examples_a_second'] / each:.1f}" for each in naive),
            f"{own['loss']:.4f}",
            f"{own['seconds_before']:.0f}",
        ]
        for loop, own in found.items()
    ]
    head = ["loop", "titles a CPU second", "times the first", "times the second"]
    return markdown([*head, "loss afterwards", "CPU seconds before"], rows)


def of_loop(cells: dict[str, dict], number: str, metric: str) -> str:
    """Give a figure of the loop with a number, from 0."""
    return f"{cells[[*LOOPS][int(number)]]['metrics'][metric]:.0f}"


if __name__ == "__main__":
    main()
