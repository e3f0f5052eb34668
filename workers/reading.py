"""The pages of an uploaded document: text where there is some, else pictures for those who can read them."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from celery.exceptions import SoftTimeLimitExceeded
from PIL import Image
from pypdf import PageObject, PdfReader
from pypdf.errors import DependencyError

from headway.errors import Failure
from workers import program

PAGE_CHARACTERS = 3_000  # of a text that has no pages of its own
MOST_PICTURES = 20  # read from one page
MOST_PIXELS = 50_000_000  # of a picture; unpacked it takes three or four bytes for each
OCR = "tesseract"


@dataclass
class Page:
    number: int
    text: str
    pictures: Callable[[Path], Sequence[Path]] | None = None  # makes files of what it shows
    by_ocr: bool = False
    damaged: bool = False


class Pages:
    """A document that was opened: it knows how many pages there are, and reads each when it is asked for."""

    def __init__(self, count: int, read: Callable[[int], Page]) -> None:
        self._count = count
        self._read = read

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Page]:
        return map(self._read, range(self._count))


def opened(path: Path, kind: str) -> Pages:
    """The pages of a `pdf`, `image` or `text`. A Failure says what is wrong with the file."""
    return {"pdf": _pdf, "image": _image, "text": _text}[kind](path)


def ocr_program() -> str | None:
    """Where the program is that reads pictures, if it is installed."""
    return shutil.which(OCR)


def read_pictures(page: Page, folder: Path) -> str:
    """What the page's pictures say. One that cannot be read says nothing."""
    said = []
    for picture in page.pictures(folder) if page.pictures else ():
        try:
            program.run([OCR, str(picture), f"{picture}-read"])
            said.append(Path(f"{picture}-read.txt").read_text(errors="replace"))
        except (program.ProgramFailed, OSError):
            continue
    return "\n".join(said).strip()


class _Damaged(Exception):
    """A parser failed."""


@contextmanager
def _parsing() -> Iterator[None]:
    """Whatever a parser raises becomes _Damaged: a file that was damaged on purpose can raise anything."""
    try:
        yield
    except (Failure, SoftTimeLimitExceeded, DependencyError):
        raise
    except Exception as error:
        raise _Damaged from error


def _pdf(path: Path) -> Pages:
    try:
        with _parsing():
            reader = PdfReader(path)
            if reader.is_encrypted and not reader.decrypt(""):
                raise Failure(_ENCRYPTED)
            count = len(reader.pages)
    except DependencyError as error:  # encrypted by a method that needs more than pypdf brings
        raise Failure(_ENCRYPTED) from error
    except _Damaged as error:
        raise Failure("The PDF is damaged: it cannot be opened.") from error
    return Pages(count, lambda index: _pdf_page(reader, index))


_ENCRYPTED = "The PDF is encrypted. Remove its password and upload it again."


def _pdf_page(reader: PdfReader, index: int) -> Page:
    """A page that is damaged is an empty one: the others may be all that is wanted."""
    try:
        with _parsing():
            page = reader.pages[index]
            text = page.extract_text().strip()
    except (_Damaged, DependencyError):
        return Page(index + 1, "", damaged=True)
    return Page(index + 1, text, lambda folder: _pictures(page, index, folder))


def _pictures(page: PageObject, index: int, folder: Path) -> list[Path]:
    """Those that can be unpacked, as files in the folder."""
    found: list[Path] = []
    with suppress(_Damaged, DependencyError), _parsing():
        for number, picture in zip(range(MOST_PICTURES), page.images, strict=False):
            if picture.image is not None and _fits(picture.image):
                path = folder / f"page-{index + 1}-{number}.png"
                picture.image.save(path)
                found.append(path)
    return found


def _image(path: Path) -> Pages:
    try:
        with _parsing(), Image.open(path, formats=("PNG", "JPEG")) as picture:
            if not _fits(picture):
                most = MOST_PIXELS // 1_000_000
                raise Failure(f"The picture is too large. At most {most} megapixels are read.")
            picture.load()
    except _Damaged as error:
        raise Failure("The picture is damaged.") from error
    return Pages(1, lambda _: Page(1, "", lambda folder: [path]))


def _fits(picture: Image.Image) -> bool:
    return picture.width * picture.height <= MOST_PIXELS


def _text(path: Path) -> Pages:
    pages = []
    for part in path.read_text(encoding="utf-8-sig").split("\f"):
        start = 0
        while start < len(part):
            end = start + PAGE_CHARACTERS
            if end < len(part):
                end = part.rfind("\n", start + PAGE_CHARACTERS // 2, end) + 1 or end
            pages.append(part[start:end].strip())
            start = end
    return Pages(len(pages), lambda index: Page(index + 1, pages[index]))
