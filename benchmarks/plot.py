"""Draw what an item costs, each way: `python benchmarks/plot.py figures.json plot.svg`, where there is matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

# The same figures give the same file.
mpl.rcParams.update({"svg.hashsalt": "mapping-kit", "svg.fonttype": "none", "font.family": "sans-serif"})

KIT, OTHERS = "#017cee", "#b7c0cc"


def main() -> None:
    """Draw a bar a way: CPU milliseconds an item, for the most items that were measured."""
    source, target = map(Path, sys.argv[1:])
    found = json.loads(source.read_text())
    most = max(one["items"] for one in found)
    waits = sorted({one["wait"] for one in found})
    figure, axes = plt.subplots(1, len(waits), figsize=(5 * len(waits), 3.6), sharey=True, squeeze=False)
    for axis, wait in zip(axes[0], waits, strict=True):
        rows = [one for one in found if one["items"] == most and one["wait"] == wait][::-1]
        costs = [1000 * one["cpu"] / most for one in rows]
        names = [one["way"].replace("`", "") for one in rows]
        colors = [KIT if "batched" in name or "PerItem" in name else OTHERS for name in names]
        bars = axis.barh(names, costs, color=colors)
        axis.bar_label(bars, [f"{cost:,.0f}" for cost in costs], padding=3)
        axis.set_title(f"{most:,} items that " + (f"wait {wait:g} s" if wait else "do nothing"), fontsize=10)
        axis.set_xlabel("CPU milliseconds an item")
        axis.margins(x=0.15)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main()
