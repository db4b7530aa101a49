"""The state of a viewer in the address of its page, so that a link restores it."""

import panel as pn
import param


def keep_in_address(viewer: param.Parameterized, names: list[str]) -> tuple[set[str], list[str]]:
    """Take over what the address of the page says, then write every change into it.

    Parameters
    ----------
    viewer : param.Parameterized
    names : list of str
        Its parameters, in the order in which they are to be taken over.

    Returns
    -------
    set of str, list of str
        The parameters that were taken over, and what the address says that cannot be. In a
        notebook there is no address: nothing happens.
    """
    wrong: dict[str, object] = {}
    page = pn.state.curdoc
    location = pn.state.location if page and page.session_context else None
    asked = set(location.query_params) if location else set()
    for name in names if location else []:
        location.sync(  # one by one: the wrong ones are refused, the others count
            viewer,
            [name],
            on_error=wrong.update,
        )
    taken = (asked & set(names)) - set(wrong)
    return taken, [f"{name}={value}" for name, value in wrong.items()]
