//! Supervisor to host: orders.
//!
//! Owns: the closed list of things a host is told, and the type that secrets travel in. Never: shows a secret in
//! `Debug`.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::bounded;
use crate::ids::{AgentName, HostId, SessionId, TenantId};
use crate::lockdown::Lockdown;
use crate::session::SessionInfo;

/// Most entries of any list in a command.
pub const LIST_MAX: usize = 16_384;
/// Most bytes of a call's job; LiveKit allows 512 KiB of metadata in it.
pub const JOB_BYTES_MAX: usize = 768 * 1024;

/// The answer to [`crate::Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Protocol that the supervisor speaks.
    pub protocol: u16,
    /// Which host this is.
    pub host: HostId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Walls to raise from inside, before anything else. `None` when they already stand: the second greeting of a
    /// foreign program, after [`Command::Proceed`].
    pub lockdown: Option<Lockdown>,
}

/// A foreign host program, to be exec'd behind the walls (decision P5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Path and arguments.
    #[serde(deserialize_with = "bounded::list::<_, _, LIST_MAX>")]
    pub argv: Vec<String>,
    /// Its whole environment.
    #[serde(deserialize_with = "bounded::list::<_, _, LIST_MAX>")]
    pub env: Vec<(String, String)>,
}

/// A secret's text: no `Debug`, wiped when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself; the name is long so that each use is seen in review.
    pub fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Drop for SecretText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// One secret of the host's own tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Environment variable under which an agent finds it, for example `OPENAI_API_KEY`.
    pub variable: String,
    /// The key itself.
    pub value: SecretText,
}

/// An agent of the built-in `command` runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSpec {
    /// Its name.
    pub name: AgentName,
    /// Path and arguments of its program; empty for runtimes whose program knows its own agents.
    #[serde(deserialize_with = "bounded::list::<_, _, LIST_MAX>")]
    pub command: Vec<String>,
    /// Providers resolved for this tenant and agent, as JSON text (`{"stt":…,"llm":…,"tts":…}`).
    pub providers_json: String,
    /// Steps of `providers_json` that come from `[defaults]`: what the application itself gave the agent goes before them
    /// (semantics B4).
    #[serde(deserialize_with = "bounded::list::<_, _, LIST_MAX>")]
    pub defaulted: Vec<String>,
    /// The tools it may use.
    #[serde(deserialize_with = "bounded::list::<_, _, LIST_MAX>")]
    pub tools: Vec<String>,
}

/// Where an application's agents are found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationTarget {
    /// A script, run as `__main__` in its own folder.
    Script(PathBuf),
    /// An attribute of a module.
    Attribute {
        /// The folder that the module is imported from.
        folder: PathBuf,
        /// Its dotted name.
        module: String,
        /// A pool, a server, worker options or an entrypoint.
        attribute: String,
    },
    /// A folder of agents, for OpenRTC's discovery.
    AgentsDir(PathBuf),
}

/// The application of a host whose runtime has one, `kind = "python"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Where it is.
    pub target: ApplicationTarget,
    /// The zygote has loaded it already (`load_app = "zygote"`).
    pub loaded: bool,
    /// The host is only to say which agents there are, and what of the script's settings is not in force: it gets no
    /// session, and placeholders stand for keys that are not there. What is in force, as JSON text without secrets; `None`
    /// for a host that serves.
    pub inspect: Option<String>,
}

/// What a host needs to serve its tenant. Secrets travel here and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configure {
    /// The agents it is to serve.
    #[serde(deserialize_with = "bounded::list::<_, _, LIST_MAX>")]
    pub agents: Vec<AgentSpec>,
    /// The tenant's `agent_config`, as JSON text.
    pub agent_config_json: String,
    /// Environment of the agents' programs: the allow-list and the tenant's `env`.
    #[serde(deserialize_with = "bounded::list::<_, _, LIST_MAX>")]
    pub env: Vec<(String, String)>,
    /// The tenant's keys.
    #[serde(deserialize_with = "bounded::list::<_, _, LIST_MAX>")]
    pub secrets: Vec<Secret>,
    /// The host's own directory: its working directory, `HOME` and `TMPDIR`.
    pub work_dir: PathBuf,
    /// How long an agent's program may take to end after SIGTERM, in milliseconds.
    pub terminate_grace_ms: u64,
    /// The application to load; `None` for runtimes without one.
    pub application: Option<Application>,
}

/// A call in a room of a LiveKit server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The server, `ws://` or `wss://`.
    pub url: String,
    /// Joins this room as the agent, and nothing else.
    pub token: SecretText,
    /// The agent's identity in the room.
    pub identity: String,
    /// The job as the server sent it: a `livekit.Job` in protobuf.
    #[serde(deserialize_with = "bounded::list::<_, _, JOB_BYTES_MAX>")]
    pub job: Vec<u8>,
    /// Grants of `[livekit] host_grants` for this room, as a token of their own.
    pub grants: Option<SecretText>,
}

/// One message to a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Answers the hello.
    Welcome(Welcome),
    /// The green light: the walls were read back and stand.
    Proceed {
        /// The foreign program to become; `None` for the built-in host.
        program: Option<Program>,
    },
    /// What to serve, and with which keys.
    Configure(Configure),
    /// Run a session.
    StartSession {
        /// Which.
        info: SessionInfo,
        /// Job metadata as it was sent; `info.metadata` is what counts.
        job_metadata: String,
        /// Room metadata as it was sent.
        room_metadata: String,
        /// The call to join; `None` for a session without a server.
        call: Option<Call>,
        /// A recording comes with it, as the next descriptor received on the channel.
        input: bool,
        /// What the agent says is wanted: the descriptor to write it to comes next, after the recording's.
        output: bool,
    },
    /// The dispatcher knows that this session is over: its agent may leave the room now.
    LeaveRoom {
        /// Which.
        session: SessionId,
    },
    /// End a session: ask, then SIGTERM, then SIGKILL of its tree.
    EndSession {
        /// Which.
        session: SessionId,
        /// Why, for the agent.
        reason: String,
    },
    /// Answer with the same number, at once.
    Ping {
        /// The number.
        nonce: u64,
    },
    /// Take no new sessions; let those that run end.
    Drain,
    /// End every session, then exit.
    Shutdown {
        /// Until it is killed, in milliseconds.
        grace_ms: u64,
    },
}
