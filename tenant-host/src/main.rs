//! The tenant host as a program of its own, for those who package hosts apart.

fn main() -> std::process::ExitCode {
    openrtc_tenant_host::run(std::env::args_os().skip(1).collect())
}
