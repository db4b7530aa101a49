"""A browser's page that keeps account of what goes wrong in it, and stays on this machine."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Page, Request, Route

PANEL_LOADING = ("/panel-preview/", "https://cdn.")
"""Where Panel looks for its files, in vain behind a prefix and without the internet."""

HARMLESS: dict[str, str] = {}
"""Part of a console error → why it is none. Empty, and to be kept so."""


@dataclass
class Watch:
    """What happened in a page.

    Attributes
    ----------
    errors, warnings : list of str
        What its console said; an exception that nobody caught is an error.
    failed : list of str
        Requests that got no answer, or one of 400 and above.
    outside : list of str
        Requests to other machines. They are not let through.
    forgiven : list of str
        Parts of errors and requests that are none of ours.
    """

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    forgiven: list[str] = field(default_factory=list)

    def over(self, page: Page) -> None:
        """Watch a page from now on."""
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("requestfailed", lambda r: self.failed.append(f"{r.url}: {r.failure}"))
        page.on("response", lambda r: r.status < 400 or self.failed.append(f"{r.url}: {r.status}"))

    def guard(self, route: Route, request: Request) -> None:
        """Let a request through if it goes to this machine."""
        if urlsplit(request.url).hostname == "127.0.0.1":
            route.continue_()
        else:
            self.outside.append(request.url)
            route.abort()

    def forgive(self, *parts: str) -> None:
        """Let pass what holds one of these words, before and from now on."""
        self.forgiven += parts

    def check(self) -> None:
        """Fail if there was an error, or a request to another machine."""
        errors, outside = self._unforgiven(self.errors), self._unforgiven(self.outside)
        assert not errors, "the page has errors:\n" + "\n".join(errors)
        assert not outside, "the page asks other machines:\n" + "\n".join(outside)

    def _unforgiven(self, told: list[str]) -> list[str]:
        return [one for one in told if not any(part in one for part in self.forgiven)]

    def _hear(self, message: ConsoleMessage) -> None:
        said = f"{message.text} ({message.location.get('url')})"
        if message.type == "error" and not any(part in said for part in HARMLESS):
            self.errors.append(said)
        elif message.type == "warning":
            self.warnings.append(said)
