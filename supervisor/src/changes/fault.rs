//! Why a change was not made.
//!
//! Owns: these reasons. Never: a secret.

use std::io;
use std::path::PathBuf;

use openrtc_ipc::TenantId;

use crate::config::ConfigFaults;
use crate::secrets::SecretFault;
use crate::sources::Stopping;

/// Why the file of orders cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StandingFault {
    /// It cannot be read.
    #[error("read the operators' orders in {}: correct its permissions, or move it away to start without them", path.display())]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error(
        "use the operators' orders in {}: it {what}; correct it, or move it away to start without them: tenants that \
         were suspended are served then",
        path.display()
    )]
    Foreign {
        /// Where it is.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// Its orders are none.
    #[error("use the operators' orders in {}: {faults}", path.display())]
    Faulty {
        /// Where it is.
        path: PathBuf,
        /// Which, and why.
        faults: ConfigFaults,
    },
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeFault {
    /// Somebody else was faster.
    #[error(
        "tenant {tenant}: revision {given} was changed meanwhile; now it is {current}: {orders}; look, and give that one"
    )]
    Stale {
        /// Whose.
        tenant: TenantId,
        /// What was looked at.
        given: u64,
        /// What it is.
        current: u64,
        /// What is ordered now.
        orders: String,
    },
    /// Only a configured tenant has what can be set.
    #[error("tenant {tenant} is not in the configuration: add [tenants.{tenant}] and reload, or suspend it")]
    NotConfigured {
        /// Which.
        tenant: TenantId,
    },
    /// Nothing was ordered of this key.
    #[error("tenant {tenant}: nothing was ordered of {key}; ordered are: {orders}")]
    NotOrdered {
        /// Whose.
        tenant: TenantId,
        /// Which key.
        key: String,
        /// What is ordered.
        orders: String,
    },
    /// It is none that the file would take.
    #[error("{}", .0.faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Order(ConfigFaults),
    /// The files cannot be taken.
    #[error("the configuration has {} fault(s); nothing was changed", .0.faults.len())]
    Files(ConfigFaults),
    /// A key cannot be had.
    #[error("{}; the old keys stay in use", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Keys(Vec<SecretFault>),
    /// It would not outlast a restart.
    #[error("store the order in {}: {source}; make room or correct the permissions; nothing was changed", path.display())]
    NotStored {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The supervisor is stopping.
    #[error(transparent)]
    Stopping(#[from] Stopping),
}
