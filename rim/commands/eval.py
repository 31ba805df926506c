"""`rim eval`: a bank's labels against ground truth."""

from __future__ import annotations

from pathlib import Path

import click

from rim.options import device_option, json_option, print_json


@click.command("eval", epilog="Example: rim eval bank --dataset miniature --scenes 100 --seed 7")
@click.argument("bank", type=click.Path(path_type=Path))
@click.option(
    "--dataset", required=True, type=click.Choice(["miniature"]), help="What to score on."
)
@click.option("--scenes", default=100, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--matcher", type=click.Choice(["prototype", "knn"]), help="How regions are named.")
@click.option("--background", metavar="COSINE|off", help="As in `rim query`.")
@click.option("--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Any setting.")
@device_option
@json_option
def command(
    bank: Path,
    dataset: str,
    scenes: int,
    seed: int,
    matcher: str | None,
    background: str | None,
    settings: tuple[str, ...],
    device: str,
    as_json: bool,
) -> int:
    """Score the labels of BANK: mIoU, per-class IoU and accuracies over one confusion matrix.

    The data set `miniature` is scenes of the drawn world, fresh from --seed: it proves the
    pipeline, not accuracy on photos.
    """
    from rim.api import evaluate
    from rim.bank import Bank
    from rim.progress import counter

    opened = Bank(bank)
    with counter("scoring", scenes) as advance:
        scores = evaluate(
            opened,
            dataset,
            scenes=scenes,
            seed=seed,
            matcher=matcher,
            background=background,  # type: ignore[arg-type]
            settings=settings,
            device=device,
            progress=lambda *_: advance(),
        )
    if as_json:
        print_json(scores.to_dict())
        return 0

    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table("class", "IoU", box=None)
    for name, iou in scores.per_class.items():
        table.add_row(name, "-" if iou != iou else f"{iou:.3f}")
    console.print(table)
    console.print(
        f"mIoU {scores.miou:.3f}  pixel accuracy {scores.pixel_accuracy:.3f}  "
        f"mean accuracy {scores.mean_accuracy:.3f}  frequency-weighted IoU {scores.fw_iou:.3f}  "
        f"({scores.images} scenes)"
    )
    return 0
