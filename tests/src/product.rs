//! The executable under test.
//!
//! Owns: building it once per test process, with the profile of the tests. Never: uses one that is older than its
//! sources.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Path of `openrtc-supervisor`, built from these sources.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--package", "openrtc-supervisor", "--bin", "openrtc-supervisor"]);
        cargo.arg("--manifest-path").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
        cargo.arg("--target-dir").arg(target_dir());
        if is_release() {
            cargo.arg("--release");
        }
        apart_from_these_tests(&mut cargo);
        assert!(cargo.status().expect("run cargo").success(), "the product does not build");
        profile_dir().join("openrtc-supervisor")
    })
}

/// Takes away what cargo tells of the package that it tests: `ring` is built anew whenever that changes, and all that needs
/// it, now for the tests and now for the product.
pub(crate) fn apart_from_these_tests(command: &mut Command) {
    let of_these_tests = |name: &str| {
        name == "OUT_DIR" || ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|prefix| name.starts_with(prefix))
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(of_these_tests) {
            command.env_remove(name);
        }
    }
}

/// Where cargo builds.
pub(crate) fn target_dir() -> &'static Path {
    profile_dir().parent().expect("target directory")
}

/// Whether the tests are built with the release profile.
pub(crate) fn is_release() -> bool {
    profile_dir().ends_with("release")
}

fn profile_dir() -> &'static Path {
    static PROFILE_DIR: OnceLock<PathBuf> = OnceLock::new();
    PROFILE_DIR.get_or_init(|| {
        let tests = std::env::current_exe().expect("own path");
        // target/<profile>/deps/<test>
        tests.parent().and_then(Path::parent).expect("tests lie in target/<profile>/deps").to_owned()
    })
}
