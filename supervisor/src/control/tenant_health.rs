//! `/v1/tenants/{id}/health`: whether a tenant fails, eats capacity, blocks its loop or is refused.
//!
//! Owns: the marks, their thresholds and what to do about each (semantics P8, Q9). Never: acts, or asks a host.
//!
//! | threshold | source |
//! |---|---|
//! | more than 5 % of the last 100 ended sessions failed, two at least | the seeds' dashboard (P8) |
//! | breaker not closed | `[circuit_breaker]` |
//! | more than half of `max_concurrent_sessions`, of the machine's CPU | above it, all others together have less |
//! | 80 % of its own cap | "near plan limit" (P8), as `memory_warn_pct` |
//! | `memory_warn_pct` of a host's memory wall | `[wall]` |
//! | `slow_session_threshold_ms`, `unresponsive_warn_ms` | `[wall]` |
//! | more than 5 % of its dispatches refused since the start | as failures |

use axum::Json;
use axum::extract::State;
use openrtc_control_api::{Ailment, Breaker, HealthMark, Host, Tenant, TenantHealth};
use openrtc_ipc::TenantId;
use openrtc_policy::{RejectReason, Status};

use super::facts::Facts;
use super::refusal::Refusal;
use super::request::Named;
use super::world::World;
use super::{breaker, host, session, tenant};

/// Ended sessions that are looked at, the newest first.
const ENDED_SEEN_MAX: usize = 100;
/// Percent of sessions that may fail, and of dispatches that may be refused.
const RATE_PCT_MAX: f64 = 5.0;
/// One failure is an accident.
const FAILURES_MIN: usize = 2;
/// Percent of what all share that one tenant may hold.
const SHARE_PCT_MAX: f64 = 50.0;
/// Percent of its own cap at which a tenant nears it.
const CAP_PCT_MAX: f64 = 80.0;

pub(super) async fn show(
    State(world): State<World>,
    Named(id): Named<TenantId>,
) -> Result<Json<TenantHealth>, Refusal> {
    health(&world, &id).await.map(Json)
}

/// What is looked at.
struct Patient<'a> {
    tenant: Tenant,
    hosts: Vec<Host>,
    breaker: Option<Breaker>,
    facts: &'a Facts,
    id: &'a TenantId,
    memory_warn_pct: f64,
    slow_ms: f64,
    unresponsive_ms: f64,
    /// By reason, since the start.
    refused: Vec<(RejectReason, u64)>,
    admitted: u64,
}

/// Looks at every mark of one tenant.
pub(super) async fn health(world: &World, id: &TenantId) -> Result<TenantHealth, Refusal> {
    world.known(id).await?;
    let asked = id.clone();
    let (refused, admitted, unresponsive_ms) = world
        .handle
        .inspect(move |policy| {
            let (refused, admitted) = policy.answered(&asked);
            (refused, admitted, policy.rules().unresponsive_warn_ms)
        })
        .await?;
    let facts = Facts::gather(world).await?;
    let tenant = tenant::one(&facts, id)?;
    let memory_warn_pct = world.config().map_or(100, |config| config.default_wall().memory_warn_pct);
    let patient = Patient {
        tenant,
        hosts: host::hosts(&facts, Some(id)),
        breaker: breaker::breakers(&facts.view, Some(id)).pop(),
        id,
        memory_warn_pct: f64::from(memory_warn_pct),
        slow_ms: world.about.slow_session_threshold_ms as f64,
        unresponsive_ms: unresponsive_ms as f64,
        refused: refused.into_iter().collect(),
        admitted,
        facts: &facts,
    };
    Ok(patient.examined())
}

impl Patient<'_> {
    fn examined(&self) -> TenantHealth {
        let mut marks = vec![self.failures()];
        marks.extend(self.breaker());
        marks.extend(self.shares());
        marks.extend(self.hosts.iter().flat_map(|host| self.host(host)));
        marks.push(self.admission());
        marks.push(self.refusals());
        let mut ailments: Vec<Ailment> = Vec::new();
        for mark in marks.iter().filter(|mark| mark.over) {
            if !ailments.contains(&mark.ailment) {
                ailments.push(mark.ailment);
            }
        }
        TenantHealth { tenant: self.id.to_string(), healthy: ailments.is_empty(), ailments, marks }
    }

    fn failures(&self) -> HealthMark {
        let own = self.facts.ended.iter().rev().filter(|entry| entry.conclusion.plan.tenant == *self.id);
        let outcomes: Vec<_> = own.take(ENDED_SEEN_MAX).map(|entry| &entry.conclusion.outcome).collect();
        let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.status == Status::Failed).collect();
        let rate = percent(failed.len() as f64, outcomes.len() as f64);
        let last = failed.first().map(|outcome| format!(", the last by {}", session::reason(&outcome.reason)));
        HealthMark {
            ailment: Ailment::Failing,
            measure: "failed sessions".to_owned(),
            value: format!("{} of the last {} ({rate:.0} %){}", failed.len(), outcomes.len(), last.unwrap_or_default()),
            threshold: format!("{RATE_PCT_MAX} %, {FAILURES_MIN} at least"),
            over: failed.len() >= FAILURES_MIN && rate > RATE_PCT_MAX,
            remedy: Some(format!("session list --ended --tenant {0}; tenant suspend {0}", self.id)),
        }
        .told()
    }

    fn breaker(&self) -> Option<HealthMark> {
        let breaker = self.breaker.as_ref()?;
        let open = matches!(breaker.state.as_str(), "open" | "half_open");
        let closes = breaker.closes_in_s.map(|s| format!(", closes in {s:.0} s")).unwrap_or_default();
        let mark = HealthMark {
            ailment: Ailment::Failing,
            measure: "breaker".to_owned(),
            value: format!("{}, {}/{} failed{closes}", breaker.state, breaker.failures, breaker.samples),
            threshold: "closed or off ([circuit_breaker])".to_owned(),
            over: open,
            remedy: Some(format!("breaker reset --tenant {}", self.id)),
        };
        Some(mark.told())
    }

    /// What it holds of what all share, and of its own cap.
    fn shares(&self) -> Vec<HealthMark> {
        let active = f64::from(self.tenant.active_sessions);
        let share = |measure: &str, value: f64, unit: &str, whole: f64, limit: f64, remedy: String| {
            let held = percent(value, whole);
            HealthMark {
                ailment: Ailment::EatingCapacity,
                measure: measure.to_owned(),
                value: format!("{value:.0} of {whole:.0}{unit} ({held:.0} %)"),
                threshold: format!("{limit} %"),
                over: held > limit,
                remedy: Some(remedy),
            }
            .told()
        };
        let lower = || format!("tenant set {} --max-sessions N", self.id);
        let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
        let kill = match self.hosts.iter().max_by(|a, b| a.cpu_pct.total_cmp(&b.cpu_pct)) {
            Some(busiest) => format!("host kill {}", busiest.host),
            None => lower(),
        };
        let mut marks = Vec::new();
        if let Some(all) = self.facts.view.max_concurrent_sessions {
            marks.push(share("share of all sessions", active, "", f64::from(all), SHARE_PCT_MAX, lower()));
        }
        if let Some(cap) = self.tenant.max_sessions {
            marks.push(share("its own cap", active, "", f64::from(cap), CAP_PCT_MAX, lower()));
        }
        marks.push(share("share of the machine's CPU", self.tenant.cpu_pct, " %", cores * 100.0, SHARE_PCT_MAX, kill));
        marks
    }

    /// A host against its memory wall, and how it answers.
    fn host(&self, host: &Host) -> Vec<HealthMark> {
        let kill = || Some(format!("host kill {}", host.host));
        let mut marks = Vec::new();
        if let Some(wall) = host.memory_max_bytes {
            let held = percent(host.memory_bytes as f64, wall as f64);
            marks.push(HealthMark {
                ailment: Ailment::EatingCapacity,
                measure: format!("memory of {}", host.host),
                value: format!("{} of {} MiB ({held:.0} %)", host.memory_bytes >> 20, wall >> 20),
                threshold: format!("{:.0} % ([wall] memory_warn_pct)", self.memory_warn_pct),
                over: held >= self.memory_warn_pct,
                remedy: kill(),
            });
        }
        let silent = host.condemned.as_ref().is_some_and(|causes| causes.contains("unresponsive"));
        for (measure, ms, limit, key, condemned) in [
            ("loop lag", host.loop_lag_ms, self.slow_ms, "slow_session_threshold_ms", false),
            ("ping", host.ping_ms, self.unresponsive_ms, "unresponsive_warn_ms", silent),
        ] {
            marks.push(HealthMark {
                ailment: Ailment::BlockingItsLoop,
                measure: format!("{measure} of {}", host.host),
                value: if condemned { "it does not answer".to_owned() } else { format!("{ms:.1} ms") },
                threshold: format!("{limit:.0} ms ([wall] {key})"),
                over: condemned || ms > limit,
                remedy: kill(),
            });
        }
        marks.into_iter().map(HealthMark::told).collect()
    }

    /// Whether its next dispatch would be refused, whatever it asks for.
    fn admission(&self) -> HealthMark {
        let tenant = &self.tenant;
        let full = tenant.max_sessions.is_some_and(|cap| tenant.active_sessions >= cap);
        let (value, remedy) = match (tenant.status.as_str(), &tenant.unusable) {
            ("active", Some(why)) => (format!("unusable: {why}"), "config check".to_owned()),
            ("active", None) if full => ("at its cap".to_owned(), format!("tenant set {} --max-sessions N", self.id)),
            ("active", None) => ("active".to_owned(), String::new()),
            (status, _) => (status.to_owned(), format!("tenant resume {}", self.id)),
        };
        HealthMark {
            ailment: Ailment::Refused,
            measure: "new sessions".to_owned(),
            over: value != "active",
            value,
            threshold: "active, and below its cap".to_owned(),
            remedy: Some(remedy),
        }
        .told()
    }

    fn refusals(&self) -> HealthMark {
        let refused: u64 = self.refused.iter().map(|(_, count)| count).sum();
        let asked = refused + self.admitted;
        let rate = percent(refused as f64, asked as f64);
        let most = self.refused.iter().max_by_key(|(_, count)| *count);
        let most = most.map(|(reason, count)| format!(", {count} by {}", reason.name())).unwrap_or_default();
        HealthMark {
            ailment: Ailment::Refused,
            measure: "refused dispatches".to_owned(),
            value: format!("{refused} of {asked} since the start ({rate:.0} %){most}"),
            threshold: format!("{RATE_PCT_MAX} %"),
            over: rate > RATE_PCT_MAX,
            remedy: Some(format!("route explain --tenant {} --room R", self.id)),
        }
        .told()
    }
}

trait Told {
    fn told(self) -> Self;
}

impl Told for HealthMark {
    /// What is not over needs no remedy.
    fn told(self) -> Self {
        let remedy = self.remedy.filter(|_| self.over);
        Self { remedy, ..self }
    }
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole * 100.0 } else { 0.0 }
}
