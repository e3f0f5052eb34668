"""Every file that is sent is looked at, and nothing it holds may do harm there."""

import io

from hypothesis import given
from hypothesis import strategies as st

from app import contents


@given(st.binary(max_size=3000))
def test_any_bytes_are_something_or_nothing_and_left_at_their_start(content):
    file = io.BytesIO(content)
    assert contents.document(file) in ("pdf", "image", "text", None)
    assert file.tell() == 0
    assert contents.video(file) in ("mov", "matroska", "avi", "ogg", "mpegts", None)
    assert file.tell() == 0


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_all_printable_text_is_text(text):
    assert contents.document(io.BytesIO(b"x" + text.encode())) == "text"
