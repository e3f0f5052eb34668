"""What those who have nothing at hand may use: a long report, as text and as a PDF.

It is `static/sample.txt` and the harbour's log-book after it, the same each time. Long, so that there is something
to watch.
"""

import textwrap
import zlib
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from itertools import chain
from pathlib import Path
from random import Random

DAYS = 5_300  # of the log-book, an entry each
LINES = 58  # of a page
COLUMNS = 96  # characters of a line
TEXT = Path(__file__).with_name("static") / "sample.txt"

_ESCAPED = str.maketrans({"\\": r"\\", "(": r"\(", ")": r"\)"})
_SPACE = ") -250 ("  # in thousandths of the font's size
_FIRST_DAY = date(1981, 5, 4)
_PLACES = (
    "northern channel",
    "stone breakwater",
    "old customs house",
    "inner basin",
    "herring quay",
)
_WEATHER = ("calm water", "a heavy swell", "drifting fog", "rain from the west", "a spring tide")
_KEEPERS = ("Thomas Okafor", "Doctor Anna Lindqvist", "Margaret Hale")
_WORK = (
    "cleaned {} blades of mussels",
    "replaced {} ceramic bearings",
    "counted {} herring boats at slack water",
    "sold {} kilowatt hours to the public baths",
    "spent {} hours on repairs",
)


@cache
def text() -> str:
    return "\n\n".join(chain(TEXT.read_text().strip().split("\n\n"), _log_book()))


def _log_book() -> Iterator[str]:
    random = Random(1874)
    for number in range(DAYS):
        day = _FIRST_DAY + timedelta(days=number)
        tide, place, weather = (
            random.uniform(0.4, 6.2),
            random.choice(_PLACES),
            random.choice(_WEATHER),
        )
        done = random.choice(_WORK).format(random.randint(2, 95))
        yield (
            f"On {day.day} {day:%B %Y} the water at the {place} stood at {tide:.2f} metres in {weather}."
            f" {random.choice(_KEEPERS)} {done}. Turbine {random.randint(1, 12)} gave {random.randint(40, 990)}"
            f" kilowatts for {random.uniform(1, 9):.1f} hours."
        )


@cache
def report() -> bytes:
    """Plain PDF 1.4: a catalog, a font, and for each page its content."""
    wrapped = (textwrap.wrap(part, COLUMNS) or [""] for part in text().split("\n"))
    lines = list(chain.from_iterable(wrapped))
    pages = [lines[start : start + LINES] for start in range(0, len(lines), LINES)]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, page in enumerate(pages):
        drawn = zlib.compress(_drawn(page))
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842]"
            b" /Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>" % (5 + 2 * number),
            b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(drawn), drawn),
        ]
    body, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, each in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    tail = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(body))
    return b"%sxref\n0 %d\n0000000000 65535 f \n%s%s" % (bytes(body), size, table, tail)


def _drawn(lines: list[str]) -> bytes:
    """Word by word, as typesetters write, who place each."""
    words = (line.translate(_ESCAPED).replace(" ", _SPACE) for line in lines)
    said = "".join(f"[({line})] TJ T*\n" for line in words)
    return f"BT /F1 10 Tf 13 TL 50 790 Td\n{said}ET".encode("ascii")
