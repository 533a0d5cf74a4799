//! Runnable examples, each of them run by the tests.
