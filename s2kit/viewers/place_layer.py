"""Places drawn on a map: their outlines and names, and the one that is being drawn."""

from collections.abc import Sequence

from bokeh.models import ColumnDataSource

from s2kit.viewers.mapview import MapView
from s2kit.viewers.places import Place, short


class PlaceLayer:
    """What a map shows of places.

    Parameters
    ----------
    target : MapView
    """

    def __init__(self, target: MapView):
        figure = target.figure
        self._areas = ColumnDataSource({"xs": [], "ys": [], "colour": []})
        self._points = ColumnDataSource({"x": [], "y": [], "colour": []})
        self._names = ColumnDataSource({"x": [], "y": [], "name": [], "colour": []})
        self._draft = ColumnDataSource({"x": [], "y": []})
        for colour, width in (("#ffffff", 5), ("colour", 2.5)):
            figure.multi_line("xs", "ys", source=self._areas, line_color=colour, line_width=width)
            figure.scatter(
                "x", "y", source=self._points, size=14, marker="circle", fill_alpha=0,
                line_color=colour, line_width=width,
            )  # fmt: skip
        figure.text(
            "x", "y", text="name", source=self._names, text_color="colour", text_font_size="13px",
            text_font_style="bold", text_align="center", text_baseline="bottom", y_offset=-8,
            background_fill_color="#ffffff", background_fill_alpha=0.8, padding=2,
        )  # fmt: skip
        figure.line("x", "y", source=self._draft, line_color="#ffffff", line_width=4)
        figure.line("x", "y", source=self._draft, line_color="#000000", line_width=1.5,
                    line_dash="dashed")  # fmt: skip
        figure.scatter("x", "y", source=self._draft, size=8, fill_color="#ffffff",
                       line_color="#000000")  # fmt: skip

    def show(self, places: Sequence[Place]) -> None:
        """Draw places."""
        areas = [place for place in places if place.shape.geom_type != "Point"]
        rings = [(ring, place.colour) for place in areas for ring in place.corners]
        points = [place for place in places if place.shape.geom_type == "Point"]
        self._areas.data = {
            "xs": [ring[0] for ring, _ in rings], "ys": [ring[1] for ring, _ in rings],
            "colour": [colour for _, colour in rings],
        }  # fmt: skip
        self._points.data = {
            "x": [p.shape.x for p in points], "y": [p.shape.y for p in points],
            "colour": [p.colour for p in points],
        }  # fmt: skip
        middles = [(place.shape.bounds[0] + place.shape.bounds[2]) / 2 for place in places]
        self._names.data = {
            "x": middles, "y": [place.shape.bounds[3] for place in places],
            "name": [short(place.name, 16) for place in places],
            "colour": [place.colour for place in places],
        }  # fmt: skip

    def show_draft(self, corners: Sequence[tuple[float, float]]) -> None:
        """Draw the corners of a place to be."""
        self._draft.data = {"x": [x for x, _ in corners], "y": [y for _, y in corners]}
