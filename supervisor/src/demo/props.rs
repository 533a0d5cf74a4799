//! The props: the agents' program and the recordings, and the agency that `--keep` leaves.
//!
//! Owns: these files. Never: starts anything.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::config::{self, Paths};
use super::stage::{CONFIG_FILE, StageError, file_error, write};
use super::synth::{self, Recording};

/// The agents' program.
const PROGRAM: &str = "openrtc-demo-agent";

/// The recordings that are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Play {
    /// 6 s with 3 turns, for the siblings alone.
    Alone,
    /// 10 s with 5 turns, for the siblings beside the hostile tenant.
    Beside,
    /// 1.6 s with one turn, for the hostile tenant when it behaves.
    Good,
}

impl Play {
    const ALL: [Self; 3] = [Self::Alone, Self::Beside, Self::Good];

    /// Its file in this directory.
    pub fn file(self, dir: &Path) -> PathBuf {
        dir.join(self.file_name())
    }

    fn file_name(self) -> &'static str {
        match self {
            Self::Alone => "alone.wav",
            Self::Beside => "beside.wav",
            Self::Good => "good.wav",
        }
    }

    /// What is in it.
    pub fn recording(self) -> Recording {
        match self {
            Self::Alone => synth::call(1, 6_000, self.turns()),
            Self::Beside => synth::call(2, 10_000, self.turns()),
            Self::Good => synth::call(3, 1_600, self.turns()),
        }
    }

    /// Turns that are spoken in it.
    pub fn turns(self) -> u64 {
        match self {
            Self::Alone => 3,
            Self::Beside => 5,
            Self::Good => 1,
        }
    }
}

/// Puts the executable where a tenant's user can run it: linked if its mode lets everybody, else copied.
fn place_program(executable: &Path, to: &Path) -> Result<(), StageError> {
    let mode = fs::metadata(executable).map_err(file_error("look at", executable))?.permissions().mode();
    if mode & 0o005 == 0o005 && fs::hard_link(executable, to).is_ok() {
        return Ok(());
    }
    fs::copy(executable, to).map_err(file_error("copy the program to", to))?;
    fs::set_permissions(to, Permissions::from_mode(0o755)).map_err(file_error("make executable", to))
}

fn write_recording(path: &Path, recording: &Recording) -> Result<(), StageError> {
    write(path, &synth::wav(recording).map_err(file_error("encode", path))?)
}

/// Lays what the run needs into its directory, and gives its configuration.
///
/// # Errors
/// When a file cannot be made.
pub fn lay(dir: &Path, executable: &Path, cores: usize) -> Result<String, StageError> {
    lay_for(dir, executable, |paths| config::of_run(paths, cores))
}

/// The same for `selftest isolation`.
///
/// # Errors
/// When a file cannot be made.
pub fn lay_selftest(dir: &Path, executable: &Path, cores: usize) -> Result<String, StageError> {
    lay_for(dir, executable, |paths| config::of_selftest(paths, cores))
}

fn lay_for(dir: &Path, executable: &Path, config: impl FnOnce(Paths<'_>) -> String) -> Result<String, StageError> {
    let at = |name: &str| dir.join(name);
    place_program(executable, &at(PROGRAM))?;
    for play in Play::ALL {
        write_recording(&at(play.file_name()), &play.recording())?;
    }
    let paths = Paths { program: &at(PROGRAM), run: &at("run"), state: &at("state"), events: &at("events.jsonl") };
    Ok(config(paths))
}

/// Fails early if the directory to keep the agency in is in use.
///
/// # Errors
/// When it exists and is not an empty directory.
pub fn can_keep(dir: &Path) -> Result<(), StageError> {
    let free = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if free { Ok(()) } else { Err(StageError::KeepExists { path: dir.to_owned() }) }
}

/// Leaves an agency to go on with: configuration, agents' program and a recording.
///
/// # Errors
/// When a file cannot be written.
pub fn keep(dir: &Path, executable: &Path, cores: usize) -> Result<(), StageError> {
    can_keep(dir)?;
    fs::create_dir_all(dir).map_err(file_error("create", dir))?;
    place_program(executable, &dir.join(PROGRAM))?;
    write_recording(&dir.join("call.wav"), &synth::example_call())?;
    let config = config::of_kept_agency(Path::new("./openrtc-demo-agent"), cores);
    write(&dir.join(CONFIG_FILE), config.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_others_may_not_run_is_copied_so_that_they_may() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, b"program").unwrap();
        fs::set_permissions(&from, Permissions::from_mode(0o700)).unwrap();
        place_program(&from, &to).unwrap();
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::metadata(&from).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn an_agency_is_kept_whole_and_never_over_something_else() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("agency");
        keep(&kept, Path::new("/proc/self/exe"), 2).unwrap();
        for name in ["openrtc-supervisor.toml", "openrtc-demo-agent", "call.wav"] {
            assert!(kept.join(name).is_file(), "{name}");
        }
        assert!(matches!(keep(&kept, Path::new("/proc/self/exe"), 2), Err(StageError::KeepExists { .. })));
    }

    #[test]
    fn each_recording_has_the_turns_it_names() {
        for play in Play::ALL {
            assert_eq!(play.recording().turns.len() as u64, play.turns(), "{play:?}");
        }
    }
}
