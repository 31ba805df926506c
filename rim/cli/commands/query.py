"""`rim query`: labels photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim.cli import completions
from rim.cli.logs import emit, log_json_option
from rim.cli.options import (
    background_option,
    bank_argument,
    categories_option,
    device_option,
    examples,
    json_option,
    listed,
    matcher_option,
    offline_option,
    parse_background,
    preset_option,
    settings_option,
)
from rim.cli.output import print_json, say

if TYPE_CHECKING:
    from rim.photo_queries import FolderResult, PhotoFailed


@click.command(
    "query",
    epilog=examples(
        "rim query bank photos/ --out labels --matcher knn",
        "rim query bank photos/ --out labels --format overlay,coco --categories house,grass",
    ),
)
@bank_argument
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path, readable=False))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for results.")
@matcher_option("How regions are classified.  [default: the bank's, knn]")
@categories_option("Only these categories take part.")
@background_option(
    "Regions less similar than this stay unlabelled.  [default: auto, from the bank]"
)
@click.option("--filter", is_flag=True, help="Drop categories with less than 1 % of the photo.")
@click.option(
    "--text-weight",
    metavar="W",
    type=click.FloatRange(0, 1),
    help="Of a category's name, beside its images.",
)
@click.option(
    "--source-weight",
    multiple=True,
    metavar="SOURCE=WEIGHT",
    help="What references count, e.g. folder=2; 0 leaves them out.",
)
@click.option(
    "--format",
    "formats",
    metavar="A,B,C",
    default="labels,overlay,json",
    show_default=True,
    help="Any of labels, overlay, json, palette, labelme, coco, dataset, regions.",
    shell_complete=completions.formats,
)
@click.option(
    "--overwrite", is_flag=True, help="Start over where DIR holds results of other settings."
)
@settings_option
@preset_option
@device_option
@offline_option
@log_json_option
@json_option
def command(
    bank: Path,
    images: tuple[Path, ...],
    out: Path,
    matcher: str | None,
    categories: str | None,
    background: str | None,
    filter: bool,
    text_weight: float | None,
    source_weight: tuple[str, ...],
    formats: str,
    settings: tuple[str, ...],
    preset: str | None,
    device: str,
    offline: bool,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Label every pixel of the IMAGES (files or folders) with the categories of BANK.

    Of each photo NAME.* in the folder of --out:

    \b
    labels    NAME.labels.png: 16 bits; 0 is unlabelled, otherwise category_id + 1
    overlay   NAME.overlay.png: the photo with its labels
    json      NAME.json: regions with masks and the references that decided them
    palette   NAME.palette.png: 8 bits, the same numbers in colours; classes.txt
    labelme   NAME.labelme.json: polygons to correct by hand in LabelMe

    Of all photos of a run:

    \b
    coco      coco-instances.json, coco-panoptic.json with panoptic/NAME.png
    dataset   dataset/: photos, label maps and a card, for Hugging Face's datasets
    regions   regions.parquet: every region, for SQL; always, if there are several photos

    With several photos, or a format of a run, what is done is kept in DIR/.rim-query: the same
    command again skips the photos that are done and have not changed, goes on after an interrupt,
    and makes further formats without labelling again.
    """
    from rim.cli.progress import resumed_counter
    from rim.photo_queries import query_folder

    weights = _parse_weights(source_weight)
    cut = parse_background(background)

    def complain(failure: PhotoFailed) -> None:
        emit("left_out", error=failure.error)
        say(f"rim: {failure.error}")

    with resumed_counter("labelling") as progress:
        result = query_folder(
            bank,
            images,
            out,
            formats=tuple(word.strip() for word in formats.split(",") if word.strip()),
            categories=listed(categories),
            matcher=matcher,
            background=cut,
            filter=filter,
            text_weight=text_weight,
            source_weight=weights,
            settings=settings,
            preset=preset,
            device=device,
            offline=offline,
            overwrite=overwrite,
            resumable=False,
            progress=progress,
            on_stage=progress.stage,
            on_failure=complain,
        )
    emit("result", **_as_data(result))
    if as_json:
        print_json(_as_data(result))
    else:
        say(_in_words(result))
    if result.failed and not result.images:
        return 2
    return 3 if result.failed else 0


def _as_data(result: FolderResult) -> dict[str, Any]:
    return {
        "out": str(result.out),
        "images": [
            {
                "image": str(one.image),
                "regions": one.regions,
                "files": [str(file) for file in one.files],
                "reused": one.reused,
            }
            for one in result.images
        ],
        "failed": [{"image": str(one.image), "error": one.error} for one in result.failed],
        "files": [str(file) for file in result.files],
        "others": result.others,
    }


def _in_words(result: FolderResult) -> str:
    number = len(result.images) + len(result.failed)
    reused = sum(one.reused for one in result.images)
    before = f" ({reused} of them by an earlier run)" if reused else ""
    words = f"{len(result.images)} of {number} images labelled{before}, results in {result.out}"
    if result.files:
        words += f"; of all photos: {', '.join(_within(result.out, one) for one in result.files)}"
    if result.others:
        words += f"; {result.others} more photos there are of earlier runs and not in these"
    return words


def _within(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _parse_weights(given: tuple[str, ...]) -> dict[str, float]:
    weights = {}
    for text in given:
        source, _, weight = text.partition("=")
        try:
            weights[source] = float(weight)
        except ValueError:
            raise click.BadParameter(
                f"expected SOURCE=WEIGHT such as folder=2, found {text!r}",
                param_hint="--source-weight",
            ) from None
    return weights
