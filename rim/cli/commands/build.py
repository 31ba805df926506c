"""`rim build`: a vocabulary becomes a bank."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from rim.cli import completions
from rim.cli.logs import warn
from rim.cli.options import (
    device_option,
    examples,
    json_option,
    offline_option,
    print_json,
    say,
    settings_option,
)
from rim.cli.report_words import holdings, tell_lacks
from rim.cli.run_log import emit, log_json_option


@click.command(
    "build",
    epilog=examples(
        "rim build words.txt --out bank -k 8 --steps 20",
        'printf "house\\nfish\\n" | rim build - --out bank',
        "rim build voc20 --preset paper --out voc --dry-run",
        "rim build words.txt --out bank --source folder:photos",
    ),
)
@click.argument("vocabulary", shell_complete=completions.vocabularies)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the bank.")
@click.option(
    "--preset",
    default="miniature",
    show_default=True,
    metavar="NAME|FILE.toml",
    help="Models and settings: a preset's name or a TOML file.",
    shell_complete=completions.presets,
)
@click.option(
    "-k",
    "--images-per-category",
    metavar="N",
    type=click.IntRange(1),
    help="Images a category (K).",
)
@click.option("--steps", metavar="N", type=click.IntRange(1), help="Denoising steps.")
@click.option("--seed", metavar="N", type=click.IntRange(0), help="Seed of all randomness.")
@settings_option
@click.option(
    "--source",
    default="diffusion",
    show_default=True,
    metavar="diffusion|folder:DIR",
    shell_complete=completions.sources,
    help="Generated images, or your own photos: DIR/CATEGORY/NAME.jpg, and NAME.mask.png beside "
    "it where you have a mask.",
)
@click.option("--limit", metavar="N", type=click.IntRange(1), help="Only the first N categories.")
@click.option("--retry-failed", is_flag=True, help="Make failed images again.")
@click.option("--dry-run", is_flag=True, help="Estimate images, time and disk; build nothing.")
@click.option("--overwrite", is_flag=True, help="Replace a bank that has other settings.")
@device_option
@offline_option
@log_json_option
@json_option
def command(
    vocabulary: str,
    out: Path,
    preset: str,
    images_per_category: int | None,
    steps: int | None,
    seed: int | None,
    settings: tuple[str, ...],
    source: str,
    limit: int | None,
    retry_failed: bool,
    dry_run: bool,
    overwrite: bool,
    device: str,
    offline: bool,
    as_json: bool,
) -> int:
    """Build a bank for VOCABULARY, or resume or grow the one in --out.

    VOCABULARY is a text file with one category a line ("name, synonym, synonym"), - for standard
    input, or the name of a shipped vocabulary (voc20, ade150, miniature, ...).

    Your own photos (--source folder:DIR) are all taken, also into a bank that has generated images.
    Where a photo has no mask, SAM makes one of what is in the middle. A photo keeps its number; new
    files in DIR are added by the same command.
    """
    from rim.api import choose_settings, choose_source, choose_vocabulary, run_build

    image_source = choose_source(source)
    chosen = choose_settings(preset, images_per_category, steps, seed, settings)
    words = choose_vocabulary(vocabulary, limit)
    for warning in words.warnings:
        warn(warning)
    if dry_run:
        from bank_builder.build import prepare_build
        from rim.cli.estimate import estimate
        from rim.cli.progress import stages

        prepared = prepare_build(
            words, out, chosen, source=image_source, overwrite=overwrite, retry_failed=retry_failed
        )
        with stages("estimate") as on_stage:
            result = estimate(
                words, chosen, prepared, device=device, preset=preset, on_stage=on_stage
            )
        if as_json:
            print_json(asdict(result))
        else:
            say(result.text())
        return 0

    from rim.cli.progress import build_progress

    with build_progress() as progress:
        report = run_build(
            words,
            out,
            chosen,
            image_source,
            device=device,
            offline=offline,
            retry_failed=retry_failed,
            overwrite=overwrite,
            progress=progress,
            preset=preset,
        )
    emit("result", **asdict(report))
    if as_json:
        print_json(asdict(report))
    elif not report.changed:
        say(f"{out} is up to date: version {report.version}, {report.images} images")
    else:
        say(f"{out}: version {report.version}, {holdings(report)}")
    return tell_lacks(report, out, "--retry-failed")
