"""How fast slices become vectors, against one image at a time as RockIR does it, in one run.

RockIR encodes its database image by image, in float32, through both backbones, one after the
other. Ours and that take turns on the same decoded images with the same (untrained) weights, so
that whatever else the machine does meets both. Recall@10 compares our answers with float32's,
queries and database both encoded by ours; the database holds all images but the query.
Run it with `make bench`, or `python benchmarks/encode.py --help`.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

# As the product does, and before torch is loaded: waiting threads must not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from encoder.commands.collect import collect_scans
from encoder.cutting import DecodeOptions
from encoder.decoding import decode_scan
from encoder.encoders import build_encoder
from encoder.inference import EncodingSession

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from encoder.encoders import NeuralEncoder

AIM_BF16 = 4.0
"""Least ratio of speeds where the CPU has bf16 units (AMX)."""

AIM_FP32 = 1.5
"""Least ratio of speeds where it has none."""

AIM_RECALL = 0.95
"""Least recall@10 on untrained backbones."""

NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class Speeds:
    """Slices per second, round by round."""

    plain: list[float]
    ours: list[float]

    @property
    def ratio(self) -> float:
        """Median over rounds of ours by plain."""
        rounds = zip(self.ours, self.plain, strict=True)
        return statistics.median(ours / plain for ours, plain in rounds)


def textures(number: int, size: int) -> NDArray[np.uint8]:
    """Draw micro-CT-like sections: (number, size, size, 3).

    Each is a thresholded Gaussian random field of its own correlation length, porosity, grey
    levels and noise.
    """
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    images = np.empty((number, size, size), dtype=np.uint8)
    for image in images:
        blur = np.exp(-((np.pi * rng.uniform(2, 16) * frequency) ** 2) / 2)
        field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * blur, (size, size))
        pores = field < np.quantile(field, rng.uniform(0.1, 0.4))
        grey = np.where(pores, rng.uniform(20, 80), rng.uniform(120, 200))
        noise = rng.standard_normal((size, size)) * rng.uniform(4, 20)
        image[:] = np.clip(grey + noise, 0, 255)
    return np.repeat(images[..., np.newaxis], 3, axis=3)


def read_slices(folder: Path, number: int, encoder: NeuralEncoder) -> NDArray[np.uint8]:
    """Decode up to ``number`` slices of a folder's scans: (n, S, S, 3)."""
    options = DecodeOptions.for_encoding(encoder.preprocessing)
    slices: list[NDArray[np.uint8]] = []
    for file in collect_scans([folder]):
        slices += [part.pixels for part in decode_scan(file.path, options).slices]
        if len(slices) >= number:
            break
    return np.stack(slices[:number])


def encode_one_by_one(encoder: NeuralEncoder, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Encode as RockIR does: float32, a batch of one, planes before pixels, plain torchvision."""
    planes = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    vectors = [encoder.encode(planes[i : i + 1]) for i in range(len(planes))]
    return torch.cat(vectors).numpy()


def measure(
    encoder: NeuralEncoder,
    session: EncodingSession,
    *,
    images: NDArray[np.uint8],
    rounds: int,
    per_round: int,
) -> Speeds:
    """Time both by turns; a quarter as many images are enough for the slow one."""
    plain, ours = [], []
    rng = np.random.default_rng(1)
    for _ in range(rounds):
        chosen = images[rng.choice(len(images), per_round, replace=False)]
        few = chosen[: max(1, per_round // 4)]
        start = time.perf_counter()
        encode_one_by_one(encoder, few)
        middle = time.perf_counter()
        session.encode(chosen)
        end = time.perf_counter()
        plain.append(len(few) / (middle - start))
        ours.append(len(chosen) / (end - middle))
    return Speeds(plain, ours)


def neighbours(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """Find the nearest others by L2: (N, 10)."""
    double = torch.from_numpy(vectors).double()
    distances = torch.cdist(double, double, compute_mode="donot_use_mm_for_euclid_dist")
    found: NDArray[np.int64] = (
        distances.fill_diagonal_(torch.inf).topk(NEIGHBOURS, largest=False).indices.numpy()
    )
    return found


def recall(found: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    """Share of the ten nearest that both sets of vectors name."""
    pairs = zip(neighbours(found), neighbours(exact), strict=True)
    return statistics.fmean(len(np.intersect1d(a, b)) / NEIGHBOURS for a, b in pairs)


def peak_memory_gb() -> float:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def verdict(value: float, aim: float) -> str:
    """Compare with an aim."""
    return f"aim {aim:g}: {'PASS' if value >= aim else 'FALLS SHORT'}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="dsnn", help="encoder's name (%(default)s)")
    parser.add_argument("--init", default="seed:0", help="where weights come from (%(default)s)")
    parser.add_argument("--data", type=Path, help="folder of scans; default: drawn textures")
    parser.add_argument("--images", type=int, default=1024, help="images (%(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds by turns (%(default)s)")
    parser.add_argument("--per-round", type=int, default=96, help="images a round (%(default)s)")
    parser.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="auto")
    arguments = parser.parse_args()
    if arguments.images <= NEIGHBOURS:
        parser.error(f"--images must be above {NEIGHBOURS}, the neighbours that are compared")

    encoder = build_encoder(arguments.encoder, arguments.init)
    size = encoder.preprocessing.size
    images = (
        read_slices(arguments.data, arguments.images, encoder)
        if arguments.data
        else textures(arguments.images, size)
    )
    before_gb = peak_memory_gb()
    session = EncodingSession(encoder, device="cpu", precision=arguments.precision)
    vectors = session.encode(images)
    ours_gb = peak_memory_gb()
    encode_one_by_one(encoder, images[:2])
    speeds = measure(
        encoder,
        session,
        images=images,
        rounds=arguments.rounds,
        per_round=min(arguments.per_round, len(images)),
    )
    kept = recall(vectors, encode_one_by_one(encoder, images))

    bf16 = session.dtype == torch.bfloat16
    source = arguments.data or "drawn textures"
    print(f"{encoder.name} ({encoder.init}), {len(images)} images of {size}² from {source}")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {session.dtype}")
    print(f"one at a time, float32  {statistics.median(speeds.plain):8.1f} slices/s")
    print(f"ours                    {statistics.median(speeds.ours):8.1f} slices/s")
    aim = AIM_BF16 if bf16 else AIM_FP32
    print(f"ratio                   {speeds.ratio:8.2f}            {verdict(speeds.ratio, aim)}")
    print(f"recall@10               {kept:8.4f}            {verdict(kept, AIM_RECALL)}")
    print(f"peak memory             {ours_gb:8.2f} GB         {before_gb:.2f} GB before encoding")


if __name__ == "__main__":
    main()
