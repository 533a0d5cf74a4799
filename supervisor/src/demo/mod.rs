//! The demo: a small agency with a hostile tenant, and a verdict from what was measured.
