"""`rim query`: photos become label maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rim.cli import completions
from rim.cli.options import (
    Choice,
    device_option,
    examples,
    json_option,
    offline_option,
    parse_background,
    preset_option,
    print_json,
    say,
    settings_option,
)
from rim.cli.run_log import emit, log_json_option

if TYPE_CHECKING:
    from rim.photo_queries import FolderResult


@click.command(
    "query",
    epilog=examples(
        "rim query bank photos/ --out labels --matcher knn",
        "rim query bank photos/ --out labels --format overlay,coco --categories house,grass",
    ),
)
@click.argument("bank", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path, readable=False))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for results.")
@click.option(
    "--matcher",
    type=Choice(["prototype", "knn", "ranking"]),
    help="How regions are named.  [default: the bank's, knn]",
)
@click.option(
    "--categories",
    metavar="A,B,C",
    help="Only these categories take part.",
    shell_complete=completions.category_list,
)
@click.option(
    "--background",
    metavar="COSINE|auto|off",
    shell_complete=completions.backgrounds,
    help="Regions less similar than this stay unlabelled.  [default: auto, from the bank]",
)
@click.option("--filter", is_flag=True, help="Drop categories with less than 1 % of the photo.")
@click.option(
    "--text-weight",
    metavar="W",
    type=click.FloatRange(0, 1),
    help="Of a category's name, beside its pictures.",
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
    from query.exports.formats import check_category_ids, of_a_run
    from query.exports.inputs import check_outputs, collect_inputs
    from rim.api import category_ids, query_overrides
    from rim.bank import Bank
    from rim.cli.progress import resumed_counter
    from rim.photo_queries import PhotoQuery, run_over, single

    wanted = tuple(word.strip() for word in formats.split(",") if word.strip())
    opened = Bank(bank)
    overrides = query_overrides(
        matcher,
        parse_background(background),
        settings,
        filter=filter,
        text_weight=text_weight,
        source_weight=_parse_weights(source_weight),
    )
    chosen = category_ids(opened, categories.split(",") if categories is not None else None)
    inputs = collect_inputs(images)
    check_outputs(inputs, out, wanted)
    check_category_ids(wanted, [record.category_id for record in opened.categories])

    def complain(error: str) -> None:
        emit("left_out", error=error)
        say(f"rim: {error}")

    alone = len(inputs) == 1 and not of_a_run(wanted)
    with resumed_counter("labelling") as advance:
        query = PhotoQuery(
            opened,
            chosen,
            overrides,
            preset,
            device,
            offline,
            on_role=advance.loading,
            on_ready=lambda: advance.stage("first photo"),
        )
        if alone:
            result = single(query, inputs[0], out, wanted)
            advance(1, 1)
        else:
            result = run_over(
                query,
                inputs,
                out,
                wanted,
                overwrite=overwrite,
                on_photo=advance,
                on_failure=complain,
            )
    if alone:
        for one in result.failed:
            complain(one.error)
    emit("result", **_as_data(result))
    if as_json:
        print_json(_as_data(result))
    else:
        say(_in_words(result, len(inputs)))
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


def _in_words(result: FolderResult, number: int) -> str:
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
