"""Pictures to look at closely: plotly zooms and pans them, with their scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from encoder.scale_bars import length_label, scale_bar_um
from search_ui.components.palette import QUERY
from search_ui.components.wording import safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from encoder.regions import Region

PICTURE_CONFIG: dict[str, Any] = {
    "scrollZoom": True,
    "displaylogo": False,
    "modeBarButtonsToRemove": ["lasso2d", "autoScale2d", "toImage"],
}
"""How plotly's own controls behave on pictures."""

_GAP = 0.05
_MARGIN = {"l": 0, "r": 0, "t": 28, "b": 24}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A picture beside others.

    Attributes:
        title: What it is, in words.
        source: Its address.
        width_px: Its width in pixels.
        height_px: Its height in pixels.
        width_um: Width that it shows in micrometres, or None.
    """

    title: str
    source: str
    width_px: int
    height_px: int
    width_um: float | None

    def size(self, *, in_um: bool) -> tuple[float, float]:
        """Width and height, in micrometres or pixels."""
        if in_um and self.width_um is not None:
            return self.width_um, self.width_um * self.height_px / self.width_px
        return float(self.width_px), float(self.height_px)


@dataclass(frozen=True, slots=True, kw_only=True)
class Zoom:
    """What is looked at of pictures beside each other, in the units of their axes.

    Attributes:
        picture: Number of the picture that it was chosen on.
        x: Left and right.
        y: Top and bottom.
    """

    picture: int
    x: tuple[float, float]
    y: tuple[float, float]

    @classmethod
    def of(cls, event: Any) -> Zoom | None:  # noqa: ANN401  plotly's own
        """Read the box that was drawn.

        Args:
            event: What the chart tells of its selection.
        """
        boxes = event["selection"].get("box", []) if event else []
        if not boxes:
            return None
        (left, right), (top, bottom) = (sorted(map(float, boxes[-1][axis])) for axis in "xy")
        if left >= right or top >= bottom:
            return None
        number = 1 if boxes[-1].get("xref") == "x2" else 0
        return cls(picture=number, x=(left, right), y=(top, bottom))


def region_figure(source: str, *, size: tuple[int, int], region: Region | None) -> go.Figure:
    """A picture that a box can be dragged over.

    Args:
        source: Its address.
        size: Its width and height.
        region: Box that is chosen already.
    """
    width, height = size
    figure = go.Figure()
    # Plotly tells of a box only where there is something in the plot that it could select.
    figure.add_scatter(
        x=[0, width], y=[0, height], mode="markers", marker={"opacity": 0}, hoverinfo="skip"
    )
    figure.add_layout_image(_image(source, (float(width), float(height)), axis=""))
    if region is not None:
        figure.add_shape(
            type="rect",
            x0=region.left * width,
            x1=region.right * width,
            y0=region.top * height,
            y1=region.bottom * height,
            line={"color": QUERY.color, "width": 2, "dash": "dot"},
        )
    figure.update_xaxes(range=[0, width], visible=False, constrain="domain")
    figure.update_yaxes(range=[height, 0], visible=False, scaleanchor="x", constrain="domain")
    figure.update_layout(
        dragmode="select",
        showlegend=False,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        height=min(620, max(280, round(760 * height / width))),
        newselection={"line": {"color": QUERY.color, "width": 3}},
    )
    return figure


def side_by_side(pictures: Sequence[Shown], zoom: Zoom | None = None) -> go.Figure:
    """Pictures beside each other, zoomed and moved together; on one scale where all are known.

    Args:
        pictures: One or two.
        zoom: What is shown of them; None for all.
    """
    in_um = all(each.width_um is not None for each in pictures)
    sizes = [each.size(in_um=in_um) for each in pictures]
    widest, highest = (max(size[axis] for size in sizes) for axis in (0, 1))
    figure = go.Figure()
    part = (1.0 - _GAP * (len(pictures) - 1)) / len(pictures)
    for number, (picture, size) in enumerate(zip(pictures, sizes, strict=True)):
        axis = "" if number == 0 else str(number + 1)
        start = number * (part + _GAP)
        # Without a common scale each fills its own place, and moves on its own.
        width, height = (widest, highest) if in_um else size
        is_first = number == 0 or not in_um
        # Plotly tells of a box only where there is something in the plot that it could select.
        figure.add_scatter(
            x=[0, size[0]],
            y=[0, size[1]],
            xaxis=f"x{axis}",
            yaxis=f"y{axis}",
            mode="markers",
            marker={"opacity": 0},
            hoverinfo="skip",
        )
        across, down = _centred(size[0], width), _centred(size[1], height)
        if zoom is not None and (in_um or zoom.picture == number):
            across, down = list(zoom.x), list(zoom.y)
        figure.update_layout(
            {
                f"xaxis{axis}": {
                    "domain": [start, start + part],
                    "range": across,
                    "visible": in_um,
                    "showgrid": False,
                    "zeroline": False,
                    "nticks": 6,
                    "ticksuffix": " µm",
                    "constrain": "domain",
                    **({} if is_first else {"matches": "x"}),
                },
                f"yaxis{axis}": {
                    "range": down[::-1],
                    "visible": False,
                    "anchor": f"x{axis}",
                    "scaleanchor": f"x{axis}",
                    "constrain": "domain",
                    **({} if is_first else {"matches": "y"}),
                },
            }
        )
        figure.add_layout_image(_image(picture.source, size, axis=axis))
        if picture.width_um is not None:
            _scale_bar(figure, size, axis=axis, um_per_unit=picture.width_um / size[0])
        _title(figure, safe(picture.title), left=start)
    figure.update_layout(dragmode="select", showlegend=False, margin=_MARGIN, height=480)
    return figure


def _centred(size: float, room: float) -> list[float]:
    return [(size - room) / 2, (size + room) / 2]


def _image(source: str, size: tuple[float, float], *, axis: str) -> dict[str, Any]:
    return {
        "source": source,
        "xref": f"x{axis}",
        "yref": f"y{axis}",
        "x": 0,
        "y": 0,
        "sizex": size[0],
        "sizey": size[1],
        "sizing": "stretch",
        "layer": "below",
    }


def _title(figure: go.Figure, title: str, *, left: float) -> None:
    figure.add_annotation(
        text=title,
        xref="paper",
        yref="paper",
        x=left,
        y=1.0,
        xanchor="left",
        yanchor="bottom",
        showarrow=False,
    )


def _scale_bar(
    figure: go.Figure, size: tuple[float, float], *, axis: str, um_per_unit: float
) -> None:
    """Lay a bar of a known length on the picture; it grows and moves with it."""
    width, height = size
    length_um = scale_bar_um(width * um_per_unit)
    length = length_um / um_per_unit
    left, low = 0.03 * width, height - 0.04 * height
    place = {"xref": f"x{axis}", "yref": f"y{axis}"}
    figure.add_shape(
        type="rect",
        x0=left,
        x1=left + length,
        y0=low,
        y1=low + 0.012 * height,
        fillcolor="#FFFFFF",
        line={"color": "#000000", "width": 1},
        **place,
    )
    figure.add_annotation(
        text=length_label(length_um),
        x=left,
        y=low,
        xanchor="left",
        yanchor="bottom",
        showarrow=False,
        font={"color": "#FFFFFF"},
        bgcolor="rgba(10,18,18,0.78)",
        borderpad=3,
        **place,
    )
