"""Compute the layers of a product from land and sky: reflectance, classes, probabilities, DN.

The classes follow the logic of Sen2Cor (Louis et al. 2016, Sentinel-2 Sen2Cor: L2A processor for
users, ESA SP-740): thresholds on cloud probability, snow, and vegetation and water indices of the
*observed* reflectance, so that they err where Sen2Cor errs.
"""

from datetime import date

import numpy as np

from s2kit.practice.landscape import FINE, Landscape
from s2kit.practice.overpasses import Overpass
from s2kit.practice.products import Product
from s2kit.practice.spectra import SPECTRA, SURFACES, parcel_spectra
from s2kit.practice.weather import Sky, finer, sky
from s2kit.scenes.radiometry import BANDS, RESOLUTION, SCALES

_CLOUD, _CIRRUS, _SNOW = SPECTRA.loc[["cloud", "cirrus", "snow"]].to_numpy()
_DIRECT = np.array([0.56, 0.62, 0.68, 0.7, 0.72, 0.74, 0.76, 0.77, 0.86, 0.88], "float32")
"""Share of the light that comes straight from the sun: the rest of the sky is blue (chosen)."""
_HAZE = np.array([1, 0.7, 0.5, 0.45, 0.4, 0.35, 0.3, 0.3, 0.12, 0.08], "float32")
_NOISE = np.full(len(BANDS), 2, "float32") / 1e4
"""Radiometric noise in reflectance (chosen): below what the SNR in Drusch et al. (2012) allows,
since lossless JPEG 2000 pays a bit per pixel for each doubling."""

Layers = dict[str, np.ndarray]
Spectra = tuple[np.ndarray, np.ndarray]


def ground_spectra(land: Landscape, day: date, *, snow: float = 0.0) -> Spectra:
    """Return mean and slope of each parcel's reflectance, see `parcel_spectra`, with snow on it."""
    mean, slope = parcel_spectra(land.parcels, day)
    lying = SURFACES["snow"].loc[land.parcels["surface"]].to_numpy("float32")
    lying = lying[:, None] * np.float32(snow)
    return mean * (1 - lying) + _SNOW * lying, slope * (1 - lying) + np.float32(0.01) * lying


def cloud_free(land: Landscape, spectra: Spectra, band: str) -> np.ndarray:
    """Return reflectance without weather, (y, x) float32 over `CANVAS`, in native resolution."""
    mean, slope = (part[:, BANDS.index(band)] for part in spectra)
    return averaged(mean[land.ids] + slope[land.ids] * land.texture, RESOLUTION[band] // FINE)


def averaged(image: np.ndarray, factor: int) -> np.ndarray:
    """Return the mean over blocks of ``factor`` × ``factor`` pixels."""
    parts = [image[row::factor, column::factor] for row, column in np.ndindex(factor, factor)]
    return sum(parts[1:], start=parts[0]) / np.float32(factor**2)


def observe(land: Landscape, overpass: Overpass) -> Layers:
    """Return all layers of an overpass over `CANVAS`, as physical values.

    Returns
    -------
    dict of str to numpy.ndarray = (n_y, n_x)
        Bands in reflectance; ``SCL``; ``CLD`` and ``SNW`` in %; ``WVP`` in cm.
    """
    weather = sky(overpass)
    rng = np.random.default_rng([5, overpass.day.toordinal(), overpass.orbit])
    spectra = ground_spectra(land, overpass.day, snow=weather.snow)
    opacities = (weather.cloud, weather.cirrus, weather.shadow)
    veils = {20: opacities, 10: tuple(finer(field) for field in opacities)}
    layers = {
        band: _seen(cloud_free(land, spectra, band), band, veils[RESOLUTION[band]], weather, rng)
        for band in BANDS
    }
    probability = _cloud_probability(land, weather, rng)
    snow = _snow_probability(layers, weather, rng)
    layers["SCL"] = _classes(layers, weather, probability, snow, rng)
    layers["CLD"], layers["SNW"], layers["WVP"] = probability, snow, weather.vapour
    return layers


def _seen(
    image: np.ndarray,
    band: str,
    veils: tuple[np.ndarray, ...],
    weather: Sky,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return one band with shadow, cirrus, cloud, haze and noise."""
    index, (cloud, cirrus, shadow) = BANDS.index(band), veils
    image *= weather.gain * (1 - _DIRECT[index] * shadow)
    image += (_CIRRUS[index] - image) * cirrus
    image += (_CLOUD[index] * (0.55 + 0.5 * cloud) - image) * cloud
    image += weather.haze * _HAZE[index]
    image += rng.standard_normal(image.shape, "float32") * _NOISE[index]
    return image


def _cloud_probability(land: Landscape, weather: Sky, rng: np.random.Generator) -> np.ndarray:
    """Return the cloud probability in %: too low at thin edges, at times too high over glass."""
    opacity = weather.cloud + 0.6 * weather.cirrus
    probability = 118 * np.clip(opacity + rng.normal(0, 0.012, opacity.shape) - 0.14, 0, None)
    if rng.random() < 0.2:
        roofs = land.parcels["surface"].isin(["glass", "gravel"]).to_numpy()
        fooled = roofs & (rng.random(len(roofs)) < 0.35)
        share = averaged(fooled[land.ids].astype("float32"), 4)
        probability += share * rng.uniform(45, 85)
    return np.clip(probability, 0, 100).astype("uint8")


def _snow_probability(layers: Layers, weather: Sky, rng: np.random.Generator) -> np.ndarray:
    """Return the snow probability in % from the snow index of the observed green and SWIR."""
    green, swir = averaged(layers["B03"], 2), layers["B11"]
    index = (green - swir) / np.maximum(green + swir, 0.02)
    bright = np.clip((green - 0.2) / 0.3, 0, 1)
    probability = 130 * np.clip(index, 0, 1) * bright * (1 if weather.snow else 0.1)
    return np.clip(probability * rng.normal(1, 0.01, green.shape), 0, 100).astype("uint8")


def _classes(
    layers: Layers, weather: Sky, cloud: np.ndarray, snow: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the scene classification, 2-11, at 20 m."""
    green, red, nir = (averaged(layers[b], 2) for b in ("B03", "B04", "B08"))
    ndvi = (nir - red) / np.maximum(nir + red, 0.01)
    unsure = rng.random(green.shape, "float32")
    classes = np.where(ndvi > 0.4, 4, np.where((ndvi < 0.33) | (unsure < 0.7), 5, 7))
    classes[(nir < 0.055) & (red < 0.09)] = 2
    classes[(nir < green) & (nir < 0.06 + 0.02 * unsure)] = 6
    dark = (weather.shadow > 0.32) & (nir < 0.3)
    classes[dark & ((classes != 6) | (unsure < 0.25))] = 3
    classes[(cloud > 15) & (cloud <= 35)] = 7
    classes[cloud > 35] = 8
    classes[cloud > 65] = 9
    classes[(weather.cirrus > 0.1) & (cloud <= 35)] = 10
    classes[(snow > 50) & (cloud <= 65)] = 11
    return classes.astype("uint8")


def stored_layers(product: Product, observed: Layers) -> Layers:
    """Return the integers that a product holds: 0 outside of the swath and the datastrip."""
    stored = {}
    for name, image in observed.items():
        values = product.tile.crop(image, RESOLUTION[name])
        if name in BANDS:
            values = values * np.float32(product.gain)
        counts = np.rint(values * round(1 / SCALES[name]))
        if name in BANDS:
            # 0 is nodata, so that the darkest value that a product can hold is 1.
            counts = np.clip(counts - product.offset, 1, 65_534)
        centres = product.tile.centres(RESOLUTION[name])
        for side in product.sides:
            counts = np.where(side.contains(*centres), counts, 0)
        stored[name] = counts.astype(image.dtype if image.dtype == "uint8" else "uint16")
    return stored
