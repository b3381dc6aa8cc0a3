"""Damaged files of every format: slices or one line of refusal, never anything else.

``FUZZ_CASES=20000 FUZZ_SEED=7 pytest -s tests/test_fuzz.py`` runs more cases
of another seed and prints the figures. A case depends on the seed and its number alone.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import struct
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import h5py  # type: ignore[import-untyped]  # it has no types
import nibabel
import nrrd  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pytest
import SimpleITK
import tifffile
from PIL import Image

from encoder.decoding import DecodedScan, DecodeLimits, DecodeOptions, DecoderPool
from encoder.errors import ScanError, ScanFault
from encoder.planes import ReadOptions
from encoder.slicing import Slicing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

Files: TypeAlias = dict[str, bytes]
"""A scan's files by name, the one that is opened first."""

N_CASES = int(os.environ.get("FUZZ_CASES", "2400"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))

MAX_SECONDS = 10.0
MAX_CHILD_BYTES = 1 << 30
MAX_PARENT_GROWTH = 200 << 20

OPTIONS = (
    DecodeOptions(size=32, slicing=Slicing(tile_min_side=64), read=ReadOptions(max_pixels=10**7)),
    DecodeOptions(max_side=64, read=ReadOptions(max_pixels=10**7)),
)


def grey(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(30, 220, shape, dtype=np.uint8)


def pictures() -> Iterator[tuple[str, bytes]]:
    rgb, rgba = Image.fromarray(grey(40, 48, 3)), Image.fromarray(grey(40, 48, 4))
    kinds: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("grey.png", Image.fromarray(grey(40, 48)), {}),
        ("deep.png", Image.fromarray(grey(40, 48).astype(np.uint16) * 200), {}),
        ("rgb.png", rgb, {"dpi": (300, 300)}),
        ("rgba.png", rgba, {}),
        ("palette.png", rgb.quantize(16), {}),
        ("bilevel.png", Image.fromarray(grey(40, 48) > 100), {}),
        ("grey.jpg", Image.fromarray(grey(40, 48)), {}),
        ("rgb.jpg", rgb, {"quality": 90}),
        ("progressive.jpg", rgb, {"progressive": True}),
        ("lossy.webp", rgb, {}),
        ("lossless.webp", rgba, {"lossless": True}),
        ("rgb.bmp", rgb, {}),
        ("palette.bmp", rgb.quantize(16), {}),
    ]
    for name, image, settings in kinds:
        buffer = io.BytesIO()
        format_name = {"jpg": "JPEG"}.get(name[-3:], name.rsplit(".", maxsplit=1)[-1])
        image.save(buffer, format=format_name, **settings)
        yield name, buffer.getvalue()


def tiffs() -> Iterator[tuple[str, bytes]]:
    deep = grey(40, 48).astype(np.uint16) * 200
    kinds: list[tuple[str, NDArray[Any], dict[str, Any]]] = [
        ("plain.tif", grey(40, 48), {"resolution": (400, 400)}),
        ("rgb16.tif", grey(40, 48, 3).astype(np.uint16) * 200, {"photometric": "rgb"}),
        ("float.tif", grey(40, 48).astype(np.float32), {}),
        ("planar.tif", grey(3, 40, 48), {"photometric": "rgb", "planarconfig": "separate"}),
        ("tiled.tif", deep, {"tile": (16, 16), "compression": "zlib", "predictor": True}),
        ("big.tif", deep, {"bigtiff": True}),
        ("ome.tif", grey(5, 40, 48), {"ome": True, "metadata": {"axes": "ZYX"}}),
        ("pages.tif", grey(6, 40, 48), {"photometric": "minisblack"}),
        ("imagej.tif", deep[None].repeat(4, 0), {"imagej": True, "metadata": {"axes": "ZYX"}}),
        ("strips.tif", deep, {"rowsperstrip": 4, "compression": "lzw"}),
        ("jpeg.tif", grey(40, 48, 3), {"photometric": "rgb", "compression": "jpeg"}),
        ("zstd.tif", deep, {"compression": "zstd"}),
        ("packbits.tif", grey(40, 48), {"compression": "packbits"}),
        ("lzma.tif", deep, {"compression": "lzma"}),
    ]
    for name, pixels, settings in kinds:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, pixels, **{"photometric": "minisblack", **settings})
        yield name, buffer.getvalue()


def arrays() -> Iterator[tuple[str, bytes]]:
    for name, array in (
        ("grey.npy", grey(40, 48)),
        ("colour.npy", grey(40, 48, 3)),
        ("volume.npy", grey(8, 24, 28).astype(">f4")),
        ("fortran.npy", np.asfortranarray(grey(8, 24, 28).astype(np.int16))),
    ):
        buffer = io.BytesIO()
        np.save(buffer, array)
        yield name, buffer.getvalue()


def volumes(folder: Path) -> Iterator[tuple[str, bytes]]:
    volume = grey(8, 24, 28).astype(np.uint16) * 100
    image = SimpleITK.GetImageFromArray(volume)
    image.SetSpacing((0.002, 0.002, 0.002))  # type: ignore[no-untyped-call]  # it has no types
    for name, compress in (("plain.mha", False), ("packed.mha", True), ("plain.mhd", False)):
        SimpleITK.WriteImage(image, folder / name, compress)
        yield name, (folder / name).read_bytes()
    for encoding in ("raw", "gzip", "bzip2", "ascii"):
        path = folder / f"{encoding}.nrrd"
        nrrd.write(str(path), volume, {"encoding": encoding, "spacings": [2.0, 2.0, 2.0]})
        yield path.name, path.read_bytes()
    scan = nibabel.Nifti1Image(  # type: ignore[no-untyped-call]  # it has few types
        volume.T.astype(np.int16), np.diag([0.002, 0.002, 0.002, 1.0])
    )
    for name in ("plain.nii", "packed.nii.gz"):
        nibabel.save(scan, folder / name)
        yield name, (folder / name).read_bytes()
    for name, settings in (
        ("plain.h5", {}),
        ("chunked.h5", {"chunks": (2, 24, 28), "compression": "gzip", "shuffle": True}),
        ("checked.h5", {"chunks": (8, 8, 8), "fletcher32": True}),
    ):
        path = folder / name
        with h5py.File(path, "w") as file:
            file.create_dataset("rock/tomogram", data=volume, **settings)
        yield name, path.read_bytes()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Files]:
    """A valid scan of every kind."""
    folder = tmp_path_factory.mktemp("corpus")
    scans = [*pictures(), *tiffs(), *arrays(), *volumes(folder)]
    single = [{name: content} for name, content in scans if not name.endswith(".mhd")]
    header = dict(scans)["plain.mhd"]
    voxels = grey(8, 24, 28).tobytes()
    layout = json.dumps({"shape": [8, 24, 28], "dtype": "uint8", "pixel_size_um": 2.0})
    return [
        *single,
        {"plain.mhd": header, "plain.raw": voxels + voxels},
        {"rock.raw": voxels, "rock.raw.json": layout.encode()},
        {"rock_8x24x28_uint8.raw": voxels},
    ]


EXTREMES = (
    *(0, 1, 2, 3, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 10**6, 10**9),
    *(0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**40, 2**63 - 1, 2**63, 2**64 - 1),
)
WORDS = (b"0", b"-1", b"1e308", b"nan", b"99999", b"4294967296", b"9" * 19, b"9" * 400, b"x", b"")


def place(random: np.random.Generator, size: int) -> int:
    """A position: mostly in the head, where formats keep what matters, or in the tail."""
    kind = random.random()
    if kind < 0.5:
        return int(random.integers(min(size, 600)))
    if kind < 0.6:
        return size - 1 - int(random.integers(min(size, 600)))
    return int(random.integers(size))


def flip_bits(random: np.random.Generator, content: bytes) -> bytes:
    damaged = bytearray(content)
    for _ in range(int(random.choice([1, 1, 2, 5, 40]))):
        damaged[place(random, len(damaged))] ^= 1 << int(random.integers(8))
    return bytes(damaged)


def truncate(random: np.random.Generator, content: bytes) -> bytes:
    return content[: place(random, len(content))]


def change_span(random: np.random.Generator, content: bytes) -> bytes:
    """Delete, insert, repeat, blank or scramble some bytes."""
    start = place(random, len(content))
    span = content[start : start + int(random.choice([1, 2, 4, 8, 16, 100, 3000]))]
    instead = (
        b"",
        random.bytes(len(span)) + span,
        span * int(random.choice([2, 3, 50])),
        bytes(len(span)),
        b"\xff" * len(span),
        random.bytes(len(span)),
    )[int(random.integers(6))]
    return content[:start] + instead + content[start + len(span) :]


def blow_up_field(random: np.random.Generator, content: bytes) -> bytes:
    """Put an extreme number where a header may keep one."""
    width = int(random.choice([1, 2, 4, 8]))
    start = place(random, len(content))
    start -= start % int(random.choice([1, 2, width]))
    number = EXTREMES[int(random.integers(len(EXTREMES)))] % 256**width
    field: bytes = number.to_bytes(width, "little" if random.random() < 0.5 else "big")
    return content[:start] + field + content[start + width :]


def change_word(random: np.random.Generator, content: bytes) -> bytes:
    """Exchange a number in a header of text."""
    words = list(re.finditer(rb"-?\d+(\.\d+)?", content[:4096]))
    start, end = words[int(random.integers(len(words)))].span() if words else (0, 0)
    return content[:start] + WORDS[int(random.integers(len(WORDS)))] + content[end:]


MUTATIONS: tuple[Callable[[np.random.Generator, bytes], bytes], ...] = (
    *(flip_bits, flip_bits, blow_up_field, blow_up_field),
    *(truncate, change_span, change_word),
)


def mutate(random: np.random.Generator, content: bytes) -> bytes:
    if not content:
        return content
    return MUTATIONS[int(random.integers(len(MUTATIONS)))](random, content)


def repair_png(content: bytes) -> bytes:
    """Write right checksums, so that the damage gets past them."""
    repaired, start = bytearray(content), 8
    while start + 12 <= len(repaired):
        (length,) = struct.unpack_from(">I", repaired, start)
        end = start + 8 + length
        if end + 4 > len(repaired):
            break
        struct.pack_into(">I", repaired, end, zlib.crc32(repaired[start + 4 : end]))
        start = end + 4
    return bytes(repaired)


def damage(random: np.random.Generator, name: str, content: bytes) -> bytes:
    if name.endswith(".gz") and random.random() < 0.7:
        return gzip.compress(mutate(random, gzip.decompress(content)), 1)
    for _ in range(int(random.choice([1, 1, 1, 2, 4]))):
        content = mutate(random, content)
    return repair_png(content) if name.endswith(".png") and random.random() < 0.7 else content


def case(corpus: list[Files], number: int) -> Files:
    """Damage one file of a scan, or put its head on another's tail."""
    random = np.random.default_rng([SEED, number])
    files = dict(corpus[number % len(corpus)])
    name = list(files)[int(random.integers(len(files)))]
    if random.random() < 0.1:
        other = corpus[int(random.integers(len(corpus)))]
        tail = next(iter(other.values()))
        files[name] = (
            files[name][: place(random, len(files[name]))] + tail[place(random, len(tail)) :]
        )
    else:
        files[name] = damage(random, name, files[name])
    return files


def status_bytes(pid: int, field: str) -> int:
    """A size from a process's status, 0 once it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(rf"{field}:\s+(\d+) kB", text)
    return int(found.group(1)) << 10 if found else 0


def children_peak() -> int:
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    pids = {int(pid) for task in tasks for pid in task.read_text().split()}
    return max((status_bytes(pid, "VmHWM") for pid in pids), default=0)


def check_slices(scan: DecodedScan) -> None:
    assert len(scan.slices) > 0
    for piece in scan.slices:
        assert piece.pixels.dtype == np.uint8
        assert piece.pixels.ndim in (2, 3)
        assert min(piece.pixels.shape) >= 1
        assert max(piece.pixels.shape) <= 64


def check_refusal(error: ScanError) -> None:
    assert str(error).isprintable()
    assert len(str(error)) < 500
    assert error.problem
    assert error.remedy
    assert error.fault is not ScanFault.DECODER_TIMED_OUT


def decoded(
    pool: DecoderPool, folder: Path, files: Files, options: DecodeOptions
) -> DecodedScan | ScanError:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    try:
        return pool.decode(folder / next(iter(files)), options)
    except ScanError as error:
        return error


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    limits = DecodeLimits(memory_bytes=MAX_CHILD_BYTES, seconds=MAX_SECONDS)
    with DecoderPool(2, limits) as shared:
        yield shared


@pytest.fixture(scope="module")
def intact(
    corpus: list[Files], pool: DecoderPool, tmp_path_factory: pytest.TempPathFactory
) -> list[list[DecodedScan | ScanError]]:
    """The corpus as it is without damage, each scan under both options."""
    folder = tmp_path_factory.mktemp("intact")
    return [[decoded(pool, folder, files, options) for options in OPTIONS] for files in corpus]


def test_corpus_is_valid(intact: list[list[DecodedScan | ScanError]]) -> None:
    for scans in intact:
        for scan in scans:
            assert isinstance(scan, DecodedScan), scan
            check_slices(scan)


def check_cut_short(scan: DecodedScan, intact: DecodedScan | ScanError) -> None:
    """A file that lost its end either is refused or had nothing to lose there."""
    assert isinstance(intact, DecodedScan)
    for piece, original in zip(scan.slices, intact.slices, strict=True):
        assert np.array_equal(piece.pixels, original.pixels)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_damaged_files_give_slices_or_a_refusal(
    corpus: list[Files],
    intact: list[list[DecodedScan | ScanError]],
    pool: DecoderPool,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    before = status_bytes(os.getpid(), "VmRSS")
    outcomes: Counter[str] = Counter()
    slowest, child_peak = (0.0, -1), 0

    def run(number: int) -> tuple[str, float, int]:
        files, original = case(corpus, number), corpus[number % len(corpus)]
        folder = tmp_path / f"seed {SEED} case {number}"
        start = time.monotonic()
        result = decoded(pool, folder, files, OPTIONS[number % 2])
        seconds = time.monotonic() - start
        assert seconds < MAX_SECONDS, folder
        if isinstance(result, ScanError):
            check_refusal(result)
        else:
            check_slices(result)
            if all(content.startswith(files[name]) for name, content in original.items()):
                check_cut_short(result, intact[number % len(corpus)][number % 2])
        shutil.rmtree(folder)  # those of a failure stay to be looked at
        outcome = result.fault.value if isinstance(result, ScanError) else "decoded"
        return outcome, seconds, number

    with ThreadPoolExecutor(2) as executor:
        for first in range(0, N_CASES, 100):
            numbers = range(first, min(first + 100, N_CASES))
            for outcome, seconds, number in executor.map(run, numbers):
                outcomes[outcome] += 1
                slowest = max(slowest, (seconds, number))
            child_peak = max(child_peak, children_peak())
    growth = status_bytes(os.getpid(), "VmRSS") - before
    figures = {
        "cases": N_CASES,
        "slowest": f"{slowest[0]:.2f} s (case {slowest[1]})",
        "child peak": f"{child_peak >> 20} MiB",
        "parent growth": f"{growth >> 20} MiB",
        **dict(outcomes.most_common()),
    }
    record_property("fuzz", figures)
    print(figures)  # noqa: T201  shown under -s
    assert child_peak < MAX_CHILD_BYTES
    assert growth < MAX_PARENT_GROWTH
    assert outcomes["decoded"] > 0.1 * N_CASES  # the damage isn't always so plain
