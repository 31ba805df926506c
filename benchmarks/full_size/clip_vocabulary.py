"""CLIP's vocabulary in its published layout, which a tokenizer of the real size is made of.

49,408 tokens: the 256 bytes as letters, the same at the end of a word ("</w>"), one token for each
of 48,894 merges, start and end of text. Which pairs are merged is not CLIP's: a few words, then
bytes outside ASCII, so that every other word is spelled in letters.
"""

from __future__ import annotations

from functools import cache
from itertools import product

TOKENS = 77
VOCABULARY = 49408
START, END = "<|startoftext|>", "<|endoftext|>"
_MERGES = VOCABULARY - 2 * 256 - 2
_WORDS = (
    "a", "photo", "of", "an", "the", "picture", "house", "traffic", "light", "on", "wheels",
    "fish", "cat", "cup", "coffee", "grass", "brick", "wall", "water", "boat", "bowl",
)  # fmt: skip


@cache
def clip_merges() -> list[tuple[str, str]]:
    """The pairs that are merged, in their order."""
    merges: dict[tuple[str, str], None] = {}
    for word in _WORDS:
        letters = [*word[:-1], word[-1] + "</w>"]
        built = letters[0]
        for letter in letters[1:]:
            merges[built, letter] = None
            built += letter
    foreign = [letter for letter in _byte_letters() if not letter.isascii()]
    ends = [*foreign, *(letter + "</w>" for letter in foreign)]
    merges |= dict.fromkeys(product(foreign, ends))
    # Pairs alone are fewer than the merges: the rest grow to three letters.
    merges |= dict.fromkeys((a + b, c) for a, b, c in product(foreign[:16], foreign, ends[:32]))
    return list(merges)[:_MERGES]


@cache
def clip_vocabulary() -> dict[str, int]:
    """Every token's number."""
    letters = _byte_letters()
    tokens = [*letters, *(letter + "</w>" for letter in letters)]
    tokens += [first + second for first, second in clip_merges()]
    return {token: number for number, token in enumerate([*tokens, START, END])}


def _byte_letters() -> list[str]:
    """A visible letter for each of the 256 bytes: itself where it is one, else from 256 upwards."""
    visible = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return [chr(byte) for byte in visible] + [chr(256 + place) for place in range(len(hidden))]
