//! The control API: HTTP over a Unix socket, and over TCP where that is asked for.
//!
//! Owns: who may ask, how long asking may take, and one file of routes per noun. Never: decides; every order goes to
//! policy through [`crate::sources::Handle`], and every answer is read from the books.

mod admission;
mod agent;
mod breaker;
mod bundle;
mod change;
mod dispatch;
mod doctor;
mod drain;
mod effective;
mod events;
mod facts;
mod health;
mod host;
mod listen;
mod livekit;
mod lock;
mod machine;
mod metrics;
mod openapi;
mod peer;
mod private_dir;
mod refusal;
mod request;
mod routes;
mod server;
mod session;
mod snapshot;
mod tenant;
mod tenant_health;
mod token;
mod top;
mod verification;
mod view;
mod wall;
mod world;

pub use admission::trace;
pub use health::HealthServer;
pub use lock::{LockError, RuntimeDir};
pub use metrics::metrics;
pub use openapi::openapi;
pub use peer::{Peer, Standing};
pub use private_dir::{DirError, PrivateDir};
pub use server::{Control, ControlError, Settings};
pub use snapshot::snapshot;
pub use token::{REMOTE_TOKEN_BYTES_MIN, TokenError};
pub use view::{AgentView, BreakerView, HostView, PolicyView, SessionView, TenantView};
pub use wall::forecast;
pub use world::{About, World};
