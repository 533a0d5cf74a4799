//! What needs `unsafe`: CPython's fork hooks and reference counts, memory, and one call of GnuTLS. The only unsafe in this crate.

pub(crate) mod gnutls;
pub(crate) mod heap;
pub(crate) mod interpreter;
pub(crate) mod objects;
pub(crate) mod pages;
