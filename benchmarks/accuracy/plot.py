"""The plot of mIoU over the number of images per category."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.accuracy.report import Ablation
from benchmarks.accuracy.rows import K_GROUP
from schemas.store.files import write_atomic

_LINES = (
    ("mIoU", "all categories", "#1f4e79", "o"),
    ("familiar", "familiar things", "#2e8b57", "s"),
    ("novel", "novel things", "#c0561f", "^"),
)
_INCHES = (7.0, 4.2)
_DPI = 200  # twice the 700 pixels at which it is read


def plot_over_k(ablation: Ablation, path: Path) -> None:
    """Draw mIoU over K, with the standard deviation over the banks as a band, as a PNG.

    The same results give the same bytes. OSError if the file cannot be written.
    """
    results = [one for one in ablation.results if one.row.group == K_GROUP]
    ks = np.array([int(one.row.name.removeprefix("K = ")) for one in results])
    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    for column, label, colour, marker in _LINES:
        spreads = [one.spread(column) for one in results]
        mean = np.array([spread.mean for spread in spreads])
        std = np.nan_to_num([spread.std for spread in spreads])
        if np.isnan(mean).all():
            continue
        axes.fill_between(ks, mean - std, mean + std, color=colour, alpha=0.15, linewidth=0)
        axes.plot(ks, mean, color=colour, marker=marker, linewidth=2, label=label)
    axes.set_xscale("log")
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("images per category (K)", fontsize=12)
    axes.set_ylabel("mIoU", fontsize=12)
    axes.tick_params(labelsize=11)
    axes.set_title(_title(ablation), fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=11, loc="best")
    FigureCanvasAgg(figure)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    write_atomic(path, drawn.getvalue())


def _title(ablation: Ablation) -> str:
    banks = len(ablation.bank_seeds)
    over = f"; mean and standard deviation over {banks} banks" if banks > 1 else ""
    return f"{ablation.scenes} fresh scenes of the miniature world{over}"
