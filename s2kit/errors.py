"""Errors and warnings; each message holds what was found, what is accepted and what to do."""

from typing import Any

from s2kit.credentials import without_credentials


class _CleanMessage:
    """Cut the credentials of addresses from a message, whatever library wrote its parts."""

    def __init__(self, *args: Any):
        super().__init__(*(without_credentials(a) if isinstance(a, str) else a for a in args))


class S2KitError(_CleanMessage, Exception):
    """Base of every error that s2kit raises on purpose; passwords are cut from its message."""


class InvalidInputError(S2KitError, ValueError):
    """An argument has the wrong type, an unknown name or an impossible value."""


class CatalogueError(S2KitError):
    """A catalogue, folder or API of scenes cannot be reached or read at all."""


class SceneError(S2KitError):
    """One scene cannot be used; the others can.

    Parameters
    ----------
    scene : str
        Product name or path of the scene.
    reason : str
        What was found, and what would be accepted.
    """

    def __init__(self, scene: str, reason: str):
        super().__init__(scene, reason)
        self.scene, self.reason = self.args

    def __str__(self) -> str:
        return f"{self.scene}: {self.reason}"


class DownloadError(S2KitError):
    """Products cannot be downloaded at all: no login, no connection, or no space."""


class CubeError(S2KitError):
    """A store is not a cube of s2kit, or cannot be written."""


class GridMismatchError(CubeError):
    """The store holds another grid, coordinate system, band list or resampling."""


class CubeLockedError(CubeError):
    """Another build is at work on the store."""


class SceneWarning(_CleanMessage, UserWarning):
    """A scene was set aside, or its metadata were corrected by the evidence of its pixels."""
