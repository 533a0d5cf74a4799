//! System calls. The only unsafe in this crate.
