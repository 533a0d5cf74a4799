"""What a script imports from beside it."""

NOBODY = "nobody"
