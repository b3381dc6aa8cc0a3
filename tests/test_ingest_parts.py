from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from encoder.dsnn import DSNN, DSNNSpec
from encoder.encoders import NeuralEncoder
from encoder.errors import ScanError
from encoder.inference import EncodingSession
from encoder.metadata.index import MetadataIndex
from encoder.metric import Metric
from encoder.model_errors import EncoderError
from encoder.planes import RawLayout
from encoder.preprocess import Preprocessing, resize_slice
from encoder.property_targets import ROCKIR_TARGETS
from infra.indexing.errors import IndexUnavailableError, VectorIndexError
from infra.indexing.records import SliceRow, slice_columns
from infra.indexing.schema import TableSchema
from infra.store_errors import StoreAwayError, StoreRefusedError
from infra.stored_scans import file_name, read_options
from ingest_site import IngestSite, flat
from ingest_worker.outcomes import Indexed, Rekeyed
from ingest_worker.patience import Patience
from ingest_worker.rows import rekeyed_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

pytest_plugins = ("ingest_site",)

KEY = "scans/E1/S1/a.png"
RAW = "scans/E1/S1/a.raw"


def test_a_layout_is_read_from_user_metadata_however_it_is_spelt() -> None:
    layout = RawLayout(shape=(4, 5, 6), dtype="<u2", header_bytes=16)
    for name in ("header-bytes", "header_bytes", "Header-Bytes"):
        told = {"shape": "4, 5,6", "dtype": "<u2", name: "16", "porosity": "0.2"}
        assert read_options(RAW, told).raw == layout
    assert read_options(RAW, {"shape": "4,5,6", "dtype": "<u2"}).raw == replace(
        layout, header_bytes=0
    )
    assert read_options(RAW, {"porosity": "0.2"}).raw is None


def test_a_file_whose_name_tells_its_format_has_no_layout_but_its_own() -> None:
    told = {"shape": "4,5,6", "dtype": "<u2"}
    for name in ("a.PNG", "a.nii.gz", "a.mha"):
        assert read_options(f"scans/E1/S1/{name}", told).raw is None
    for name in ("a.RAW", "a.dat", "png"):
        assert read_options(f"scans/E1/S1/{name}", told).raw is not None


@pytest.mark.parametrize(
    "told",
    [
        {"shape": "4,5", "dtype": "<u2"},
        {"shape": "4,5,-6", "dtype": "<u2"},
        {"shape": "4,5,6"},
        {"dtype": "<u2"},
        {"shape": "4,5,6", "dtype": "<u2", "header-bytes": "many"},
    ],
)
def test_half_a_layout_is_refused(told: dict[str, str]) -> None:
    with pytest.raises(ScanError, match="its user metadata tells no layout"):
        read_options(RAW, told)


def test_a_local_copy_bears_the_name_that_its_owner_gave() -> None:
    assert file_name("scans/E/S/my%20rock.raw") == "my rock.raw"
    assert file_name("scans/E/S/a%2Fb.raw") == "a%2Fb.raw"  # no path out of its folder
    assert file_name("scans/E/S/%FF.raw") == "%FF.raw"


def test_patience_waits_for_services_and_for_nothing_else() -> None:
    patience = Patience(first_seconds=0.001, longest_seconds=0.002, total_seconds=0.2)
    answers: Iterator[Exception | str]
    answers = iter([StoreAwayError("away"), IndexUnavailableError("away"), "here"])

    def call() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert patience.keep_trying(call) == "here"
    answers = iter([StoreRefusedError("no"), "here"])
    with pytest.raises(StoreRefusedError):
        patience.keep_trying(call)
    assert next(answers) == "here"


def test_patience_ends() -> None:
    def call() -> None:
        raise StoreAwayError("away")

    began = time.monotonic()
    with pytest.raises(StoreAwayError):
        Patience(first_seconds=0.01, total_seconds=0.1).keep_trying(call)
    stopped = Patience(first_seconds=100.0, total_seconds=1000.0)
    stopped.stop.set()
    with pytest.raises(StoreAwayError):
        stopped.keep_trying(call)
    assert time.monotonic() - began < 10.0


def test_an_encoder_that_fails_every_scan_stops_the_run(
    world: IngestSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damaged weights: no scan is to blame, and none is quarantined for it."""
    keys = [world.put(f"scans/E1/S1/{number}.png", flat(number, 5, 9)) for number in range(12)]

    def encode(batch: Tensor) -> Tensor:
        return torch.full((len(batch), 3), torch.nan)

    with monkeypatch.context() as broken:
        broken.setattr(world.encoder, "encode", encode)
        with pytest.raises(EncoderError, match="vectors are not finite"):
            world.ingest(*keys)
    assert list(world.site.quarantine.records()) == []
    assert {type(outcome) for outcome in world.ingest(*keys).values()} == {Indexed}


def test_a_network_predicts_properties_that_follow_the_pixel_size(world: IngestSite) -> None:
    """RockIR's weights predict permeability per pixel's area: by the scan's own pixel size."""
    torch.manual_seed(5)
    encoder = NeuralEncoder(
        name="dsnn",
        model=DSNN(DSNNSpec(targets=ROCKIR_TARGETS)),
        preprocessing=Preprocessing(size=32, window="none"),
        init="seed",
    )
    context = replace(
        world.context,
        session=EncodingSession(encoder, device="cpu", precision="fp32"),
        collection=world.site.index.create("litho_net", dimension=512, metric=encoder.metric),
    )
    world.context = context
    assert context.scales_permeability
    pixels = flat(10, 20, 30)
    world.put(KEY, pixels)
    world.put_table(f"object_key,pixel_size_um\n{KEY},2\n")
    world.ingest(KEY)
    batch = resize_slice(pixels, 32)[np.newaxis]

    def check(size: float) -> None:
        expected = context.session.encode_and_predict(batch, pixel_size_um=size)
        assert expected.porosity is not None
        assert expected.permeability_md is not None
        ((row, _),) = world.collection.slices(KEY)
        assert row.numbers["predicted_porosity"] == pytest.approx(expected.porosity[0])
        assert row.numbers["predicted_permeability_md"] == pytest.approx(
            expected.permeability_md[0]
        )

    check(2.0)
    world.put_table(f"object_key,pixel_size_um\n{KEY},6\n")
    assert world.ingest(KEY) == {KEY: Rekeyed(object_key=KEY)}
    check(6.0)
    world.put_table("object_key,pixel_size_um\nscans/E1/S1/other.png,6\n")
    assert world.ingest(KEY) == {KEY: Rekeyed(object_key=KEY)}
    ((row, _),) = world.collection.slices(KEY)
    assert row.numbers["predicted_permeability_md"] is None
    world.put_table(f"object_key,pixel_size_um\n{KEY},3\n")  # known again: encoded again
    assert world.ingest(KEY) == {KEY: Indexed(object_key=KEY, n_slices=1)}
    check(3.0)


def test_predictions_of_other_networks_stay_when_metadata_changes() -> None:
    schema = TableSchema(columns=slice_columns(), dimension=2, metric=Metric.L2)
    row = SliceRow(
        object_key=KEY,
        generation="g",
        slice_index=0,
        numbers={"pixel_size_um": None, "predicted_permeability_md": 8.0},
    )
    metadata = replace(MetadataIndex().resolve(KEY), pixel_size_um=3.0)
    changed = rekeyed_row(row, metadata, schema=schema, scales_permeability=False)
    assert changed.numbers["predicted_permeability_md"] == 8.0
    assert changed.numbers["pixel_size_um"] == 3.0
    with pytest.raises(VectorIndexError, match="its pixel size became known; encode it anew"):
        rekeyed_row(row, metadata, schema=schema, scales_permeability=True)
