"""Language models of several sizes, read and tuned, and rollouts, on the device that is there.

Weights are random: speed and memory follow from shapes alone.
"""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from lightrec_worlds.recsim import InterestEvolution
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from benchmarks.measure import Cell, resident
from benchmarks.measure.recsim_worlds import steps
from lightrec.encoders.layers import Layers
from lightrec.encoders.text import TextEncoder

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
NAME = torch.cuda.get_device_name() if torch.cuda.is_available() else "the processor, one thread"
SHAPES = {"23 M": (384, 6), "110 M": (768, 12), "335 M": (1024, 24)}
"""Width and layers, by millions of parameters with BERT's vocabulary."""
BATCH, SECONDS, PART, USERS = 64, 20.0, 20, 8192


def model(folder: Path, shape: tuple[int, int]) -> TextEncoder:
    """Write a BERT of random weights, which reads each word as one token."""
    width, layers = shape
    words = {"[PAD]": 0, "[UNK]": 1} | {f"w{n}": n + 2 for n in range(30_000)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "model_max_length": 512}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(folder)
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": width // 64}
    BertModel(BertConfig(intermediate_size=4 * width, **sizes)).save_pretrained(folder)
    dtype = "bfloat16" if DEVICE.type == "cuda" else "float32"
    return TextEncoder(str(folder), cache=False, device=DEVICE.type, dtype=dtype)


def rate(step: Callable[[], int]) -> float:
    """What a step counts, a second, once it is warm."""
    # On a processor, seconds of it: other work comes and goes.
    clock = time.perf_counter if DEVICE.type == "cuda" else time.process_time
    step()
    done, start = 0, clock()
    while clock() < start + SECONDS:
        done += step()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
    return done / (clock() - start)


def tuning(encoder: TextEncoder, texts: list[str], tune: str) -> Callable[[], int]:
    """Take a step of AdamW towards vectors drawn at random, a batch at a time."""
    part = Layers(encoder, texts, tune).train().to(DEVICE)  # type: ignore[arg-type]
    learned = [each for each in part.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(learned, fused=True)
    goal = torch.randn(encoder.size, device=DEVICE)

    def step() -> int:
        for numbers in torch.randperm(len(texts)).add(1).split(BATCH):
            optimizer.zero_grad()
            with torch.autocast(DEVICE.type, torch.bfloat16, DEVICE.type == "cuda"):
                (part(numbers) @ goal).mean().backward()
            optimizer.step()
        return len(texts)

    return step


def measure(cell: Cell) -> dict[str, float | str]:
    """Texts or user-steps a second, and the peak of memory, the device's where it has its own."""
    torch.manual_seed(cell.seed)
    if cell["what"] == "rollouts":
        step = steps(InterestEvolution(USERS, device=DEVICE), PART)
    else:
        drawn = torch.randint(30_000, (4 * BATCH, cell["tokens"])).tolist()
        texts = [" ".join(f"w{word}" for word in words) for words in drawn]
        encoder = model(cell.out / "model", SHAPES[cell["size"]])
        step = (
            tuning(encoder, texts, cell["tune"])
            if cell["what"] == "tune"
            else lambda: len(encoder.encode(texts))
        )
    found = rate(step)
    cuda = DEVICE.type == "cuda"
    held = torch.cuda.max_memory_allocated() / 2**30 if cuda else resident()
    return {"device": NAME, "per_second": found, "gib": held}
