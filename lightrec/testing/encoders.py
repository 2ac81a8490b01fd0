"""The contract of encoders: what must hold for the vectors of any texts."""

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from lightrec.encoders.base import Encoder
from lightrec.testing.chance import seeded
from lightrec.testing.contract import Check, DoesNotApply, checks_of, expect, name_of, run_all
from lightrec.testing.tensors import TOLERANCE, described, same

MakeEncoder = Callable[[], Encoder]

# From short to long, so that an encoder that batches by length keeps this order.
TEXTS = (
    "",
    "tea",
    "a red lamp",
    "rope for a boat",
    "a song of tea and rope",
    "the lamp of the house by the sea, and a song",
)
LONG = "a very long story of tea and rope " * 500
UNICODE = ("naïve café", "🍵🎣 👩‍👩‍👧", "שלום עולם", "茶とロープ", "a\tb\nc", "𝔱𝔢𝔞", "\u200b")
_NOT_IMPORTED = 77
_ELSEWHERE = f"""
import pathlib, pickle, sys, torch
folder, *texts = sys.argv[1:]
try:
    encoder = pickle.loads(pathlib.Path(folder, "encoder").read_bytes())
except (ImportError, AttributeError):
    sys.exit({_NOT_IMPORTED})
torch.save(encoder.encode(texts), pathlib.Path(folder, "vectors"))
"""


def encoder_checks(make: MakeEncoder, part: str | None = None) -> list[Check]:
    """Give the checks of an encoder.

    :param make: builds a fresh encoder, such as its class.
    :param part: its name in ids and messages; by default that of ``make``.
    """
    return checks_of(part or name_of(make), CHECKS, make, around=seeded)


def check_encoder(make: MakeEncoder) -> None:
    """Run all checks of an encoder.

    :raises ContractError: that lists all that failed.
    """
    run_all(encoder_checks(make))


def size(make: MakeEncoder) -> None:
    """``size`` is known before anything is encoded."""
    found = make().size
    expect(
        isinstance(found, int) and not isinstance(found, bool) and found > 0,
        "An encoder's size is a whole number above 0.",
        f"It is {found!r}.",
        "Return the length of the vectors from `size`, as int.",
    )


def shape_and_type(make: MakeEncoder) -> None:
    """One row a text, as wide as ``size``, float32 on the CPU."""
    encoder = _ready(make)
    vectors = encoder.encode(TEXTS)
    wanted = (len(TEXTS), encoder.size)
    expect(
        isinstance(vectors, Tensor)
        and vectors.shape == wanted
        and vectors.dtype == torch.float32
        and vectors.device.type == "cpu",
        f"{len(TEXTS)} texts give a tensor of shape {wanted}, float32 on the CPU.",
        f"They gave {described(vectors)}.",
        "Return one row a text, as long as `size` says, and end with `.float().cpu()`.",
    )


def finite(make: MakeEncoder) -> None:
    """No NaN and no infinity."""
    vectors = _ready(make).encode(TEXTS[1:])
    expect(
        vectors.isfinite().all(),
        "Vectors are finite.",
        f"{int((~vectors.isfinite()).sum())} of {vectors.numel()} numbers are NaN or infinite.",
        "Look for a division by a norm or a count that can be 0.",
    )


def empty_text(make: MakeEncoder) -> None:
    """The empty string gives a finite vector: items without words are common."""
    encoder = _ready(make)
    vectors = encoder.encode([""])
    expect(
        vectors.shape == (1, encoder.size) and vectors.isfinite().all(),
        "The empty text gives one finite vector.",
        f"It gave {described(vectors)}, finite: {bool(vectors.isfinite().all())}.",
        "Treat a text without words on its own, for example by a vector of zeros.",
    )


def no_texts(make: MakeEncoder) -> None:
    """An empty list gives an empty table of the right width."""
    encoder = _ready(make)
    vectors = encoder.encode([])
    expect(
        isinstance(vectors, Tensor) and vectors.shape == (0, encoder.size),
        f"No texts give a tensor of shape {(0, encoder.size)}.",
        f"They gave {described(vectors)}.",
        "Return `torch.zeros(0, self.size)` where there are no texts.",
    )


def neighbours(make: MakeEncoder) -> None:
    """A text alone and the same text beside longer ones have one vector."""
    encoder = _ready(make)
    alone = torch.cat([encoder.encode([text]) for text in TEXTS])
    together = encoder.encode(TEXTS)
    same(
        together,
        alone,
        "A text's vector does not depend on the texts beside it.",
        "Leave padding out of pooling and attention, and normalise nothing over the batch.",
    )


def order_of_texts(make: MakeEncoder) -> None:
    """Rows come in the order of the texts."""
    encoder = _ready(make)
    same(
        encoder.encode(TEXTS[::-1]),
        encoder.encode(TEXTS).flip(0),
        "Rows stand in the order of the texts, whatever that is.",
        "If texts are sorted on the way, put the rows back into their places.",
    )


def equal_texts(make: MakeEncoder) -> None:
    """A text that comes twice has one vector."""
    encoder = _ready(make)
    vectors = encoder.encode([TEXTS[1], TEXTS[2], TEXTS[2]])
    same(
        vectors[2],
        vectors[1],
        "Equal texts of one call have equal vectors.",
        "If each text is encoded once only, copy its vector to all its places.",
    )


def long_text(make: MakeEncoder) -> None:
    """A text beyond every limit is cut, not refused."""
    encoder = _ready(make)
    vectors = encoder.encode([TEXTS[1], LONG])
    expect(
        vectors.shape == (2, encoder.size) and vectors.isfinite().all(),
        f"A text of {len(LONG)} characters gives a finite vector.",
        f"It gave {described(vectors)}, finite: {bool(vectors.isfinite().all())}.",
        "Read as much of a text as the encoder can, and leave the rest.",
    )


def unicode(make: MakeEncoder) -> None:
    """Accents, emoji, right-to-left and control characters are texts like others."""
    encoder = _ready(make)
    vectors = encoder.encode(UNICODE)
    expect(
        vectors.shape == (len(UNICODE), encoder.size) and vectors.isfinite().all(),
        "Texts in any script, emoji and control characters give finite vectors.",
        f"They gave {described(vectors)}, finite: {bool(vectors.isfinite().all())}.",
        "Count what the encoder does not know as one unknown word, or as none.",
    )


def different_texts(make: MakeEncoder) -> None:
    """The vectors say something of the texts."""
    vectors = _ready(make).encode(TEXTS[1:])
    expect(
        not torch.allclose(vectors, vectors[:1].expand_as(vectors), atol=TOLERANCE),
        "Different texts have different vectors.",
        f"All of {len(TEXTS) - 1} different texts have the same one.",
        "Check that the texts reach the computation, and that nothing multiplies them by 0.",
    )


def second_encoder(make: MakeEncoder) -> None:
    """Whoever builds the same encoder gets the same vectors."""
    first, second = _ready(make), _ready(make)
    if isinstance(first, nn.Module):
        raise DoesNotApply("The encoder is a torch.nn.Module, whose weights are loaded.")
    same(
        second.encode(TEXTS),
        first.encode(TEXTS),
        "Two encoders built alike give the same vectors.",
        "Take chance out of the constructor and of `encode`, or draw from a fixed seed.",
    )


def pickled(make: MakeEncoder) -> None:
    """Workers that load data get their encoder by pickle."""
    encoder = _ready(make)
    before = encoder.encode(TEXTS)
    same(
        pickle.loads(pickle.dumps(encoder)).encode(TEXTS),
        before,
        "An encoder gives the same vectors after pickling.",
        "Keep open files, locks and lambdas out of the attributes, or define `__getstate__`.",
    )


def another_process(make: MakeEncoder) -> None:
    """An encoder that goes to another process gives the same vectors there."""
    encoder = _ready(make)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "encoder").write_bytes(pickle.dumps(encoder))
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            # Python's `hash` of strings follows it.
            "PYTHONHASHSEED": "123",
        }
        command = [sys.executable, "-c", _ELSEWHERE, folder, *TEXTS]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode == _NOT_IMPORTED:
            raise DoesNotApply("The encoder's class cannot be imported in another process.")
        expect(
            not done.returncode,
            "An encoder that was pickled encodes in another process.",
            f"There it raised {(done.stderr.strip().splitlines() or ['nothing'])[-1]}.",
            "Keep in the encoder, or load when it is first needed, all that `encode` uses.",
        )
        vectors = torch.load(Path(folder, "vectors"))
    same(
        vectors,
        encoder.encode(TEXTS),
        "An encoder that was pickled gives the same vectors in another process.",
        "Do not use Python's `hash` of strings, which differs by process; take `zlib.crc32`.",
    )


def gradients(make: MakeEncoder) -> None:
    """What can be trained is reached by the gradient."""
    encoder = _ready(make)
    trainable = _trainable(encoder)
    if not trainable:
        raise DoesNotApply("The encoder has no trainable parameters.")
    with torch.enable_grad():
        vectors = encoder.encode(TEXTS)
        if vectors.requires_grad:
            (vectors * torch.randn_like(vectors)).sum().backward()
    missed = [name for name, parameter in trainable.items() if parameter.grad is None]
    expect(
        not missed,
        "The vectors' gradient reaches every trainable parameter.",
        f"It does not reach {', '.join(missed)}.",
        "Take `no_grad`, `detach` and `numpy` out of `encode`, or freeze what is not trained with "
        "`requires_grad_(False)`.",
    )


def frozen(make: MakeEncoder) -> None:
    """An encoder without trainable parameters does not keep a graph."""
    encoder = _ready(make)
    if _trainable(encoder):
        raise DoesNotApply("The encoder has trainable parameters.")
    with torch.enable_grad():
        vectors = encoder.encode(TEXTS)
    expect(
        not vectors.requires_grad,
        "The vectors of a frozen encoder need no gradient.",
        "They do, so that every batch keeps its graph in memory.",
        "Compute them under `torch.inference_mode()`, or register the weights as parameters.",
    )


def state_dict(make: MakeEncoder) -> None:
    """Saved weights are all that a fresh encoder needs."""
    encoder, fresh = _ready(make), _ready(make)
    if not isinstance(encoder, nn.Module) or not isinstance(fresh, nn.Module):
        raise DoesNotApply("The encoder is no torch.nn.Module and has no weights to save.")
    for parameter in encoder.parameters():
        nn.init.normal_(parameter)
    fresh.load_state_dict(encoder.state_dict())
    assert isinstance(fresh, Encoder)
    same(
        fresh.encode(TEXTS),
        encoder.encode(TEXTS),
        "A fresh encoder that loads the state_dict gives the same vectors.",
        "Register every tensor that vectors depend on, by `register_buffer` or as a parameter.",
    )


CHECKS = (
    size,
    shape_and_type,
    finite,
    empty_text,
    no_texts,
    neighbours,
    order_of_texts,
    equal_texts,
    long_text,
    unicode,
    different_texts,
    second_encoder,
    pickled,
    another_process,
    gradients,
    frozen,
    state_dict,
)


def _ready(make: MakeEncoder) -> Encoder:
    encoder = make()
    if isinstance(encoder, nn.Module):
        encoder.eval()
    return encoder


def _trainable(encoder: Encoder) -> dict[str, nn.Parameter]:
    if not isinstance(encoder, nn.Module):
        return {}
    return {name: value for name, value in encoder.named_parameters() if value.requires_grad}
