//! The control API: HTTP over a Unix socket.
//!
//! Owns: who may ask, how long asking may take, and one file of routes per noun. Never: decides; every order goes to
//! policy through [`crate::sources::Handle`], and every answer is read from the books.

mod agent;
mod breaker;
mod dispatch;
mod doctor;
mod drain;
mod facts;
mod host;
mod listen;
mod livekit;
mod lock;
mod machine;
mod private_dir;
mod refusal;
mod request;
mod server;
mod session;
mod snapshot;
mod tenant;
mod token;
mod top;
mod view;
mod wall;
mod world;

pub use lock::{LockError, RuntimeDir};
pub use private_dir::{DirError, PrivateDir};
pub use server::{Control, ControlError, Settings};
pub use snapshot::snapshot;
pub use token::TokenError;
pub use view::{AgentView, BreakerView, HostView, PolicyView, SessionView, TenantView};
pub use wall::forecast;
pub use world::{About, World};
