from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from encoder import look_ahead
from encoder.decoding import DecodedScan, DecodeLimits, DecodeOptions, DecoderPool, decode_scan
from encoder.errors import LithoscopeError, ScanError, ScanFault
from encoder.planes import RawLayout, ReadOptions
from encoder.preprocess import Preprocessing
from encoder.slicing import Slicing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FOR_ENCODING = DecodeOptions.for_encoding(Preprocessing(size=64))


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with DecoderPool(2, DecodeLimits(memory_bytes=1 << 30, seconds=60)) as shared:
        yield shared


def texture(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(20, 220, shape, dtype=np.uint8)


def png(path: Path, pixels: NDArray[np.uint8]) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def same(one: DecodedScan, other: DecodedScan) -> bool:
    def facts(scan: DecodedScan) -> list[object]:
        places = [(piece.index, piece.plane, piece.position, piece.tile) for piece in scan.slices]
        return [scan.path, scan.info, scan.window, *places]

    return facts(one) == facts(other) and all(
        np.array_equal(mine.pixels, yours.pixels)
        for mine, yours in zip(one.slices, other.slices, strict=True)
    )


def test_a_child_decodes_what_this_process_decodes(pool: DecoderPool, tmp_path: Path) -> None:
    np.save(tmp_path / "volume.npy", texture(12, 40, 50).astype(np.float32))
    paths = [png(tmp_path / "thin.png", texture(300, 200, 3)), tmp_path / "volume.npy"]
    for path in paths:
        for options in (FOR_ENCODING, DecodeOptions(), DecodeOptions(max_side=30)):
            assert same(pool.decode(path, options), decode_scan(path, options))


def test_one_picture_in_three_formats_gives_one_slice(pool: DecoderPool, tmp_path: Path) -> None:
    grey = texture(200, 240)
    grey[:, 100:] //= 2
    png(tmp_path / "grey.png", grey)
    tifffile.imwrite(tmp_path / "grey.tif", grey.astype(np.uint16) * 257)
    np.save(tmp_path / "grey.npy", grey.astype(np.float32) / 255)
    first, *others = [
        pool.decode(tmp_path / f"grey.{suffix}", FOR_ENCODING).slices[0].pixels.astype(int)
        for suffix in ("png", "tif", "npy")
    ]
    assert first.shape == (64, 64, 3)
    for other in others:
        assert np.abs(first - other).max() <= 1


def test_read_options_reach_the_reader(pool: DecoderPool, tmp_path: Path) -> None:
    path = tmp_path / "rock.raw"
    texture(10, 20, 30).tofile(path)
    layout = RawLayout(shape=(10, 20, 30), dtype="|u1", pixel_size_um=2.5)
    decoded = pool.decode(path, DecodeOptions(read=ReadOptions(raw=layout)))
    assert (decoded.info.n_planes, decoded.info.pixel_size_um) == (10, 2.5)


def test_slicing_is_the_callers(pool: DecoderPool, tmp_path: Path) -> None:
    np.save(tmp_path / "volume.npy", texture(50, 20, 30))
    options = DecodeOptions(slicing=Slicing(planes=4), indices=frozenset({2}))
    (piece,) = pool.decode(tmp_path / "volume.npy", options).slices
    assert piece.plane == Slicing(planes=4).plane_numbers(50)[2]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", ScanFault.EMPTY),
        (b"# a text about rocks\n" * 50, ScanFault.NOT_AN_IMAGE),
        (None, ScanFault.UNREADABLE),
    ],
)
def test_refusals_arrive_typed(
    pool: DecoderPool, tmp_path: Path, content: bytes | None, fault: ScanFault
) -> None:
    path = tmp_path / "rock.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ScanError, match=r"^rock\.png: ") as caught:
        pool.decode(path, FOR_ENCODING)
    assert caught.value.fault is fault
    assert "\n" not in str(caught.value)


def test_what_a_file_says_of_itself_is_tamed(pool: DecoderPool, tmp_path: Path) -> None:
    path = tmp_path / "rock.nrrd"
    escape = b"\x1b[2J" + b"x" * 5000
    path.write_bytes(
        b"NRRD0004\ntype: uint8\ndimension: 2\nsizes: 9 9\nencoding: " + escape + b"\n\n"
    )
    with pytest.raises(ScanError, match=r"rock\.nrrd: ") as caught:
        pool.decode(path, FOR_ENCODING)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_too_little_memory_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", texture(4000, 10_000).astype(np.float64))
    with DecoderPool(1, DecodeLimits(memory_bytes=200 << 20)) as pool:
        with pytest.raises(ScanError, match=r"large\.npy: .*more than 200 MiB") as caught:
            pool.decode(tmp_path / "large.npy", DecodeOptions())
        assert caught.value.fault is ScanFault.OUT_OF_MEMORY
        assert pool.decode(png(tmp_path / "a.png", texture(9, 9)), FOR_ENCODING).slices


def test_too_little_time_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", texture(3000, 3000).astype(np.float64))
    with DecoderPool(1, DecodeLimits(seconds=0.01)) as pool:
        with pytest.raises(ScanError, match=r"large\.npy: .*longer than 0\.01 s") as caught:
            pool.decode(tmp_path / "large.npy", DecodeOptions())
        assert caught.value.fault is ScanFault.DECODER_TIMED_OUT


def test_crash_is_told(tmp_path: Path) -> None:
    """The kernel ends a process in this way when the machine runs out of memory."""
    path = tmp_path / "rock_400x3000x3000_uint16.raw"
    with path.open("wb") as file:
        file.truncate(400 * 3000 * 3000 * 2)  # sparse: it takes no space, but seconds to read

    def kill_its_reader() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for child in children_of(os.getpid()):
                if path in {handle.resolve() for handle in Path(f"/proc/{child}/fd").iterdir()}:
                    os.kill(child, signal.SIGKILL)
                    return
            time.sleep(0.01)

    with DecoderPool(1) as pool:
        killer = threading.Thread(target=kill_its_reader)
        killer.start()
        with pytest.raises(ScanError, match=r"rock.*raw: its decoder crashed .*SIGKILL") as caught:
            pool.decode(path, DecodeOptions())
        killer.join()
        assert caught.value.fault is ScanFault.DECODER_CRASHED
        assert pool.decode(png(tmp_path / "a.png", texture(9, 9)), FOR_ENCODING).slices


def children_of(pid: int) -> set[int]:
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return {int(child) for text in lists for child in text.split()}


def test_many_files_come_in_order_with_their_errors(pool: DecoderPool, tmp_path: Path) -> None:
    paths = []
    for number in range(120):
        path = tmp_path / f"{number}.png"
        if number % 10 == 3:
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"damaged" * number)
        else:
            png(path, texture(10 + number, 30, seed=number))
        paths.append(path)
    results = list(pool.decode_many(iter(paths), FOR_ENCODING))
    assert [path for path, _ in results] == paths
    for number, (path, result) in enumerate(results):
        assert isinstance(result, ScanError if number % 10 == 3 else DecodedScan), path
        if isinstance(result, DecodedScan):
            assert result.info.height == 10 + number


def test_few_large_results_wait_for_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_ahead, "MAX_WAITING_BYTES", 1 << 20)
    volume = tmp_path / "volume.npy"
    np.save(volume, texture(64, 256, 256))
    with DecoderPool(2) as pool:
        results = pool.decode_many([volume] * 40, DecodeOptions())
        next(results)
        spent, settled = pool_cpu_seconds(), False
        while not settled:  # the children would do all files meanwhile if they were let
            time.sleep(0.3)
            settled = pool_cpu_seconds() < spent + 0.02
            spent = pool_cpu_seconds()
        assert sum(1 for _ in results) == 39
        assert pool_cpu_seconds() > spent + 0.1  # most of the work was still to be done


def pool_cpu_seconds() -> float:
    """CPU time of this process's children, in seconds."""
    ticks = 0
    for child in children_of(os.getpid()):
        fields = Path(f"/proc/{child}/stat").read_text().rsplit(")", maxsplit=1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def test_closed_pool_says_so(tmp_path: Path) -> None:
    pool = DecoderPool(1)
    pool.close()
    path = png(tmp_path / "a.png", texture(9, 9))
    with pytest.raises(LithoscopeError, match="closed"):
        pool.decode(path, FOR_ENCODING)
    with pytest.raises(LithoscopeError, match="closed"):
        list(pool.decode_many([path], FOR_ENCODING))


def test_decoding_imports_no_torch_and_opens_no_socket(tmp_path: Path) -> None:
    """In a main module that has torch; hooked from each process's first moment."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def hook(event, args):\n"
        "    if event.startswith('socket.') or event == 'import' and args[0] == 'torch':\n"
        f"        open({str(tmp_path / 'events-')!r} + str(os.getpid()), 'a').write(event)\n"
        "sys.addaudithook(hook)\n"
    )
    png(tmp_path / "a.png", texture(9, 9))
    np.save(tmp_path / "b.npy", texture(4, 9, 9))
    tifffile.imwrite(tmp_path / "c.tif", texture(9, 9), compression="zlib")
    (tmp_path / "script.py").write_text(
        "import os, sys, torch\n"
        "from pathlib import Path\n"
        "from encoder.decoding import DecodedScan, DecodeOptions, DecoderPool\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "paths = [folder / name for name in ('a.png', 'b.npy', 'c.tif')]\n"
        "with DecoderPool(2) as pool:\n"
        "    results = [result for _, result in pool.decode_many(paths, DecodeOptions())]\n"
        "assert all(isinstance(result, DecodedScan) for result in results), results\n"
        "print(os.getpid())\n"
    )
    search_path = os.pathsep.join([str(Path(__file__).parents[1]), str(tmp_path)])
    output = subprocess.run(  # noqa: S603  our own script
        [sys.executable, str(tmp_path / "script.py")],
        env={**os.environ, "PYTHONPATH": search_path},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    (events,) = tmp_path.glob("events-*")
    assert events.name == f"events-{output.strip()}"  # the main module's, no child's
    assert set(events.read_text().split("import")) == {""}  # torch, but no socket
