"""What ffmpeg says, understood; and what it is allowed to open."""

import pytest

from workers import ffmpeg
from workers.program import Program, ProgramFailed


@pytest.mark.parametrize(
    ("line", "understood"),
    [
        (
            "  Stream #0:0(und): Video: h264 (High) (avc1 / 0x31637661), yuv420p(progressive),"
            " 640x360 [SAR 1:1 DAR 16:9], q=2-31, 547 kb/s, 25 fps",
            ("h264", 640, 360),
        ),
        ("  Stream #0:0: Video: vp8, yuv420p(progressive), 322x240, 25 fps", ("vp8", 322, 240)),
        ("  Stream #0:1[0x2](und): Audio: aac (LC), 44100 Hz, mono", None),
        ("    title           : Stream #0:0: Video: fake, 1x1", None),
    ],
)
def test_a_stream_is_known_by_its_codec_and_size(line, understood):
    assert ffmpeg.stream(line) == understood


def test_frames_and_cuts_are_read_from_their_own_lines_only():
    assert ffmpeg.frames("frame=201") == 201
    assert ffmpeg.frames("frame=  201 fps=195 q=-1.0 Lsize=     614KiB") == 201
    assert ffmpeg.frames("    comment : frame=9") is None
    said = "lavfi.scd.time=2.72"
    assert ffmpeg.cut(said) == 2.72
    assert ffmpeg.cut(f"    comment : {said}") is None


def test_progress_never_goes_back(monkeypatch):
    script = "for at in 1000000 x 3000000 2000000 N/A 4000000; do echo out_time_us=$at; done; :"
    monkeypatch.setattr(ffmpeg, "get_ffmpeg_exe", lambda: "/bin/sh")
    monkeypatch.setattr(ffmpeg, "Program", lambda command: Program(["/bin/sh", "-c", script]))
    told: list[float] = []
    ffmpeg.run([], told.append)
    assert told == [1.0, 3.0, 3.0, 4.0]


@pytest.mark.parametrize("listed", ["file:{0}", "{0}", "http://127.0.0.1:9/x"])
def test_a_file_that_names_other_files_is_no_video(tmp_path, listed):
    other = tmp_path / "other.ts"
    ffmpeg.run(["-f", "lavfi", "-i", "color=d=1:s=32x32:r=5", other])
    playlist = tmp_path / "upload"
    playlist.write_text(f"#EXTM3U\n#EXTINF:1,\n{listed.format(other)}\n#EXT-X-ENDLIST\n")
    for container in ("mov", "matroska", "avi", "ogg", "mpegts"):
        with pytest.raises(ProgramFailed):
            ffmpeg.run([*ffmpeg.upload(playlist, container), "-map", "0:V:0", "-f", "null", "-"])
