"""The prompt of a category, and where in it the category's name stands."""

from __future__ import annotations

import re
from collections.abc import Collection

from foundation.interfaces import Prompt
from schemas.errors import SettingsError
from schemas.sections import CATEGORY_PLACEHOLDER
from schemas.vocabulary import name_key

# Endings that benchmarks add to tell labels apart; they are not spoken ("building-other-merged").
_LABEL_ENDING = re.compile(r"[-\s](other|merged|stuff)$", re.IGNORECASE)
# COCO-Stuff writes what a surface is made of behind it: "wall-brick" is a brick wall.
_SURFACE = re.compile(r"(wall|floor|ceiling)-(\w+)", re.IGNORECASE)
_OWN_ARTICLE = re.compile(r"(a|an|the)\s", re.IGNORECASE)
_TEMPLATE_ARTICLE = re.compile(r"\b(a|an|the)\s+$", re.IGNORECASE)
# Spelled with a vowel but spoken with a consonant, and the other way round.
_SPOKEN_CONSONANT = re.compile(r"uni(?!n|m)|us[aeu]|ut[ei]|ur[aei]n|ufo|uk|eu|ewe|one\b|once", re.I)
_SPOKEN_VOWEL = re.compile(r"hour|heir|honest|honou?r|[fhlmnrsx]\b", re.I)


def spoken_name(category_name: str) -> str:
    """The category's name as it is spoken; the label itself stays as it is.

    Underscores become spaces, the endings -other, -merged and -stuff of benchmark labels go, and
    "wall-brick" is turned into "brick wall" (likewise floor and ceiling). A name of which nothing
    would be left stays as it is [ours].
    """
    name = " ".join(category_name.replace("_", " ").split())
    while (shorter := _LABEL_ENDING.sub("", name).strip(" -")) not in ("", name):
        name = shorter
    if surface := _SURFACE.fullmatch(name):
        name = f"{surface[2]} {surface[1]}"
    return name or category_name


def article(name: str) -> str:
    """The indefinite article for `name`, by its sound as far as its spelling tells: "a" or "an"."""
    if _SPOKEN_CONSONANT.match(name):
        return "a"
    if _SPOKEN_VOWEL.match(name) or name[:1].lower() in tuple("aeiou"):
        return "an"
    return "a"


def category_prompt(category_name: str, template: str, no_article: Collection[str] = ()) -> Prompt:
    """The text that a category's images are generated from: the template with the name in it.

    The default template "a photo of {category}" gives "a photo of a house" [paper's figure]. The
    span of the prompt covers the name alone, without the article, in the place where the template
    has it, even if the same word stands elsewhere in the template.

    Args:
        category_name: the name in the vocabulary.
        template: text with "{category}" in it exactly once.
        no_article: names that take no article ("grass"), in the vocabulary's or the spoken form;
            compared as the vocabulary compares names. Where the name or the template brings an
            article of its own, no second one is added.

    Raises:
        SettingsError: the template does not hold "{category}" exactly once.
    """
    if template.count(CATEGORY_PLACEHOLDER) != 1:
        raise SettingsError(
            f"generation.template: expected {CATEGORY_PLACEHOLDER} once, found {template!r}; "
            f'write for example "a photo of {CATEGORY_PLACEHOLDER}"'
        )
    name = spoken_name(category_name)
    before, after = template.split(CATEGORY_PLACEHOLDER)
    listed = {name_key(category_name), name_key(name)} & {name_key(word) for word in no_article}
    bare = listed or _OWN_ARTICLE.match(name) or _TEMPLATE_ARTICLE.search(before)
    start = before if bare else f"{before}{article(name)} "
    return Prompt(text=f"{start}{name}{after}", start=len(start), stop=len(start) + len(name))
