"""Draw the README's picture from the practice cube: ``.venv/bin/python docs/picture.py``."""

from pathlib import Path

import numpy as np
import xarray as xr
from bokeh.palettes import viridis
from PIL import Image, ImageDraw, ImageFont

import s2kit

ROOT = Path(__file__).parents[1]
SEASONS = {"spring": (3, 4, 5), "summer": (7, 8), "autumn": (9, 10, 11), "winter": (1, 2)}
SIZE, GAP, TOP, LEFT, BOTTOM = 250, 8, 34, 30, 56
PALETTE = np.array([tuple(bytes.fromhex(colour[1:])) for colour in viridis(40)], "uint8")


def clearest(cube: xr.Dataset, months: tuple[int, ...]) -> xr.Dataset:
    """Return the clearest overpass in some months of the cube's second year."""
    year = cube.sel(time=slice("2022-03", "2023-02"))
    season = year.isel(time=year.time.dt.month.isin(months).values)
    return season.isel(time=season.clear_fraction.values.argmax()).compute()


def true_colour(scene: xr.Dataset) -> Image.Image:
    """Return an overpass as the eye would see it, brightened."""
    colours = np.stack([scene[band].values for band in ("B04", "B03", "B02")], -1)
    image = Image.fromarray((255 * np.clip(colours / 0.2, 0, 1)).astype("uint8"))
    return image.resize((SIZE, SIZE), Image.Resampling.BOX)


def ndvi(scene: xr.Dataset) -> Image.Image:
    """Return the NDVI from 0 to 1 in viridis."""
    index = ((scene.B08 - scene.B04) / (scene.B08 + scene.B04)).values
    level = np.clip(np.nan_to_num(index) * len(PALETTE), 0, len(PALETTE) - 1).astype(int)
    image = Image.fromarray(PALETTE[level])
    return image.resize((SIZE, SIZE), Image.Resampling.NEAREST)


def draw(cube: xr.Dataset) -> Image.Image:
    """Return true colour above NDVI, four seasons side by side, with a legend."""
    width = LEFT + 4 * SIZE + 3 * GAP
    picture = Image.new("RGB", (width, TOP + 2 * SIZE + GAP + BOTTOM), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(17)
    for column, (season, months) in enumerate(SEASONS.items()):
        scene, left = clearest(cube, months), LEFT + column * (SIZE + GAP)
        pen.text((left, 8), f"{season}, {scene.time.values:.10}", "black", font)
        for row, layer in enumerate((true_colour(scene), ndvi(scene))):
            picture.paste(layer, (left, TOP + row * (SIZE + GAP)))
    for row, label in enumerate(("true colour", "NDVI")):
        tag = Image.new("RGB", (SIZE, LEFT - 4), "white")
        ImageDraw.Draw(tag).text((SIZE / 2, 12), label, "black", font, anchor="mm")
        picture.paste(tag.rotate(90, expand=True), (0, TOP + row * (SIZE + GAP)))
    legend, low = (
        Image.fromarray(PALETTE[None]).resize((2 * SIZE, 14), Image.Resampling.NEAREST),
        TOP + 2 * SIZE + GAP + 12,
    )
    picture.paste(legend, (LEFT, low))
    for value in (0, 0.5, 1):
        anchor = {0: "lt", 0.5: "mt", 1: "rt"}[value]
        pen.text((LEFT + value * 2 * SIZE, low + 20), f"NDVI {value:g}", "black", font, anchor)
    note = "Synthetic practice data: this place does not exist."
    pen.text((width - 2, low - 2), note, "black", font, "rt")
    return picture


def shrink(picture: Image.Image) -> Image.Image:
    """Keep 256 colours: all of the NDVI's, greys for the text, and the rest for true colour."""
    greys = np.repeat(np.arange(0, 256, 17), 3)
    rest = 256 - len(PALETTE) - 16
    natural = picture.crop((LEFT, TOP, picture.width, TOP + SIZE)).quantize(rest).getpalette()
    palette = Image.new("P", (1, 1))
    palette.putpalette([*natural[: 3 * rest], *PALETTE.ravel().tolist(), *greys.tolist()])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


if __name__ == "__main__":
    picture = draw(s2kit.open_cube(ROOT / "data/cube.zarr"))
    shrink(picture).save(ROOT / "docs/seasons.png", optimize=True)
