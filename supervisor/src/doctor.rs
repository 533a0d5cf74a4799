//! The start-up report: which walls a host gets on this machine, and what each absent one needs.
//!
//! Owns: putting the forecast into words for `run`, `/v1/doctor` and `doctor`. Never: raises or changes anything.

use openrtc_control_api::{DoctorReport, Finding, Verdict};
use openrtc_ipc::{Wall, WallSpec};

use crate::config::{COMMAND_RUNTIME, Config};
use crate::control::{self, Control};
use crate::preflight::finding;
use crate::spawn::{ZygoteRow, ZygoteState};
use crate::wall::Walls;

/// What hosts get under this configuration; `zygotes` and `control` are known once a supervisor is starting.
pub fn report(config: &Config, walls: &Walls, zygotes: &[ZygoteRow], control: Option<&Control>) -> DoctorReport {
    let spec = spec(config);
    let socket = |path: Option<std::path::PathBuf>| path.map(|path| path.display().to_string());
    DoctorReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: control.map(|_| std::process::id()),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        uid: rustix::process::geteuid().as_raw(),
        config: config.name().to_owned(),
        control_socket: socket(control.map(Control::socket)),
        top_socket: socket(control.and_then(Control::top_socket)),
        walls: control::forecast(&walls.forecast(&spec), &spec.require),
        findings: zygotes.iter().map(|row| zygote_finding(config, row)).collect(),
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

/// The built-in zygote goes by `zygote` alone.
fn zygote_finding(config: &Config, row: &ZygoteRow) -> Finding {
    let name = match row.runtime.as_str() {
        COMMAND_RUNTIME => "zygote".to_owned(),
        runtime => format!("zygote {runtime}"),
    };
    match &row.state {
        ZygoteState::Warm => finding(&name, Verdict::Pass, "warm: hosts are forked", None),
        ZygoteState::Absent(why) => {
            let required = config.requires_zygote(&row.runtime);
            let then = if required { "require = [\"zygote\"] refuses cold hosts" } else { "hosts are made cold" };
            let detail = format!("not warm: {why}; {then}");
            let verdict = if required { Verdict::Fail } else { Verdict::Warn };
            finding(&name, verdict, detail, why.remedy().map(str::to_owned))
        }
    }
}
