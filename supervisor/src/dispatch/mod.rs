//! Where dispatches come from.
