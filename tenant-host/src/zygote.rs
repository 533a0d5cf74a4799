//! The pre-warmed, single-threaded process that forks hosts as the supervisor's children.
