"""No text of others moves the cursor, colours, or turns a line around."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.events import State
from headway.plain import as_json, as_line, plain

HOSTILE = [
    "\x1b[2J\x1b[1;1H",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil\x1b\\link",
    "\x9b31m",
    "a\rb\nc\td\x0be\x0cf",
    "\x08\x08\x08\x7f",
    "\u202egnp.exe\u202c",
    "\u2066\u2067\u2068\u2069\u200e\u200f\u061c",
    "\u2028\u2029\x85",
    "\ud800",
    "\ufeff\u00ad\u200b",
    "[red]markup[/red] [link=http://evil]x[/link] :boom:",
]
BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


def is_harmless(text: str) -> bool:
    return not any(
        each in BIDI or unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in text
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_what_would_act_is_shown_as_a_mark_or_a_space(text: str) -> None:
    assert is_harmless(plain(text))
    assert is_harmless(as_json([text.encode("utf-8", "replace").decode()]))


@given(st.text())
def test_nothing_that_comes_out_acts(text: str) -> None:
    assert is_harmless(plain(text))


@pytest.mark.parametrize("text", ["", "report.pdf", "Übergröße", "進捗", "می‌خواهم", "👩‍💻", "שלום"])
def test_what_people_write_stays(text: str) -> None:
    assert plain(text) == text


def test_what_is_long_is_cut() -> None:
    assert plain("x" * 10_000) == "x" * 499 + "…"
    assert plain("abcdef", 3) == "ab…"


def test_a_line_for_programs_is_ascii_and_the_same_value() -> None:
    state = State(task="t", title="é\x1b\x7f\u202e\u2028", message="".join(HOSTILE[:3]))
    line = as_line(state)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["title"] == state.title
