"""Converts a video for the web, and finds its thumbnails and scenes. All progress is ffmpeg's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from headway import plan, report, stage, staged
from headway.errors import Failure
from workers import ffmpeg
from workers.celery import app
from workers.places import Place, needed_once
from workers.program import ProgramFailed

MOST_SECONDS = 30 * 60  # of video
LIMIT_SECONDS = 2 * 60 * 60  # for the task, on a machine slower than the video plays
THUMBNAILS = 6
MOST_SCENES = 200  # in the result
CUT_SCORE = 10  # of scdet's 0 to 100: its own default, which finds cuts and leaves motion alone

GENERATE = stage("generate", label="Generate a sample", unit="second", weight=8)
PROBE = stage("probe", label="Look into the file", weight=0.2)
TRANSCODE = stage("transcode", label="Convert to MP4", unit="second", weight=6)
THUMBS = stage("thumbnails", label="Make thumbnails", unit="picture")
SCENES = stage("scenes", label="Find scenes", unit="second")

_SAMPLE = (
    "testsrc2=s=1280x720:r=25:d={part}[a];"
    "mandelbrot=s=1280x720:r=25,trim=duration={part},setpts=PTS-STARTPTS[b];"
    # All of it is named: by a seed alone its colours differ from run to run, and may not be seen as a scene.
    "gradients=s=1280x720:r=25:d={part}:speed=0.02:c0=navy:c1=gold:nb_colors=2:x0=0:y0=0:x1=1279:y1=719[c];"
    "[a][b][c]concat=n=3:v=1[out0]"
)
_FIT = (
    "scale='min(1280,iw)':'min(1280,ih)':force_original_aspect_ratio=decrease:force_divisible_by=2"
)
_H264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p"]
_STILL = ["-frames:v", "1", "-update", "1", "-vf", "scale='min(320,iw)':-2", "-q:v", "4"]
# Said on the same pipe as the progress, a line at a time; among the log's lines one might be torn.
_FILTERS = f"scale=320:-2,scdet=t={CUT_SCORE},metadata=print:key=lavfi.scd.time:file=-:direct=1"
_CUTS = ["-loglevel", "warning", "-an", "-vf", _FILTERS, "-f", "null", "-"]


class Video(NamedTuple):
    seconds: float
    frames: int
    codec: str
    width: int
    height: int


@app.task(name="workers.videos", time_limit=LIMIT_SECONDS)
@staged()
def videos(
    folder: str,
    address: str,
    upload: str | None = None,
    container: str = "mov",
    sample_seconds: float = 0,
) -> dict[str, Any]:
    """An upload in that container or, without one, a sample of that length. A Failure says what is wrong."""
    place = Place.at(folder, address)
    plan(*([] if upload else [GENERATE]), PROBE, TRANSCODE, THUMBS, SCENES)
    playable = place.folder / "video.mp4"
    with needed_once(upload or generate(place.folder, sample_seconds)) as source:
        video = probe(source, container)
        transcode(source, container, playable, video)
    names = thumbnails(playable, video)
    pictures = [{"at": at, "url": place.url(name)} for at, name in names]
    return {
        "video": place.url(playable.name),
        "bytes": playable.stat().st_size,
        "seconds": round(video.seconds, 2),
        "source": {"codec": video.codec, "width": video.width, "height": video.height},
        "thumbnails": pictures,
        "scenes": scenes(playable, video),
    }


def generate(folder: Path, seconds: float) -> str:
    """Three moving scenes and a tone, in a file like one that was uploaded."""
    sample = folder / "sample"
    pictures = ["-f", "lavfi", "-i", _SAMPLE.format(part=seconds / 3)]
    tone = ["-f", "lavfi", "-i", f"sine=frequency=330:duration={seconds}"]
    written = [*_H264, "-preset", "ultrafast", "-f", "mov", sample]
    with GENERATE:
        ffmpeg.run([*pictures, *tone, *written], _counted(seconds))
    return str(sample)


def probe(source: Path, container: str) -> Video:
    """Read the file through without decoding it: what its header says of its length need not be so."""
    at, frames = 0.0, 0
    streams: list[tuple[str, int, int]] = []

    def hear(line: str) -> None:
        nonlocal frames
        frames = ffmpeg.frames(line) or frames
        if found := ffmpeg.stream(line):
            streams.append(found)

    def tell(seconds: float) -> None:
        nonlocal at
        at = seconds

    with PROBE as running:
        try:
            copied = ["-map", "0:V:0", "-c", "copy", "-f", "null", "-"]
            ffmpeg.run([*ffmpeg.upload(source, container), *copied], tell, hear)
        except ProgramFailed as error:
            raise Failure("There is no video in this file, or the file is damaged.") from error
        if not streams or not frames:
            raise Failure("There is no video in this file.")
        if at > MOST_SECONDS:
            raise Failure(
                f"The video is {at / 60:.0f} minutes long; at most {MOST_SECONDS // 60} are converted."
            )
        video = Video(at, frames, *streams[-1])  # the last is the one that was read
        if video.width * video.height > ffmpeg.MOST_PIXELS:
            size = f"{video.width} by {video.height}"
            raise Failure(f"Its pictures are too large: {size} pixels.")
        running.report(
            f"{video.codec}, {video.width} by {video.height}, {video.seconds:.1f} s",
            data=video._asdict(),
        )
    return video


def transcode(source: Path, container: str, playable: Path, video: Video) -> None:
    """H.264 and AAC in an MP4 that plays everywhere, from its first bytes on."""
    picked = ["-map", "0:V:0", "-map", "0:a:0?", "-map_metadata", "-1"]
    written = ["-vf", _FIT, *_H264, "-preset", "veryfast", "-c:a", "aac", "-movflags", "+faststart"]
    with TRANSCODE:
        try:
            ffmpeg.run(
                [*ffmpeg.upload(source, container), *picked, *written, playable],
                _counted(video.seconds),
            )
        except ProgramFailed as error:
            raise Failure("The video is damaged: it cannot be converted.") from error


def thumbnails(playable: Path, video: Video) -> list[tuple[float, str]]:
    """Pictures from all over the video, as their seconds and the names of their files."""
    count = min(THUMBNAILS, video.frames)
    made = []
    for number in THUMBS.track(range(count)):
        at, name = video.seconds * number / count, f"thumbnail-{number + 1}.jpg"
        ffmpeg.run(["-ss", f"{at:.3f}", "-i", playable, *_STILL, playable.with_name(name)])
        if playable.with_name(name).exists():
            made.append((round(at, 2), name))
    return made


def scenes(playable: Path, video: Video) -> list[dict[str, float]]:
    """Where each begins and ends, in seconds."""
    cuts = [0.0]
    with SCENES as running:
        running.report("1 scene")

        def hear(line: str) -> None:
            if at := ffmpeg.cut(line):
                cuts.append(at)
                running.report(f"{len(cuts)} scenes")

        ffmpeg.run(["-i", playable, *_CUTS], _counted(video.seconds), hear)
    ends = [*cuts[1:], round(video.seconds, 2)]
    spans = zip(cuts, ends, strict=True)
    return [{"start": start, "end": end} for start, end in spans][:MOST_SCENES]


def _counted(seconds: float) -> Callable[[float], None]:
    """What tells the running stage how many of the seconds are done, to the tenth: nobody sees more."""
    report(current=0, total=round(seconds, 1))
    return lambda at: report(current=round(min(at, seconds), 1))
