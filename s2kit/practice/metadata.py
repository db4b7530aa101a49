"""Write the XML of a ``.SAFE`` product: the same elements in the same places as in real ones."""

import hashlib
from datetime import datetime
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent, register_namespace

import numpy as np

from s2kit.practice.geometry import UTM
from s2kit.practice.products import Product
from s2kit.scenes.radiometry import SCALE, SCALES

ORIGIN = "s2kit practice data: synthetic, not observed"
"""Text of PRODUCT_ORIGIN in every product; real products have no such element."""

_PSD = "https://psd-14.sentinel2.eo.esa.int/PSD"
_XFDU = "urn:ccsds:schema:xfdu:1"
_CENTRE = "S2KT"
_IMAGES = ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12", "SCL", "WVP")
_CLASSES = {
    "DARK_FEATURES": 2,
    "CLOUD_SHADOW": 3,
    "VEGETATION": 4,
    "NOT_VEGETATED": 5,
    "WATER": 6,
    "UNCLASSIFIED": 7,
    "MEDIUM_PROBA_CLOUDS": 8,
    "HIGH_PROBA_CLOUDS": 9,
    "THIN_CIRRUS": 10,
    "SNOW_ICE": 11,
}
"""Name of each class in the XML to its code in SCL."""

_CLOUDY = (8, 9, 10)


def write(product: Product, classes: np.ndarray, root: Path) -> None:
    """Write the three metadata files of a product whose images are in place."""
    granule = root / product.granule
    _save(_product_xml(product, classes), root / "MTD_MSIL2A.xml")
    _save(_tile_xml(product, classes), granule / "MTD_TL.xml")
    _save(_manifest(product, root), root / "manifest.safe")


def _save(root: Element, path: Path) -> None:
    indent(root)
    ElementTree(root).write(path, encoding="UTF-8", xml_declaration=True)


def _root(kind: str, schema: str) -> Element:
    namespace = f"{_PSD}/{schema}.xsd"
    register_namespace("n1", namespace)
    return Element(f"{{{namespace}}}{kind}")


def _section(root: Element, name: str) -> Element:
    return SubElement(root, root.tag.split("}")[0] + "}" + name)


def _add(parent: Element, **texts: object) -> None:
    for tag, text in texts.items():
        SubElement(parent, tag).text = str(text)


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.024Z"


def _percent(classes: np.ndarray, wanted: int | tuple[int, ...]) -> str:
    valid = max(np.count_nonzero(classes), 1)
    return f"{100 * np.count_nonzero(np.isin(classes, wanted)) / valid:.6f}"


def _datastrip(product: Product) -> str:
    return (
        f"S2{product.overpass.spacecraft}_OPER_MSI_L2A_DS_{_CENTRE}_"
        f"{product.generated:%Y%m%dT%H%M%S}_S{product.strip_start:%Y%m%dT%H%M%S}_N{product.baseline}"
    )


def _tile_id(product: Product) -> str:
    return (
        f"S2{product.overpass.spacecraft}_OPER_MSI_L2A_TL_{_CENTRE}_"
        f"{product.generated:%Y%m%dT%H%M%S}_A{product.overpass.absolute_orbit:06d}_"
        f"T{product.tile.name}_N{product.baseline}"
    )


def _product_xml(product: Product, classes: np.ndarray) -> Element:
    root = _root("Level-2A_User_Product", "User_Product_Level-2A")
    general = _section(root, "General_Info")
    _product_info(SubElement(general, "Product_Info"), product)
    _image_characteristics(SubElement(general, "Product_Image_Characteristics"), product)
    geometric = SubElement(_section(root, "Geometric_Info"), "Product_Footprint")
    footprint = SubElement(SubElement(geometric, "Product_Footprint"), "Global_Footprint")
    ring = " ".join(f"{y:.9f} {x:.9f}" for x, y in product.footprint.exterior.coords)
    _add(footprint, EXT_POS_LIST=ring)
    quality = _section(root, "Quality_Indicators_Info")
    _add(quality, Cloud_Coverage_Assessment=_percent(classes, _CLOUDY))
    return root


def _product_info(info: Element, product: Product) -> None:
    taken = product.overpass
    _add(
        info,
        PRODUCT_START_TIME=_stamp(taken.start),
        PRODUCT_STOP_TIME=_stamp(taken.start),
        PRODUCT_URI=product.name,
        PROCESSING_LEVEL="Level-2A",
        PRODUCT_TYPE="S2MSI2A",
        PROCESSING_BASELINE=product.baseline,
        PRODUCT_ORIGIN=ORIGIN,
        GENERATION_TIME=_stamp(product.generated),
        PREVIEW_IMAGE_URL="Not applicable",
        PREVIEW_GEO_INFO="Not applicable",
    )
    identifier = (
        f"GS2{taken.spacecraft}_{taken.start:%Y%m%dT%H%M%S}_{taken.absolute_orbit:06d}"
        f"_N{product.baseline}"
    )
    datatake = SubElement(info, "Datatake", datatakeIdentifier=identifier)
    _add(
        datatake,
        SPACECRAFT_NAME=f"Sentinel-2{taken.spacecraft}",
        DATATAKE_TYPE="INS-NOBS",
        DATATAKE_SENSING_START=_stamp(taken.start),
        SENSING_ORBIT_NUMBER=taken.orbit,
        SENSING_ORBIT_DIRECTION="DESCENDING",
    )
    _add(
        SubElement(info, "Query_Options", completeSingleTile="true"), PRODUCT_FORMAT="SAFE_COMPACT"
    )
    _granule_list(SubElement(info, "Product_Organisation"), product)


def _granule_list(organisation: Element, product: Product) -> None:
    granule = SubElement(
        SubElement(organisation, "Granule_List"),
        "Granule",
        datastripIdentifier=_datastrip(product),
        granuleIdentifier=_tile_id(product),
        imageFormat="JPEG2000",
    )
    for layer in _IMAGES:
        SubElement(granule, "IMAGE_FILE").text = product.path(layer).removesuffix(".jp2")


def _image_characteristics(characteristics: Element, product: Product) -> None:
    for text, index in (("NODATA", 0), ("SATURATED", 65535)):
        special = SubElement(characteristics, "Special_Values")
        _add(special, SPECIAL_VALUE_TEXT=text, SPECIAL_VALUE_INDEX=index)
    quantities = SubElement(characteristics, "QUANTIFICATION_VALUES_LIST")
    for kind, unit, value in (
        ("BOA", "none", round(1 / SCALE)),
        ("AOT", "none", 1000.0),
        ("WVP", "cm", 1 / SCALES["WVP"]),
    ):
        SubElement(quantities, f"{kind}_QUANTIFICATION_VALUE", unit=unit).text = str(value)
    if product.offset:
        offsets = SubElement(characteristics, "BOA_ADD_OFFSET_VALUES_LIST")
        for band in range(13):
            element = SubElement(offsets, "BOA_ADD_OFFSET", band_id=str(band))
            element.text = str(product.offset)


def _tile_xml(product: Product, classes: np.ndarray) -> Element:
    root = _root("Level-2A_Tile_ID", "S2_PDI_Level-2A_Tile_Metadata")
    _add(
        _section(root, "General_Info"),
        TILE_ID=_tile_id(product),
        DATASTRIP_ID=_datastrip(product),
        DOWNLINK_PRIORITY="NOMINAL",
        SENSING_TIME=_stamp(product.overpass.sensing),
        PRODUCT_ORIGIN=ORIGIN,
    )
    geometric = _section(root, "Geometric_Info")
    _geocoding(SubElement(geometric, "Tile_Geocoding", metadataLevel="Brief"), product)
    angles = SubElement(SubElement(geometric, "Tile_Angles"), "Mean_Sun_Angle")
    for kind, value in zip(("ZENITH", "AZIMUTH"), product.overpass.sun, strict=True):
        SubElement(angles, f"{kind}_ANGLE", unit="deg").text = f"{value:.10f}"
    _quality(_section(root, "Quality_Indicators_Info"), product, classes)
    return root


def _geocoding(geocoding: Element, product: Product) -> None:
    _add(geocoding, HORIZONTAL_CS_NAME="WGS84 / UTM zone 31N", HORIZONTAL_CS_CODE=f"EPSG:{UTM}")
    west, _, _, north = product.tile.bounds
    for metres in (10, 20, 60):
        rows, columns = product.tile.shape(metres)
        size = SubElement(geocoding, "Size", resolution=str(metres))
        _add(size, NROWS=rows, NCOLS=columns)
    for metres in (10, 20, 60):
        position = SubElement(geocoding, "Geoposition", resolution=str(metres))
        _add(position, ULX=west, ULY=north, XDIM=metres, YDIM=-metres)


def _quality(quality: Element, product: Product, classes: np.ndarray) -> None:
    content = SubElement(quality, "Image_Content_QI")
    _add(
        content,
        CLOUDY_PIXEL_PERCENTAGE=_percent(classes, _CLOUDY),
        NODATA_PIXEL_PERCENTAGE=f"{100 * np.mean(classes == 0):.6f}",
        **{f"{name}_PERCENTAGE": _percent(classes, code) for name, code in _CLASSES.items()},
    )
    masks = SubElement(quality, "Pixel_Level_QI", geometry="FULL_RESOLUTION")
    for layer, kind in (("CLD", "MSK_CLDPRB"), ("SNW", "MSK_SNWPRB")):
        SubElement(masks, "MASK_FILENAME", type=kind).text = product.path(layer)


def _manifest(product: Product, root: Path) -> Element:
    register_namespace("xfdu", _XFDU)
    manifest = Element(f"{{{_XFDU}}}XFDU", version="esa/safe/sentinel/1.1/sentinel-2/msi")
    units = SubElement(manifest, "informationPackageMap")
    text = f"SENTINEL-2 MSI Level-2A User Product; {ORIGIN}"
    SubElement(units, f"{{{_XFDU}}}contentUnit", unitType="Product_Level-2A", textInfo=text)
    objects = SubElement(manifest, "dataObjectSection")
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        _data_object(objects, path, path.relative_to(root).as_posix())
    return manifest


def _data_object(objects: Element, path: Path, href: str) -> None:
    content = path.read_bytes()
    entry = SubElement(objects, "dataObject", ID=path.stem)
    kind = "application/xml" if path.suffix == ".xml" else "application/octet-stream"
    stream = SubElement(entry, "byteStream", mimeType=kind, size=str(len(content)))
    SubElement(stream, "fileLocation", locatorType="URL", href=f"./{href}")
    digest = hashlib.sha3_256(content).hexdigest().upper()
    SubElement(stream, "checksum", checksumName="SHA3-256").text = digest
