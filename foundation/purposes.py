"""What models are used for, and which ones that takes."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.settings import Settings

PURPOSES = ("build", "query", "eval", "text")
"""`text` is what compares texts: text evidence of a query, and `rim compare-labels`."""

BUILD_ROLES = ("text_to_image", "segmenter", "features")
"""Of references that are generated."""

PHOTO_ROLES = ("segmenter", "features")
"""Of photos, as references or to be labelled."""


def roles_for(purposes: Iterable[str], settings: Settings) -> tuple[str, ...]:
    """The roles of the models that some purposes take, in the order of the settings.

    Only roles that the settings have a model for.
    """
    wanted = {role for purpose in purposes for role in _roles(purpose, settings)}
    return tuple(role for role in settings.models.sources() if role in wanted)


def query_purposes(settings: Settings) -> tuple[str, ...]:
    """What a query with these settings takes."""
    return ("query", "text") if settings.matching.text_weight > 0 else ("query",)


def _roles(purpose: str, settings: Settings) -> tuple[str, ...]:
    if purpose == "build":
        return BUILD_ROLES
    if purpose == "text":
        return ("text_image",)
    return (*PHOTO_ROLES, "text_image") if settings.matching.text_weight > 0 else PHOTO_ROLES
