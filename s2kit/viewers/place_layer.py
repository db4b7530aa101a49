"""Places drawn on a map: their outlines and names, and the one that is being drawn."""

from collections.abc import Sequence

from bokeh.models import ColumnDataSource

from s2kit.viewers.map_pane import MapPane, ring
from s2kit.viewers.places import Place, short

_NAME = {"text_font_size": "13px", "text_font_style": "bold", "y_offset": -8, "padding": 2} | {
    "text_align": "center",
    "text_baseline": "bottom",
    "background_fill_color": "#ffffff",
    "background_fill_alpha": 0.8,
}


class PlaceLayer:
    """The glyphs of places on a map.

    Parameters
    ----------
    target : MapPane
    """

    def __init__(self, target: MapPane):
        figure = target.figure
        self._areas = ColumnDataSource({"xs": [], "ys": [], "colour": []})
        self._points = ColumnDataSource({"x": [], "y": [], "colour": []})
        self._names = ColumnDataSource({"x": [], "y": [], "name": [], "colour": []})
        self._draft = ColumnDataSource({"x": [], "y": []})
        for colour, width in (("#ffffff", 5), ("colour", 2.5)):
            line = {"line_color": colour, "line_width": width}
            figure.multi_line("xs", "ys", source=self._areas, **line)
            ring(figure, self._points, size=14, **line)
        figure.text("x", "y", text="name", source=self._names, text_color="colour", **_NAME)
        figure.line("x", "y", source=self._draft, line_color="#ffffff", line_width=4)
        dashed = {"line_color": "#000000", "line_width": 1.5, "line_dash": "dashed"}
        figure.line("x", "y", source=self._draft, **dashed)
        dot = {"size": 8, "fill_color": "#ffffff", "line_color": "#000000"}
        figure.scatter("x", "y", source=self._draft, **dot)

    def show(self, places: Sequence[Place]) -> None:
        """Draw places."""
        points = [place for place in places if place.shape.geom_type == "Point"]
        areas = [place for place in places if place not in points]
        rings = [(*ring, place.colour) for place in areas for ring in place.corners]
        xs, ys, colours = zip(*rings, strict=True) if rings else ((), (), ())
        self._areas.data = {"xs": list(xs), "ys": list(ys), "colour": list(colours)}
        place = {"x": [p.shape.x for p in points], "y": [p.shape.y for p in points]}
        self._points.data = place | {"colour": [p.colour for p in points]}
        bounds = [p.shape.bounds for p in places]
        self._names.data = {
            "x": [(west + east) / 2 for west, _, east, _ in bounds],
            "y": [north for *_, north in bounds],
            "name": [short(p.name, 16) for p in places],
            "colour": [p.colour for p in places],
        }

    def show_draft(self, corners: Sequence[tuple[float, float]]) -> None:
        """Draw the corners of the place that is being drawn."""
        self._draft.data = {"x": [x for x, _ in corners], "y": [y for _, y in corners]}
