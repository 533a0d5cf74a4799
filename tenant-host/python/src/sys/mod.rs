//! What needs `unsafe`: CPython's fork hooks and reference counts, advice about memory, and one call of GnuTLS. The only unsafe in this crate.

pub(crate) mod gnutls;
pub(crate) mod interpreter;
pub(crate) mod objects;
pub(crate) mod pages;
