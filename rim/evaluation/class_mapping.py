"""Maps a bank's categories to the classes of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.errors import UsageError
from schemas.ids import UNLABELLED
from schemas.records import CategoryRecord
from schemas.text import shortened
from schemas.vocabulary import BACKGROUND_NAME, Category, name_key


@dataclass(frozen=True)
class ClassMapping:
    """Which of a bank's categories answer for which class of a data set.

    Attributes:
        class_names: the data set's classes in the order of their labels.
        class_of: index of the class by category_id, for the categories that answer for one.
        unlabelled_class: what an unlabelled pixel counts as: the class "background" if the
            data set has it and the bank does not, otherwise UNLABELLED (an error).
        missing: names of the classes that no category answers for.
    """

    class_names: tuple[str, ...]
    class_of: dict[int, int]
    unlabelled_class: int
    missing: tuple[str, ...]

    def to_classes(self, label_map: NDArray[np.int32]) -> NDArray[np.int64]:
        """(H, W) class indices of a label map of category ids, UNLABELLED where there is none."""
        ids, inverse = np.unique(label_map, return_inverse=True)
        classes = [
            self.unlabelled_class if i == UNLABELLED else self.class_of.get(i, UNLABELLED)
            for i in ids.tolist()
        ]
        return np.array(classes, dtype=np.int64)[inverse].reshape(label_map.shape)


def map_classes(
    categories: Sequence[CategoryRecord],
    classes: Sequence[str | Category],
    *,
    allow_missing: bool = False,
) -> ClassMapping:
    """Finds the bank's categories that answer for the classes of a data set.

    By name first; then, for categories and classes without a match, by synonyms of either side.
    Case and white space do not count. Several categories may answer for one class.

    Raises UsageError for a class that stands twice, if no category answers for any class, and
    unless `allow_missing` if a class stays without one (it could only ever score 0).
    """
    wanted = [Category(c) if isinstance(c, str) else c for c in classes]
    by_name = {name_key(c.name): index for index, c in enumerate(wanted)}
    if len(by_name) < len(wanted):
        raise UsageError(
            f"expected every class once, found {len(wanted)} names of which only {len(by_name)}"
            " are different"
        )
    class_of = {
        category.category_id: by_name[name_key(category.name)]
        for category in categories
        if name_key(category.name) in by_name
    }
    named = set(class_of.values())
    by_synonym = dict(by_name)
    for index, c in enumerate(wanted):
        for synonym in c.synonyms:
            by_synonym.setdefault(name_key(synonym), index)
    for category in categories:
        names = map(name_key, (category.name, *category.synonyms))
        found = [by_synonym[name] for name in names if name in by_synonym]
        if category.category_id not in class_of and found and found[0] not in named:
            class_of[category.category_id] = found[0]
    unlabelled_class = UNLABELLED
    background = by_name.get(BACKGROUND_NAME)
    if background is not None and background not in class_of.values():
        unlabelled_class = background
    answered = {*class_of.values(), unlabelled_class}
    missing = tuple(c.name for index, c in enumerate(wanted) if index not in answered)
    if not class_of or (missing and not allow_missing):
        way_out = ", or --allow-missing, which scores them as 0 and lists them" if class_of else ""
        raise UsageError(
            f"expected a category for each of {len(wanted)} classes, found none for"
            f" {shortened(missing)}; add them to the bank (or to classes.txt of --predictions)"
            f"{way_out}"
        )
    return ClassMapping(tuple(c.name for c in wanted), class_of, unlabelled_class, missing)
