//! Resolves references to secrets. Owns every secret; shows none.
