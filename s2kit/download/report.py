"""What a download did."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class FetchReport:
    """What a download did.

    Attributes
    ----------
    archive : str
        The folder.
    fetched : tuple of str
        Products that were downloaded, or of which files were missing.
    present : tuple of str
        Products that were there already.
    failed : dict of str to str
        Products that are not there, with the reason. The next download tries them again.
    size : int
        Bytes that arrived in files, also of those that had to be downloaded again.
    """

    archive: str
    fetched: tuple[str, ...] = ()
    present: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)
    size: int = 0

    def __str__(self) -> str:
        lines = [
            f"{self.archive}: {len(self.fetched)} products downloaded "
            f"({self.size / 1e6:.1f} MB), {len(self.present)} were there already"
        ]
        return "\n".join([*lines, *(f"failed: {one}: {why}" for one, why in self.failed.items())])
