//! `[supervisor]`: the process itself, and what it allows altogether.
//!
//! Owns: the section's keys, ranges and defaults. Never: holds a rule; those go to [`openrtc_policy::Rules`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use openrtc_ipc::TenantId;
use openrtc_policy::rules::{HostScope, MissingTenant, UnknownTenant};

use super::faults::Faults;
use super::paths::{self, CONTROL_SOCKET, Environment, SOCKET_BYTES_MAX};
use super::reference::{self, SecretRef};
use super::section::{Limit, Section, Spot};
use super::shape::Shape;
use super::tree::{Origin, Value};

/// What two tenants with the same secret get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedKeys {
    /// A warning.
    Warn,
    /// A refusal.
    Deny,
}

/// The supervisor's own places and names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervisor {
    /// Directory of sockets and hosts' work directories; to be made 0700.
    pub runtime_dir: PathBuf,
    /// Directory of what outlives a restart; to be made 0700.
    pub state_dir: PathBuf,
    /// The control API's socket.
    pub control_socket: PathBuf,
    /// Who else may use it.
    pub control_group: Option<Group>,
    /// Where the control API is served over TCP; `None` is nowhere.
    pub control_listen: Option<SocketAddr>,
    pub(super) control_token: Option<Spot<SecretRef>>,
    /// Where probes are answered over TCP; `None` is nowhere.
    pub health_listen: Option<SocketAddr>,
    /// Where OpenRTC's own `top` finds us; `None` is nowhere.
    pub openrtc_top_socket: Option<PathBuf>,
    /// Our name in snapshots.
    pub worker_id: String,
    /// The operator's version label.
    pub deployment_version: Option<String>,
    /// What two tenants with the same secret get.
    pub shared_keys: SharedKeys,
}

/// A group of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name, or its number as it was written.
    pub name: String,
    /// Its number.
    pub gid: u32,
}

pub(super) const SCOPES: [(&str, HostScope); 2] = [("tenant", HostScope::Tenant), ("session", HostScope::Session)];

/// Milliseconds before the next host of a tenant whose hosts died.
const WAIT_MS: RangeInclusive<u64> = 10..=86_400_000;

/// What was written.
pub(super) struct SupervisorFile {
    pub(super) host_scope: Option<HostScope>,
    pub(super) max_concurrent_sessions: Option<u64>,
    pub(super) default_max_sessions: Option<Limit>,
    pub(super) unknown_tenant: Option<UnknownTenant>,
    pub(super) missing_tenant: Option<MissingTenant>,
    pub(super) default_tenant: Option<TenantId>,
    pub(super) drain_timeout_ms: Option<u64>,
    pub(super) terminate_grace_ms: Option<u64>,
    pub(super) initialize_timeout_ms: Option<u64>,
    pub(super) max_concurrent_spawns: Option<u64>,
    pub(super) spawn_attempts: Option<u64>,
    pub(super) restart_backoff_ms: Option<Vec<u64>>,
    pub(super) max_hosts: Option<u64>,
    pub(super) max_unregistered_hosts: Option<u64>,
    pub(super) host_idle_timeout_ms: Option<u64>,
    pub(super) max_sessions_per_host: Option<Limit>,
    pub(super) recycle_after_sessions: Option<Limit>,
    pub(super) accept_only_registered_rooms: Option<bool>,
    pub(super) allow_literal_secrets: Option<bool>,
    deployment_version: Option<String>,
    worker_id: Option<String>,
    runtime_dir: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    control_socket: Option<Spot<String>>,
    control_group: Option<Group>,
    control_listen: Option<SocketAddr>,
    pub(super) control_token: Option<Spot<SecretRef>>,
    health_listen: Option<SocketAddr>,
    pub(super) openrtc_top_socket: Option<Spot<String>>,
    pub(super) shared_keys: Option<SharedKeys>,
}

impl SupervisorFile {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        isolation(section);
        let control_token =
            section.node("control_token", || Shape::Secret).and_then(|spot| reference::read(section, spot));
        Self {
            control_group: control_group(section),
            control_listen: control_listen(section, control_token.is_some()),
            control_token,
            health_listen: health_listen(section),
            host_scope: section.choice("host_scope", &SCOPES),
            max_concurrent_sessions: section.whole("max_concurrent_sessions", 1..=100_000),
            default_max_sessions: section.limit("default_max_sessions", 1..=100_000),
            unknown_tenant: section.choice(
                "unknown_tenant",
                &[("default-config", UnknownTenant::DefaultConfig), ("reject", UnknownTenant::Reject)],
            ),
            missing_tenant: section
                .choice("missing_tenant", &[("default", MissingTenant::Default), ("reject", MissingTenant::Reject)]),
            default_tenant: default_tenant(section),
            drain_timeout_ms: section.seconds("drain_timeout_s", 1_000..=86_400_000),
            terminate_grace_ms: section.seconds("terminate_grace_s", 100..=600_000),
            initialize_timeout_ms: section.seconds("initialize_timeout_s", 100..=600_000),
            max_concurrent_spawns: section.whole("max_concurrent_spawns", 1..=64),
            spawn_attempts: section.whole("spawn_attempts", 1..=10),
            restart_backoff_ms: restart_backoff(section),
            max_hosts: section.whole("max_hosts", 1..=10_000),
            max_unregistered_hosts: section.whole("max_unregistered_hosts", 1..=10_000),
            host_idle_timeout_ms: section.seconds("host_idle_timeout_s", 100..=604_800_000),
            max_sessions_per_host: section.limit("max_sessions_per_host", 1..=10_000),
            recycle_after_sessions: section.limit("recycle_after_sessions", 1..=1_000_000),
            accept_only_registered_rooms: section.flag("accept_only_registered_rooms"),
            allow_literal_secrets: section.flag("allow_literal_secrets"),
            deployment_version: section.text_or_none("deployment_version").map(|spot| spot.value),
            worker_id: section.text_or_none("worker_id").map(|spot| spot.value),
            runtime_dir: section.path_or_none("runtime_dir"),
            state_dir: section.path_or_none("state_dir"),
            control_socket: section.text_or_none("control_socket"),
            openrtc_top_socket: section.text_or_none("openrtc_top_socket").filter(|spot| spot.value != "off"),
            shared_keys: section.choice("shared_keys", &[("warn", SharedKeys::Warn), ("deny", SharedKeys::Deny)]),
        }
    }

    /// Whether probes have a port of their own.
    pub(super) fn has_health_port(&self) -> bool {
        self.health_listen.is_some()
    }

    /// Finds the directories and names the sockets.
    pub(super) fn places(&self, environment: &Environment, origin: &Origin, faults: &mut Faults) -> Supervisor {
        let root = paths::is_root();
        let runtime = self.runtime_dir.clone().or_else(|| paths::runtime_dir(environment, root));
        let state = self.state_dir.clone().or_else(|| paths::state_dir(environment, root));
        let mut dir = |dir: Option<PathBuf>, key: &str, variable: &str| {
            dir.unwrap_or_else(|| {
                let key = format!("supervisor.{key}");
                let remedy = format!("set ${variable}, or {key} = \"PATH\"");
                faults.add(origin, &key, None, "has no default here", remedy);
                PathBuf::new()
            })
        };
        let runtime_dir = dir(runtime, "runtime_dir", "XDG_RUNTIME_DIR");
        let state_dir = dir(state, "state_dir", "HOME");
        let control_socket = match &self.control_socket {
            Some(spot) => socket(spot, &runtime_dir, faults),
            None => named_socket(origin, "supervisor.control_socket", runtime_dir.join(CONTROL_SOCKET), faults),
        };
        let openrtc_top_socket = self.openrtc_top_socket.as_ref().map(|spot| socket(spot, &runtime_dir, faults));
        Supervisor {
            control_socket,
            control_group: self.control_group.clone(),
            control_listen: self.control_listen,
            control_token: self.control_token.clone(),
            health_listen: self.health_listen,
            openrtc_top_socket,
            worker_id: self.worker_id.clone().unwrap_or_else(own_name),
            deployment_version: self.deployment_version.clone(),
            shared_keys: self.shared_keys.unwrap_or(SharedKeys::Warn),
            runtime_dir,
            state_dir,
        }
    }
}

fn isolation(section: &mut Section<'_>) {
    let Some(spot) = section.text_of("isolation", || Shape::Word(vec!["process"])) else { return };
    let remedy = match spot.value.as_str() {
        "process" => return,
        "coroutine" => "use \"process\"; for sessions as coroutines of one process run OpenRTC itself",
        _ => "use \"process\", the only value",
    };
    section.faults.add(&spot.origin, &spot.key, Some(format!("{:?}", spot.value)), "is not what this builds", remedy);
}

/// `"off"`, or an address with its port.
fn address(section: &mut Section<'_>, spot: &Spot<String>, example: &str) -> Option<SocketAddr> {
    let address = spot.value.parse::<SocketAddr>().ok().filter(|address| address.port() != 0);
    if address.is_none() {
        let remedy = format!("give \"off\", or an IP address and a port, as \"{example}\"");
        let value = Some(format!("{:?}", spot.value));
        section.faults.add(&spot.origin, &spot.key, value, "is no address to listen on", remedy);
    }
    address
}

/// On TCP nobody's user id is known: a token is asked for, and other machines are let in only by a word of their own.
fn control_listen(section: &mut Section<'_>, token: bool) -> Option<SocketAddr> {
    let public = section.flag("control_listen_public").unwrap_or(false);
    let spot = section.text("control_listen").filter(|spot| spot.value != "off")?;
    let address = address(section, &spot, "127.0.0.1:8082")?;
    let value = Some(format!("{:?}", spot.value));
    if !address.ip().is_loopback() && !public {
        let remedy = "listen on 127.0.0.1, or say control_listen_public = true; what travels there is not encrypted";
        section.faults.add(&spot.origin, &spot.key, value.clone(), "can be reached by other machines", remedy);
    }
    if !token {
        let remedy = format!("give supervisor.control_token as {}", reference::FORMS);
        section.faults.add(&spot.origin, &spot.key, value, "has no token", remedy);
    }
    Some(address)
}

/// An address, or a port alone, which is OpenRTC's `port`: of every address.
fn health_listen(section: &mut Section<'_>) -> Option<SocketAddr> {
    let spot = section.node("health_listen", || Shape::AddressOrPort)?;
    let wanted = match &spot.value {
        Value::Text(text) => Spot { value: text.clone(), key: spot.key.clone(), origin: spot.origin.clone() },
        Value::Whole(port) => match u16::try_from(*port).ok().filter(|port| *port != 0) {
            Some(port) => return Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)),
            None => Spot { value: port.to_string(), key: spot.key.clone(), origin: spot.origin.clone() },
        },
        _ => Spot { value: spot.value.shown(), key: spot.key.clone(), origin: spot.origin.clone() },
    };
    match wanted.value.as_str() {
        "off" | "" => None,
        _ => address(section, &wanted, "0.0.0.0:8081"),
    }
}

fn control_group(section: &mut Section<'_>) -> Option<Group> {
    let spot = section.text("control_group").filter(|spot| spot.value != "off")?;
    let found = match spot.value.parse::<u32>() {
        Ok(gid) => Some(gid),
        Err(_) => nix::unistd::Group::from_name(&spot.value).ok().flatten().map(|group| group.gid.as_raw()),
    };
    if found.is_none() {
        let remedy = format!("make it (`groupadd --system {}`), or name one of /etc/group", spot.value);
        section.faults.add(&spot.origin, &spot.key, Some(format!("{:?}", spot.value)), "is no group here", remedy);
    }
    Some(Group { gid: found?, name: spot.value })
}

fn default_tenant(section: &mut Section<'_>) -> Option<TenantId> {
    let spot = section.text("default_tenant")?;
    let tenant = TenantId::parse(&spot.value);
    if let Err(error) = &tenant {
        section.faults.add(&spot.origin, &spot.key, None, "is no tenant id", error.to_string());
    }
    tenant.ok()
}

fn restart_backoff(section: &mut Section<'_>) -> Option<Vec<u64>> {
    let list = section.items("restart_backoff_s", || Shape::Waits(WAIT_MS))?;
    if list.value.is_empty() || list.value.len() > 16 {
        let problem = format!("has {} entries", list.value.len());
        section.faults.add(&list.origin, &list.key, None, problem, "give 1 to 16 waits in seconds");
    }
    Some(list.value.iter().filter_map(|wait| section.seconds_of(wait, &WAIT_MS)).collect())
}

/// A bare name is a file in the runtime directory; a path is relative to where it stands.
fn socket(spot: &Spot<String>, runtime_dir: &Path, faults: &mut Faults) -> PathBuf {
    match spot.value.contains('/') {
        true => named_socket(&spot.origin, &spot.key, spot.origin.resolve(&spot.value), faults),
        false => named_socket(&spot.origin, &spot.key, runtime_dir.join(&spot.value), faults),
    }
}

fn named_socket(origin: &Origin, key: &str, path: PathBuf, faults: &mut Faults) -> PathBuf {
    if path.as_os_str().len() > SOCKET_BYTES_MAX {
        let problem = format!("is longer than the {SOCKET_BYTES_MAX} bytes of a Unix socket's path");
        let value = Some(format!("{:?}", path.display().to_string()));
        faults.add(origin, key, value, problem, "choose a shorter supervisor.runtime_dir");
    }
    path
}

/// `hostname-pid`.
fn own_name() -> String {
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    format!("{}-{}", host.as_deref().unwrap_or("localhost"), std::process::id())
}
