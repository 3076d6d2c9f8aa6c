"""The `version` header field: an ordinal in Java's list of releases (`MQVersion.Version`).

The list is regular: the alpha and beta releases of 3.0.0, then `<release>_SNAPSHOT, <release>` for ten patch
releases of each minor one (3.0 has fifteen; 3.3 to 3.9 start at patch 1) up to 5.9.9, then HIGHER_VERSION.
"""

from __future__ import annotations

from typing import Final


def _with_snapshots(releases: list[str]) -> list[str]:
    return [name for release in releases for name in (f"{release}_SNAPSHOT", release)]


def _names() -> tuple[str, ...]:
    names = ["V3_0_0_SNAPSHOT", "V3_0_0_ALPHA1", *(f"V3_0_0_BETA{n}" for n in range(1, 6))]
    names += _with_snapshots([f"V3_0_0_BETA{n}" for n in range(6, 10)])
    names += ["V3_0_0_FINAL", *_with_snapshots([f"V3_0_{patch}" for patch in range(1, 16)])]
    for major, minor in (
        [(3, n) for n in range(1, 10)] + [(4, n) for n in range(10)] + [(5, n) for n in range(10)]
    ):
        first_patch = 1 if (major, minor) >= (3, 3) and major == 3 else 0
        names += _with_snapshots([f"V{major}_{minor}_{patch}" for patch in range(first_patch, 10)])
    return (*names, "HIGHER_VERSION")


NAMES: Final = _names()
ORDINALS: Final[dict[str, int]] = {name: ordinal for ordinal, name in enumerate(NAMES)}

V3_0_7_SNAPSHOT: Final = 28
V3_0_11: Final = 37
V3_1_8_SNAPSHOT: Final = 62
V3_4_9: Final = 121
V4_1_0_SNAPSHOT: Final = 232
V4_9_3: Final = 399
V4_9_4: Final = 401
V5_0_0: Final = 413
V5_3_1: Final = 475
V5_3_3: Final = 479

CURRENT: Final = V5_3_3
"""What every command of ours carries. Java clients refuse SQL92 to a broker below V4_1_0_SNAPSHOT."""


def version_desc(ordinal: int) -> str:
    """The release name; an ordinal beyond the list is "HIGHER_VERSION", a negative one the oldest."""
    return NAMES[min(max(ordinal, 0), len(NAMES) - 1)]
