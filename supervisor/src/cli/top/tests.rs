//! The view from states that are made up.
