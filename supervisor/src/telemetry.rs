//! Logs of the supervisor itself: text on a terminal, JSON otherwise.
