from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from encoder.commands.outputs import check_output, written_whole
from encoder.errors import OutputError
from lithoscope import app

ROOT = Path(__file__).resolve().parents[1]
ENCODE = ["encode", "--encoder", "resnet18-imagenet", "--init", "seed:0"]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "rock.png"
    pixels = np.random.default_rng(1).integers(0, 255, (20, 20), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def objection(path: Path, *inputs: Path, suffix: str = ".png") -> str:
    with pytest.raises(OutputError) as told:
        check_output(path, inputs=inputs, suffix=suffix)
    return str(told.value)


def test_an_input_is_never_overwritten(picture: Path, tmp_path: Path) -> None:
    before = picture.read_bytes()
    assert "is one of the files to read" in objection(picture, picture)
    alias = tmp_path / "." / "rock.png"
    assert "is one of the files to read" in objection(alias, picture)
    result = CliRunner().invoke(app, ["inspect", str(picture), "--sheet", str(picture)])
    assert result.exit_code != 0
    assert picture.read_bytes() == before


def test_what_is_no_plain_file_is_never_replaced(picture: Path, tmp_path: Path) -> None:
    folder, link, pipe = (tmp_path / f"{name}.png" for name in ("folder", "link", "pipe"))
    folder.mkdir()
    link.symlink_to(picture)
    os.mkfifo(pipe)
    for path in (folder, link, pipe):
        assert "no plain file" in objection(path)


@pytest.mark.parametrize("name", [".", "", "/", "rock.png/x.png", "no/x.png", "x.doc", "y" * 300])
def test_a_place_that_is_none_is_told_before_the_work(
    picture: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name if name not in {"", "."} else Path(name)
    told = objection(path.with_name(f"{path.name}.png") if len(name) == 300 else path, picture)
    assert len(told.splitlines()) == 1


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    out = tmp_path / "v.parquet"
    with written_whole(out) as first, written_whole(out) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert out.read_text() == "first"  # the last to be done: the outer one
    assert list(tmp_path.iterdir()) == [out]


def test_nothing_is_left_of_a_writer_that_gave_up(tmp_path: Path) -> None:
    def give_up() -> None:
        with written_whole(tmp_path / "v.parquet") as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        give_up()
    assert list(tmp_path.iterdir()) == []


def test_results_are_as_readable_as_other_new_files(tmp_path: Path) -> None:
    out, other = tmp_path / "v.parquet", tmp_path / "other"
    with written_whole(out) as partial:
        partial.write_text("x")
    other.write_text("x")
    assert out.stat().st_mode == other.stat().st_mode


def test_names_that_are_not_text_are_encoded_too(picture: Path, tmp_path: Path) -> None:
    strange = Path(os.fsdecode(bytes(tmp_path) + b"/str\xffnge.png"))
    picture.rename(strange)
    out = tmp_path / "v.parquet"
    result = CliRunner().invoke(app, [*ENCODE, str(strange), "--out", str(out)])
    assert result.exit_code == 0
    assert pq.read_table(out)["path"].to_pylist()[0].endswith("str\\xffnge.png")


def test_a_full_disk_is_one_line(picture: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(  # noqa: S603  our own interpreter
            [sys.executable, "-m", "lithoscope", "inspect", str(picture)],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def test_names_reach_the_terminal_tamed(tmp_path: Path) -> None:
    (tmp_path / "a\nok fake\x1b[31m.png").write_text("no picture")
    result = CliRunner().invoke(app, ["inspect", str(tmp_path)])
    assert "\x1b" not in result.stdout
    assert not [line for line in result.stdout.splitlines() if line.startswith("ok fake")]


def test_a_terminal_without_our_signs_is_served(picture: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-m", "lithoscope", "inspect", str(picture)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
