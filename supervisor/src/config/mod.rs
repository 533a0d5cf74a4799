//! Configuration: what the user wrote, made valid or refused with every fault at once.

pub mod wall;
