//! `/healthz`, `/readyz` and `/worker`: what probes ask, without a token, over the sockets and `[supervisor] health_listen`.
//!
//! Owns: when we are ready, and why not. Never: tells a tenant's name, or anything that a probe does not need; except
//! where `[metrics] without_token` puts `/metrics` beside them.

use std::net::SocketAddr;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use openrtc_control_api::{Readiness, Strength, Unready, WorkerInfo};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::listen::{Room, converse, next_remote};
use super::metrics;
use super::server::ControlError;
use super::world::World;

/// Of livekit-agents' own worker.
const WORKER_PROTOCOL: u32 = 1;

/// The world as far as there is one: none while we start.
pub(super) type Health = watch::Receiver<Option<World>>;

/// The port of probes, answering from the moment that it is opened.
#[derive(Debug)]
pub struct HealthServer {
    listener: TcpListener,
    address: SocketAddr,
    metrics: bool,
}

impl HealthServer {
    /// Binds it; `/metrics` is served there only if that is asked for. Needs a tokio runtime.
    pub(super) fn open(address: SocketAddr, metrics: bool) -> Result<Self, ControlError> {
        let listener = super::server::bind(address)?;
        let address = listener.local_addr().unwrap_or(address);
        Ok(Self { listener, address, metrics })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves for ever; not ready until there is a world.
    pub async fn serve(self, world: watch::Receiver<Option<World>>) {
        let router = routes().route("/", get(livekits));
        let router = if self.metrics { router.route("/metrics", get(metrics::show_probes)) } else { router };
        let router = router.with_state(world);
        let room = Room::new();
        loop {
            let (stream, peer) = next_remote(&self.listener).await;
            let place = room.enter().await;
            tokio::spawn(converse(stream, peer, router.clone(), place));
        }
    }
}

/// The routes of probes.
pub(super) fn routes() -> Router<Health> {
    Router::new().route("/healthz", get(alive)).route("/readyz", get(ready)).route("/worker", get(worker))
}

/// Whether a path is one of a probe, which needs no token.
pub(super) fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/worker")
}

/// The process lives, and its one loop answers.
async fn alive(State(health): State<Health>) -> (StatusCode, &'static str) {
    let world = health.borrow().clone();
    match world {
        None => (StatusCode::OK, "ok\n"),
        Some(world) => match world.view().await {
            Ok(_) => (StatusCode::OK, "ok\n"),
            Err(crate::sources::Stopping) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        },
    }
}

/// What livekit-agents' worker answers at `/`: well, unless it has given LiveKit up.
async fn livekits(State(health): State<Health>) -> (StatusCode, &'static str) {
    let world = health.borrow().clone();
    let given_up = world.as_ref().and_then(World::livekit).is_some_and(|livekit| {
        let workers = livekit.view().workers;
        !workers.is_empty() && workers.iter().all(|worker| worker.link == "stopped")
    });
    match given_up {
        true => (StatusCode::SERVICE_UNAVAILABLE, "failed to connect to livekit"),
        false => (StatusCode::OK, "OK"),
    }
}

async fn ready(State(health): State<Health>) -> (StatusCode, Json<Readiness>) {
    let world = health.borrow().clone();
    let reasons = match world {
        None => vec![unready("starting", "walls are tried and zygotes warmed; no session is taken yet")],
        Some(world) => reasons(&world).await,
    };
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready: reasons.is_empty(), reasons }))
}

fn unready(reason: &str, detail: impl Into<String>) -> Unready {
    Unready { reason: reason.to_owned(), detail: detail.into() }
}

async fn reasons(world: &World) -> Vec<Unready> {
    let mut reasons = Vec::new();
    match world.view().await {
        Ok(view) if view.draining => reasons.push(unready("draining", "no new sessions are taken")),
        Ok(_) => {}
        Err(crate::sources::Stopping) => reasons.push(unready("stopping", "the supervisor is stopping")),
    }
    for wall in world.about.doctor.walls.iter().filter(|wall| wall.required && wall.strength == Strength::Absent) {
        reasons.push(unready("wall_absent", format!("{}: {}", wall.wall, wall.by)));
    }
    for row in world.zygotes().into_iter().filter(|row| row.state.is_starting()) {
        reasons.push(unready("zygote_starting", format!("{}: not warm yet", row.runtime)));
    }
    reasons
}

async fn worker(State(health): State<Health>) -> Json<WorkerInfo> {
    let world = health.borrow().clone();
    let mut info = WorkerInfo {
        agent_name: String::new(),
        worker_type: "JT_ROOM".to_owned(),
        active_jobs: 0,
        sdk_version: env!("CARGO_PKG_VERSION").to_owned(),
        worker_load: 0.0,
        protocol_version: WORKER_PROTOCOL,
    };
    let Some(world) = world else { return Json(info) };
    if let Some(first) = world.livekit().and_then(|livekit| livekit.view().workers.into_iter().next()) {
        info.worker_type = format!("JT_{}", first.job_type.to_uppercase());
        info.agent_name = first.agent_name;
    }
    if let Ok(view) = world.view().await {
        info.active_jobs = view.sessions.len() as u32;
        if let Some(most) = view.max_concurrent_sessions {
            info.worker_load = f64::from(info.active_jobs) / f64::from(most.max(1));
        }
    }
    Json(info)
}
