"""Write the metadata of a ``.SAFE`` product: templates beside this module are filled in.

They hold the same elements in the same places as real products.
"""

import hashlib
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from s2kit.practice.geometry import UTM
from s2kit.practice.overpasses import overpasses, passes, sun_angles
from s2kit.practice.products import Product
from s2kit.scenes.item import LAYERS
from s2kit.scenes.product import COMPACT

ORIGIN = (
    "s2kit practice data: synthetic, not observed; "
    f"thinned to {len(overpasses())} of {len(passes())} passes"
)
"""Text of PRODUCT_ORIGIN in every product; real products have no such element."""

_CENTRE = "S2KT"
_CLOUDY = (8, 9, 10)

_OFFSET = """
        <BOA_ADD_OFFSET band_id="{band}">{offset}</BOA_ADD_OFFSET>"""

_OFFSETS = """
      <BOA_ADD_OFFSET_VALUES_LIST>{offsets}
      </BOA_ADD_OFFSET_VALUES_LIST>"""

_OBJECT = """
    <dataObject ID="{path.stem}">
      <byteStream mimeType="application/{kind}" size="{size}">
        <fileLocation locatorType="URL" href="./{href}" />
        <checksum checksumName="SHA3-256">{digest}</checksum>
      </byteStream>
    </dataObject>"""


def write(product: Product, classes: np.ndarray, root: Path) -> None:
    """Write the three metadata files of a product into its folder, where its images are.

    ``classes``, dims (y, x), uint8, is its scene classification; 0 is no data.
    """
    values = {"origin": ORIGIN} | _identity(product) | _extent(product) | _quality(classes)
    _fill(root / "MTD_MSIL2A.xml", values)
    _fill(root / product.granule / "MTD_TL.xml", values)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    objects = "".join(_data_object(path, root) for path in files)
    _fill(root / "manifest.safe", {"origin": ORIGIN, "objects": objects})


def _fill(target: Path, values: dict[str, Any]) -> None:
    """Write the template of a file's name with these values."""
    template = Path(__file__).with_name(target.name).read_text(encoding="utf-8").rstrip("\n")
    target.write_text(Template(template).substitute(values), encoding="utf-8", newline="\n")


def _identity(product: Product) -> dict[str, Any]:
    """Return names, times and offsets."""
    taken, baseline = product.overpass, product.baseline
    mission, orbit = f"S2{taken.spacecraft}", f"{taken.absolute_orbit:06d}"
    made = f"{_CENTRE}_{product.generated:{COMPACT}}"
    datastrip = f"{mission}_OPER_MSI_L2A_DS_{made}_S{product.strip_start:{COMPACT}}_N{baseline}"
    granule = f"{mission}_OPER_MSI_L2A_TL_{made}_A{orbit}_T{product.tile.name}_N{baseline}"
    offsets = [_OFFSET.format(band=band, offset=product.offset) for band in range(13)]
    moments = {"start": taken.start, "sensing": taken.sensing, "generated": product.generated}
    return {
        "name": product.name,
        "mission": mission,
        "spacecraft": taken.spacecraft,
        "baseline": baseline,
        "orbit": taken.orbit,
        "absolute_orbit": orbit,
        "compact_start": f"{taken.start:{COMPACT}}",
        "datastrip": datastrip,
        "granule": granule,
        "offsets": _OFFSETS.format(offsets="".join(offsets)) if product.offset else "",
        **{name: f"{moment:%Y-%m-%dT%H:%M:%S}" for name, moment in moments.items()},
        **{layer: product.path(layer).removesuffix(".jp2") for layer in LAYERS},
    }


def _extent(product: Product) -> dict[str, Any]:
    """Return footprint, corner, size in pixels, and the position of the sun."""
    west, _, _, north = product.tile.bounds
    zenith, azimuth = sun_angles(product.overpass.sensing)
    ring = product.footprint.exterior.coords
    sizes = {metres: product.tile.shape(metres) for metres in (10, 20, 60)}
    return {
        "footprint": " ".join(f"{y:.9f} {x:.9f}" for x, y in ring),
        "utm": UTM,
        "west": west,
        "north": north,
        "zenith": f"{zenith:.10f}",
        "azimuth": f"{azimuth:.10f}",
        **{f"rows_{metres}": rows for metres, (rows, _) in sizes.items()},
        **{f"columns_{metres}": columns for metres, (_, columns) in sizes.items()},
    }


def _quality(classes: np.ndarray) -> dict[str, str]:
    """Return the share of each class among the valid pixels, and of pixels without data, %."""
    valid = np.count_nonzero(classes) or 1

    def share(codes: int | tuple[int, ...]) -> str:
        return f"{100 * np.count_nonzero(np.isin(classes, codes)) / valid:.6f}"

    nodata = f"{100 * np.mean(classes == 0):.6f}"
    shares = {f"class_{code}": share(code) for code in range(2, 12)}
    return {"cloudy": share(_CLOUDY), "nodata": nodata, **shares}


def _data_object(path: Path, root: Path) -> str:
    content = path.read_bytes()
    return _OBJECT.format(
        path=path,
        kind="xml" if path.suffix == ".xml" else "octet-stream",
        size=len(content),
        href=path.relative_to(root).as_posix(),
        digest=hashlib.sha3_256(content).hexdigest().upper(),
    )
