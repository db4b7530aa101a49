"""Where products are downloaded from: the Copernicus Data Space Ecosystem, or one that is like it.

Sources: documentation of the Copernicus Data Space Ecosystem, "OData" and "Token Generation".
"""

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Service:
    """The addresses of a service.

    Parameters
    ----------
    token : str
        URL that gives access tokens (OpenID Connect).
    catalogue : str
        Root of the OData API that is asked for products; it needs no login.
    download : str
        Root of the OData API that gives their files.
    client_id : str
        Public client of the token service.
    others : tuple of str
        Further hosts that get the token where the one of `download` leads to them, over https.
    """

    token: str
    catalogue: str
    download: str
    client_id: str = "cdse-public"
    others: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """Host of the token service, to which an account belongs."""
        return urlsplit(self.token).hostname or ""

    def is_trusted(self, url: str) -> bool:
        """Return whether the token may be sent to a URL: to the hosts that give the files."""
        own, other = urlsplit(self.download), urlsplit(url)
        if (own.scheme, own.netloc) == (other.scheme, other.netloc):
            return True
        return other.scheme == "https" and other.netloc in self.others


_DATASPACE = "dataspace.copernicus.eu"

COPERNICUS = Service(
    token=f"https://identity.{_DATASPACE}/auth/realms/CDSE/protocol/openid-connect/token",
    catalogue=f"https://catalogue.{_DATASPACE}/odata/v1",
    download=f"https://download.{_DATASPACE}/odata/v1",
    others=(f"zipper.{_DATASPACE}", f"catalogue.{_DATASPACE}"),
)
