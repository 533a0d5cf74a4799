//! Asking an application which agents it has, in a host behind the same walls as any other.
//!
//! Owns: the short life of that host. Never: gives it a key or a session, or lets it live on.

use std::sync::Arc;
use std::time::Duration;

use openrtc_ipc::{AgentName, HostId, RuntimeName};
use openrtc_policy::rules::HostScope;
use openrtc_policy::{HostPlan, Intent};
use tokio::time::timeout;

use super::birth::{self, HostFault, Purpose};
use super::link::{Link, LinkFault};
use super::{HostContext, death, life, reap};

/// Why an application's agents are not known.
#[derive(Debug, thiserror::Error)]
#[error("load the application of runtime {runtime}: {detail}")]
pub struct ProbeFault {
    /// The runtime.
    pub runtime: RuntimeName,
    /// What went wrong, with the last line that it wrote on standard error.
    pub detail: String,
}

/// The agents that the application of this runtime registers, in its own order.
///
/// # Errors
///
/// When the host cannot be made, or the application cannot be loaded in it within `initialize_timeout_s`.
pub async fn agents(context: &Arc<HostContext>, runtime: &RuntimeName) -> Result<Vec<AgentName>, ProbeFault> {
    let failed = |detail: String| ProbeFault { runtime: runtime.clone(), detail };
    let config = context.config();
    let plan = HostPlan {
        // Policy's generations begin at 1, so that this is nobody else's number.
        host: HostId { index: 0, generation: 0 },
        tenant: config.rules.default_tenant.clone(),
        runtime: runtime.clone(),
        scope: HostScope::Session,
    };
    let limit = Duration::from_millis(config.rules.initialize_timeout_ms);
    let host = plan.host;
    let (task, channel, output) =
        life::make(Arc::clone(context), plan).await.map_err(|failure| failed(failure.detail))?;
    let asked = async {
        let mut link = Link::new(channel)?;
        birth::bring_up(&task, &mut link, Purpose::Inspect).await
    };
    let answer = timeout(limit, asked).await;
    task.record.intend(Intent::Shutdown);
    // ESRCH means that it has ended by itself.
    let _ = task.process.kill();
    // Where that cannot be waited for, the burial kills the tree all the same.
    let _ = reap::wait(&task.process).await;
    let exit = death::bury(&task, output).await;
    let last_line = context.morgue.forget(host).and_then(|evidence| evidence.last_stderr);
    let detail = match answer {
        Ok(Ok(born)) => return Ok(born.agents),
        Ok(Err(HostFault::Setup(failure))) => failure.detail,
        Ok(Err(HostFault::Link(LinkFault::Closed | LinkFault::Io(_)))) => format!("its host ended: {exit:?}"),
        Ok(Err(fault)) => super::chain(&fault),
        Err(_) => format!("it was not loaded within {} s; raise initialize_timeout_s", limit.as_secs_f64()),
    };
    Err(failed(match last_line {
        Some(line) if !detail.contains(&line) => format!("{detail}; its last line: {line}"),
        _ => detail,
    }))
}
