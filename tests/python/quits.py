"""Ends itself before it has run anything."""

import sys

sys.exit("no licence file: 4711")
