"""The miniature CLIP's tokenizer: byte-level BPE whose merges make every word of the world's
captions one token.
"""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from miniature.world import CATEGORIES, COLOURS

MAX_LENGTH = 24
_FRAME_WORDS = ("a", "an", "photo", "picture", "of", "on", "and", "the", "small", "large")
_START, _END = "<|startoftext|>", "<|endoftext|>"


def caption_tokenizer() -> CLIPTokenizer:
    """Build the tokenizer; words it does not know fall apart into their letters."""
    words = sorted({*CATEGORIES, *COLOURS, *_FRAME_WORDS})
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()
    bpe.decoder = decoders.BPEDecoder(suffix="</w>")
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        min_frequency=1,
        end_of_word_suffix="</w>",
        initial_alphabet=[],
        show_progress=False,
    )
    bpe.train_from_iterator([word for word in words for _ in range(2)], trainer)
    state = bpe.to_str()
    merges = _merges_of(state)
    # Like the original CLIP: all bytes, then all bytes that end a word, then one token a merge.
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(letter + "</w>" for letter in letters)]
    tokens += ["".join(pair) for pair in merges]
    vocabulary = {
        token: index for index, token in enumerate(dict.fromkeys([*tokens, _START, _END]))
    }
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH)


def _merges_of(state: str) -> list[tuple[str, str]]:
    import json

    pairs = json.loads(state)["model"]["merges"]
    return [(left, right) for left, right in pairs]
