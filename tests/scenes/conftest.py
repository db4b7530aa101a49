"""What the tests of scenes share."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def features(real_data: Path) -> Callable[[str], list[dict[str, Any]]]:
    """Read the real items of a provider, as plain JSON."""

    def read(name: str) -> list[dict[str, Any]]:
        document = (real_data / "stac-items" / f"{name}_items.json").read_bytes()
        return json.loads(document)["features"]

    return read
