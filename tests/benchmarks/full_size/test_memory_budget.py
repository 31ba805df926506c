"""Bytes counted on the meta device, and the tables of docs/full-size.md."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.full_size import memory_budget
from benchmarks.full_size.live_bytes import peak_bytes
from benchmarks.full_size.memory_budget import GB, Preset, Role, build_share, query_share
from foundation.sam_checkpoint import PUBLISHED, build_sam
from foundation.sharing import Share, Way
from schemas.settings import load_settings

PAGE = Path(__file__).resolve().parents[3] / "docs" / "full-size.md"


def meta(*shape: int) -> torch.Tensor:
    return torch.empty(*shape, device="meta")


def test_what_is_alive_at_the_same_time_is_counted() -> None:
    x = meta(1000)  # before: not counted

    def chain() -> torch.Tensor:
        once = x + 1
        twice = once + 1  # two of 4000 bytes
        del once
        return twice * 2

    assert peak_bytes(chain) == 8000


def test_views_and_results_in_place_take_nothing() -> None:
    x = meta(10, 100)

    def work() -> None:
        made = x + 1
        views = [made.T, made.view(1000), made[3:]]
        views[0].mul_(2)

    assert peak_bytes(work) == 4000


def test_what_a_view_refers_to_stays_alive() -> None:
    long, short = meta(1000), meta(500)

    def work() -> None:
        view = (long + 1)[:2]
        _ = short + 1
        del view

    assert peak_bytes(work) == 6000


def test_products_are_done_in_half_precision() -> None:
    layer = torch.nn.Linear(10, 1000, bias=False, device="meta")
    x = meta(1, 10)
    # The weight and the input in half precision, the result.
    assert peak_bytes(lambda: layer(x), torch.bfloat16) == 2 * (10_000 + 10 + 1000)
    assert peak_bytes(lambda: layer(x)) == 4000


@pytest.mark.slow
def test_strips_take_a_fraction_of_segment_anythings_attention() -> None:
    """It holds several maps of 4096 x 4096 for 16 heads, 0.54 GB each, at a time."""
    with torch.device("meta"):
        original = build_sam(PUBLISHED["vit_h"]).requires_grad_(False)
        ours = memory_budget._segmenter("vit_h")
    for name, parameter in original.named_parameters():
        if "rel_pos" in name:  # as autocast has them
            parameter.data = parameter.data.bfloat16()
    image = meta(1, 3, 1024, 1024)
    theirs = peak_bytes(lambda: original.image_encoder(image), torch.bfloat16)
    assert theirs > 2 * 2 * 16 * 4096**2
    assert ours.peak(1) < 0.2 * theirs
    assert ours.weights < 0.52 * memory_budget.weights(original)


def preset(*needs: tuple[float, float, float]) -> Preset:
    """Of weights, a fixed peak and one for every item, in GB."""
    roles = [
        Role(str(number), int(own * GB), lambda count, a=fixed, b=each: int((a + b * count) * GB))
        for number, (own, fixed, each) in enumerate(needs)
    ]
    return Preset("made up", load_settings("paper"), *roles)


def test_a_share_is_what_fits_beside_what_is_reserved() -> None:
    # 8 GiB less 1 GB are 7.59 GB.
    assert build_share(preset((3, 0, 0.1), (2, 0.2, 0), (1, 0, 0.05)), 8) == Share(Way.AHEAD, 8)
    assert build_share(preset((3, 0, 0.2), (2, 0.2, 0), (1, 0, 0.05)), 8) == Share(Way.AHEAD, 4)
    assert build_share(preset((3, 1, 0.1), (2, 1, 0), (1, 0, 0.1)), 8) == Share(Way.TOGETHER, 4)
    assert build_share(preset((5, 1, 0.1), (2, 1, 0), (1, 0, 0.1)), 8) == Share(Way.TURNS, 8)
    assert build_share(preset((3, 0, 0.1), (7, 1, 0), (1, 0, 0.1)), 8) is None
    assert query_share(preset((9, 9, 9), (2, 0, 0.05), (1, 0, 0)), 8) == (Way.TOGETHER, 64)
    assert query_share(preset((9, 9, 9), (2, 0, 0.1), (1, 0, 0)), 8) == (Way.TOGETHER, 8)
    assert query_share(preset((9, 9, 9), (5, 0, 0.03), (2, 0, 0)), 8) == (Way.TOGETHER, 8)
    assert query_share(preset((9, 9, 9), (6, 1, 0.009), (2, 0, 0)), 8) == (Way.TURNS, 64)
    assert query_share(preset((9, 9, 9), (7, 1, 0), (2, 0, 0)), 8) is None


@pytest.mark.slow
def test_the_page_has_what_the_script_says_of_sam() -> None:
    with torch.device("meta"):
        role = memory_budget._segmenter("vit_h")
    peaks = f"{role.peak(1) / GB:.2f} | {role.peak(64) / GB:.2f}"
    line = f"| `paper`: SAM vit_h | {role.weights / GB:.2f} | {peaks} |"
    assert line in PAGE.read_text(encoding="utf-8")


@pytest.mark.stress
def test_the_tables_of_the_page_are_what_the_script_prints() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for table in memory_budget.tables(memory_budget.presets()).split("\n\n"):
        assert table in page, "run `python -m benchmarks.full_size.memory_budget`"
