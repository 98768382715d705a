"""Markdown pieces hold any text: checked by reading what they produce as a Markdown reader would."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from epochal.report.markdown import code, fence, picture, plain, table

SPECIAL = st.text(st.sampled_from("ab \\`*_[]<>|#~&$!-+=.)1\n\r\t\x1b"), max_size=40)


def closes(line: str, ticks: str) -> bool:
    """Whether a line ends a fence (CommonMark 4.5): up to three spaces, then as many backticks or more."""
    match = re.fullmatch(r" {0,3}(`{3,})[ \t]*", line)
    return match is not None and len(match[1]) >= len(ticks)


@given(st.one_of(SPECIAL, st.text(max_size=60)))
def test_a_fence_ends_where_it_should(text: str) -> None:
    """No line of any text closes the fence around it early, so a note cannot break out of its block."""
    first, *body, last = fence([text])
    ticks = first.removesuffix("text")
    assert last == ticks
    assert not any(closes(line, ticks) for line in body)


def test_a_fence_keeps_words_as_they_are() -> None:
    """Fenced text is verbatim but for line ends and terminal control characters."""
    assert fence(["a  *b*\r\n\t<c>", "\x1b[31mred\x1b[0m"]) == ["```text", "a  *b*", "\t<c>", "red", "```"]
    assert fence(["````"])[0] == "`````text"


@given(SPECIAL)
def test_plain_text_means_nothing(text: str) -> None:
    """Every character that Markdown or HTML would read is escaped; unescaped it is the text again."""
    line = plain(text)
    assert "\n" not in line and "\r" not in line
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]<>|#~&$]", line)
    assert not re.match(r"\d*[-+=.)] ", line)
    back = re.sub(r"\\([\\`*_\[\]<>|#~&$\-+=.)])", r"\1", line)
    assert back == " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]", "", text).split())


@given(SPECIAL)
def test_code_holds_backticks(text: str) -> None:
    """The delimiter of a code span is a run of backticks that does not occur inside it."""
    span = code(text)
    if span:
        ticks = re.match(r"`+", span)
        assert ticks is not None
        inside = span[len(ticks[0]) : -len(ticks[0])]
        assert span.endswith(ticks[0])
        assert ticks[0] not in re.findall(r"`+", inside)


@given(st.lists(SPECIAL, min_size=2, max_size=2))
def test_tables_keep_their_columns(cells: list[str]) -> None:
    """Whatever the cells hold, plain or code, a row has its two columns: no bare bar, no line break."""
    lines = table(["a", "b"], [[plain(cells[0]), code(cells[1])]], right=[1])
    assert lines[1] == "| --- | ---: |"
    assert len(lines) == 3
    assert len(re.findall(r"(?<!\\)\|", lines[2])) == 3


def test_picture_links_are_encoded() -> None:
    """Spaces, brackets and Korean letters in a path stay one link."""
    assert picture(PurePosixPath("a b/(1).png"), "x [y]") == r"![x \[y\]](a%20b/%281%29.png)"
