//! Which lines pass, and how they read.
