//! The one executable: the supervisor, its command line and, under a hidden first argument, the tenant host.
//!
//! Owns: which of the three it is. Never: anything else; this is the only file that links both sides of the wall.

use std::ffi::OsString;
use std::process::ExitCode;

use openrtc_supervisor::cli;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.first().and_then(|first| first.to_str()) {
        Some(
            openrtc_tenant_host::HOST_ARGUMENT
            | openrtc_tenant_host::ZYGOTE_ARGUMENT
            | openrtc_tenant_host::PYTHON_HOST_ARGUMENT
            | openrtc_tenant_host::PYTHON_ZYGOTE_ARGUMENT,
        ) => openrtc_tenant_host::run(arguments),
        Some(openrtc_supervisor::demo::agent::AGENT_ARGUMENT) => {
            openrtc_supervisor::demo::agent::run(&text(&arguments[1..]))
        }
        _ => cli::execute(
            cli::parse(),
            cli::HostArguments {
                host: openrtc_tenant_host::HOST_ARGUMENT,
                zygote: openrtc_tenant_host::ZYGOTE_ARGUMENT,
                python_host: openrtc_tenant_host::PYTHON_HOST_ARGUMENT,
                python_zygote: openrtc_tenant_host::PYTHON_ZYGOTE_ARGUMENT,
            },
        ),
    }
}

fn text(arguments: &[OsString]) -> Vec<String> {
    arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect()
}
