"""Tiny language models of random weights, of the architectures that the documentation names."""

from pathlib import Path

import torch
from lightrec_testing.invariants import seeded

WORDS = "a red lamp tea rope song of and the blue green old new big small box cup hat pen map"
MARKS = ("<pad>", "<unk>", "<s>", "</s>")
IDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
SIZES = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2} | IDS
SIZES |= {"intermediate_size": 32, "max_position_embeddings": 66, "vocab_size": 32}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 4, "num_heads": 2}
HEADS = {"num_key_value_heads": 1, "head_dim": 8}
WINDOW = HEADS | {"sliding_window": 8}
ENCODERS = {
    "Bert": {},
    "Roberta": {},
    "XLMRoberta": {},
    "MPNet": {},
    "DistilBert": {"dim": 16, "n_layers": 4, "n_heads": 2, "hidden_dim": 32},
    "Albert": {"embedding_size": 16},
    "Electra": {"embedding_size": 16},
    "DebertaV2": {},
    "NomicBert": {},
    "EuroBert": HEADS | {"mask_token_id": 1},
    "ModernBert": {
        "local_attention": 8,
        "global_attn_every_n_layers": 2,
        "cls_token_id": 2,
        "sep_token_id": 3,
    },
    "T5": T5,
    "MT5": T5,
}
DECODERS = {
    "GPT2": {"n_embd": 16, "n_layer": 4, "n_head": 2, "n_positions": 66},
    "GPTNeoX": {},
    "OPT": {"word_embed_proj_dim": 16, "ffn_dim": 32},
    "Llama": HEADS,
    "Mistral": WINDOW,
    "Qwen2": WINDOW | {"use_sliding_window": True, "max_window_layers": 2},
    "Qwen3": HEADS,
    "Gemma2": WINDOW,
    "Gemma3Text": WINDOW | {"sliding_window_pattern": 2},
    "Phi3": {"num_key_value_heads": 1},
    "Olmo2": HEADS,
    "SmolLM3": HEADS,
}
KINDS = ENCODERS | DECODERS
"""Settings of a configuration beside :data:`SIZES`, by the name of its class without `Config`."""
NOT_CUT = {"Albert"}
"""Those whose layers share their weights, so that there are no upper ones."""
SENTENCES = ["a red lamp", "tea", "a song of tea and rope " * 9, "", WORDS, "the old blue hat"]


def write_model(kind: str, folder: Path) -> Path:
    """Write a model with a tokenizer: an encoder's begins and ends a text, a decoder's has no
    token for padding.
    """
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: n for n, word in enumerate([*MARKS, *WORDS.split()])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    if kind in ENCODERS:
        names["pad_token"] = "<pad>"
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
        )
    how = {"tokenizer_object": tokenizer, "model_max_length": 60}
    transformers.PreTrainedTokenizerFast(**how, **names).save_pretrained(folder)
    config = getattr(transformers, f"{kind}Config")(**SIZES | KINDS[kind])
    with seeded(0):
        model = transformers.AutoModel.from_config(config)
        for weights in model.parameters():
            if weights.ndim > 1:  # as they are, little depends on attention
                torch.nn.init.normal_(weights, std=0.4)
    model.save_pretrained(folder)
    return folder
