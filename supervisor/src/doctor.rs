//! The start-up report: which walls a host gets on this machine, and what each absent one needs.
//!
//! Owns: putting the forecast into words for `run`, `/v1/doctor` and `doctor`. Never: raises or changes anything.

use openrtc_control_api::{DoctorReport, Finding};
use openrtc_ipc::{Wall, WallSpec};

use crate::config::Config;
use crate::control::{self, Control};
use crate::spawn::ZygoteState;
use crate::wall::Walls;

/// What hosts get under this configuration; `zygote` and `control` are known once a supervisor is starting.
pub fn report(config: &Config, walls: &Walls, zygote: Option<&ZygoteState>, control: Option<&Control>) -> DoctorReport {
    let spec = spec(config);
    let socket = |path: Option<std::path::PathBuf>| path.map(|path| path.display().to_string());
    DoctorReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: control.map(|_| std::process::id()),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        uid: rustix::process::geteuid().as_raw(),
        config: config.source.as_ref().map_or_else(|| "defaults".to_owned(), |path| path.display().to_string()),
        control_socket: socket(control.map(Control::socket)),
        top_socket: socket(control.and_then(Control::top_socket)),
        walls: control::forecast(&walls.forecast(&spec), &spec.require),
        findings: zygote.map(zygote_finding).into_iter().collect(),
    }
}

/// The walls of a tenant that names none of its own, with everything that any tenant requires.
fn spec(config: &Config) -> WallSpec {
    let mut spec = config.default_wall();
    let mut required: Vec<Wall> = Vec::new();
    for tenant in config.tenants.keys() {
        for runtime in config.runtimes.keys() {
            required.extend(config.wall(tenant, runtime).require);
        }
    }
    spec.require.extend(required);
    spec.require.sort_unstable();
    spec.require.dedup();
    spec
}

fn zygote_finding(state: &ZygoteState) -> Finding {
    match state {
        ZygoteState::Warm => {
            Finding { name: "zygote".to_owned(), ok: true, detail: "warm: hosts are forked".to_owned(), remedy: None }
        }
        ZygoteState::Absent(reason) => Finding {
            name: "zygote".to_owned(),
            ok: true,
            detail: format!("not warm: {reason}; hosts are made cold"),
            remedy: None,
        },
    }
}
