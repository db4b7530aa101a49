"""The state of a viewer in the address of its page, so that a link restores it."""

import panel as pn
import param


def keep_in_address(viewer: param.Parameterized, names: list[str]) -> list[str]:
    """Take over what the address of the page says, then write every change into it.

    Parameters
    ----------
    viewer : param.Parameterized
    names : list of str
        Its parameters, in the order in which they are to be taken over.

    Returns
    -------
    list of str
        What the address says that cannot be. In a notebook there is no address: nothing happens.
    """
    wrong: list[str] = []
    page = pn.state.curdoc
    location = pn.state.location if page and page.session_context else None
    for name in names if location else []:
        location.sync(  # one by one: the wrong ones are refused, the others count
            viewer,
            [name],
            on_error=lambda found: wrong.extend(f"{n}={v}" for n, v in found.items()),
        )
    return wrong
