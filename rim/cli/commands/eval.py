"""`rim eval`: a bank's labels, or anybody's, against ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rim.cli import completions
from rim.cli.options import (
    Choice,
    device_option,
    examples,
    json_option,
    parse_background,
    preset_option,
    print_json,
    say,
    settings_option,
    stdout_console,
)
from rim.cli.run_log import emit, log_json_option
from rim.evaluation.datasets.choice import DATASET_NAMES

if TYPE_CHECKING:
    from rim.evaluation.scores import Scores

_FOLDER = click.Path(path_type=Path)


@click.command(
    "eval",
    epilog=examples(
        "rim eval bank --dataset miniature --scenes 100 --seed 7",
        "rim eval bank --dataset voc21 --root VOCdevkit --out scores --pictures figures",
        "rim eval --dataset ade150 --root ADEChallengeData2016 --predictions other-system",
    ),
)
@click.argument("bank", required=False, type=_FOLDER)
@click.option(
    "--dataset", required=True, type=Choice(DATASET_NAMES), metavar="NAME", help="What to score on."
)
@click.option("--root", type=_FOLDER, help="The benchmark's official folder, or the one above.")
@click.option("--split", help="Of a benchmark: val or train.  [default: val]")
@click.option("--images", type=_FOLDER, help="Photos of `folder`.")
@click.option("--masks", type=_FOLDER, help="Label maps of `folder`, of the photos' names.")
@click.option("--classes", type=_FOLDER, help="Class names of `folder`, in the order of labels.")
@click.option(
    "--ignore",
    metavar="N",
    type=click.IntRange(0),
    help="Label of `folder` that is not scored.  [default: 255, in 16 bits 65535]",
)
@click.option("--scenes", default=100, show_default=True, metavar="N", type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True, metavar="N", type=click.IntRange(0))
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N images.")
@click.option(
    "--allow-missing", is_flag=True, help="Score classes that the bank lacks as 0 and list them."
)
@click.option("--matcher", type=Choice(["prototype", "knn", "ranking"]), help="As in `rim query`.")
@click.option(
    "--background",
    metavar="COSINE|auto|off",
    shell_complete=completions.backgrounds,
    help="As in `rim query`.  [default: off, unless background is a class]",
)
@settings_option
@preset_option
@click.option(
    "--predictions",
    type=_FOLDER,
    metavar="DIR",
    help="Score these label maps instead: NAME.png with classes.txt, or NAME.labels.png.",
)
@click.option(
    "--out", type=_FOLDER, metavar="DIR", help="Keeps the counts, to go on after an interrupt."
)
@click.option("--overwrite", is_flag=True, help="Begin anew if --out holds another evaluation.")
@click.option(
    "--pictures", type=_FOLDER, metavar="DIR", help="Photo, truth and prediction side by side."
)
@click.option(
    "--pictures-count", default=20, show_default=True, metavar="N", type=click.IntRange(1)
)
@device_option
@log_json_option
@json_option
def command(
    bank: Path | None,
    dataset: str,
    root: Path | None,
    split: str | None,
    images: Path | None,
    masks: Path | None,
    classes: Path | None,
    ignore: int | None,
    scenes: int,
    seed: int,
    limit: int | None,
    allow_missing: bool,
    matcher: str | None,
    background: str | None,
    settings: tuple[str, ...],
    preset: str | None,
    predictions: Path | None,
    out: Path | None,
    overwrite: bool,
    pictures: Path | None,
    pictures_count: int,
    device: str,
    as_json: bool,
) -> int:
    """Score the labels of BANK, or of --predictions: mIoU, per-class IoU and accuracies over one
    confusion matrix of the whole data set.

    \b
    --dataset        --root, the folder that holds
    voc20, voc21     VOC2012: JPEGImages, SegmentationClass, ImageSets/Segmentation
    context59, 60    VOC2010: JPEGImages, SegmentationClassContext (or trainval/*.mat)
    context459       VOC2010: JPEGImages, annotations_detectron2/pc459_val (or trainval/*.mat)
    ade150           ADEChallengeData2016: images, annotations
    ade847           ADE20K_2021_17_01: images_detectron2, annotations_detectron2
    coco-object      images/val2017 and *_instanceTrainIds.png, pixel maps or instances JSON
    coco-stuff       images/val2017 and *_labelTrainIds.png or pixel maps
    folder           none: --images, --masks and --classes
    miniature        none: --scenes drawn from --seed; proves the pipeline, not accuracy on photos

    With --out an interrupted evaluation goes on where it was when the same command is run again;
    DIR then holds results.json and per_class.parquet. In --predictions, NAME.png holds the line
    number in classes.txt, from 0, and 255 (in 16 bits 65535) where nothing is labelled.
    """
    from rim.evaluation.datasets.choice import NO_SOURCE, DatasetChoice
    from schemas.errors import UsageError

    DatasetChoice(dataset, root, split, images, masks, classes, ignore).check()
    if bank is None and predictions is None:
        raise UsageError(NO_SOURCE)
    cut = parse_background(background)

    from rim.cli.progress import resumed_counter
    from rim.scoring import evaluate

    try:
        with resumed_counter("scoring") as progress:
            scores = evaluate(
                bank,
                dataset,
                root=root,
                split=split,
                images=images,
                masks=masks,
                classes=classes,
                ignore=ignore,
                scenes=scenes,
                seed=seed,
                limit=limit,
                allow_missing=allow_missing,
                matcher=matcher,
                background=cut,
                settings=settings,
                preset=preset,
                predictions=predictions,
                out=out,
                overwrite=overwrite,
                pictures=pictures,
                pictures_count=pictures_count,
                device=device,
                progress=progress,
                on_stage=progress.stage,
            )
    except KeyboardInterrupt:
        if out is None:
            say("rim: without --out an evaluation keeps nothing")
        raise
    for failure in scores.failed:
        say(f"rim: left out: {failure.error}")
    emit("result", **scores.to_dict())
    if as_json:
        print_json(scores.to_dict())
    else:
        _print_table(scores)
    return 3 if scores.failed else 0


def _print_table(scores: Scores) -> None:
    from rich.markup import escape
    from rich.table import Table

    console = stdout_console()
    table = Table("class", box=None)
    for heading in ("IoU", "accuracy", "truth", "predicted"):
        table.add_column(heading, justify="right")
    for one in scores.classes:
        counts = (f"{one.truth_pixels:,}", f"{one.predicted_pixels:,}")
        name = f"{one.name} (missing)" if one.missing else one.name
        table.add_row(escape(name), _fraction(one.iou), _fraction(one.accuracy), *counts)
    console.print(table)
    left_out = f", {len(scores.failed)} left out" if scores.failed else ""
    console.print(
        f"mIoU {_fraction(scores.miou)}  pixel accuracy {_fraction(scores.pixel_accuracy)}  "
        f"mean accuracy {_fraction(scores.mean_accuracy)}  "
        f"frequency-weighted IoU {_fraction(scores.fw_iou)}  "
        f"({scores.images} images{left_out})",
        soft_wrap=True,
    )


def _fraction(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"
