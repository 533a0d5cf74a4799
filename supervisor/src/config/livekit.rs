//! `[livekit]`: the server that calls come from, and what is believed of them.
//!
//! Owns: the section's keys, and `LIVEKIT_URL`, `LIVEKIT_API_KEY` and `LIVEKIT_API_SECRET` where they are not written.
//! Never: resolves a secret, or connects.

use std::collections::BTreeSet;

use openrtc_livekit::{Endpoint, proto};

use super::faults::Faults;
use super::paths::Environment;
use super::reference::{self, SecretRef};
use super::section::{Limit, Section, Spot};
use super::shape::Shape;
use super::tree::Origin;

/// Bytes of an agent's name that the server takes without trouble.
const AGENT_NAME_BYTES_MAX: usize = 128;
/// One connection each.
const AGENT_NAMES_MAX: usize = 16;
/// Another agent for one call; who dies that often will again.
const REDISPATCHES_MAX: u64 = 10;
/// Default of `[supervisor] drain_timeout_s` once there are calls (decision R5).
pub(super) const DRAIN_TIMEOUT_MS: u64 = 3_600_000;

/// What a worker takes jobs for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobType {
    /// A room.
    Room,
    /// Whoever publishes a track.
    Publisher,
    /// Whoever joins.
    Participant,
}

impl JobType {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::Publisher => "publisher",
            Self::Participant => "participant",
        }
    }

    /// As LiveKit has it.
    pub fn proto(self) -> proto::JobType {
        match self {
            Self::Room => proto::JobType::JtRoom,
            Self::Publisher => proto::JobType::JtPublisher,
            Self::Participant => proto::JobType::JtParticipant,
        }
    }
}

const JOB_TYPES: [(&str, JobType); 3] =
    [("room", JobType::Room), ("publisher", JobType::Publisher), ("participant", JobType::Participant)];

/// Whose word on the tenant is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrustedMetadata {
    /// The dispatch's attributes `tenant` and `agent`.
    Attributes,
    /// The dispatch's metadata.
    Job,
    /// The room's metadata.
    Room,
}

impl TrustedMetadata {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attributes => "attributes",
            Self::Job => "job",
            Self::Room => "room",
        }
    }
}

const TRUSTED: [(&str, TrustedMetadata); 3] =
    [("attributes", TrustedMetadata::Attributes), ("job", TrustedMetadata::Job), ("room", TrustedMetadata::Room)];

/// What a host's own token may do in its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostGrant {
    /// Manage it: participants, metadata, dispatches.
    RoomAdmin,
}

const HOST_GRANTS: [(&str, HostGrant); 1] = [("room_admin", HostGrant::RoomAdmin)];

impl HostGrant {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::RoomAdmin => "room_admin",
        }
    }
}

/// A valid section.
#[derive(Debug, Clone)]
pub struct Livekit {
    /// Where.
    pub endpoint: Endpoint,
    /// As whom to register; one connection for each, and for each of the job types.
    pub agent_names: Vec<String>,
    /// For what.
    pub job_types: BTreeSet<JobType>,
    /// Whose word on the tenant is believed.
    pub trusted_metadata: BTreeSet<TrustedMetadata>,
    /// What hosts get beside their job's token.
    pub host_grants: BTreeSet<HostGrant>,
    /// How often another agent is asked for, for a call whose host died.
    pub redispatch_after_host_death: Option<u32>,
    pub(super) api_key: Spot<SecretRef>,
    pub(super) api_secret: Spot<SecretRef>,
}

/// What was written.
pub(super) struct LivekitFile {
    url: Option<Spot<String>>,
    api_key: Option<Spot<SecretRef>>,
    pub(super) api_secret: Option<Spot<SecretRef>>,
    agent_names: Option<Vec<String>>,
    job_types: Option<BTreeSet<JobType>>,
    trusted_metadata: Option<BTreeSet<TrustedMetadata>>,
    host_grants: Option<BTreeSet<HostGrant>>,
    redispatch_after_host_death: Option<Limit>,
}

impl LivekitFile {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            url: section.text("url"),
            api_key: secret(section, "api_key"),
            api_secret: secret(section, "api_secret"),
            agent_names: agent_names(section),
            job_types: words(section, "job_types", &JOB_TYPES, true),
            trusted_metadata: words(section, "trusted_metadata", &TRUSTED, false),
            host_grants: words(section, "host_grants", &HOST_GRANTS, false),
            redispatch_after_host_death: section.limit("redispatch_after_host_death", 1..=REDISPATCHES_MAX),
        }
    }

    /// The section in force; `None` where neither it nor the environment names a server.
    pub(super) fn valid(self, environment: &Environment, origin: &Origin, faults: &mut Faults) -> Option<Livekit> {
        let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let from_environment = || {
            let url = variable("LIVEKIT_URL")?.clone();
            Some(Spot { value: url, key: "livekit.url ($LIVEKIT_URL)".to_owned(), origin: origin.clone() })
        };
        let url = self.url.or_else(from_environment).filter(|url| !matches!(url.value.as_str(), "" | "off"))?;
        let mut reference = |written: Option<Spot<SecretRef>>, key: &str, name: &str| {
            if written.is_none() && variable(name).is_none() {
                let remedy = format!("set {name}, or {key} = {{ env = \"NAME\" }}");
                faults.add(&url.origin, key, None, "is missing beside the server's URL", remedy);
            }
            let default =
                || Spot { value: SecretRef::Env(name.to_owned()), key: key.to_owned(), origin: url.origin.clone() };
            written.unwrap_or_else(default)
        };
        let api_key = reference(self.api_key, "livekit.api_key", "LIVEKIT_API_KEY");
        let api_secret = reference(self.api_secret, "livekit.api_secret", "LIVEKIT_API_SECRET");
        let endpoint = match url.value.parse::<Endpoint>() {
            Ok(endpoint) => endpoint,
            Err(error) => {
                // An unfit URL may hold a password.
                let remedy = "write url = \"wss://HOST\", as LiveKit's console shows it";
                faults.add(
                    &url.origin,
                    &url.key,
                    None,
                    format!("is no server's URL: {}", error_in_short(&error)),
                    remedy,
                );
                return None;
            }
        };
        let trusted =
            self.trusted_metadata.unwrap_or(BTreeSet::from([TrustedMetadata::Attributes, TrustedMetadata::Job]));
        if trusted.contains(&TrustedMetadata::Room) {
            faults.warn(
                "livekit.trusted_metadata has \"room\": whoever holds a token with roomAdmin or roomCreate writes a \
                 room's metadata, and chooses by it whose keys a call runs on",
            );
        }
        Some(Livekit {
            endpoint,
            agent_names: self.agent_names.unwrap_or_else(|| vec![String::new()]),
            job_types: self.job_types.unwrap_or(BTreeSet::from([JobType::Room])),
            trusted_metadata: trusted,
            host_grants: self.host_grants.unwrap_or_default(),
            redispatch_after_host_death: self
                .redispatch_after_host_death
                .and_then(Limit::number)
                .and_then(|most| u32::try_from(most).ok()),
            api_key,
            api_secret,
        })
    }
}

fn error_in_short(error: &openrtc_livekit::EndpointError) -> &'static str {
    use openrtc_livekit::EndpointError;
    match error {
        EndpointError::NotAUrl { .. } => "not a URL",
        EndpointError::Scheme { .. } => "it begins with none of ws://, wss://, http://, https://",
        EndpointError::NoHost { .. } => "it names no host",
        EndpointError::Surplus { what } => match *what {
            "a query" => "it carries a query",
            _ => "it carries a user or password",
        },
    }
}

fn secret(section: &mut Section<'_>, key: &'static str) -> Option<Spot<SecretRef>> {
    let spot = section.node(key, || Shape::Secret)?;
    reference::read(section, spot)
}

fn agent_names(section: &mut Section<'_>) -> Option<Vec<String>> {
    let list = section.texts_of("agent_names", || Shape::SomeTexts(1))?;
    if list.value.is_empty() || list.value.len() > AGENT_NAMES_MAX {
        let problem = format!("has {} entries", list.value.len());
        let remedy = format!("give 1 to {AGENT_NAMES_MAX} names; \"\" takes every room that names no agent");
        section.faults.add(&list.origin, &list.key, None, problem, remedy);
    }
    let mut names = Vec::new();
    for name in list.value {
        if name.value.len() > AGENT_NAME_BYTES_MAX || name.value.chars().any(char::is_control) {
            let remedy = format!("use at most {AGENT_NAME_BYTES_MAX} bytes without control characters");
            section.faults.add(&name.origin, &name.key, None, "is no agent name", remedy);
        }
        if names.contains(&name.value) {
            section.faults.add(&name.origin, &name.key, None, "stands here twice", "keep one of the two");
        }
        names.push(name.value);
    }
    Some(names)
}

/// A list of words; with `some`, of one at least.
fn words<T: Copy + Ord>(
    section: &mut Section<'_>,
    key: &'static str,
    words: &[(&'static str, T)],
    some: bool,
) -> Option<BTreeSet<T>> {
    let list = section.texts_of(key, || Shape::Words(words.iter().map(|(word, _)| *word).collect(), some))?;
    let choices: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    if some && list.value.is_empty() {
        let remedy = format!("give {}", choices.join(" or "));
        section.faults.add(&list.origin, &list.key, None, "is empty", remedy);
    }
    let mut chosen = BTreeSet::new();
    for item in list.value {
        match words.iter().find(|(word, _)| *word == item.value) {
            Some((_, choice)) => {
                chosen.insert(*choice);
            }
            None => {
                let value = Some(format!("{:?}", item.value));
                let remedy = format!("use {}", choices.join(" or "));
                section.faults.add(&item.origin, &item.key, value, "is none of the choices", remedy);
            }
        }
    }
    Some(chosen)
}
