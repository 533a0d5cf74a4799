//! The tables of `docs/reasons.md`, written from the code that decides.
//!
//! Owns: the page's tables and the test that holds them. Never: says anything that the code does not.

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use openrtc_ipc::{EndStatus, SetupStep};
    use serde::Serialize;

    use crate::breaker::Sample;
    use crate::conclusion::sample;
    use crate::event::SetupFailure;
    use crate::exit::Exit;
    use crate::fixture::seed_breaker;
    use crate::outcome::{Asked, End, Outcome, Reason, conclude};
    use crate::rejection::RejectReason;

    const REJECTIONS: &str = include_str!("rejection.rs");
    const OUTCOMES: &str = include_str!("outcome.rs");
    const EXITS: &str = include_str!("exit.rs");

    /// The variants of an enum with the first sentence of their documentation, as they stand in its source.
    fn variants(source: &str, name: &str) -> Vec<(String, String)> {
        let start = format!("pub enum {name} {{");
        let body = source.split(&start).nth(1).and_then(|rest| rest.split("\n}\n").next()).expect("the enum");
        let mut found = Vec::new();
        let mut said = String::new();
        for line in body.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     ")) {
            match line.trim().strip_prefix("///") {
                Some(text) => said = format!("{said} {}", text.trim()).trim().to_owned(),
                None if line.trim().starts_with(char::is_uppercase) => {
                    let variant = line.trim().split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
                    found.push((variant.to_owned(), std::mem::take(&mut said)));
                }
                None => {}
            }
        }
        found
    }

    fn failure() -> SetupFailure {
        SetupFailure { step: SetupStep::Exec, errno: 2, detail: String::new(), retry: false }
    }

    /// One of each, in the order of the source.
    fn exits() -> Vec<Exit> {
        vec![
            Exit::Exited { code: 0, hint: None },
            Exit::Crashed { signal: 11, claimed: false },
            Exit::OomOwnLimit { peak_bytes: None, limit_bytes: None },
            Exit::OomAncestor,
            Exit::MemWatchdog { observed_bytes: 2, limit_bytes: 1 },
            Exit::CpuRlimit,
            Exit::PidsLimit { observed: 2, limit: 1 },
            Exit::Fsize,
            Exit::Seccomp,
            Exit::HeartbeatLost { silent_ms: 1 },
            Exit::Stopped { silent_ms: 1 },
            Exit::BootTimeout { limit_ms: 1 },
            Exit::ProtocolViolation { kind: "…".to_owned() },
            Exit::IpcClosed,
            Exit::Drained,
            Exit::DrainTimeout,
            Exit::SessionLimit { limit_ms: 1 },
            Exit::OperatorKill,
            Exit::SupervisorShutdown,
            Exit::SetupFailed { step: SetupStep::Exec, errno: 2 },
            Exit::UnknownSigkill,
            Exit::Unknown,
        ]
    }

    /// One of each, in the order of the source.
    fn reasons() -> Vec<Reason> {
        vec![
            Reason::Completed,
            Reason::Error,
            Reason::HostExit { code: 1 },
            Reason::HostSignal { signal: 9 },
            Reason::MemoryLimit,
            Reason::CpuLimit,
            Reason::PidsLimit,
            Reason::DurationLimit,
            Reason::Unresponsive,
            Reason::InitTimeout,
            Reason::SetupFailed { step: SetupStep::Exec },
            Reason::ProtocolViolation { kind: "…".to_owned() },
            Reason::WallDenied { path: "…".to_owned() },
            Reason::ConfigError,
            Reason::BudgetExceeded,
            Reason::CallerLeft,
            Reason::Drained,
            Reason::DrainTimeout,
            Reason::OperatorKill,
            Reason::SupervisorShutdown,
        ]
    }

    /// The stable name, and the names of what comes with it.
    fn named(value: &impl Serialize) -> (String, Vec<String>) {
        let value = serde_json::to_value(value).expect("JSON");
        let fields = value.as_object().into_iter().flatten();
        let fields = fields.filter(|(name, _)| *name != "reason").map(|(name, _)| format!("`{name}`")).collect();
        let name = value.as_str().or(value["reason"].as_str()).expect("a name").to_owned();
        (name, fields)
    }

    /// A table of every variant, with what its source says of it.
    fn vocabulary<T: Serialize + std::fmt::Debug>(source: &str, name: &str, all: &[T]) -> String {
        let written = variants(source, name);
        let variant = |value: &T| format!("{value:?}").split([' ', '(']).next().unwrap_or_default().to_owned();
        let shown: Vec<String> = all.iter().map(variant).collect();
        let known: Vec<String> = written.iter().map(|(variant, _)| variant.clone()).collect();
        assert_eq!(shown, known, "the samples of {name} here are not its variants");
        let bare = all.iter().all(|value| named(value).1.is_empty());
        let head =
            if bare { "| reason | meaning |\n|---|---|\n" } else { "| reason | with | meaning |\n|---|---|---|\n" };
        let mut table = head.to_owned();
        for (value, (_, said)) in all.iter().zip(written) {
            let (name, fields) = named(value);
            let with = if bare { String::new() } else { format!(" {} |", fields.join(", ")) };
            let _ = writeln!(table, "| `{name}` |{with} {said} |");
        }
        table
    }

    /// Status, reason, blame and sample of an outcome, as cells.
    fn cells(outcome: &Outcome) -> String {
        let (reason, _) = named(&outcome.reason);
        let detail = match &outcome.reason {
            Reason::HostSignal { signal } => format!(" {signal}"),
            Reason::HostExit { code } if *code < 0 => format!(" {code}"),
            Reason::ProtocolViolation { kind } if kind != "…" => format!(" {kind}"),
            _ => String::new(),
        };
        let sample = match sample(outcome, &seed_breaker()) {
            Some(Sample::Good) => "good",
            Some(Sample::Bad) => "bad",
            None => "none",
        };
        format!("{} | `{reason}`{detail} | {} | {sample} |", word(&outcome.status), word(&outcome.blame))
    }

    fn word(value: &impl Serialize) -> String {
        named(value).0
    }

    const ASKED: [Asked; 8] = [
        Asked::Operator,
        Asked::Duration,
        Asked::CallerLeft,
        Asked::CallOver,
        Asked::DrainTimeout,
        Asked::Shutdown,
        Asked::ForeignAgent,
        Asked::FullAgent,
    ];

    fn map() -> String {
        let mut table = "| exit of the host | status | reason | blame | sample |\n|---|---|---|---|---|\n".to_owned();
        for exit in exits() {
            let mut outcome = conclude(None, End::HostDied(&exit));
            if let Reason::HostSignal { .. } = outcome.reason
                && matches!(exit, Exit::Crashed { .. })
            {
                outcome.reason = Reason::HostSignal { signal: 0 };
            }
            let cells = cells(&outcome).replace("`host_signal` 0", "`host_signal`, its signal");
            let _ = writeln!(table, "| `{}` | {cells}", named(&exit).0);
        }
        table
    }

    fn told() -> String {
        let mut table = "| it was asked to end | its host says | status | reason | blame | sample |\n".to_owned();
        table.push_str("|---|---|---|---|---|---|\n");
        for status in [EndStatus::Success, EndStatus::Failed, EndStatus::Cancelled, EndStatus::Misconfigured] {
            let said = word(&status);
            let outcome = conclude(None, End::Reported { status, error: None, denied: None });
            let _ = writeln!(table, "| no | {said} | {}", cells(&outcome));
        }
        let denied = Some("…".to_owned());
        let outcome = conclude(None, End::Reported { status: EndStatus::Failed, error: None, denied });
        let _ = writeln!(table, "| no | `failed`, and names a path that was not granted | {}", cells(&outcome));
        for asked in ASKED {
            for status in [EndStatus::Success, EndStatus::Failed, EndStatus::Cancelled] {
                let outcome = conclude(Some(asked), End::Reported { status, error: None, denied: None });
                let _ = writeln!(table, "| `{}` | {} | {}", asked.name(), word(&status), cells(&outcome));
            }
        }
        table
    }

    fn unserved() -> String {
        let mut table = "| what happened | status | reason | blame | sample |\n|---|---|---|---|---|\n".to_owned();
        let _ = writeln!(table, "| its host could not be set up | {}", cells(&conclude(None, End::NoHost(&failure()))));
        let unserved = End::NotServed { detail: String::new() };
        let _ = writeln!(table, "| its host does not serve its agent | {}", cells(&conclude(None, unserved)));
        for asked in ASKED {
            let outcome = conclude(None, End::CalledOff(asked));
            let _ = writeln!(table, "| called off before it started: `{}` | {}", asked.name(), cells(&outcome));
        }
        table
    }

    fn asked() -> String {
        let limit = Exit::SessionLimit { limit_ms: 1 };
        let mut table = "| it was asked to end | exit of the host | status | reason | blame | sample |\n".to_owned();
        table.push_str("|---|---|---|---|---|---|\n");
        for (asked, exit) in [
            (Asked::Duration, &limit),
            (Asked::CallerLeft, &limit),
            (Asked::Operator, &Exit::OperatorKill),
            (Asked::DrainTimeout, &Exit::DrainTimeout),
            (Asked::Shutdown, &Exit::SupervisorShutdown),
            (Asked::Operator, &Exit::Exited { code: 0, hint: None }),
            (Asked::Operator, &Exit::Crashed { signal: 11, claimed: false }),
        ] {
            let cells = cells(&conclude(Some(asked), End::HostDied(exit)));
            let code = if matches!(exit, Exit::Exited { .. }) { " 0" } else { "" };
            let _ = writeln!(table, "| `{}` | `{}`{code} | {cells}", asked.name(), named(exit).0);
        }
        table
    }

    /// Puts a table between its marks.
    fn with(page: &str, mark: &str, table: &str) -> String {
        let start = format!("<!-- {mark} -->\n");
        let (before, rest) = page.split_once(&start).unwrap_or_else(|| panic!("no mark {mark}"));
        let (_, after) = rest.split_once("<!-- end -->").expect("an end mark");
        format!("{before}{start}\n{table}\n<!-- end -->{after}")
    }

    #[test]
    fn the_page_of_reasons_is_what_the_code_does() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reasons.md");
        let page = std::fs::read_to_string(&path).expect("docs/reasons.md");
        let tables = [
            ("reject reasons", vocabulary(REJECTIONS, "RejectReason", &RejectReason::ALL)),
            ("session reasons", vocabulary(OUTCOMES, "Reason", &reasons())),
            ("told", told()),
            ("unserved", unserved()),
            ("exits", vocabulary(EXITS, "Exit", &exits())),
            ("map", map()),
            ("asked", asked()),
        ];
        let written = tables.iter().fold(page.clone(), |page, (mark, table)| with(&page, mark, table));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &written).expect("write docs/reasons.md");
        } else {
            assert!(page == written, "docs/reasons.md differs from the code: UPDATE_DOCS=1 writes it anew\n{written}");
        }
    }

    #[test]
    fn the_name_of_a_reject_reason_is_its_name_on_the_wire() {
        for reason in RejectReason::ALL {
            assert_eq!(named(&reason).0, reason.name());
        }
    }
}
