//! Request and response types of the control API.
//!
//! Owns: every word that travels between the supervisor and its command line, demo and inspectors, version 1. Never:
//! holds a secret, decides, or opens a socket.
//!
//! Ids travel as text (`s-1a2b3c4d-17`, `h3.1`), times as milliseconds since 1970, durations and sizes with their unit
//! in the name. Readers must ignore fields they do not know; requests refuse them.

pub mod admission;
pub mod agent;
pub mod breaker;
pub mod bundle;
pub mod change;
pub mod config;
pub mod dispatch;
pub mod doctor;
pub mod drain;
pub mod effective;
pub mod health;
pub mod host;
pub mod livekit;
pub mod observer;
pub mod problem;
pub mod session;
pub mod snapshot;
pub mod tenant;
pub mod tenant_health;
pub mod verification;
pub mod wall;
pub mod worker;

pub use admission::{AdmissionQuestion, AdmissionStep, AdmissionTrace, Expected};
pub use agent::Agent;
pub use breaker::{Breaker, TripBreaker};
pub use bundle::{LeftOut, TenantBundle};
pub use change::{ChangeStatus, KeyRotation, Order, Reload, ResetTenant, RotatedKey, SetTenant};
pub use config::{ConfigCheck, ConfigFault};
pub use dispatch::{Admitted, DispatchRequest, DispatchResponse};
pub use doctor::{DoctorReport, Finding, Verdict};
pub use drain::DrainStatus;
pub use effective::{EffectiveSetting, EffectiveTenant};
pub use health::{Readiness, Unready, WorkerInfo};
pub use host::{Host, HostGone};
pub use livekit::{
    Livekit, LivekitCheck, LivekitDispatch, LivekitOffer, LivekitWorker, SimulateRequest, TokenRequest, TokenResponse,
};
pub use observer::Observer;
pub use problem::Problem;
pub use session::{EndedSession, Session, SessionList, SessionRow, SessionUsage};
pub use snapshot::{ResidentSet, Snapshot, Zygote};
pub use tenant::{Tenant, TenantKilled};
pub use tenant_health::{Ailment, HealthMark, TenantHealth};
pub use verification::{Found, Verification, VerifiedPlace, VerifyRequest};
pub use wall::{Strength, WallRow};
pub use worker::{System, TopLine, Worker};

/// Prefix of every versioned route.
pub const PREFIX: &str = "/v1";
/// Name of the file beside the socket that holds the bearer token.
pub const TOKEN_FILE: &str = "control.token";
/// Name of the socket in the runtime directory, unless the configuration says otherwise.
pub const SOCKET_FILE: &str = "control.sock";
/// Name of the runtime directory, under `/run` or `$XDG_RUNTIME_DIR`.
pub const RUNTIME_DIR: &str = "openrtc-supervisor";
/// Header of every answer with the supervisor's version, so that a client of another version can say which.
pub const VERSION_HEADER: &str = "openrtc-supervisor-version";
