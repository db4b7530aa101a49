"""Draw the figures of the course: ``python notebooks/figures/draw_figures.py [FOLDER]``.

Each is one SVG beside this script, or in FOLDER. The same versions of the packages draw the same
bytes. A notebook shows one by ``![alt](figures/name.svg)``, with the alt text of the table below,
which the SVG holds as its description, and the caption in italics below it.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import drawing
import ground
import light
import pixels
import storage
from matplotlib.axes import Axes


@dataclass(frozen=True)
class Concept:
    """One figure: how it is drawn, and what is said of it."""

    draw: Callable[[], Axes]
    title: str
    alt: str
    caption: str


FIGURES = {
    "spectrum": Concept(
        light.spectrum,
        "Ten bands and the spectra of five surfaces",
        "Reflectance by wavelength of crop, bare soil, water, snow and cloud, with the ten bands "
        "as bars: the crop is dark in red and bright in near infrared, water is dark everywhere, "
        "cloud and snow are bright, but snow is dark in short-wave infrared.",
        "Each surface reflects each wavelength differently, and ten bands are enough to tell them "
        "apart. Bands of Sentinel-2A after ESA's user guide; soil after the ASTER and USGS "
        "spectral libraries (Baldridge et al. 2009, Kokaly et al. 2017), crop (potato) after "
        "Clevers and Gitelson (2013), water after Dekker (1993), snow after Dozier (1989), rounded "
        "to the bands; the values of the cloud are chosen. The practice data use the same table.",
    ),
    "ndvi": Concept(
        light.ndvi,
        "What the NDVI is",
        "Bars of red and near infrared reflectance for a dense crop, bare soil and water, and the "
        "NDVI that follows: near 1 for the crop, a little above 0 for the soil, below 0 for water.",
        "The NDVI is the difference of near infrared and red, divided by their sum: the denser the "
        "green plants, the nearer to 1.",
    ),
    "cube": Concept(
        storage.cube,
        "A cube and what a selection costs",
        "Maps of seven dates stacked along a time axis, with one pixel followed through all "
        "dates, one date coloured and a small window marked on every date; beside it, how many "
        "numbers and chunks each of them reads.",
        "A cube has the axes time, y and x; what a selection costs depends on the chunks it "
        "touches, not on the numbers you want.",
    ),
    "chunks": Concept(
        storage.chunks,
        "Chunks on the disk",
        "A chunk of 16 dates by 120 by 120 pixels, and three copies of a cube of 36 chunks: a "
        "pixel through time touches 3 of them, a map of one date 12, a window through time 12.",
        "The cube is stored in chunks, one file each, and a chunk is always read whole.",
    ),
    "orbits": Concept(
        ground.orbits,
        "Orbits, swaths, tiles and days of passing",
        "Two neighbouring swaths, 290 kilometres wide, that overlap above a grid of tiles of 110 "
        "kilometres; below, the days on which two satellites pass: every five days on each orbit, "
        "every two or three days in the overlap.",
        "Each satellite repeats an orbit every 10 days, two satellites together every 5, and where "
        "two swaths overlap you see more. Sentinel-2C took the place of 2A in January 2025; 2A has "
        "passed as a third on other days since March 2025.",
    ),
    "cloud_shadow": Concept(
        ground.cloud_shadow,
        "Sun, cloud and shadow",
        "From the side, the sun's ray passes the cloud and meets the ground beyond it, where the "
        "shadow lies; from above, the shadow lies north-north-west of the cloud, away from the "
        "morning sun.",
        "The shadow lies away from the sun, by the height of the cloud times the tangent of the "
        "sun's zenith angle; the satellite looks almost straight down, so the cloud itself is "
        "displaced little: by at most a fifth of its height.",
    ),
    "build": Concept(
        storage.build,
        "From scenes to a cube",
        "Scenes of two tiles on three dates are resampled to one grid, where each date becomes one "
        "map, and the maps are stacked along time; on the second date a part without a scene has "
        "no data.",
        "Each scene is resampled once to the grid of the cube, all scenes of an overpass become "
        "one step, and where nothing was seen there is no data.",
    ),
    "composite": Concept(
        pixels.composite,
        "Median and mean with one missed cloud",
        "Nine red reflectances of one pixel, eight near 0.05 and one missed cloud at 0.41: the "
        "median stays at the clear values, the mean is nearly twice as high.",
        "One cloud that the mask missed changes the mean much and the median hardly.",
    ),
    "split": Concept(
        pixels.split,
        "Split by pixel and split by field",
        "Six fields twice: on the left, pixels for the test are scattered through all fields "
        "among those for training; on the right, two whole fields are for the test and four for "
        "training.",
        "Pixels of one field resemble each other, so only whole fields that were set aside show "
        "how well a classifier does on new fields.",
    ),
    "mixed_pixels": Concept(
        pixels.mixed_pixels,
        "Mixed pixels on the border of a field",
        "One field outline on three rasters: counting every pixel touched takes too many, counting "
        "pixels whose centre is inside takes some mixed ones fully, and weighting by the share "
        "covered gives the true area.",
        "Pixels on the border mix the field with its neighbours: weight them by the share that "
        "lies inside.",
    ),
    "statistics": Concept(
        pixels.statistics,
        "Mean and standard deviation in time",
        "NDVI through a year of grass, a crop and a roof with mean and standard deviation, and the "
        "three as points: grass has a high mean and varies little, the crop a middle mean and "
        "varies much, the roof is low in both.",
        "Two numbers, mean and standard deviation in time, already separate a meadow, a field and "
        "a roof.",
    ),
}


def main() -> None:
    """Draw all figures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, figure in FIGURES.items():
        text = drawing.svg(figure.draw(), name, figure.title, figure.alt)
        (folder / f"{name}.svg").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
