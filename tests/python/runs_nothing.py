"""Ends without having run a pool or a server; and its attributes are of no use as an application."""

pool = 7


def entrypoint() -> None:
    """Is not async."""
