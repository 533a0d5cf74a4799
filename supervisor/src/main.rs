//! The one executable: the supervisor, its command line and, under a hidden first argument, the tenant host.

fn main() {}
