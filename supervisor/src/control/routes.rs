//! Every route under `/v1`: where it is, what it takes and answers, and who does it.
//!
//! Owns: the one table that the router and the OpenAPI document are both made of. Never: a route beside it.

use axum::Router;
use axum::routing::{MethodRouter, get, post};
use openrtc_control_api::{
    AdmissionQuestion, AdmissionTrace, Agent, Breaker, ChangeStatus, DispatchRequest, DispatchResponse, DoctorReport,
    DrainStatus, EffectiveTenant, Host, HostGone, KeyRotation, Livekit, LivekitCheck, LivekitOffer, Reload,
    ResetTenant, Session, SessionList, SetTenant, SimulateRequest, Snapshot, Tenant, TenantBundle, TenantHealth,
    TenantKilled, TokenRequest, TokenResponse, TripBreaker, Verification, VerifyRequest,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::world::World;
use super::{
    admission, agent, breaker, bundle, change, dispatch, doctor, drain, effective, events, host, livekit, openapi,
    session, snapshot, tenant, tenant_health, verification,
};

type Shape = fn(&mut SchemaGenerator) -> Schema;

/// One route.
pub(super) struct Route {
    /// `get` or `post`.
    pub(super) method: &'static str,
    /// Below the prefix.
    pub(super) path: &'static str,
    /// What it is for.
    pub(super) summary: &'static str,
    /// Its query, if it takes one.
    pub(super) query: Option<Shape>,
    /// Its body, if it takes one.
    pub(super) body: Option<Shape>,
    /// Its good answer.
    pub(super) answer: Answer,
    handler: fn() -> MethodRouter<World>,
}

/// What a good answer is.
pub(super) enum Answer {
    /// JSON of this shape.
    Json(Shape),
    /// Server-sent events.
    Events,
}

fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Route {
    fn get<A: JsonSchema>(path: &'static str, summary: &'static str, handler: fn() -> MethodRouter<World>) -> Self {
        let answer = Answer::Json(shape::<A>);
        Self { method: "get", path, summary, query: None, body: None, answer, handler }
    }

    fn post<A: JsonSchema>(path: &'static str, summary: &'static str, handler: fn() -> MethodRouter<World>) -> Self {
        Self { method: "post", ..Self::get::<A>(path, summary, handler) }
    }

    fn query<Q: JsonSchema>(self) -> Self {
        // In place: parameters are listed, not referred to.
        Self { query: Some(|generator| Q::json_schema(generator)), ..self }
    }

    fn body<B: JsonSchema>(self) -> Self {
        Self { body: Some(shape::<B>), ..self }
    }

    fn events(self) -> Self {
        Self { answer: Answer::Events, ..self }
    }
}

/// All of them.
pub(super) fn table() -> Vec<Route> {
    let mut table = looking();
    table.extend(ordering());
    table
}

fn looking() -> Vec<Route> {
    vec![
        Route::get::<Snapshot>("/snapshot", "Everything at a glance", || get(snapshot::show))
            .query::<snapshot::Query>(),
        Route::get::<()>("/events", "What happens, as it happens", || get(events::show))
            .query::<events::Query>()
            .events(),
        Route::get::<SessionList>("/sessions", "Sessions", || get(session::list)).query::<session::ListQuery>(),
        Route::get::<Session>("/sessions/{id}", "One session", || get(session::show)).query::<session::WaitQuery>(),
        Route::get::<Vec<Host>>("/hosts", "Host processes", || get(host::list)).query::<host::ListQuery>(),
        Route::get::<Host>("/hosts/{id}", "One host process", || get(host::show)),
        Route::get::<Vec<Tenant>>("/tenants", "Tenants, configured or seen", || get(tenant::list)),
        Route::get::<Tenant>("/tenants/{id}", "One tenant", || get(tenant::show)),
        Route::get::<EffectiveTenant>(
            "/tenants/{id}/effective",
            "What holds for a tenant, and which rung gave it",
            || get(effective::show),
        ),
        Route::get::<TenantHealth>(
            "/tenants/{id}/health",
            "Whether it fails, eats capacity, blocks or is refused",
            || get(tenant_health::show),
        ),
        Route::get::<TenantBundle>("/tenants/{id}/bundle", "All that is known of a tenant, to be handed on", || {
            get(bundle::show)
        }),
        Route::get::<Vec<Agent>>("/agents", "Agents that can be dispatched", || get(agent::list)),
        Route::get::<Vec<Breaker>>("/breakers", "Circuit breakers", || get(breaker::list)),
        Route::get::<DoctorReport>("/doctor", "The start-up report", || get(doctor::show)),
        Route::get::<Livekit>("/livekit", "How we stand with the LiveKit server", || get(livekit::show)),
        Route::get::<LivekitCheck>("/livekit/check", "Why no agent came to a room", || get(livekit::check))
            .query::<livekit::CheckQuery>(),
        Route::get::<serde_json::Value>("/openapi.json", "This document", || get(openapi::show)),
    ]
}

fn ordering() -> Vec<Route> {
    vec![
        Route::post::<DispatchResponse>("/dispatch", "Ask for a session", || post(dispatch::dispatch))
            .body::<DispatchRequest>(),
        Route::post::<AdmissionTrace>("/admission", "What a dispatch would be answered, and why", || {
            post(admission::explain)
        })
        .body::<AdmissionQuestion>(),
        Route::post::<Session>("/sessions/{id}/end", "End a session", || post(session::end))
            .query::<session::WaitQuery>(),
        Route::post::<HostGone>("/hosts/{id}/kill", "Kill a host's process tree", || post(host::kill)),
        Route::post::<Host>("/hosts/{id}/recycle", "Give new sessions another host", || post(host::recycle)),
        Route::post::<TenantKilled>("/tenants/{id}/kill", "Kill every host of a tenant", || post(tenant::kill)),
        Route::post::<Tenant>("/tenants/{id}/suspend", "Refuse new sessions of a tenant", || post(change::suspend))
            .body::<ChangeStatus>(),
        Route::post::<Tenant>("/tenants/{id}/resume", "Take them again", || post(change::resume))
            .body::<ChangeStatus>(),
        Route::post::<Tenant>("/tenants/{id}/set", "Change a tenant until it is reset", || post(change::set))
            .body::<SetTenant>(),
        Route::post::<Tenant>("/tenants/{id}/reset", "Let the configuration hold again", || post(change::reset))
            .body::<ResetTenant>(),
        Route::post::<KeyRotation>("/tenants/{id}/rotate-key", "Resolve a tenant's keys anew", || {
            post(change::rotate_key)
        }),
        Route::post::<Reload>("/reload", "Read the configuration anew", || post(change::reload)),
        Route::post::<Tenant>("/tenants/{id}/drain", "Let a tenant's sessions end", || post(tenant::drain)),
        Route::post::<Verification>("/tenants/{id}/verify", "Place a canary session, and look for it", || {
            post(verification::verify)
        })
        .body::<VerifyRequest>(),
        Route::post::<Breaker>("/breakers/{id}/reset", "Close a tenant's breaker", || post(breaker::reset)),
        Route::post::<Breaker>("/breakers/{id}/trip", "Open a tenant's breaker", || post(breaker::trip))
            .body::<TripBreaker>(),
        Route::post::<DrainStatus>("/drain", "Finish when the last session has ended", || post(drain::drain)),
        Route::post::<DrainStatus>("/shutdown", "End every session and finish", || post(drain::shutdown)),
        Route::post::<LivekitOffer>("/livekit/simulate", "Have the server offer us a job", || post(livekit::simulate))
            .body::<SimulateRequest>(),
        Route::post::<TokenResponse>("/livekit/token", "Mint a token for a caller", || post(livekit::mint))
            .body::<TokenRequest>(),
    ]
}

/// The router of all of them.
pub(super) fn router() -> Router<World> {
    table().into_iter().fold(Router::new(), |router, route| router.route(route.path, (route.handler)()))
}
