"""The miniature CLIP's tokenizer: byte-level BPE whose merges make every word of the world's
captions one token.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

from miniature.world import CATEGORIES, COLOURS

MAX_LENGTH = 24
_FRAME_WORDS = ("a", "an", "photo", "picture", "of", "on", "and", "the", "small", "large")
_START, _END = "<|startoftext|>", "<|endoftext|>"


def caption_tokenizer() -> CLIPTokenizer:
    """Build the tokenizer; words it does not know fall apart into their letters.

    It is the same at every call, so that training can be resumed.
    """
    merges = _merges(sorted({*CATEGORIES, *COLOURS, *_FRAME_WORDS}))
    # Like the original CLIP: all bytes, then all bytes that end a word, then one token a merge.
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(letter + "</w>" for letter in letters)]
    tokens += ["".join(pair) for pair in merges]
    vocabulary = {
        token: index for index, token in enumerate(dict.fromkeys([*tokens, _START, _END]))
    }
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH)


def _merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair encoding until every word is one token: always the pair that is most frequent and,
    of equally frequent ones, last in the alphabet (the tokenizers library breaks ties at random).
    """
    cut = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges = []
    while pairs := Counter(pair for tokens in cut for pair in pairwise(tokens)):
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        cut = [_merged(tokens, best) for tokens in cut]
    return merges


def _merged(tokens: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for token in tokens:
        if merged and (merged[-1], token) == pair:
            merged[-1] += token
        else:
            merged.append(token)
    return merged
