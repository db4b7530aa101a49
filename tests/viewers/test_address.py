"""What the address of a page says of a viewer, and of nothing else."""

import param
from panel.io.location import Location

from s2kit.viewers.address import _shared


def test_parts_that_somebody_reads_are_shared():
    """Shared are the viewer's own parts, Panel's theme, and what is synchronised with the page."""

    class App(param.Parameterized):
        region = param.String("")

    location = Location(search="?view=[]&theme=dark&place=delft&token=secret")
    location.sync(App(), {"region": "place"})
    assert _shared(location, ["view", "x"]) == {"view", "x", "place", "theme"}
