"""Precision@1 of the live model on labelled libraries, each sample's own slices left out.

For every slice of a library that was ingested, the nearest slice of *another sample* of the same
library is found exactly (numpy); the figure is the share whose nearest neighbour has the same
label. Labels are the reservoirs of the library's table. Chance is the same for a random slice of
another sample.

    LITHOSCOPE_HOME=… python benchmarks/precision.py sycamore=0.76 arabd=0.37
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoder.metric import Metric
from infra.filters import In
from infra.indexing.schema import VECTOR
from infra.settings import load_settings
from infra.site import open_site

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from infra.site import Site
    from infra.vector_index import VectorIndex

_KEYS_AT_ONCE = 500
_ROWS_AT_ONCE = 1024
_LIST_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Labelled:
    """Vectors with what they show.

    Attributes:
        vectors: (N, D).
        labels: (N,) reservoirs.
        samples: (N,) samples; a scan of no known sample is its own.
    """

    vectors: NDArray[np.float32]
    labels: NDArray[np.str_]
    samples: NDArray[np.str_]


def library_keys(site: Site, name: str) -> list[str]:
    """Object keys of an ingested library, by (a part of) its name."""
    entries = (entry for page in site.objects.pages("libraries/") for entry in page)
    lists = [entry.key for entry in entries if name in entry.key]
    if len(lists) != 1:
        sys.exit(f"{name}: {len(lists)} ingested libraries are called like it, expected one")
    return list(json.loads(site.objects.read(lists[0], max_bytes=_LIST_BYTES))["scans"])


def read_labelled(index: VectorIndex, collection: str, keys: list[str]) -> Labelled:
    """Read the slices of some scans; the index must be complete."""
    columns = ("object_key", "reservoir", "sample", VECTOR)
    vectors, labels, samples = [], [], []
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        where = In("object_key", tuple(keys[start : start + _KEYS_AT_ONCE]))
        for row in index.store.select(collection, where, columns=columns):
            vectors.append(row[VECTOR])
            labels.append(row["reservoir"])
            samples.append(row["sample"] or row["object_key"])
    return Labelled(np.stack(vectors), np.array(labels), np.array(samples))


def precision_at_1(data: Labelled, metric: Metric) -> float:
    """Share of slices whose nearest slice of another sample has their label."""
    squares = (data.vectors**2).sum(axis=1)
    right = 0
    for start in range(0, len(data.vectors), _ROWS_AT_ONCE):
        place = slice(start, start + _ROWS_AT_ONCE)
        products = data.vectors[place] @ data.vectors.T
        near = 2 * products - squares if metric is Metric.L2 else products
        near[data.samples[place, None] == data.samples[None, :]] = -np.inf
        right += int((data.labels[near.argmax(axis=1)] == data.labels[place]).sum())
    return right / len(data.vectors)


def chance(data: Labelled) -> float:
    """The same for a random slice of another sample."""
    _, label = np.unique(data.labels, return_inverse=True)
    _, sample = np.unique(data.samples, return_inverse=True)
    same_label = np.bincount(label)[label].astype(float)
    own = np.bincount(sample)[sample].astype(float)
    both = np.unique(np.stack([label, sample]), axis=1, return_counts=True)
    pairs = zip(map(tuple, both[0].T.tolist()), both[1].tolist(), strict=True)
    own_alike = dict(pairs)
    places = zip(label.tolist(), sample.tolist(), strict=True)
    alike = np.array([own_alike[place] for place in places])
    others = len(label) - own
    return float(((same_label - alike) / np.maximum(others, 1)).mean())


def main() -> None:
    """Print a line for every library named, as ``NAME`` or ``NAME=FLOOR``."""
    with open_site(load_settings()) as site:
        model = site.models.live(site.index)
        if model is None:
            sys.exit("no model is live; ingest the libraries first")
        print(f"{model.bundle_id} ({model.init}): precision@1, own sample left out")
        for argument in sys.argv[1:]:
            name, _, floor = argument.partition("=")
            data = read_labelled(site.index, model.collection, library_keys(site, name))
            found = precision_at_1(data, model.metric)
            text = f"{found:.3f} over {len(data.labels):,} slices, chance {chance(data):.2f}"
            if floor:
                ratio = found / float(floor)
                text += f", texture descriptor {float(floor):.2f} (×{ratio:.2f})"
            print(f"  {name}: {text}")


if __name__ == "__main__":
    main()
