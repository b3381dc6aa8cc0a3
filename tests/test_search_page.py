"""The search page as Streamlit runs it: at first, empty, with wrong files, by words and links."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from memory_site import memory_site
from search_site import SearchSite, search_site, texture
from search_ui import resources
from search_ui.components.picture_figures import Zoom
from search_world import make_scan, open_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streamlit.testing.v1.element_tree import Button

__all__ = ["search_site"]
_WHOSE = re.compile(r"<b>(.*?)</b></div><div class=.litho-sim")
HOSTILE = "<script>alert(1)</script> **x** `y` [z](http://evil) :red[w] $m$"


def page() -> None:
    from search_ui.pages.search import render  # noqa: PLC0415  Streamlit runs this on its own

    render()


def opened(**params: str) -> AppTest:
    test = AppTest.from_function(page, default_timeout=60)
    for name, value in params.items():
        test.query_params[name] = value
    return sound(test.run())


def sound(test: AppTest) -> AppTest:
    assert not test.exception, [each.value for each in test.exception]
    return test


def cards(test: AppTest) -> list[str]:
    """Whose the hits are, in order of their cards."""
    texts = [each.proto.body for each in test.get("html")]
    return [
        found[1] for text in texts if (found := re.search(r"<b>(.*?)</b></div><div.*?Simil", text))
    ]


def button(test: AppTest, label: str) -> Button:
    found = [each for each in test.button if each.label.replace("\\", "").startswith(label)]
    assert found, [each.label for each in test.button]
    return found[0]


def press(test: AppTest, label: str) -> AppTest:
    return sound(button(test, label).click().run())


def look_for(test: AppTest, name: str) -> AppTest:
    sound(test.text_input[0].input(name).run())
    return press(test, "Look for")


def say(test: AppTest, words: str) -> AppTest:
    test.text_input(key="words").input(words)
    return press(test, "Apply")


def upload(test: AppTest, *files: tuple[str, bytes]) -> AppTest:
    told = [(name, content, "application/octet-stream") for name, content in files]
    return sound(test.file_uploader[0].set_value(told).run())


def png(seed: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray((texture(seed) // 256).astype(np.uint8)).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def app(search_site: SearchSite) -> Iterator[AppTest]:
    with resources.serving(search_site.site):
        yield opened()


def test_at_first_everything_indexed_can_be_picked(app: AppTest) -> None:
    assert "What is this rock like" in app.markdown[0].value
    assert sum(each.label.startswith("Look for") for each in app.button) == 5


def test_nothing_is_called_so(app: AppTest) -> None:
    sound(app.text_input[0].input("nowhere").run())
    assert any("No scan is called so" in each.value for each in app.caption)


def test_a_picked_scan_is_answered(app: AppTest) -> None:
    look_for(app, "volume")
    assert len(cards(app)) == 3  # all but those of its own sample
    assert "E1 · S1" not in cards(app)


def test_an_upload_is_answered_and_its_rock_can_be_told(app: AppTest) -> None:
    upload(app, ("mine.png", png(2)))
    assert cards(app)
    fields = {each.label: each for each in app.text_input}
    fields["Reservoir"].input("E2")
    fields["Sample"].input("S3")
    press(app, "Use it")
    assert "E2 · S3" not in cards(app)


def test_what_is_no_image_is_told_in_a_line(app: AppTest) -> None:
    upload(app, ("wrong.tif", b"no image"))
    (message,) = (each.value for each in app.error)
    assert "wrong" in message
    assert "/" not in message.replace("\\", "")
    assert not cards(app)


def test_two_files_of_one_name_are_refused_with_the_remedy(app: AppTest) -> None:
    upload(app, ("mine.png", png(2)), ("mine.png", png(3)))
    (message,) = (each.value for each in app.error)
    assert "two files of this name" in message
    assert "rename one" in message
    assert not cards(app)


def test_a_refused_file_does_not_spoil_those_that_come_after_it(app: AppTest) -> None:
    upload(app, ("wrong.tif", b"no image"))
    upload(app, ("wrong.tif", b"no image"), ("mine.png", png(2)))
    assert cards(app)
    (note,) = (each.value for each in app.info if "wrong" in each.value)
    assert note.endswith("; it is not looked for")
    assert not app.error
    bodies = [each.proto.body for each in app.get("html")]
    (query,) = (body for body in bodies if '<div class="litho-query-pic">' in body)
    assert "mine.png" in query


def test_a_headerless_volume_is_asked_how_it_is_laid_out(app: AppTest) -> None:
    volume = np.stack([texture(seed) for seed in (2, 3)])
    upload(app, ("mine.raw", volume.tobytes()))
    assert not cards(app)
    for place, side in enumerate((2, 80, 99)):
        app.number_input(key=f"query_layout_side_{place}").set_value(side)
    press(app, "Use this layout")
    assert any("found no type of a voxel" in each.value for each in app.error)
    app.selectbox(key="query_layout_type").select("uint16")
    press(app, "Use this layout")
    assert any("32,000" in each.value for each in app.error)
    app.number_input(key="query_layout_side_2").set_value(100)
    press(app, "Use this layout")
    assert cards(app)
    assert not app.error


def test_a_reservoir_is_left_out_by_a_card_and_comes_back_by_its_chip(app: AppTest) -> None:
    look_for(app, "volume")
    press(app, "Exclude reservoir E2")
    assert all(each.startswith("E1") for each in cards(app))
    assert app.multiselect(key="exclude_reservoirs").value == ["E2"]
    press(app, "not from reservoir E2")
    assert any(each.startswith("E2") for each in cards(app))


def test_words_are_chips_and_what_is_not_understood_is_said(app: AppTest) -> None:
    look_for(app, "volume")
    say(app, "not from E2, porosity 0.1 to 0.2, purple")
    assert cards(app) == ["E1 · S2"]
    bodies = "".join(each.proto.body for each in app.get("html"))
    funnel = bodies[bodies.index("litho-funnel") :]
    assert "<span>not from reservoir E2</span>" in funnel
    assert "<span>porosity 0.1 to 0.2</span>" in funnel
    assert app.select_slider(key="range_porosity").value == (0.1, 0.2)
    assert any("purple" in each.value for each in app.warning)


def test_what_was_said_of_former_words_does_not_stay(app: AppTest) -> None:
    look_for(app, "volume")
    say(app, "purple")
    assert app.warning
    press(app, "Exclude reservoir E2")
    assert not app.warning
    say(app, "purple")
    press(app, "More like this")
    assert not app.warning


def test_more_hits_than_can_be_asked_for_are_not_and_the_reason_is_said(app: AppTest) -> None:
    look_for(app, "volume")
    say(app, "5000 hits")
    (warning,) = (each.value.replace("\\", "") for each in app.warning)
    assert warning == 'Not understood: "5000 hits": write 1 to 1000 hits'
    say(app, "5 hits")
    assert not app.warning
    assert app.number_input(key="k").value == 5


def test_filters_that_nothing_passes_are_said_and_cleared(app: AppTest) -> None:
    look_for(app, "volume")
    sound(app.slider(key="min_similarity").set_value(1.0).run())
    assert not cards(app)
    assert any("Nothing passes" in each.value for each in app.markdown)
    told = [each.value.replace("\\", "") for each in app.markdown]
    assert "After “similarity at least 1” none is left." in told
    press(app, "Clear all filters")
    assert cards(app)


def test_three_rows(app: AppTest) -> None:
    look_for(app, "volume")
    sound(app.segmented_control(key="mode").set_value("Three rows").run())
    bodies = [each.proto.body for each in app.get("html")]
    assert [found[1] for body in bodies if (found := re.search("</span> (.*)</h3>", body))] == [
        "Same sample",
        "Same reservoir, other samples",
        "Other reservoirs",
    ]
    assert "E1 · S1" in cards(app)
    assert not any("own sample hidden" in each.value for each in app.caption)
    assert app.toggle(key="own").disabled, "the first row is that sample"
    assert any(each.value.startswith(f"{len(cards(app))} hits · ") for each in app.caption)
    assert "<span>not the query itself</span>" in "".join(bodies)
    assert "the query's own sample" not in "".join(bodies)


def test_a_hit_is_opened_and_looked_for(app: AppTest) -> None:
    look_for(app, "E2/S1")
    best = cards(app)[0]
    press(app, "Open hit 1")
    assert any(f"**{best}**" in each.value.replace("\\", "") for each in app.markdown)
    press(app, "More like this")
    assert best not in cards(app)


def test_a_hit_of_a_volume_is_gone_through_slice_by_slice(app: AppTest) -> None:
    look_for(app, "S3")
    first = next(number for number, whose in enumerate(cards(app), 1) if whose == "E1 · S1")
    press(app, f"Open hit {first}:")
    (scrub,) = (each for each in app.slider if each.label == "Slice of the scan")
    sound(scrub.set_value(2).run())
    assert any("plane 2 of 5" in each.value for each in app.caption)
    is_hit = any("this is the hit" in each.value for each in app.caption)
    charts = "".join(str(each.proto) for each in app.get("plotly_chart"))
    assert (f"Scan of hit {first}, plane 2 of 5" in charts) is not is_hit


def test_what_was_zoomed_to_stays_from_slice_to_slice(app: AppTest) -> None:
    look_for(app, "S3")
    first = next(number for number, whose in enumerate(cards(app), 1) if whose == "E1 · S1")
    press(app, f"Open hit {first}:")
    (scrub,) = (each for each in app.slider if each.label == "Slice of the scan")
    key = f"zoom_{str(scrub.key).removeprefix('scrub_')}"
    app.session_state[key] = Zoom(picture=1, x=(10.0, 30.0), y=(5.0, 25.0))
    for number in (2, 4):
        (scrub,) = (each for each in app.slider if each.label == "Slice of the scan")
        sound(scrub.set_value(number).run())
        assert zoomed(app) == [10.0, 30.0]
    press(app, "See all of it")
    assert zoomed(app) != [10.0, 30.0]


def zoomed(app: AppTest) -> list[float]:
    """Left and right of the hit that is looked at closely."""
    specs = [json.loads(each.proto.spec) for each in app.get("plotly_chart")]
    (found,) = (each["layout"]["xaxis2"]["range"] for each in specs if "xaxis2" in each["layout"])
    return [float(value) for value in found]


def test_a_model_alone_has_nothing_to_be_compared_with(app: AppTest) -> None:
    look_for(app, "volume")
    sound(app.segmented_control(key="mode").set_value("Two models").run())
    assert any("Only the live model" in each.value for each in app.info)


@pytest.mark.parametrize("then", ["Unmark all", "Exclude reservoir E2"])
def test_a_marked_hit_is_shown_alone_while_there_is_one(app: AppTest, then: str) -> None:
    look_for(app, "volume")
    best = cards(app)[0]
    press(app, "Mark in the plots")
    (narrow,) = (each for each in app.toggle if each.label == "Only the 1 marked")
    sound(narrow.set_value(True).run())
    assert cards(app) == [best]
    press(app, then)
    assert cards(app) not in ([], [best])


def test_a_link_opens_the_same_in_another_browser(app: AppTest) -> None:
    upload(app, ("mine.png", png(3)))
    say(app, "not from E2")
    again = opened(**{name: str(value) for name, value in app.query_params.items()})
    assert cards(again) == cards(app)
    assert again.multiselect(key="exclude_reservoirs").value == ["E2"]


def test_going_back_opens_the_former_search(app: AppTest) -> None:
    look_for(app, "volume")
    before = parameters(app)
    press(app, "Exclude reservoir E2")
    went_back = go_to(app, before)
    assert went_back.multiselect(key="exclude_reservoirs").value == []
    assert len(cards(went_back)) == 3


def test_a_click_that_a_busy_browser_tells_with_a_former_address_is_not_undone(
    app: AppTest,
) -> None:
    look_for(app, "volume")
    before = parameters(app)
    press(app, "Exclude reservoir E2")
    app.query_params.clear()
    app.query_params.update(before)
    say(app, "at most 1 per sample")
    chips = [each.label for each in app.button if each.key and each.key.startswith("chip_")]
    assert chips == ["not from reservoir E2", "at most 1 per sample"]
    assert parameters(app)["not"] == "E2"


def test_who_begins_anew_has_no_address_and_may_go_back(app: AppTest) -> None:
    look_for(app, "volume")
    before = parameters(app)
    press(app, "Begin anew")
    assert parameters(app) == {}
    assert "What is this rock like" in app.markdown[0].value
    assert len(cards(go_to(app, before))) == 3


def test_who_begins_anew_has_no_filters_that_nobody_sees(app: AppTest) -> None:
    look_for(app, "volume")
    press(app, "Exclude reservoir E2")
    press(app, "Begin anew")
    look_for(app, "volume")
    assert not [each for each in app.button if each.key and each.key.startswith("chip_")]
    assert any(each.startswith("E2") for each in cards(app))


def parameters(test: AppTest) -> dict[str, str]:
    """What the address asks for."""
    return {name: str(value) for name, value in test.query_params.items()}


def go_to(test: AppTest, parameters: dict[str, str]) -> AppTest:
    """Let the browser go to another address of the page."""
    test.query_params.clear()
    test.query_params.update(parameters)
    return sound(test.run())


def test_a_damaged_link_is_told_in_a_line(search_site: SearchSite) -> None:
    with resources.serving(search_site.site):
        test = opened(v="1", k="many")
    assert len(test.error) == 1


def test_a_link_to_what_is_gone_says_so(search_site: SearchSite) -> None:
    with resources.serving(search_site.site):
        test = opened(v="1", q="scans/E9/gone.png")
    assert any("not indexed any more" in each.value.replace("\\", "") for each in test.warning)


def test_nobody_sees_another_ones_query(app: AppTest) -> None:
    look_for(app, "volume")
    assert not cards(opened())


def test_an_empty_site_says_what_to_do(tmp_path: Path) -> None:
    with memory_site(tmp_path) as site, resources.serving(site):
        test = opened()
    assert "Nothing is indexed yet" in test.markdown[0].value
    assert "lithoscope ingest" in test.code[0].value


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    world = open_world(tmp_path)
    scans = [
        make_scan(f"scans/{number}", reservoir=f"{HOSTILE}{number}", sample=HOSTILE, porosity=0.1)
        for number in range(3)
    ]
    world.add(*scans)
    with world.site, resources.serving(world.site):
        test = opened()
        press(test, "Look for")
        shown = cards(test)
    assert len(shown) == 2
    bodies = "".join(each.proto.body for each in test.get("html"))
    assert "<script>" not in bodies
    assert "&lt;script&gt;" in shown[0]
    told = [*(each.label for each in test.button), *(each.value for each in test.markdown)]
    assert not [text for text in told if "**x**" in text or "[z](" in text or ":red[" in text]
