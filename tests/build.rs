//! Tells the tests what the machine gives them, so that one that cannot run is counted as ignored, with the reason.
//!
//! Owns: the cfg `root`. Never: more than that.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(root)");
    // Who runs the build runs the tests.
    if rustix::process::geteuid().is_root() {
        println!("cargo::rustc-cfg=root");
    }
}
