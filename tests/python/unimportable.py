"""Imports what is not installed."""

import module_that_nobody_has_installed  # noqa: F401
