"""Reports: what they hold, that they stand alone, and that their pictures show what was found."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from bundle_samples import trained
from encoder.errors import OutputError
from encoder.ranking import View
from evaluation_samples import GreyEncoder, make_trial
from slice_samples import make_slices
from trainer.evaluation import EvaluationResult, Trial, average_models, evaluate
from trainer.figures import FigureKey
from trainer.measures import Case, Measure
from trainer.report import report_page, write_report
from trainer.report_sheets import choose_queries, draw_found, find_views, measured_line
from trainer.report_tables import best_names, report_dict, terminal_tables

if TYPE_CHECKING:
    from pathlib import Path

MAP10 = FigureKey(Measure.STANDARD_MAP, Case.SAMPLE_OUT, "10")
EMPTY_TAGS = {"img", "meta", "br"}


def told_key(key: FigureKey) -> tuple[str, str, str]:
    """A figure's key as JSON tells it."""
    return str(key.measure), str(key.scope), key.at


class Tags(HTMLParser):
    """Reads a page and refuses tags that don't close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in EMPTY_TAGS:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    tags.close()
    assert tags.open == []
    return tags


@pytest.fixture(scope="module")
def result() -> EvaluationResult:
    """Two models, one of which has a name that HTML and formulas would trip over."""
    return evaluate(
        {"grey": GreyEncoder(), 'noisy <b>"$x_1$"</b>': GreyEncoder(noise=60.0)}, make_trial()
    )


@pytest.fixture(scope="module")
def page(result: EvaluationResult) -> str:
    return report_page(result)


def test_page_stands_alone_and_names_are_text(page: str) -> None:
    tags = read(page)
    assert 'noisy <b>"$x_1$"</b>' in "".join(tags.text)
    assert not [tag for tag, _ in tags.seen if tag in {"b", "script", "link", "iframe"}]
    sources = [attributes["src"] or "" for tag, attributes in tags.seen if tag == "img"]
    assert sources
    for source in sources:
        kind, data = source.split(";base64,")
        picture = Image.open(io.BytesIO(base64.b64decode(data)))
        assert f"data:image/{(picture.format or '').lower()}" == kind
        assert np.asarray(picture.convert("L")).std() > 1.0
    anchors = {attributes.get("id") for _, attributes in tags.seen}
    links = [attributes["href"] or "" for tag, attributes in tags.seen if tag == "a"]
    assert links
    assert all(link.startswith("#") and link[1:] in anchors for link in links)
    assert "nan" not in "".join(tags.text).lower().split()


def test_page_shows_the_figures(result: EvaluationResult, page: str) -> None:
    text = "".join(read(page).text)
    for model in result.models:
        interval = model.statistics[MAP10].interval()
        assert f"{interval.value:.3f}" in text
        assert f"{interval.low:.3f} … {interval.high:.3f}" in text
    difference = next(iter(result.differences(MAP10).values()))
    assert f"{difference.value:+.3f}" in text


def test_predictions_are_plotted_where_there_are_any(page: str) -> None:
    assert "Predicted properties" not in page
    encoder = trained()
    made = make_slices(reservoirs=2, samples=3, slices=2, size=encoder.preprocessing.size)
    trial = Trial(slices=made, queries=np.arange(12), database=np.arange(12), notes=("a & b",))
    predicting = evaluate({"trained": encoder}, trial)
    text = "".join(read(report_page(predicting)).text)
    assert "trained: predicted against measured properties" in text
    assert "a & b" in text
    assert "Differences to" not in text


def test_json_holds_every_figure_and_null_where_there_is_none(
    result: EvaluationResult, tmp_path: Path
) -> None:
    files = write_report(result, tmp_path / "new" / "folder")
    report = json.loads(files.json.read_text(encoding="utf-8"))
    assert [model["name"] for model in report["models"]] == [model.name for model in result.models]
    for model, told in zip(result.models, report["models"], strict=True):
        values = {(f["measure"], f["scope"], f["at"]): f for f in told["figures"]}
        assert len(values) == len(model.statistics)
        for key, statistic in model.statistics.items():
            assert values[told_key(key)]["value"] == pytest.approx(statistic.value)
        assert ("difference_to_reference" in told["figures"][0]) == (model is not result.models[0])
    alone = make_slices(reservoirs=3, samples=1, slices=2, size=32)
    every = np.arange(len(alone))
    hopeless = evaluate({"grey": GreyEncoder()}, Trial(slices=alone, queries=every, database=every))
    figures = report_dict(hopeless)["models"][0]["figures"]
    (first,) = [f for f in figures if (f["measure"], f["scope"], f["at"]) == told_key(MAP10)]
    assert (first["value"], first["measured"], first["samples"]) == (None, 0, 0)
    read(report_page(hopeless))


def test_a_report_that_cannot_be_written_says_so(result: EvaluationResult, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        write_report(result, tmp_path / "file")


def test_views_are_the_first_three_of_each_kind(result: EvaluationResult) -> None:
    trial, model = result.trial, result.models[1]
    slices, vectors = trial.slices, model.description.vectors
    query = choose_queries(trial, 3)[1]
    distances = np.linalg.norm(vectors.astype(float) - vectors[query], axis=1)
    others = [row for row in np.argsort(distances, kind="stable") if row != query]
    expected: dict[View, list[int]] = {view: [] for view in View}
    for row in others:
        if slices.sample[row] == slices.sample[query]:
            expected[View.SAME_SAMPLE].append(int(row))
        elif slices.reservoir[row] == slices.reservoir[query]:
            expected[View.SAME_RESERVOIR].append(int(row))
        else:
            expected[View.OTHER_RESERVOIRS].append(int(row))
    for view, found in find_views(trial, model, query=query).items():
        assert [one.row for one in found] == expected[view][:3]
        assert [one.rank for one in found] == [others.index(one.row) + 1 for one in found]


def test_queries_to_show_are_of_different_reservoirs(result: EvaluationResult) -> None:
    chosen = choose_queries(result.trial, 3)
    assert len({int(result.trial.slices.reservoir[row]) for row in chosen}) == 3
    assert len(choose_queries(result.trial, 99)) == 4


def test_a_view_without_slices_is_drawn_as_such(result: EvaluationResult) -> None:
    slices = result.trial.slices
    assert (
        draw_found(slices, []).size
        == draw_found(
            slices, find_views(result.trial, result.models[0], query=0)[View.SAME_SAMPLE]
        ).size
    )
    row = int(np.flatnonzero(np.isnan(slices.porosity))[0])
    assert measured_line(slices, row) == "not measured"
    assert re.fullmatch(r"porosity 0\.1\d\d, [\d.,]+ mD", measured_line(slices, 0))


def test_terminal_tables_name_models_origins_and_runs(result: EvaluationResult) -> None:
    averaged = average_models(result.models[:1], note="weights from a seed")
    shown = EvaluationResult(trial=result.trial, models=(averaged, result.models[1]))
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(*terminal_tables(shown))
    text = console.export_text()
    assert "made by hand; weights" in " ".join(text.split())
    assert f"{averaged.statistics[MAP10].value:.3f}" in text
    assert "Differences to grey" in text
    assert "accuracy@1" in text
    narrow = Console(width=80, record=True, file=io.StringIO())
    narrow.print(*terminal_tables(shown, width=80))
    cut = narrow.export_text()
    assert "mAP@10" in cut
    assert "accuracy@1" not in cut
    assert max(map(len, cut.splitlines())) <= 80


def test_best_is_the_largest_score_but_the_smallest_error(result: EvaluationResult) -> None:
    assert best_names(result, MAP10) == {"grey"}
    distance = FigureKey(
        "distance to the diagonal (fraction)", "porosity, query against retrieved", "top-1"
    )
    values = {model.name: model.statistics[distance].value for model in result.models}
    assert best_names(result, distance) == {min(values, key=lambda name: values[name])}
