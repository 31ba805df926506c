"""The functions of `import rim` that build, open, query and report on a bank.

Changes are in `rim.changes`, queries of many photos in `rim.photo_queries`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rim.arguments import (
    build_purposes,
    category_ids,
    choose_settings,
    choose_source,
    choose_vocabulary,
    query_overrides,
)
from rim.bank import Bank
from schemas.errors import UsageError
from schemas.vocabulary import Vocabulary

if TYPE_CHECKING:
    from bank_builder.report import BuildProgress
    from query.segmentation import Segmentation
    from rim.inspection.report.write import Report


def build(
    vocabulary: str | Path | Iterable[str] | Vocabulary,
    out: str | Path,
    *,
    preset: str = "miniature",
    images_per_category: int | None = None,
    steps: int | None = None,
    seed: int | None = None,
    settings: Sequence[str] = (),
    source: str = "diffusion",
    limit: int | None = None,
    device: str = "auto",
    offline: bool = False,
    retry_failed: bool = False,
    overwrite: bool = False,
    progress: Callable[[BuildProgress], None] | None = None,
) -> Bank:
    """Builds a bank, or resumes or grows the one in `out`, and opens it.

        bank = rim.build(["house", "fish, salmon", "grass"], out="bank", images_per_category=8)
        bank.build_report.accepted

    What is dropped from the vocabulary is logged as a warning.

    Args:
        vocabulary: a file, the name of a shipped vocabulary, or category names (each may be "name,
            synonym").
        out: the bank's folder; made if it is missing.
        preset: a shipped preset's name or a TOML file.
        images_per_category, steps, seed: short for settings of `generation`.
        settings: further "section.key=value", applied last.
        source: "diffusion", generated images, or "folder:DIR", your own photos:
            DIR/CATEGORY/NAME.jpg and, where there is one, the mask DIR/CATEGORY/NAME.mask.png. An
            existing bank keeps what it has from the other source.
        limit: only the first so many categories.
        device: "auto", "cpu", "cuda", ...
        offline: use only weights that are on this machine.
        retry_failed: make images again that had failed.
        overwrite: replace a bank in `out` whose settings differ.
        progress: called with what is done so far.

    Raises VocabularyError, SettingsError, ModelError, BankError or OutputError before anything is
    changed, and BuildFailed if the work cannot go on.
    """
    chosen = choose_settings(preset, images_per_category, steps, seed, settings)
    words = choose_vocabulary(vocabulary, limit)
    images = choose_source(source)
    folder = Path(out)
    from bank_builder.build import prepare_build

    # Before the model libraries, which take seconds to import.
    prepared = prepare_build(
        words, folder, chosen, source=images, overwrite=overwrite, retry_failed=retry_failed
    )
    from foundation.stack import ModelStack
    from foundation.weights.missing import Caller

    caller = Caller(preset, purposes=build_purposes(images))
    models = ModelStack(chosen, device, offline, caller=caller)
    report = prepared.run(models, progress)
    bank = Bank(folder)
    bank.build_report = report
    return bank


def open(path: str | Path, version: int | None = None) -> Bank:
    """Opens a bank: its latest version, or an older one.

        bank = rim.open("bank")
        before = rim.open("bank", version=bank.version - 1)

    Raises BankError if the folder is no bank, BankDamaged if its manifest is damaged.
    """
    return Bank(path, version)


def query(
    bank: Bank | str | Path,
    image: str | Path | NDArray[np.uint8],
    *,
    categories: Iterable[str] | None = None,
    matcher: str | None = None,
    background: float | str | None = None,
    filter: bool = False,
    text_weight: float | None = None,
    source_weight: Mapping[str, float] | None = None,
    settings: Sequence[str] = (),
    preset: str | None = None,
    device: str = "auto",
    offline: bool = False,
) -> Segmentation:
    """Labels a photo with the categories of a bank.

        result = rim.query(bank, "photo.png", matcher="prototype", background=0.4)
        result.label_map.shape, [region.category for region in result.regions]

    Args:
        bank: an open bank (keeps its models between calls) or its folder.
        image: a file, or uint8 (H, W, 3) RGB.
        categories: only these names of the bank take part.
        matcher: "prototype", "knn" or "ranking"; by default the settings'.
        background: cosine below which a region stays unlabelled, "auto" for what the bank's own
            references suggest, "off" to label everything; by default the settings' ("auto").
        filter: drop categories that get less than FILTER_SHARE of the photo.
        text_weight: of a category's probability by its name, 0 to 1.
        source_weight: what references count by their source ("diffusion", "folder"); 0 leaves
            them out.
        settings: further "section.key=value" of proposals and matching.
        preset: where to find the bank's models.

    Raises ImageError for a photo that cannot be read, ModelError if the models are not the bank's.
    """
    opened = bank if isinstance(bank, Bank) else Bank(bank)
    overrides = query_overrides(
        matcher,
        background,
        settings,
        filter=filter,
        text_weight=text_weight,
        source_weight=source_weight,
    )
    engine = opened.engine(overrides=overrides, preset=preset, device=device, offline=offline)
    path = Path(image) if isinstance(image, str) else image
    return engine.segment(path, categories=category_ids(opened, categories))


def report(
    bank: Bank | str | Path,
    out: str | Path,
    *,
    categories: Iterable[str] | None = None,
    version: int | None = None,
    map: str = "pca",
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Writes a bank's report as static HTML pages: its references with masks, attention and
    verdicts, which categories look alike, and a map of the features.

        pages = rim.report(bank, "report", categories=["house", "fish"])
        pages.index  # open it in a browser; no server and no network are needed

    Args:
        bank: open, or its folder.
        out: the report's folder; an earlier report there is replaced when the new one is whole.
        categories: names or synonyms of those to show; None for all.
        version: of the bank, if its folder is given; None for the latest.
        map: "pca", or "umap" where umap-learn is installed.
        progress: called after each category with the number done and of all.

    Raises UsageError for an unknown category or map, OutputError if `out` holds something else,
    BankError or BankDamaged as `rim.open`, WriteFailed if the disk does not take it.
    """
    from rim.inspection.report.write import write_report

    opened = bank if isinstance(bank, Bank) else Bank(bank, version)
    if version is not None and opened.version != version:
        raise UsageError(
            f"expected version {version}, found version {opened.version} of the bank open; "
            f"open it: rim.open({str(opened.path)!r}, version={version})"
        )
    return write_report(
        opened,
        Path(out),
        category_ids=category_ids(opened, categories),
        projection=map,
        progress=progress,
    )
