"""Text of others, made safe for a terminal: it can neither move the cursor, nor colour, nor turn the line around."""

import json

from headway.events import encode

MOST = 500  # characters of one text
JOINERS = "\u200c\u200d"  # scripts and emoji need them; they only join


def plain(text: object, most: int = MOST) -> str:
    """One line of what can be printed. Control characters, escapes and bidi overrides become U+FFFD."""
    said = str(text)
    if len(said) > most:
        said = said[: most - 1] + "…"
    if said.isprintable():
        return said
    return "".join(_plain(character) for character in said)


def as_json(value: object, most: int = MOST) -> str:
    """A value as JSON, for people: other scripts stay readable."""
    return plain(json.dumps(value, ensure_ascii=False, separators=(",", ":")), most)


def as_line(value: object) -> str:
    """A value as one line of JSON, for programs: ASCII, which no terminal takes for anything else."""
    return encode(value).decode("ascii").replace("\x7f", "\\u007f")


def _plain(character: str) -> str:
    if character.isprintable() or character in JOINERS:
        return character
    return " " if character.isspace() else "\ufffd"
