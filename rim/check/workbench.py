"""What the steps of `rim check` share: settings, models, photographs, and the small bank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foundation.interfaces import Prompt
from foundation.prompts import category_prompt
from rim.check.findings import NotApplicable
from rim.check.photos import CheckCategory, CheckData, CheckPhoto
from schemas.settings import Settings, apply_overrides, load_settings
from schemas.vocabulary import name_key

if TYPE_CHECKING:
    from foundation.stack import ModelStack
    from rim.bank import Bank

IMAGES = 4
"""Images a category."""
MOST_STEPS = 20
"""Denoising steps an image: enough to see what it shows, in less than half the time of 50."""
FEWEST_CATEGORIES = 4
"""Where the generator does not know all of the photographs' categories."""

_PHOTO = "coffee.png"


def check_settings(preset: str) -> Settings:
    """A preset's settings, changed for a small bank: few images of few steps, and matching by
    prototypes, since the votes of many neighbours would reach into other categories.

    Raises SettingsError for an unknown preset.
    """
    settings = load_settings(preset)
    return apply_overrides(
        settings,
        (
            f"generation.images_per_category={IMAGES}",
            f"generation.steps={min(settings.generation.steps, MOST_STEPS)}",
            "matching.matcher=prototype",
        ),
    )


def choose_categories(settings: Settings, data: CheckData) -> tuple[CheckCategory, ...]:
    """What the small bank is made of: the photographs' categories, as far as the generator knows
    them, and where it knows only some, others of its own up to `FEWEST_CATEGORIES`, so that things
    and stuff are as many as can be.

    Of a word of the generator's own, stuff is what the prompt gives no article.
    """
    if settings.known_categories is None:
        return data.categories
    bare = {name_key(name) for name in settings.generation.no_article}
    known = [CheckCategory(name, name_key(name) in bare) for name in settings.known_categories]
    wanted = {name_key(one.name) for one in data.categories}
    chosen = [one for one in known if name_key(one.name) in wanted]
    rest = [one for one in known if one not in chosen]
    while rest and len(chosen) < FEWEST_CATEGORIES:
        due = 2 * sum(one.stuff for one in chosen) < len(chosen)
        chosen.append(next((one for one in rest if one.stuff is due), rest[0]))
        rest.remove(chosen[-1])
    return tuple(chosen)


@dataclass
class Workbench:
    """Passed from step to step.

    Attributes:
        settings: of the small bank.
        stack: the models.
        folder: for temporary files.
        data: the photographs and their categories.
        categories: that the bank is made of.
        bank: once it is built.
        progress: called with what is being done, for steps that take long.
    """

    settings: Settings
    stack: ModelStack
    folder: Path
    data: CheckData
    categories: tuple[CheckCategory, ...]
    bank: Bank | None = None
    progress: Callable[[str], None] = lambda what: None

    def photo(self) -> NDArray[np.uint8]:
        """A photograph with strong colours that is not square, uint8 (H, W, 3).

        Read by scikit-image: the library's side of a comparison has no code of rim's in it.
        """
        from skimage.io import imread

        return np.asarray(imread(self.photo_named(_PHOTO).check_file()), dtype=np.uint8)

    def photo_named(self, file: str) -> CheckPhoto:
        """One of the photographs."""
        return next(one for one in self.data.photos if one.file == file)

    def prompt(self) -> Prompt:
        """The prompt of the category whose name has the most words."""
        longest = max(self.categories, key=lambda one: (len(one.name.split()), len(one.name)))
        generation = self.settings.generation
        return category_prompt(longest.name, generation.template, generation.no_article)

    def built(self) -> Bank:
        """The small bank. Raises NotApplicable if it could not be built."""
        if self.bank is None:
            raise NotApplicable("there is no bank to look at")
        return self.bank

    def names(self, stuff: bool) -> Sequence[str]:
        """The bank's categories that are stuff, or those that are things."""
        return [one.name for one in self.categories if one.stuff is stuff]
