//! The words that the supervisor and its tenant hosts agree on.
//!
//! Owns: the two message enums ([`Command`] down, [`Report`] up), the ids they carry, the frame they travel in and
//! the only codec. Never: decides anything, trusts a peer, or allocates what a header merely claims.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "openrtc-supervisor builds on Linux 5.13 or newer only, because its walls are Linux's: build it in a Linux machine, virtual machine or container."
);

pub mod blocking;
mod bounded;
pub mod codec;
pub mod command;
pub mod fds;
pub mod frame;
pub mod ids;
pub mod lockdown;
pub mod phase;
pub mod report;
pub mod session;
pub mod snapshot;
pub mod wall;
pub mod zygote;

pub use codec::{WireError, decode_command, decode_report, encode_command, encode_report, encode_report_into};
pub use command::{
    AgentSpec, Application, ApplicationTarget, Call, Command, Configure, Program, Secret, SecretText, Welcome,
};
pub use frame::{Frame, FrameReader, Lane};
pub use ids::{AgentName, HostId, IdError, RuntimeName, SessionId, TenantId};
pub use lockdown::{FileAccess, FileGrant, Identity, Lockdown, SetupStep};
pub use phase::{Phase, permitted};
pub use report::{EndStatus, Hello, LogLevel, Report};
pub use session::{SessionEvent, SessionInfo, Speaker, Usage};
pub use snapshot::HostSnapshot;
pub use wall::{CpuMax, DataMax, Evidence, RunAs, Wall, WallReport, WallSpec, WallState, WallStatus};
pub use zygote::{Need, ZygoteFork, ZygoteReply};

/// Version of the host protocol that this build speaks. Raised when an old host could no longer be understood.
pub const PROTOCOL: u16 = 1;

/// Descriptor on which a host finds its channel to the supervisor.
pub const CHANNEL_FD: i32 = 3;

/// Environment variable that tells a host program its channel descriptor (decimal).
pub const CHANNEL_FD_VARIABLE: &str = "OPENRTC_CHANNEL_FD";
