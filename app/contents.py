"""What a file is, by its content. Its name and the type its sender claims count for nothing. Pure."""

import codecs
from typing import IO

CHUNK_BYTES = 64 * 1024
HEAD_BYTES = 1024  # enough for every signature below

_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_BEFORE_PDF = b"\xef\xbb\xbf\x00\t\n\r "  # what careless writers put before the header
_NOT_IN_TEXT = bytes({*range(32), 127} - {*b"\t\n\f\r"})


def document(file: IO[bytes]) -> str | None:
    """`pdf`, `image` (PNG, JPEG), `text` (UTF-8) or None. The file is left at its start."""
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if head.lstrip(_BEFORE_PDF).startswith(b"%PDF-"):
        return "pdf"
    if head.startswith(_PICTURES):
        return "image"
    try:
        return "text" if _is_text(file) else None
    finally:
        file.seek(0)


def video(file: IO[bytes]) -> str | None:
    """The container's name as ffmpeg's demuxers know it, or None. The file is left at its start.

    It is told to ffmpeg, so that nothing else is ever tried: playlists and scripts can name other files.
    """
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"):
        return "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    if head.startswith(b"OggS"):
        return "ogg"
    if head[:1] == b"G" and head[188:189] == b"G" and head[376:377] == b"G":
        return "mpegts"
    return None


def _is_text(file: IO[bytes]) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while chunk := file.read(CHUNK_BYTES):
            decoder.decode(chunk)
            if len(chunk.translate(None, _NOT_IN_TEXT)) < len(chunk):
                return False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
