"""Which items had their effect more than once, and whether the docs say that it may be so."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chaos.witness import Effect

# What is done is saved every second; a machine that is busy takes a while for it, and for telling the witness.
SAVED_WITHIN = 1.0
BUSY = 2.0
# A process that says nothing for so long was frozen, and not at work.
FROZEN = 10.0


def beyond(effects: Iterable[Effect], seconds: float) -> tuple[list[str], int, dict[str, Any]]:
    """Tell the items apart that had an effect twice.

    A try that was killed may lose what it did in its last second, and what was running; one that was frozen may
    lose that too, and as much again when it comes back. What it did earlier had been saved: to do it again would be
    more than the docs state.

    :param effects: what the witness has heard.
    :param seconds: how long an item takes.
    :returns: the items that the docs don't let have another effect, how many others had one, and the largest age
        of an effect that was repeated, in seconds before its try fell silent.
    """
    tries: dict[tuple[int, int], list[Effect]] = defaultdict(list)
    by_item: dict[str, list[Effect]] = defaultdict(list)
    for effect in effects:
        if effect.kind == "item":
            tries[effect.map_index, effect.attempt].append(effect)
            by_item[effect.item].append(effect)
    until = {key: _silences(sorted(effect.at for effect in found)) for key, found in tries.items()}
    allowed = seconds + SAVED_WITHIN + BUSY
    doubled, repeated, oldest = [], 0, 0.0
    for item, found in by_item.items():
        # What the newest try did counts; a frozen process may be back later than that. One that froze before it began
        # goes by the number that the try has by then.
        counts = max(found, key=lambda effect: (effect.attempt, effect.at))
        for effect in found:
            if effect is counts:
                continue
            silent = next(end for end in until[effect.map_index, effect.attempt] if end >= effect.at)
            if effect.attempt == counts.attempt and silent >= counts.at:
                doubled.append(f"item {item}, by one try")
                continue
            age = silent - effect.at
            oldest = max(oldest, age)
            if age <= allowed:
                repeated += 1
            else:
                doubled.append(f"item {item}, {age:.1f} s before its try fell silent")
    return doubled, repeated, {"oldest repeated, s": round(oldest, 1)} if repeated or doubled else {}


def _silences(moments: list[float]) -> list[float]:
    """Return when a try fell silent: before each freeze, and at its end."""
    return [
        at
        for at, following in zip(moments, [*moments[1:], float("inf")], strict=True)
        if following - at > FROZEN
    ]
