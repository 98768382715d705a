"""Sources of data: found on this machine, downloaded with a checksum, or drawn.

Importing this room costs nothing: what is heavy is imported when a source is read.
"""

from epochal.systems.data.dataset import Check, Dataset, SourceInfo, Verification
from epochal.systems.data.verbs import check, fetch, load, resolve, sources, verify

__all__ = [
    "Check",
    "Dataset",
    "SourceInfo",
    "Verification",
    "check",
    "fetch",
    "load",
    "resolve",
    "sources",
    "verify",
]
