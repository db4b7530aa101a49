"""Prepare the libraries that draw the pictures of a notebook."""

import holoviews as hv

from s2kit.panel_loading import load_panel


def start_pictures() -> None:
    """Prepare hvPlot: ``data.hvplot…`` draws in notebooks and in HTML exports, offline too."""
    load_panel()  # comes first, so that HoloViews and hvPlot find it
    hv.extension("bokeh", inline=True, logo=False)

    import hvplot.pandas
    import hvplot.xarray  # noqa: F401  (registers `.hvplot`)
