"""A report of some pages in a PDF, made of `static/sample.txt`, for those who have no document at hand."""

import textwrap
from functools import cache
from pathlib import Path

PAGES = 48
COLUMNS = 82  # characters of a line
TEXT = Path(__file__).with_name("static") / "sample.txt"


@cache
def report() -> bytes:
    """Plain PDF 1.4: a catalog, a font, and for each page its content."""
    parts = TEXT.read_text().strip().split("\n\n")
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(PAGES))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {PAGES} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number in range(PAGES):
        chosen = [parts[(number + step) % len(parts)] for step in range(5)]
        drawn = _drawn(f"Page {number + 1} of {PAGES}", chosen)
        objects += [
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842]"
            f" /Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * number} 0 R >>",
            f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream",
        ]
    body, offsets = "%PDF-1.4\n", []
    for number, each in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{each}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    tail = f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return f"{body}xref\n0 {size}\n0000000000 65535 f \n{table}{tail}".encode("ascii")


def _drawn(heading: str, paragraphs: list[str]) -> str:
    lines = [heading, ""]
    for paragraph in paragraphs:
        lines += [*textwrap.wrap(paragraph, COLUMNS), ""]
    said = "".join(f"({_escaped(line)}) Tj T*\n" for line in lines)
    return f"BT /F1 11 Tf 15 TL 60 780 Td\n{said}ET"


def _escaped(line: str) -> str:
    return line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
