//! Signals, and finishing in good order.
