"""Run folders: what a training writes down, where it is found again, and how it descends from others."""

from epochal.journal.lab import Lab
from epochal.journal.run import Run

__all__ = ["Lab", "Run"]
