"""The roles of models, and which of them a purpose takes."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.settings import Settings

BUILD_ROLES = ("text_to_image", "segmenter", "features")
"""Of references that are generated."""

PHOTO_ROLES = ("segmenter", "features")
"""Of photos, as references or to be labelled."""

ROLES_OF = {
    "build": BUILD_ROLES,
    "query": PHOTO_ROLES,
    "eval": PHOTO_ROLES,
    "text": ("text_image",),
}
"""The roles by purpose. `text` compares texts: text evidence, and `rim compare-labels`."""


def roles_for(purposes: Iterable[str], settings: Settings) -> tuple[str, ...]:
    """The roles of the models that some purposes take, in the order of the settings.

    Only roles that the settings have a model for; text evidence only where they give it a weight.
    """
    chosen = set(purposes)
    if chosen & {"query", "eval"}:
        chosen |= set(query_purposes(settings))
    wanted = {role for purpose in chosen for role in ROLES_OF[purpose]}
    return tuple(role for role in settings.models.sources() if role in wanted)


def query_purposes(settings: Settings) -> tuple[str, ...]:
    """The purposes of a query with these settings."""
    return ("query", "text") if settings.matching.text_weight > 0 else ("query",)
