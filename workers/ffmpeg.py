"""Runs ffmpeg, which imageio-ffmpeg brings along, and understands what it says."""

import re
from collections.abc import Callable, Sequence

from imageio_ffmpeg import get_ffmpeg_exe

from workers.program import Program

TOLD_EVERY_SECONDS = 0.2  # ffmpeg's own default of 0.5 makes a bar jump
MOST_PIXELS = 40_000_000  # of a frame: a small file can claim to hold huge ones

_SECONDS = re.compile(r"out_time_us=(\d+)")
_FRAMES = re.compile(r"frame=\s*(\d+)")
_CUT = re.compile(r"lavfi\.scd\.time=([\d.]+)$")
_STREAM = re.compile(r"\s+Stream #\d+:\d+.*: Video: (\w+).*?, (\d{1,5})x(\d{1,5})\b")


def run(
    arguments: Sequence[object],
    tell: Callable[[float], object] | None = None,
    hear: Callable[[str], object] | None = None,
) -> None:
    """Run it to its end. `tell` is called with the seconds done so far, `hear` with every line.

    Raises ProgramFailed when it fails. It reads local files only, whatever a file tells it to read.
    """
    said = ["-hide_banner", "-nostats", "-progress", "pipe:1", "-stats_period", TOLD_EVERY_SECONDS]
    done = 0.0  # ffmpeg's own count goes back when it turns from sound to pictures
    with Program([str(word) for word in (get_ffmpeg_exe(), "-y", *said, *arguments)]) as lines:
        for line in lines:
            if tell and (found := _SECONDS.fullmatch(line)):
                done = max(done, int(found[1]) / 1_000_000)
                tell(done)
            if hear:
                hear(line)


def upload(path: object, container: str) -> list[object]:
    """The arguments that open somebody else's file: as nothing but that container, and from nowhere else."""
    trusted: list[object] = ["-protocol_whitelist", "file", "-max_pixels", MOST_PIXELS]
    return [*trusted, "-f", container, "-i", f"file:{path}"]


def frames(line: str) -> int | None:
    """How many frames it has done, if the line says so."""
    found = _FRAMES.match(line)
    return int(found[1]) if found else None


def cut(line: str) -> float | None:
    """At which second a scene begins, if the line says so."""
    found = _CUT.match(line)
    return float(found[1]) if found else None


def stream(line: str) -> tuple[str, int, int] | None:
    """Codec, width and height of a video stream, if the line describes one."""
    found = _STREAM.match(line)
    return (found[1], int(found[2]), int(found[3])) if found else None
