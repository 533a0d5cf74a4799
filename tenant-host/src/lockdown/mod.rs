//! The walls that only oneself can raise, in the order of decision W4.

use openrtc_ipc::{Lockdown, SetupStep, WallReport};

/// PLACEHOLDER until part WALL is merged.
#[derive(Debug)]
pub struct LockdownError {
    /// Step.
    pub step: SetupStep,
    /// Errno.
    pub errno: i32,
    /// Detail.
    pub detail: String,
}

/// PLACEHOLDER until part WALL is merged: changes directory and raises nothing.
pub fn apply(lockdown: &Lockdown) -> Result<Vec<WallReport>, LockdownError> {
    std::env::set_current_dir(&lockdown.work_dir).map_err(|error| LockdownError {
        step: SetupStep::WorkDir,
        errno: error.raw_os_error().unwrap_or(0),
        detail: error.to_string(),
    })?;
    Ok(Vec::new())
}
