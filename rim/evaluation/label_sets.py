"""`rim.compare_labels`: the label-set similarity of two vocabularies under a CLIP text encoder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rim.evaluation.label_similarity import DEFINITION, LabelSimilarity, label_similarity
from schemas.errors import ModelError, UsageError
from schemas.settings import Settings, load_settings
from schemas.vocabulary import Vocabulary, load_vocabulary, name_key, vocabulary_from_names

if TYPE_CHECKING:
    from foundation.text_image import ClipScorer

PRESET = "paper"
"""Whose CLIP is asked by default: that of the paper's Table 2. The miniature's knows few words."""

_SHOWN = 5


@dataclass(frozen=True)
class LabelComparison:
    """What `compare_labels` found, and by what.

    categories_a, categories_b: how many there are. model: the CLIP. template: what the names were
    put into. warnings: what a reader of the numbers should know, one sentence each.
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
    """How alike two vocabularies are; see `rim.evaluation.label_similarity` for the definition.

    Each category's name is put into the template as for a picture of it ("a photo of a house"), and
    embedded by the text encoder of the preset's CLIP. Synonyms and `background` do not count.

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
    shown = ", ".join(strange[:_SHOWN]) + (", ..." if len(strange) > _SHOWN else "")
    return (
        f"the CLIP of the preset {settings.preset!r} has learned {len(known)} words; "
        f"{len(strange)} of these names are not among them ({shown}), and numbers with them mean "
        f"nothing; use --preset {PRESET}",
    )
