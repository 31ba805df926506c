"""`rim query`: photos become label maps."""

from __future__ import annotations

from pathlib import Path

import click

from rim.options import (
    device_option,
    json_option,
    offline_option,
    parse_background,
    print_json,
    say,
)


@click.command("query", epilog="Example: rim query bank photos/ --out labels --matcher knn")
@click.argument("bank", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for results.")
@click.option(
    "--matcher",
    type=click.Choice(["prototype", "knn", "ranking"]),
    help="How regions are named.  [default: the bank's, knn]",
)
@click.option("--categories", metavar="A,B,C", help="Only these categories take part.")
@click.option(
    "--background",
    metavar="COSINE|auto|off",
    help="Regions less similar than this stay unlabelled.  [default: auto, from the bank]",
)
@click.option("--filter", is_flag=True, help="Drop categories with less than 1 % of the photo.")
@click.option(
    "--text-weight", type=click.FloatRange(0, 1), help="Of a category's name, beside its pictures."
)
@click.option(
    "--source-weight",
    multiple=True,
    metavar="SOURCE=WEIGHT",
    help="What references count, e.g. folder=2; 0 leaves them out.",
)
@click.option("--format", "formats", default="labels,overlay,json", show_default=True)
@click.option("--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Any setting.")
@click.option("--preset", help="Where to find the bank's models, if not where it was built.")
@device_option
@offline_option
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
    as_json: bool,
) -> int:
    """Label every pixel of the IMAGES (files or folders) with the categories of BANK.

    Writes NAME.labels.png (16 bit; 0 is unlabelled, otherwise category_id + 1), NAME.overlay.png
    and NAME.json.
    """
    from query.output import check_outputs, collect_inputs
    from rim.api import category_ids, query_overrides
    from rim.bank import Bank
    from rim.progress import counter
    from schemas.errors import ImageError

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
    engine = opened.engine(overrides=overrides, preset=preset, device=device, offline=offline)

    failed: list[dict[str, str]] = []
    done: list[dict[str, object]] = []
    with counter("labelling", len(inputs)) as advance:
        for item in inputs:
            try:
                result = engine.segment(item.path, categories=chosen)
            except ImageError as error:
                failed.append({"image": str(item.path), "error": str(error)})
                say(f"rim: {error}")
            else:
                files = result.save(out, item.name, formats=wanted)
                done.append(
                    {
                        "image": str(item.path),
                        "regions": len(result.regions),
                        "files": [str(file) for file in files],
                    }
                )
            advance()
    if as_json:
        print_json({"out": str(out), "images": done, "failed": failed})
    else:
        say(f"{len(done)} of {len(inputs)} images labelled, results in {out}")
    if failed and not done:
        return 2
    return 3 if failed else 0


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
