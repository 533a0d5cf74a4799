//! The table of what a host may say when, cell by cell.

use openrtc_ipc::{Phase, permitted};

use crate::samples::{report_name, reports};

const PHASES: [Phase; 5] = [Phase::Born, Phase::Greeted, Phase::Launched, Phase::Serving, Phase::Closed];

/// One letter a phase, in the order of `PHASES`: `x` is permitted.
fn row(name: &str) -> &'static str {
    match name {
        "report.hello" => "x.x..",
        "report.launched" => ".x...",
        "report.setup_failed" => ".xx..",
        "report.ready" => "..x..",
        "report.log" | "report.pong" | "report.bye" => "..xx.",
        "report.session_started" | "report.session_rerouted" | "report.session_ended" | "report.snapshot" => "...x.",
        event if event.starts_with("report.session_event.") => "...x.",
        other => panic!("{other} has no row"),
    }
}

#[test]
fn every_report_is_permitted_in_its_phases_and_in_no_other() {
    for report in reports() {
        let name = report_name(&report);
        let found: String = PHASES.map(|phase| if permitted(phase, &report) { 'x' } else { '.' }).iter().collect();
        assert_eq!(found, row(name), "{name}");
    }
}
