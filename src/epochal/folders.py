"""Where Epochal keeps what may be deleted at any time."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$EPOCHAL_CACHE`, else the platform's cache folder for Epochal; it need not exist yet."""
    import pooch  # type: ignore[import-untyped]

    return Path(os.environ.get("EPOCHAL_CACHE") or pooch.os_cache("epochal")).expanduser()
