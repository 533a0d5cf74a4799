//! `/v1/tenants/{id}/verify`: a canary session, and whether it shows under its tenant wherever sessions are looked for.
//!
//! Owns: the canary from its dispatch to its end. Never: leaves it running when whoever asked has gone, or judges what the
//! agent says (decision 0022).

use std::path::Path;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use openrtc_control_api::{DispatchRequest, EndedSession, Found, Verification, VerifiedPlace, VerifyRequest};
use openrtc_ipc::{SessionId, TenantId};
use openrtc_policy::{Admitted, Answer};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::peer::Peer;
use super::refusal::Refusal;
use super::request::{Asked, Named};
use super::world::World;
use super::{session, snapshot};
use crate::dispatch::local;
use crate::observer::EventReader;
use crate::observer::stream::{Begin, Next};

/// From the dispatch to the start of the session. A Python host that is made cold takes some seconds.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long a canary must run: an agent that breaks as its call begins does so within it.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// From asking the session to end until it has, and for its last words to arrive.
const END_LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at the log.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) async fn verify(
    State(world): State<World>,
    peer: Peer,
    Named(id): Named<TenantId>,
    Asked(request): Asked<VerifyRequest>,
) -> Result<Json<Verification>, Refusal> {
    if !peer.is_owner() && request.input.is_some() {
        // We would open it with our own rights, whoever asks.
        let detail = "input: only the supervisor's own user and root may name files for it to open";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "permission_denied", detail));
    }
    world.known(&id).await?;
    // On its own, so that the canary is ended even if whoever asked leaves meanwhile.
    let tried = tokio::spawn(async move { Canary::place(world, id, request).await?.watched().await });
    match tried.await {
        Ok(verification) => verification.map(Json),
        Err(error) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "verify_failed", error.to_string())),
    }
}

/// A session that was placed to be looked at.
struct Canary {
    world: World,
    tenant: TenantId,
    admitted: Admitted,
    events: EventReader,
    places: Vec<VerifiedPlace>,
    /// Whether it was seen in `top` and in the snapshot, under which tenant.
    seen: [Option<String>; 2],
    /// Whose the start and the end were that the observers were told of.
    started: Option<String>,
    over: Option<String>,
}

impl Canary {
    async fn place(world: World, tenant: TenantId, request: VerifyRequest) -> Result<Self, Refusal> {
        let (events, _) = world.events.read(Begin::Now, Some(tenant.clone()));
        let rooms = world.handle.inspect(|policy| policy.rules().rooms.clone()).await?;
        let prefix = if rooms.tenant_prefix { format!("{tenant}{}", rooms.separator) } else { String::new() };
        let dispatch = DispatchRequest {
            room: format!("{prefix}verify"),
            tenant: Some(tenant.to_string()),
            agent: request.agent,
            metadata: Some(json!({ "canary": true }).to_string()),
            input: request.input.as_deref().map(Path::to_owned),
            ..DispatchRequest::default()
        };
        match local::dispatch(&world.handle, dispatch).await? {
            Answer::Rejected(rejection) => Err(rejection.into()),
            Answer::Admitted(admitted) => {
                let (places, seen) = (Vec::new(), [None, None]);
                Ok(Self { world, tenant, admitted, events, places, seen, started: None, over: None })
            }
        }
    }

    async fn watched(mut self) -> Result<Verification, Refusal> {
        // At once: a short session may be over before its start was told.
        self.look().await?;
        let deadline = Instant::now() + START_LIMIT;
        while self.started.is_none() && self.over.is_none() && self.hear(deadline).await {}
        self.look().await?;
        let logged = self.logged().await;
        let settled = Instant::now() + SETTLED_AFTER;
        while self.over.is_none() && self.hear(settled).await {}
        let session = self.admitted.session;
        // As when a caller hangs up: no failure of the tenant's, and no operator's kill.
        self.world.handle.lost(session).await?;
        let ended = self.world.ended_within(session, Some(END_LIMIT)).await;
        let ended: Option<EndedSession> = ended.map(|entry| session::ended(&entry));
        let deadline = Instant::now() + END_LIMIT;
        while ended.is_some() && self.over.is_none() && self.hear(deadline).await {}
        self.judge(logged, ended.as_ref());
        let Self { tenant, admitted, places, .. } = self;
        Ok(Verification {
            tenant: tenant.to_string(),
            session: session.to_string(),
            agent: admitted.agent.to_string(),
            routed_by: admitted.routed_by.to_owned(),
            ok: places.iter().all(|place| place.found != Found::Fail),
            places,
            ended,
        })
    }

    /// Looks for its row where an operator would.
    async fn look(&mut self) -> Result<(), Refusal> {
        let id = self.admitted.session.to_string();
        let top = snapshot::top_line(&self.world).await?.sessions;
        let whole = snapshot::snapshot(&self.world, None).await?.sessions;
        for (seen, rows) in self.seen.iter_mut().zip([top, whole]) {
            if let Some(row) = rows.into_iter().find(|row| row.session_id == id) {
                *seen = Some(row.tenant);
            }
        }
        Ok(())
    }

    /// Takes in one event; whether there was one in time.
    async fn hear(&mut self, deadline: Instant) -> bool {
        let Ok(Next::Event(event)) = timeout_at(deadline, self.events.next()).await else { return false };
        let row: Value = serde_json::from_str(&event.data).unwrap_or_default();
        if row["session_id"] == self.admitted.session.to_string() {
            let tenant = Some(row["tenant"].as_str().unwrap_or_default().to_owned());
            match event.kind {
                "session_start" => self.started = tenant,
                "session_end" => self.over = tenant,
                _ => {}
            }
        }
        true
    }

    /// Whose the log's lines about it are, once there is one.
    async fn logged(&self) -> Option<String> {
        let id = self.admitted.session.to_string();
        let of = |line: &String| {
            let row: Value = serde_json::from_str(line).ok()?;
            (row["session_id"] == id).then(|| row["tenant"].as_str().unwrap_or_default().to_owned())
        };
        let deadline = Instant::now() + END_LIMIT;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        // Without a start there may be no line before the end.
        while Instant::now() < deadline && (self.started.is_some() || self.over.is_some()) {
            looks.tick().await;
            if let Some(tenant) = self.world.recent.of(&self.tenant).iter().find_map(of) {
                return Some(tenant);
            }
        }
        None
    }

    fn judge(&mut self, logged: Option<String>, ended: Option<&EndedSession>) {
        let [top, whole] = std::mem::take(&mut self.seen);
        self.session(ended);
        let brief = self.over.is_some() || ended.is_some();
        self.place_of("top", top, if brief { Found::Unseen } else { Found::Fail });
        self.place_of("snapshot", whole, if brief { Found::Unseen } else { Found::Fail });
        self.place_of("logs", logged, Found::Fail);
        let told = match (self.started.take(), self.over.take()) {
            (Some(start), Some(end)) if start == end => Some(start),
            (Some(start), Some(end)) => Some(format!("{start}, then {end}")),
            _ => None,
        };
        self.place_of("observer", told, Found::Fail);
        self.place_of("ledger", ended.map(|ended| ended.tenant.clone()), Found::Fail);
    }

    fn session(&mut self, ended: Option<&EndedSession>) {
        let (found, saw) = match ended {
            None => (Found::Fail, format!("did not end within {} s of being asked to", END_LIMIT.as_secs())),
            Some(ended) => {
                let error = ended.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
                let saw = format!("{}, {} after {} ms{error}", ended.status, ended.reason, ended.duration_ms);
                let fine = ended.status != "failed" && ended.started;
                (if fine { Found::Pass } else { Found::Fail }, saw)
            }
        };
        self.places.push(VerifiedPlace { place: "session".to_owned(), found, saw });
    }

    fn place_of(&mut self, place: &str, seen: Option<String>, missing: Found) {
        let id: SessionId = self.admitted.session;
        let (found, saw) = match seen {
            Some(tenant) if tenant == self.tenant.as_str() => (Found::Pass, format!("{id} as {tenant}")),
            Some(other) => (Found::Fail, format!("{id} as {other:?}")),
            None if missing == Found::Unseen => (missing, "it ended before it could be looked at".to_owned()),
            None => (missing, format!("{id} is not there")),
        };
        self.places.push(VerifiedPlace { place: place.to_owned(), found, saw });
    }
}
