//! What is told, as lines of the supervisor's own log.
//!
//! Owns: the wording of those lines; a breaker's are OpenRTC's (semantics D9). Never: logs what was said in a session.

use openrtc_ipc::{HostId, LogLevel, SessionEvent, SessionId, SessionInfo, WallStatus};
use openrtc_policy::{Evidence, Exit, HostPlan, Notice, Status};

use super::words::{self, Named};
use super::{LineSource, Observer, Stamp, Taken};
use crate::ledger::EndedSession;

/// A line at a level known only at run time.
macro_rules! log_at {
    ($level:expr, $($line:tt)*) => {
        match $level {
            LogLevel::Debug => tracing::debug!($($line)*),
            LogLevel::Info => tracing::info!($($line)*),
            LogLevel::Warn => tracing::warn!($($line)*),
            LogLevel::Error => tracing::error!($($line)*),
        }
    };
}

/// A line with whom and what it is about.
macro_rules! stamped {
    ($level:expr, $target:literal, $stamp:expr, $($line:tt)*) => {{
        let stamp: &Stamp = $stamp;
        let session_id = stamp.session.map(|session| session.to_string());
        log_at!($level, target: $target, tenant = stamp.tenant.as_str(), session_id = session_id.as_deref(),
            agent_name = stamp.agent.as_ref().map(|agent| agent.as_str()), host = stamp.host.to_string(), $($line)*)
    }};
}

/// Logs through `tracing`.
#[derive(Debug, Default)]
pub struct LogObserver;

impl Observer for LogObserver {
    fn name(&self) -> &str {
        "log"
    }

    async fn on_session_start(&mut self, info: &SessionInfo, host: HostId) -> Taken {
        tracing::info!(target: "openrtc.session", tenant = info.tenant.as_str(), session_id = info.session.to_string(),
            agent_name = info.agent.as_str(), host = host.to_string(), room = info.room_name, "session started");
        Ok(())
    }

    async fn on_session_event(&mut self, stamp: &Stamp, event: &SessionEvent) -> Taken {
        const DEBUG: LogLevel = LogLevel::Debug;
        match event {
            SessionEvent::Log { level, message } => stamped!(*level, "openrtc.session", stamp, "{message}"),
            SessionEvent::Turn { speaker, start_ms, end_ms, .. } => {
                stamped!(DEBUG, "openrtc.session", stamp, start_ms, end_ms, "turn of the {speaker:?}");
            }
            SessionEvent::Usage(usage) => stamped!(DEBUG, "openrtc.session", stamp, ?usage, "usage"),
            SessionEvent::Latency { stage, micros } => {
                stamped!(DEBUG, "openrtc.session", stamp, micros, "latency of {stage}");
            }
            SessionEvent::State { state } => stamped!(DEBUG, "openrtc.session", stamp, "state {state}"),
            SessionEvent::Custom { name, .. } => stamped!(DEBUG, "openrtc.session", stamp, "event {name}"),
        }
        Ok(())
    }

    async fn on_session_end(&mut self, ended: &EndedSession) -> Taken {
        let conclusion = &ended.conclusion;
        let (plan, outcome) = (&conclusion.plan, &conclusion.outcome);
        let level = match outcome.status {
            Status::Failed => LogLevel::Warn,
            Status::Success | Status::Cancelled => LogLevel::Info,
        };
        let error = outcome.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
        log_at!(level, target: "openrtc.session", tenant = plan.tenant.as_str(),
            session_id = plan.session.to_string(), agent_name = words::agent(ended).as_str(),
            host = conclusion.host.map(|host| host.to_string()).as_deref(), duration_ms = conclusion.duration_ms,
            "session ended: {}, {}{error}", words::status_name(outcome.status), Named::of(&outcome.reason));
        Ok(())
    }

    async fn on_host_up(&mut self, plan: &HostPlan, pid: i32, walls: &[WallStatus], ready_after_ms: u64) -> Taken {
        let absent: Vec<_> =
            walls.iter().filter(|status| !status.state.stands()).map(|status| status.wall.name()).collect();
        let absent = if absent.is_empty() { String::new() } else { format!(", without walls {}", absent.join(", ")) };
        tracing::info!(target: "openrtc.host", tenant = plan.tenant.as_str(), host = plan.host.to_string(), pid,
            ready_after_ms, "host is ready{absent}");
        Ok(())
    }

    async fn on_host_down(
        &mut self,
        plan: &HostPlan,
        exit: Option<&Exit>,
        evidence: Option<&Evidence>,
        sessions: &[SessionId],
    ) -> Taken {
        let level = if is_orderly(exit, sessions) { LogLevel::Info } else { LogLevel::Warn };
        let verb = if level == LogLevel::Info { "ended" } else { "died" };
        let how = match exit {
            Some(exit) => format!("{verb}: {}", Named::of(exit)),
            None => "never came up".to_owned(),
        };
        let lost = match sessions {
            [] => "no session lost".to_owned(),
            sessions => format!("lost sessions {}", words::texts(sessions).join(", ")),
        };
        log_at!(level, target: "openrtc.host", tenant = plan.tenant.as_str(), host = plan.host.to_string(),
            last_stderr = evidence.and_then(|evidence| evidence.last_stderr.as_deref()), "host {how}; {lost}");
        Ok(())
    }

    async fn on_line(&mut self, stamp: &Stamp, source: LineSource, level: LogLevel, line: &str) -> Taken {
        stamped!(level, "openrtc.host", stamp, source = words::source_name(source), "{line}");
        Ok(())
    }

    async fn on_notice(&mut self, notice: &Notice) -> Taken {
        log_notice(notice);
        Ok(())
    }
}

/// Whether a host went as it should.
fn is_orderly(exit: Option<&Exit>, sessions: &[SessionId]) -> bool {
    let orderly = matches!(exit, Some(Exit::Drained | Exit::SupervisorShutdown | Exit::Exited { code: 0, .. }));
    orderly && sessions.is_empty()
}

fn log_notice(notice: &Notice) {
    match notice {
        Notice::BreakerOpened { tenant, failures, samples, cooldown_ms } => {
            // Python's `%.0f`, which rounds half to even.
            let cooldown_s = (*cooldown_ms as f64 / 1000.0).round_ties_even();
            tracing::warn!(target: "openrtc.breaker", tenant = tenant.as_str(),
                "[circuit-breaker] tenant '{tenant}' opened after {failures}/{samples} failures; \
                 rejecting its new sessions for {cooldown_s}s");
        }
        Notice::BreakerProbing { tenant } => {
            tracing::info!(target: "openrtc.breaker", tenant = tenant.as_str(),
                "[circuit-breaker] tenant '{tenant}' is probing");
        }
        Notice::BreakerClosed { tenant } => {
            tracing::info!(target: "openrtc.breaker", tenant = tenant.as_str(),
                "[circuit-breaker] tenant '{tenant}' recovered");
        }
        Notice::RanAsDefault { room } => {
            tracing::warn!(target: "openrtc.tenant", room, "room {room} ran as the default tenant although tenants \
                are configured: its dispatch names none (metadata key \"tenant\"); said once");
        }
        Notice::UnconfiguredTenant { tenant } => {
            tracing::warn!(target: "openrtc.tenant", tenant = tenant.as_str(), "tenant '{tenant}' has no \
                [tenants.{tenant}] in the configuration; falling back to the agent/pool provider defaults");
        }
        Notice::HostCondemned { host, cause } => {
            tracing::warn!(target: "openrtc.host", host = host.to_string(), "host takes no new sessions: {cause}");
        }
        Notice::HostGone { plan, .. } => {
            // The death report says it with its evidence.
            tracing::debug!(target: "openrtc.host", tenant = plan.tenant.as_str(), host = plan.host.to_string(),
                "host is booked as gone");
        }
        Notice::RestartBackedOff { tenant, runtime, wait_ms } => {
            tracing::warn!(target: "openrtc.host", tenant = tenant.as_str(),
                "the next host of runtime {runtime} waits {wait_ms} ms, because its last one died");
        }
        Notice::DrainStarted { tenant: Some(tenant) } => {
            tracing::info!(target: "openrtc.tenant", tenant = tenant.as_str(), "draining tenant '{tenant}'");
        }
        Notice::DrainStarted { tenant: None } => tracing::info!(target: "openrtc.supervisor", "draining"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::{Told, samples};
    use super::*;
    use crate::telemetry::Style;
    use crate::telemetry::tests::Captured;

    async fn rows(told: &[Told]) -> Vec<Value> {
        let (captured, _guard) = Captured::start(Style::Json);
        for told in told {
            LogObserver.on(told, 1).await.unwrap();
        }
        captured.rows()
    }

    #[tokio::test]
    async fn everything_told_is_one_line_except_snapshots_and_refusals() {
        let told = samples::every();
        assert_eq!(rows(&told).await.len(), told.len() - 2);
    }

    #[tokio::test]
    async fn a_breaker_s_lines_are_openrtcs() {
        let closed = Told::Notice(Notice::BreakerClosed { tenant: samples::tenant() });
        let rows = rows(&[samples::opened(), closed]).await;
        let opened =
            "[circuit-breaker] tenant 'acme-corp' opened after 4/5 failures; rejecting its new sessions for 30s";
        assert_eq!(rows[0]["message"], opened);
        assert_eq!((&rows[0]["level"], &rows[0]["tenant"]), (&"WARNING".into(), &"acme-corp".into()));
        assert_eq!(rows[1]["message"], "[circuit-breaker] tenant 'acme-corp' recovered");
    }

    #[tokio::test]
    async fn a_host_s_death_is_one_warning_that_names_the_reason_and_the_lost_sessions() {
        let rows = rows(&[samples::died()]).await;
        assert_eq!(rows.len(), 1);
        let message = "host died: mem_watchdog (limit_bytes 200, observed_bytes 210); lost sessions s-1a2b3c4d-17";
        assert_eq!((&rows[0]["level"], &rows[0]["message"]), (&"WARNING".into(), &message.into()));
        assert_eq!((&rows[0]["host"], &rows[0]["last_stderr"]), (&"h3.1".into(), &"MemoryError".into()));
    }

    #[tokio::test]
    async fn a_host_that_went_as_it_should_is_no_warning() {
        let down = |exit, sessions| Told::HostDown { plan: samples::plan(), exit, evidence: None, sessions };
        let told = [
            down(Some(Exit::Drained), vec![]),
            down(Some(Exit::Drained), vec![samples::SESSION]),
            down(Some(Exit::Exited { code: 1, hint: None }), vec![]),
            down(None, vec![]),
        ];
        let levels: Vec<_> = rows(&told).await.iter().map(|row| row["level"].as_str().unwrap().to_owned()).collect();
        assert_eq!(levels, ["INFO", "WARNING", "WARNING", "WARNING"]);
    }

    #[tokio::test]
    async fn a_session_s_lines_carry_its_stamp_and_not_what_was_said() {
        let rows = rows(&samples::every()).await;
        for row in &rows[..8] {
            assert_eq!(row["tenant"], "acme-corp", "{row}");
            assert_eq!(row["session_id"], "s-1a2b3c4d-17", "{row}");
            assert_eq!(row["agent_name"], "support", "{row}");
        }
        assert!(rows.iter().all(|row| !row.to_string().contains("hello")));
        assert_eq!((&rows[5]["level"], &rows[5]["message"]), (&"ERROR".into(), &"no answer".into()));
        assert_eq!(rows[7]["message"], "session ended: failed, host_exit (code 3): it broke");
    }

    #[tokio::test]
    async fn tenants_that_nobody_configured_are_warned_of() {
        let ran = Told::Notice(Notice::RanAsDefault { room: "lobby".to_owned() });
        let rows = rows(&[Told::Notice(Notice::UnconfiguredTenant { tenant: samples::tenant() }), ran]).await;
        assert!(rows[0]["message"].as_str().unwrap().contains("falling back to the agent/pool provider defaults"));
        assert!(rows[1]["message"].as_str().unwrap().contains("room lobby ran as the default tenant"));
        assert!(rows.iter().all(|row| row["level"] == "WARNING"));
    }
}
