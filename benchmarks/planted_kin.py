"""Does the product find planted kin? A trained network, a real index, and rocks it never saw.

12 synthetic reservoirs in kin pairs: rocks of a pair are made by one recipe, slightly moved. Of
each reservoir 8 samples are the library, 4 are held out: nothing learns from them, and they are
never indexed. The library is ingested with an untrained network. Then one is trained as Table 1's
is, held against the first by `publish`, and brought into use by `reindex`, by the commands that
anybody would type. Each held-out sample is uploaded to the search page's service, once as a picture
of its middle plane, once as the whole scan, its reservoir told and left out: is the first hit of
the planted kin? Both networks are asked; the untrained one is where the other began.

Intervals are over samples: Wilson's for shares, paired bootstrap for the ratio. Nothing is made
twice: started again, it goes on where it was. `python benchmarks/planted_kin.py --help` tells more.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile

from encoder.bundle import save_bundle, verify_bundle
from encoder.ranking import View
from encoder.scans import open_scan
from infra.settings import Settings
from infra.site import open_site
from kept import Kept, changed, untrained
from search_ui.requests import Filters, SearchRequest, Told, UploadQuery
from search_ui.service import SearchService
from table1 import Scale, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from infra.site import Site
    from table1 import Bench

FULL = Scale(train=8, val=0, test=4, slices=100, voxels=112, epochs=3)
QUICK = Scale(
    reservoirs=4, train=5, val=0, test=2, slices=4, size=48, voxels=32, epochs=2, batch=(4, 4)
)
"""To see that everything runs; its figures mean nothing."""

AIM = 0.70
HITS = 10
_START = "seed:0"
_RESAMPLES = 2000
_SHOWN = 4
_Z95 = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """A rock that is looked for.

    Attributes:
        reservoir: Its reservoir.
        sample: Its name.
        volume: The whole scan.
        picture: Its middle plane, as a picture of its own.
        kin: Reservoirs of its planted kin.
    """

    reservoir: str
    sample: str
    volume: Path
    picture: Path
    kin: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A library, divided.

    Attributes:
        rocks: Its folder.
        indexed: Folders of the samples that are indexed.
        held_out: Rocks that are looked for.
    """

    rocks: Path
    indexed: tuple[Path, ...]
    held_out: tuple[HeldOut, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a model answered to one kind of upload, sample by sample.

    Attributes:
        model: The model, in words.
        upload: What was uploaded, in words.
        right: (S,), whether the first hit is of the kin.
        share: (S,), share of kin among the first hits.
        seconds: (S,), time of an answer.
    """

    model: str
    upload: str
    right: NDArray[np.bool_]
    share: NDArray[np.float64]
    seconds: NDArray[np.float64]

    def told(self) -> str:
        """The same, in a line."""
        hits, number = int(self.right.sum()), len(self.right)
        low, high = wilson(hits, number)
        return (
            f"{self.model:<16} {self.upload:<10} {hits:>3} of {number}: {hits / number:.3f} "
            f"({low:.2f}–{high:.2f}); of the first {HITS} {self.share.mean():.3f}; "
            f"{np.median(self.seconds):.2f} s an answer"
        )


def wilson(right: int, number: int) -> tuple[float, float]:
    """95 % interval of a share; of 10 right of 10 too, where resampling would see no doubt."""
    share, square = right / number, _Z95**2 / number
    middle = (share + square / 2) / (1 + square)
    half = _Z95 / (1 + square) * math.sqrt(share * (1 - share) / number + square / number / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def ratio(ours: Answers, peer: Answers) -> str:
    """Tell how many times as often one is right, by paired bootstrap over samples."""
    if not peer.right.any():
        return f"{ours.upload}: {peer.model} is never right"
    draws = np.random.default_rng(0).integers(len(ours.right), size=(_RESAMPLES, len(ours.right)))
    above, below = ours.right[draws].sum(axis=1), peer.right[draws].sum(axis=1)
    low, high = np.quantile(above / np.maximum(below, 1), [0.025, 0.975])
    value = ours.right.sum() / peer.right.sum()
    return f"{ours.upload}: {ours.model} / {peer.model} {value:.2f} ({low:.2f}–{high:.2f})"


def divide(bench: Bench, work: Path) -> Library:
    """Divide the library as the training was."""
    slices, rocks = bench.slices, bench.config.data.path
    assert rocks is not None  # noqa: S101  table1 names it
    unseen = {slices.sample_names[each] for each in np.unique(slices.sample[bench.split.test])}
    kin = json.loads((rocks / "kin.json").read_text(encoding="utf-8"))["kin"]
    with (rocks / "metadata.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    is_unseen = [f"{row['Reservoir']}/{row['Sample']}" in unseen for row in rows]
    return Library(
        rocks=rocks,
        indexed=tuple(
            (rocks / row["Image"]).parent
            for row, left_out in zip(rows, is_unseen, strict=True)
            if not left_out
        ),
        held_out=tuple(
            HeldOut(
                reservoir=row["Reservoir"],
                sample=row["Sample"],
                volume=rocks / row["Image"],
                picture=middle_plane(rocks / row["Image"], work / "pictures"),
                kin=frozenset(kin[row["Reservoir"]]),
            )
            for row, left_out in zip(rows, is_unseen, strict=True)
            if left_out
        ),
    )


def middle_plane(volume: Path, folder: Path) -> Path:
    """Save a volume's middle plane as a picture that tells nothing of where it comes from."""
    picture = folder / f"{volume.parent.name}.tif"
    if not picture.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with closing(open_scan(volume)) as scan:
            tifffile.imwrite(picture, scan.plane(scan.info.n_planes // 2))
    return picture


def trained_run(bench: Bench, work: Path) -> Path:
    """Folder of the finished training, with the settings of Table 1's DSNN."""
    config = changed(bench.config, {"model": {"encoder": "dsnn", "init": _START}})
    return Kept(work, bench.slices).training(config, bench.split, called="DSNN")


def publish_start(bench: Bench, home: Path) -> str:
    """Publish the network that training began from; its images are cut like the other's."""
    config = changed(bench.config, {"model": {"encoder": "dsnn", "init": _START}})
    with tempfile.TemporaryDirectory() as folder, open_site(Settings(home=home)) as site:
        save_bundle(Path(folder) / "bundle", untrained(config))
        return site.models.publish(Path(folder) / "bundle").bundle_id


def run_command(home: Path, *words: str) -> None:
    """Run a command of ours as its user would."""
    shown = " ".join(words if len(words) <= _SHOWN else (words[0], "…", *words[-_SHOWN:]))
    print(f"$ lithoscope {shown}", flush=True)
    subprocess.run(  # noqa: S603  our own command
        [sys.executable, "-m", "lithoscope", *words],
        env={**os.environ, "LITHOSCOPE_HOME": str(home)},
        check=True,
    )


def fill(home: Path, library: Library, *, model: str) -> None:
    """Ingest the library's scans with a model."""
    folders = [str(folder) for folder in library.indexed]
    run_command(home, "ingest", *folders, "--library", str(library.rocks), "--encoder", model)


def bring_into_use(home: Path, run: Path) -> str:
    """Publish what was learnt, past the gate; index the library with it, and make it live."""
    run_command(home, "publish", str(run))
    trained = verify_bundle(run / "bundle").bundle_id
    run_command(home, "reindex", trained)
    return trained


@contextmanager
def chosen_home(asked: Path | None) -> Iterator[Path]:
    """The home that was named, which stays; or one that goes. Its index server ends."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) if asked is None else asked.absolute()
        try:
            yield home
        finally:
            run_command(home, "down")


def ask(
    site: Site, library: Library, *, bundle_id: str, called: str, with_scans: bool
) -> list[Answers]:
    """Upload every held-out rock, and see what a model answers."""
    collection = site.models.find(bundle_id).collection
    uploads = {"one slice": [rock.picture for rock in library.held_out]}
    if with_scans:
        uploads["whole scan"] = [rock.volume for rock in library.held_out]
    with SearchService(site, collection=collection) as service:
        service.load()
        return [
            _answers(service, library, files=files, called=(called, upload))
            for upload, files in uploads.items()
        ]


def _answers(
    service: SearchService, library: Library, *, files: Sequence[Path], called: tuple[str, str]
) -> Answers:
    pairs = zip(library.held_out, files, strict=True)
    found = np.array([_answer(service, rock, file=file) for rock, file in pairs])
    return Answers(
        model=called[0],
        upload=called[1],
        right=found[:, 0] > 0,
        share=found[:, 1],
        seconds=found[:, 2],
    )


def _answer(service: SearchService, rock: HeldOut, *, file: Path) -> tuple[float, float, float]:
    """Whether the first hit is of the kin, the share of the first hits that are, and seconds."""
    with file.open("rb") as stream:
        token = service.kept.keep(file.name, stream)
    query = UploadQuery(token=token, told=Told(reservoir=rock.reservoir, sample=rock.sample))
    filters = Filters(exclude_reservoirs=(rock.reservoir,))
    result = service.search(
        SearchRequest(queries=(query,), k=HITS, filters=filters, three_rows=True)
    )
    reservoirs = [hit.row.reservoir for hit in result.hits]
    row = [hit.row.reservoir for hit in result.views[View.OTHER_RESERVOIRS]]
    if reservoirs != row or not reservoirs:
        sys.exit(f"{rock.sample}: best matches {reservoirs}, the row of other reservoirs {row}")
    is_kin = [reservoir in rock.kin for reservoir in reservoirs]
    return float(is_kin[0]), float(np.mean(is_kin)), result.timings_ms["total"] / 1000


def tell(site: Site, library: Library, *, answers: Mapping[str, list[Answers]]) -> None:
    """Print what was found."""
    kin = np.mean([len(rock.kin) for rock in library.held_out])
    reservoirs = len({folder.parent for folder in library.indexed})
    live = site.index.live()
    slices = 0 if live is None else site.index.open(live).count_stored()
    print(
        f"\n{slices:,} slices of {len(library.indexed)} scans indexed, {reservoirs} reservoirs; "
        f"{len(library.held_out)} samples held out\n"
        f"first hit, of another reservoir, is of the planted kin (by chance "
        f"{kin / (reservoirs - 1):.2f}); 95 % intervals over samples"
    )
    ours, peers = answers["ours"], answers["peer"]
    print("\n".join(each.told() for each in (*ours, *peers)))
    print("\n".join(ratio(one, peer) for one, peer in zip(ours, peers, strict=True)))
    missed = [
        rock.sample
        for rock, right in zip(library.held_out, ours[0].right, strict=True)
        if not right
    ]
    print(f"missed by one slice: {', '.join(missed) or 'none'}")
    share = float(ours[0].right.mean())
    print(f"{ours[0].upload}: {share:.2f}; aim {AIM:.2f}: {'met' if share >= AIM else 'NOT MET'}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("lithoscope-data/planted_kin"))
    parser.add_argument("--home", type=Path, help="LITHOSCOPE_HOME to fill and keep")
    parser.add_argument("--epochs", type=int, help="epochs of the training")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE")
    parser.add_argument("--no-scans", action="store_true", help="upload pictures only")
    parser.add_argument("--quick", action="store_true", help="tiny: to see that it runs")
    asked = parser.parse_args()
    scale = QUICK if asked.quick else FULL
    if asked.epochs:
        scale = replace(scale, epochs=asked.epochs)
    bench = prepare(asked.work, scale, ["schedule.warmup=0.2", *asked.set])
    library = divide(bench, asked.work)
    with chosen_home(asked.home) as home:
        start = publish_start(bench, home)
        fill(home, library, model=start)
        trained = bring_into_use(home, trained_run(bench, asked.work))
        with open_site(Settings(home=home)) as site:
            answers = {
                name: ask(
                    site,
                    library,
                    bundle_id=bundle_id,
                    called=called,
                    with_scans=not asked.no_scans,
                )
                for name, bundle_id, called in (
                    ("ours", trained, "DSNN, trained"),
                    ("peer", start, "DSNN, untrained"),
                )
            }
            tell(site, library, answers=answers)


if __name__ == "__main__":
    main()
