"""Settings: frozen dataclasses, their patches and differences, and where their values come from."""

from epochal.settings.fields import Interval, flatten, to_dict
from epochal.settings.layers import layered, read_file
from epochal.settings.patch import Diff, Patch, apply, checked, describe, diff, from_dict, new_values

__all__ = [
    "Diff",
    "Interval",
    "Patch",
    "apply",
    "checked",
    "describe",
    "diff",
    "flatten",
    "from_dict",
    "layered",
    "new_values",
    "read_file",
    "to_dict",
]
