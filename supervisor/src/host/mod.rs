//! The life of one host process, from newborn to reaped.
