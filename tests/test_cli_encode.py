from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from encoder.bundle import save_bundle
from encoder.decoding import DecodeOptions, decode_scan
from encoder.encoders import build_encoder
from encoder.inference import EncodingSession
from lithoscope import app

ROOT = Path(__file__).resolve().parents[1]
RNG = np.random.default_rng(11)
NAME = "resnet18-imagenet"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "rocks"
    for name in ("E1/S1", "E1/S2"):
        (folder / name).mkdir(parents=True)
    tifffile.imwrite(
        folder / "E1/S1/volume.tif", RNG.integers(0, 60_000, (5, 32, 40), dtype=np.uint16)
    )
    Image.fromarray(RNG.integers(0, 255, (30, 50, 3), dtype=np.uint8)).save(
        folder / "E1/S2/plane.png"
    )
    (folder / "metadata.csv").write_text(
        "Image,Sample,Porosity,Depth (m)\nvolume.tif,S1,0.2,1500\n"
    )
    return folder


def encode(*arguments: object) -> tuple[int, str, str]:
    command = ["encode", "--encoder", NAME, "--init", "seed:3", *map(str, arguments)]
    result = CliRunner().invoke(app, command)
    return result.exit_code, result.stdout, result.stderr


def test_every_slice_has_its_row_and_its_vector(library: Path, tmp_path: Path) -> None:
    out = tmp_path / "vectors.parquet"
    code, told, _ = encode(library, "--out", out)
    assert code == 0
    assert "6 vectors of 2 scans, 0 refused" in told
    assert "untrained, seed:3" in told
    assert pq.ParquetFile(out).num_row_groups == 1  # one for each scan made the file twice as large
    table = pq.read_table(out)
    rows = table.to_pylist()
    assert [(Path(row["path"]).name, row["slice_index"], row["plane"]) for row in rows] == [
        *(("volume.tif", index, index) for index in range(5)),
        ("plane.png", 0, None),
    ]
    assert rows[0]["porosity"] == 0.2
    assert json.loads(rows[0]["extra"]) == {"depth_m": 1500}
    assert (rows[0]["reservoir"], rows[0]["sample"]) == ("E1", "S1")
    assert rows[5]["porosity"] is None
    about = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert about["lithoscope.encoder"] == NAME
    assert about["lithoscope.init"] == "untrained, seed:3"


def test_vectors_are_those_of_the_encoder(library: Path, tmp_path: Path) -> None:
    out = tmp_path / "vectors.parquet"
    encode(library, "--out", out)
    found = np.stack(pq.read_table(out)["embedding"].to_pylist())
    encoder = build_encoder(NAME, "seed:3")
    options = DecodeOptions.for_encoding(encoder.preprocessing)
    paths = [library / "E1/S1/volume.tif", library / "E1/S2/plane.png"]
    slices = [piece.pixels for path in paths for piece in decode_scan(path, options).slices]
    expected = EncodingSession(encoder).encode(np.stack(slices))
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.02 * np.abs(expected).max())


def test_the_file_tells_which_bundle_made_it(library: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    manifest = save_bundle(bundle, build_encoder(NAME, "seed:3"))
    out = tmp_path / "vectors.parquet"
    code, told, _ = encode(library, "--init", bundle, "--out", out)
    assert code == 0
    assert manifest.bundle_id in told
    about = pq.read_schema(out).metadata
    assert about[b"lithoscope.bundle"].decode() == manifest.bundle_id
    assert about[b"lithoscope.computed_in"] in {b"bfloat16", b"float32"}


def test_a_bad_file_is_reported_and_the_rest_goes_on(library: Path, tmp_path: Path) -> None:
    (library / "E1/S2/broken.tif").write_bytes(b"II*\0broken")
    out = tmp_path / "vectors.parquet"
    code, told, errors = encode(library, "--out", out)
    assert code == 1
    assert "6 vectors of 2 scans, 1 refused" in told
    assert [line for line in errors.splitlines() if "broken.tif" in line]
    assert pq.read_table(out).num_rows == 6


def test_a_wrong_table_refuses_the_scans_of_its_library_alone(
    library: Path, tmp_path: Path
) -> None:
    (library / "metadata.csv").write_text("Image,Porosity\nvolume.tif,20\n")
    (tmp_path / "other").mkdir()
    (library / "E1/S2/plane.png").rename(tmp_path / "other/plane.png")
    out = tmp_path / "vectors.parquet"
    code, told, errors = encode(library, tmp_path / "other", "--out", out)
    assert code == 1
    assert "row 2" in errors
    assert "wrong metadata tables in its library" in errors
    assert "1 vector of 1 scan, 1 refused" in told
    assert pq.read_table(out).num_rows == 1


def test_the_library_can_be_told(library: Path, tmp_path: Path) -> None:
    out = tmp_path / "vectors.parquet"
    (library / "metadata.csv").unlink()
    code, _, _ = encode(library / "E1/S2", "--library", library, "--out", out)
    assert code == 0
    row = pq.read_table(out).to_pylist()[0]
    assert (row["reservoir"], row["sample"]) == ("E1", "S2")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--encoder", "vgg99"], "vgg99"),
        (["--init", "seed:many"], "seed:many"),
        (["--init", "nowhere.safetensors"], "nowhere.safetensors"),
        (["--out", "no/such/folder/v.parquet"], "no/such/folder/v.parquet"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(
    library: Path, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    command = ["encode", str(library), "--encoder", NAME, "--init", "seed:3", "--out", "v.parquet"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-m", "lithoscope", *command, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert reason in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.glob("*.parquet*"))


def test_encoders_are_listed() -> None:
    result = CliRunner().invoke(app, ["encoders"])
    names = [line.split()[0] for line in result.stdout.splitlines()]
    siamese = ["siamese-resnet18", "siamese-resnet34", "siamese-resnet34-regression"]
    assert names == ["dsnn", "dsnn-split", *siamese, "resnet34-imagenet", "resnet18-imagenet"]
