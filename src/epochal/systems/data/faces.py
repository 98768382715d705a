"""What sources of faces share: the kind, the side of their pictures, and the five conditions of each face.

A split has `images` (n, 120, 120, 3) uint8 and `conditions` (n, 5) float32 in the order of `CONDITIONS`; NaN where a
condition is not labelled.
"""

from __future__ import annotations

KIND = "faces"
"""Kind of the sources (see `catalogue`)."""
SIDE = 120
CONDITIONS = ("p(male)", "p(female)", "hair darkness", "mouth openness", "eye openness")
"""Each from 0 to 1: p(male) + p(female) = 1; hair 0 light … 1 dark; mouth and eyes 0 shut … 1 wide open."""
