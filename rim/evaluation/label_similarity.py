"""The label-set similarity of two vocabularies, by the text embeddings of their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ModelError, UsageError
from schemas.settings import Settings, load_settings
from schemas.text import shortened
from schemas.vocabulary import Vocabulary, load_vocabulary, name_key, vocabulary_from_names

if TYPE_CHECKING:
    from foundation.text_image import ClipScorer

PRESET = "paper"
"""The preset whose CLIP is used by default: that of the paper's Table 2. The miniature's knows few
words.
"""

DEFINITION = (
    "h(A->B) is the smallest, over the categories of A, of the cosine to the most similar category "
    "of B; the mean is over the same cosines; the Hausdorff similarity is the smaller of h(A->B) "
    "and h(B->A)"
)


@dataclass(frozen=True)
class BestMatch:
    """A category, the most similar one of the other vocabulary, and their cosine."""

    category: str
    match: str
    similarity: float


@dataclass(frozen=True)
class Direction:
    """The similarity from one vocabulary to the other.

    hausdorff: the worst category's best match, in [-1, 1]. mean: of the categories' best matches.
    matches: every category's best match, the worst first, equally bad ones in the vocabulary's
    order.
    """

    hausdorff: float
    mean: float
    matches: tuple[BestMatch, ...]


@dataclass(frozen=True)
class LabelSimilarity:
    """Both directions between the vocabularies A and B; see `label_similarity`."""

    a_to_b: Direction
    b_to_a: Direction

    @property
    def hausdorff(self) -> float:
        """The smaller of both directions: the symmetric Hausdorff similarity."""
        return min(self.a_to_b.hausdorff, self.b_to_a.hausdorff)


@dataclass(frozen=True)
class LabelComparison:
    """The result of `compare_labels`.

    categories_a, categories_b: how many there are. model: the CLIP. template: of the texts that
    were embedded. warnings: what a reader of the numbers should know, one sentence each.
    """

    similarity: LabelSimilarity
    categories_a: int
    categories_b: int
    preset: str
    model: str
    template: str
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; the matches of each direction begin with the worst."""
        return {
            "hausdorff": self.similarity.hausdorff,
            **asdict(self.similarity),
            "categories_a": self.categories_a,
            "categories_b": self.categories_b,
            "preset": self.preset,
            "model": self.model,
            "template": self.template,
            "definition": DEFINITION,
            "warnings": list(self.warnings),
        }


def compare_labels(
    a: str | Path | Iterable[str],
    b: str | Path | Iterable[str],
    *,
    preset: str = PRESET,
    template: str | None = None,
    device: str = "auto",
    offline: bool = False,
) -> LabelComparison:
    """The similarity of two vocabularies under a CLIP text encoder; see `label_similarity`.

    Each category's name is put into the template ("a photo of a house") and embedded by the text
    encoder of the preset's CLIP. Synonyms and `background` do not count.

        rim.compare_labels("ade150", "coco-stuff").similarity.hausdorff

    Args:
        a, b: a file, "-" for standard input, a shipped name, or category names.
        preset: where the CLIP is from: a preset's name or a TOML file. Only that one of its models
            is needed, and downloaded unless `offline`.
        template: a text with "{category}" in it; by default the preset's.
        device: "auto", "cpu", "cuda", ...
        offline: use only weights that are on this machine.

    Raises VocabularyError, SettingsError for a bad preset or template, UsageError if both are "-",
    ModelError if the CLIP is missing.
    """
    if a == b == "-":
        raise UsageError("expected one vocabulary from standard input, found two; name a file")
    settings = load_settings(preset)
    chosen = settings.generation.template if template is None else template
    no_article = settings.generation.no_article
    first, second = _vocabulary(a), _vocabulary(b)

    from foundation.prompts import category_prompt

    texts = {
        name: category_prompt(name, chosen, no_article).text
        for name in dict.fromkeys((*first.names, *second.names))
    }
    encoder = _text_encoder(settings, preset, device, offline)
    embedded = encoder.embed_texts(list(texts.values()))
    row = {name: index for index, name in enumerate(texts)}
    return LabelComparison(
        similarity=label_similarity(
            first.names,
            embedded[[row[name] for name in first.names]],
            second.names,
            embedded[[row[name] for name in second.names]],
        ),
        categories_a=len(first.names),
        categories_b=len(second.names),
        preset=settings.preset,
        model=settings.models.text_image.location,
        template=chosen,
        warnings=(*_strange_words(settings, first, second), *first.warnings, *second.warnings),
    )


def label_similarity(
    names_a: Sequence[str],
    embeddings_a: NDArray[np.float32],
    names_b: Sequence[str],
    embeddings_b: NDArray[np.float32],
) -> LabelSimilarity:
    """The similarity of two vocabularies by the cosines between the embeddings of their names.

    h(A->B) = min over a in A of max over b in B of cos(a, b): the best match of the category of A
    whose best match is worst. It is the directed Hausdorff distance with cosine similarity in
    place of a distance, so 1 is best: of unit vectors, |a - b|^2 = 2 - 2 cos(a, b), and the same
    category decides both. The mean over A in place of the minimum is the average best match. The
    symmetric Hausdorff similarity is min(h(A->B), h(B->A)).

    The paper's Table 2 gives one number for two vocabularies, by "Hausdorff Distance and cosine
    similarity" of text embeddings by CLIP ViT-L/14 [paper], and leaves open which direction and
    which prompt it is for; both directions, minimum and mean are [ours].

    Args:
        names_a, names_b: the categories' names.
        embeddings_a, embeddings_b: float32 (n, d), one row a name, L2-normalised.

    Raises:
        UsageError: a vocabulary without categories.
        ValueError: embeddings of another number or length, or not normalised.
    """
    if not names_a or not names_b:
        raise UsageError("expected two vocabularies with at least one category each, found none")
    for names, embeddings in ((names_a, embeddings_a), (names_b, embeddings_b)):
        if embeddings.shape != (len(names), embeddings_a.shape[1]):
            raise ValueError(f"expected ({len(names)}, d) embeddings, found {embeddings.shape}")
        if not np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-3):
            raise ValueError("expected L2-normalised embeddings, found others")
    cosine = np.clip(embeddings_a.astype(np.float64) @ embeddings_b.astype(np.float64).T, -1, 1)
    return LabelSimilarity(
        _direction(names_a, names_b, cosine), _direction(names_b, names_a, cosine.T)
    )


def _direction(
    names: Sequence[str], others: Sequence[str], cosine: NDArray[np.float64]
) -> Direction:
    """The direction of cosines (n, m) between `names` and `others`."""
    best = cosine.max(axis=1)
    nearest = cosine.argmax(axis=1)
    matches = tuple(
        BestMatch(names[row], others[nearest[row]], float(best[row]))
        for row in np.argsort(best, kind="stable")
    )
    return Direction(float(best.min()), float(best.mean()), matches)


def _vocabulary(source: str | Path | Iterable[str]) -> Vocabulary:
    if isinstance(source, str | Path):
        return load_vocabulary(str(source))
    return vocabulary_from_names(source)


def _text_encoder(settings: Settings, preset: str, device: str, offline: bool) -> ClipScorer:
    from foundation.stack import ModelStack
    from foundation.weights.missing import Caller

    caller = Caller(preset, purposes=("text",))
    try:
        return ModelStack(settings, device, offline, caller=caller).text_image
    except ModelError as error:
        if not offline:
            raise
        raise ModelError(
            f"{error}; without --offline this one model is downloaded, not the whole preset"
        ) from error


def _strange_words(settings: Settings, *vocabularies: Vocabulary) -> tuple[str, ...]:
    """A warning if the preset's models know words of their own only, and others are asked for."""
    if settings.known_categories is None:
        return ()
    known = {name_key(name) for name in settings.known_categories}
    names = dict.fromkeys(name for one in vocabularies for name in one.names)
    strange = [name for name in names if name_key(name) not in known]
    if not strange:
        return ()
    listed = shortened(strange, 5, rest=", ...")
    return (
        f"the CLIP of the preset {settings.preset!r} has learned {len(known)} words; "
        f"{len(strange)} of these names are not among them ({listed}), and numbers with them mean "
        f"nothing; use --preset {PRESET}",
    )
