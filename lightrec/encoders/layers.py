"""Tuned parts of a text encoder: a map of its vectors, its upper layers, adapters, or all."""

import sys
import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cosine_similarity, normalize

from lightrec.data.share import of_all
from lightrec.encoders.cut import CHUNK, Cut, Texts, stacks
from lightrec.encoders.hub import peft_for
from lightrec.encoders.text import TextEncoder
from lightrec.encoders.tuned import write_model
from lightrec.errors import RecipeError

Tuning = Literal["layers", "lora", "full"]
ALIKE: Final = 8
"""Number of texts, the longest, that tell whether a model can be cut."""
NEAR: Final = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 1e-2}
"""Cosine that a cut model's vector and the whole one's may lack, by the numbers of the weights."""


class Tuned(nn.Module):
    """A part that is tuned: texts, by number, into vectors."""

    exact: ClassVar[bool]
    """Whether the vectors of all texts cost so little that each step computes them."""
    batch_size: ClassVar[int]
    """Texts in a batch where the recipe does not say."""
    learning_rate: ClassVar[float]
    """The highest learning rate where the recipe does not say."""

    @abstractmethod
    def forward(self, numbers: Tensor) -> Tensor:
        """The vectors of texts, (B,) int64 from 1, as (B, V) of norm 1; differentiable."""

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """The optimizer's groups of what learns; without a rate of their own, at ``rate``."""
        return [{"params": [each for each in self.parameters() if each.requires_grad]}]

    @abstractmethod
    def save(self, encoder: TextEncoder, folder: Path, noted: Mapping[str, object]) -> None:
        """Write the encoder as it is now into an existing folder.

        :param noted: how it was made.
        """


class LinearMap(Tuned):
    """A square linear map of an encoder's vectors, which starts as the identity.

    :param size: length of the vectors V.
    """

    exact = True
    batch_size = 512
    learning_rate = 3e-3
    frozen: Tensor
    """(D + 1, V) float32, the texts' vectors as the encoder gives them; row 0 zero."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.change = nn.Parameter(torch.zeros(size, size))
        self.register_buffer("frozen", torch.zeros(1, size), persistent=False)

    def forward(self, numbers: Tensor) -> Tensor:
        """Map the frozen vectors."""
        vectors = self.frozen[numbers]
        return nn.functional.normalize(vectors + vectors @ self.change.T, dim=1)

    def save(self, encoder: TextEncoder, folder: Path, noted: Mapping[str, object]) -> None:
        """Write the encoder with the map as its last dense layer."""
        write_model(encoder, folder, noted, torch.eye(encoder.size) + self.change.detach().cpu())


class Layers(Tuned):
    """The upper layers of an encoder's transformer, or adapters in them; what is below stays.

    What the layers below give is computed once for every text and kept as it is, in a file that is
    mapped into memory. Where the layers of a model cannot be run by themselves, each step runs the
    whole model. Over the transformer lies a square linear map as in :class:`LinearMap`, which
    learns along.

    The whole model is part of the module, so that it can be sharded;
    :meth:`~torch.nn.Parameter.requires_grad` says what is learned.

    :param encoder: gives its model away; it would load another one to encode more.
    :param texts: D different texts, by number less 1.
    :param tune: ``layers`` trains the layers' own weights; ``lora`` (Hu et al. 2021) matrices of
        low rank beside these, by peft; ``full`` all layers and the embeddings, too, so that nothing
        is computed before.
    :param layers: how many layers, from above, are trained or get adapters; None for all.
    :param adapter: settings of peft's ``LoraConfig``, such as ``r``.
    :param checkpointing: whether states are computed again on the way back: memory for time.
    :raises RecipeError: where the model has fewer layers or cannot be tuned so, or without peft.
    """

    exact = False
    batch_size = 64
    learning_rate = 3e-4

    def __init__(
        self,
        encoder: TextEncoder,
        texts: Sequence[str],
        tune: Tuning = "layers",
        layers: int | None = 2,
        adapter: Mapping[str, Any] | None = None,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        model: Any = encoder.load_weights()
        if encoder.quantization is not None and tune != "lora":
            raise RecipeError(
                f"The weights of {encoder.model} have {encoder.quantization} bits each, and only "
                "adapters beside such can be trained: set `tune: lora`, or `tune: map`."
            )
        if encoder.quantization is not None and encoder.is_adapter:
            raise RecipeError(
                f"{encoder.model} is an adapter, and beside weights of few bits no second one can "
                "be kept. Tune the model that it is for, or leave quantization out."
            )
        model.requires_grad_(False)
        entire = tune == "full" or (layers is None and not stacks(model))
        self.cut: Cut | None = None if entire else Cut(model, layers)
        upper: nn.Module = model if self.cut is None else self.cut.upper
        self.texts = Texts.of(encoder, self.cut, texts)
        if self.cut is not None and not self._is_whole(encoder, texts):
            whole = f"{type(model).__name__} do not run by themselves: each step runs all of it"
            print(f"The layers of {whole}.", file=sys.stderr)
            self.cut, self.texts = None, Texts.of(encoder, None, texts)
        self._adapted: tuple[Any, ...] = ()  # beside the module's own parts
        if tune == "lora":
            self._adapted = (_adapted(model, upper, adapter or {}),)
        else:
            upper.requires_grad_(True)
            if getattr(model, "pooler", None) is not None:
                model.pooler.requires_grad_(False)
        if checkpointing:
            try:
                model.gradient_checkpointing_enable()
            except ValueError as error:
                raise RecipeError(
                    f"{type(model).__name__} cannot compute states again: leave "
                    "gradient_checkpointing out."
                ) from error
        for _, _, stack in stacks(model):
            for layer in stack:
                layer.sharded = True  # type: ignore[assignment]
        self.transformer, encoder.transformer = encoder.transformer.train(), None
        self._encoder, self._anew = (encoder,), checkpointing
        self.change = nn.Parameter(torch.zeros(encoder.size, encoder.size))

    def forward(self, numbers: Tensor) -> Tensor:
        """The vectors of texts, a batch of like lengths at a time where there are many."""
        rows = numbers.cpu() - 1
        # In as many pieces in all processes, since these gather a layer's weights for each.
        most = int(of_all(torch.tensor([len(rows)], device=numbers.device)).max())
        if most <= 2 * CHUNK:
            return self._vectors(rows)
        order = self.texts.lengths[rows].argsort(stable=True)
        pieces = rows[order].tensor_split(-(-most // CHUNK))
        vectors = torch.cat([self._vectors(some) for some in pieces])
        return torch.empty_like(vectors).index_copy(0, order.to(vectors.device), vectors)

    def _vectors(self, rows: Tensor) -> Tensor:
        (encoder,), device = self._encoder, self.change.device
        inputs, mask = (part.to(device) for part in self.texts.batch(rows))
        # On CPUs fused attention is slower by a third, and would meet states computed again.
        plain = device.type == "cpu" and not self._anew
        with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            if self.cut is None:
                tokens = {"input_ids": inputs, "attention_mask": mask}
                states = self.transformer(tokens)["token_embeddings"]
            else:
                exact = self.change.dtype == torch.float32 and encoder.quantization is None
                states = self.cut(inputs if exact else inputs.to(self.change.dtype), mask)
        vectors = encoder.finish(encoder.pool(self.texts.features(states, mask)))
        return normalize(vectors + vectors @ self.change.float().T, dim=1)

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Let the map learn at its own rate, as many times faster as it is by default."""
        faster = rate * LinearMap.learning_rate / self.learning_rate
        learned = [each for each in self.transformer.parameters() if each.requires_grad]
        return [{"params": learned}, {"params": [self.change], "lr": faster}]

    def save(self, encoder: TextEncoder, folder: Path, noted: Mapping[str, object]) -> None:
        """Write the encoder with its weights as they are now, and the map.

        Adapters are merged, and lie in the folder ``adapter`` besides; they are left alone where
        the weights below are quantized.
        """
        encoder.transformer, exact = self.transformer, encoder.quantization is None
        # Read from any folder later, where it is a folder itself.
        base = Path(encoder.model).resolve() if Path(encoder.model).is_dir() else encoder.model
        for adapted in self._adapted:
            config = adapted.peft_config["default"]
            config.base_model_name_or_path, config.revision = str(base), encoder.revision
            if not encoder.is_adapter:  # else it is for a model that lies in no folder
                adapted.save_pretrained(folder / "adapter" if exact else folder)
            if exact:
                adapted.merge_and_unload()
        dense = torch.eye(encoder.size) + self.change.detach().float().cpu()
        write_model(encoder, folder, noted, dense, "changed" if exact else "adapter")

    @torch.no_grad()
    def _is_whole(self, encoder: TextEncoder, texts: Sequence[str]) -> bool:
        """Whether cut and whole model give the same vectors of the longest texts."""
        assert self.cut is not None
        longest = self.texts.lengths.argsort(descending=True, stable=True)[:ALIKE]
        inputs, mask = (part.to(encoder.device) for part in self.texts.batch(longest))
        whole, alike = encoder.encode_once([texts[n] for n in longest]), torch.tensor(-1.0)
        # What a model of another make does to states that are not its own is not known.
        with suppress(AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
            states = self.cut(inputs, mask)
            ours = encoder.finish(encoder.pool(self.texts.features(states, mask)))
            alike = cosine_similarity(ours.cpu(), whole).min()
        rounded = encoder.quantization is not None
        return bool(1 - alike < NEAR[torch.bfloat16 if rounded else inputs.dtype])


def _adapted(model: Any, upper: nn.Module, settings: Mapping[str, Any]) -> Any:
    """Put adapters beside the linear layers of a model's upper part; gives peft's model.

    :raises RecipeError: where peft is missing, or there are no such layers.
    """
    from transformers.pytorch_utils import Conv1D  # what GPT-2 has in place of linear layers

    peft = peft_for("`tune: lora`")
    inside = {id(module) for module in upper.modules() if isinstance(module, nn.Linear | Conv1D)}
    targets = tuple(settings.get("target_modules") or [""])
    linear = {name for name, module in model.named_modules() if id(module) in inside}
    names = [name for name in linear if name.endswith(targets)]
    if not names:
        found = ", ".join(sorted({name.rpartition(".")[2] for name in linear})) or "none of torch's"
        raise RecipeError(
            f"`tune: lora` needs linear layers that end in {' or '.join(map(repr, targets))}, and "
            f"{type(model).__name__} has {found}: set `targets` to some of these, or `tune: map`."
        )
    if getattr(model, "quantization_method", None) is not None:
        model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    config = peft.LoraConfig(**{**settings, "target_modules": names})
    with warnings.catch_warnings():  # peft asks for what transformers has renamed
        warnings.simplefilter("ignore")
        return peft.get_peft_model(model, config)
