//! Asking an application's interpreter, for the commands that take an application.
//!
//! Owns: the process maker and the runtime for such questions. Never: outlives its command.

use std::path::PathBuf;

use openrtc_ipc::RuntimeName;

use super::exit::CliError;
use super::{Global, here};
use crate::application::ApplicationError;
use crate::application::inspection::{self, Inspection};
use crate::application::place::Place;
use crate::application::scan::{self, Read};
use crate::config::PythonRuntime;
use crate::run::RunError;
use crate::spawn::{HostProgram, LaunchArguments, Spawner};

/// What questions are asked with.
pub(super) struct Asking {
    spawner: Spawner,
    runtime: tokio::runtime::Runtime,
}

impl Asking {
    pub(super) fn start() -> Result<Self, CliError> {
        let program =
            HostProgram { path: "/proc/self/exe".into(), built_in: LaunchArguments::default(), runtimes: [].into() };
        let spawner = Spawner::start(program).map_err(RunError::Spawner)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Start)?;
        Ok(Self { spawner, runtime })
    }

    pub(super) fn read(&self, name: &RuntimeName, python: &PythonRuntime) -> Result<Read, ApplicationError> {
        self.runtime.block_on(scan::read(&self.spawner, name, python))
    }

    pub(super) fn inspect(&self, read: &Read) -> Result<Inspection, ApplicationError> {
        self.runtime.block_on(inspection::inspect(&self.spawner, read))
    }
}

/// The directory that names on the command line are relative to.
pub(super) fn current_directory() -> Result<PathBuf, CliError> {
    std::env::current_dir().map_err(|error| CliError::Application(ApplicationError::Answer(error)))
}

/// Reads the application that was named on the command line.
pub(super) fn read(named: &str, global: &Global) -> Result<(Place, Read), CliError> {
    if let Some(config) = &global.config {
        let detail = format!(
            "cannot be used with --config {} ($OPENRTC_SUPERVISOR_CONFIG): a configuration names its applications under \
             [runtimes]; leave one of the two out",
            config.display()
        );
        return Err(CliError::Usage { option: "APPLICATION", detail });
    }
    let place = Place::read(named, &current_directory()?)?;
    let (name, python) = scan::runtime(&place, &here::request(global))?;
    let read = Asking::start()?.read(&name, &python)?;
    Ok((place, read))
}
