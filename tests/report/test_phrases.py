"""The log's phrases are complete in every language."""

from __future__ import annotations

import re
import string

from epochal.report.phrases import ENGLISH, KOREAN


def fields(text: str) -> set[str]:
    """The `{fields}` of a phrase."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_korean_is_complete() -> None:
    """Every phrase exists in Korean with the same fields, and is Korean where there is a word to say."""
    assert list(KOREAN) == list(ENGLISH)
    for key, text in KOREAN.items():
        assert fields(text) == fields(ENGLISH[key]), key
        assert key == "n" or re.search("[가-힣]", text), key


def test_no_particle_depends_on_a_name() -> None:
    """No field is followed by a particle that changes with the sound before it (을/를, 이/가)."""
    for key, text in KOREAN.items():
        assert not re.search(r"\}\**(을|를|이|가|은|는|와|과|으로|로)(?![가-힣])", text), key
