"""Documents to upload, good and bad, made on the spot."""

import io

from PIL import Image, ImageDraw, ImageFont
from pypdf import PdfReader, PdfWriter


def pdf(*pages: str) -> bytes:
    """A PDF with these lines of text, one text for each page; "" is a page without any."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, text in enumerate(pages):
        lines = "".join(f"({line}) Tj T* " for line in text.splitlines())
        drawn = f"BT /F1 12 Tf 14 TL 72 720 Td {lines}ET".encode("latin-1") if text else b""
        page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792]"
        page += f" /Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * n} 0 R >>"
        objects.append(page.encode())
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn))
    return _assembled(objects)


def encrypted(plain: bytes) -> bytes:
    writer = PdfWriter(PdfReader(io.BytesIO(plain)))
    writer.encrypt("secret", algorithm="RC4-128")
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def picture(kind: str = "PNG", size: tuple[int, int] = (200, 100)) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, "white").save(written, kind)
    return written.getvalue()


def written(kind: str) -> bytes:
    """A picture, or a PDF that holds nothing but one, on which something can be read."""
    page = Image.new("RGB", (900, 200), "white")
    ImageDraw.Draw(page).text((30, 60), "Treaty of Westphalia", "black", ImageFont.load_default(60))
    file = io.BytesIO()
    page.save(file, kind)
    return file.getvalue()


def _assembled(objects: list[bytes]) -> bytes:
    body, offsets = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(objects) + 1
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n" % (count, len(body))
    return body + b"xref\n0 %d\n0000000000 65535 f \n%s%s%%%%EOF\n" % (count, table, trailer)
