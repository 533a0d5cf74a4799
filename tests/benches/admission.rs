//! How long an offer waits for its answer while a thousand sessions live: the decision, from the offer to the answer.
//!
//! Owns: `cargo bench -p openrtc-tests --bench admission`. Never: asserts a time.
//!
//! What is measured is all that stands between an offer and its answer but two passages through a queue in memory: policy
//! takes the offer, reads its metadata, reserves a place and gives its effects. Half of the offers are refused.

#[path = "measure/mod.rs"]
mod measure;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use measure::Series;
use openrtc_policy::{Answer, Dispatch, DispatchId, Effect, Event, HostEvent, Moment, Policy};
use openrtc_supervisor::config::Config;

const LIVE: usize = 1_000;
const TENANTS: usize = 40;
const OFFERS: usize = 20_000;

fn rules() -> Config {
    let mut text = "[supervisor]\nmax_concurrent_sessions = 2000\nmax_hosts = 200\n".to_owned();
    text.push_str("[agents.any]\ncommand = [\"/bin/true\"]\n");
    for tenant in 0..TENANTS {
        let _ = writeln!(text, "[tenants.t{tenant}]\nmax_sessions = 1000");
    }
    text.push_str("[tenants.full]\nstatus = \"suspended\"\n");
    Config::embedded(&text, Path::new("/")).expect("a configuration")
}

fn offer(number: usize, tenant: &str) -> Event {
    Event::DispatchOffered(Dispatch {
        id: DispatchId(number as u64),
        room: format!("room-{number}"),
        job_id: Some(format!("AJ_{number}")),
        tenant: None,
        agent: None,
        job_metadata: format!(r#"{{"tenant":"{tenant}","agent":"any","plan":"gold","language":"en"}}"#),
        room_metadata: String::new(),
        assigned_with_answer: false,
    })
}

/// Takes an event, and lets hosts do what they are told, at once.
fn take(policy: &mut Policy, now: Moment, event: Event) -> Option<Answer> {
    let (mut events, mut answered) = (vec![event], None);
    while let Some(event) = events.pop() {
        let mut effects = Vec::new();
        policy.handle(now, event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Answer(_, answer) => answered = Some(answer),
                Effect::Spawn(plan) => {
                    events.push(Event::Host(plan.host, HostEvent::Ready { agents: Vec::new() }));
                    events.push(Event::Host(plan.host, HostEvent::Up));
                }
                Effect::StartSession(host, plan) => {
                    events.push(Event::Host(host, HostEvent::SessionStarted(plan.session)));
                }
                _ => {}
            }
        }
    }
    answered
}

fn main() {
    if measure::only_tests() {
        return;
    }
    let now = Moment(1_000);
    let mut policy = Policy::new(rules().rules, 7);
    for number in 0..LIVE {
        match take(&mut policy, now, offer(number, &format!("t{}", number % TENANTS))) {
            Some(Answer::Admitted(admitted)) => take(&mut policy, now, Event::DispatchAssigned(admitted.session)),
            other => panic!("session {number}: {other:?}"),
        };
    }
    let running = policy.sessions().filter(|session| session.state == "running").count();
    println!("{running} sessions run, on {} hosts of {TENANTS} tenants", policy.hosts().count());
    let (mut admitted, mut refused) = (Series::default(), Series::default());
    for number in 0..OFFERS {
        let tenant = if number % 2 == 0 { format!("t{}", number % TENANTS) } else { "full".to_owned() };
        let event = offer(LIVE + number, &tenant);
        let mut effects = Vec::new();
        let start = Instant::now();
        policy.handle(now, event, &mut effects);
        let took = start.elapsed().as_secs_f64() * 1e6;
        let answer = effects.into_iter().find_map(|effect| match effect {
            Effect::Answer(_, answer) => Some(answer),
            _ => None,
        });
        match answer {
            Some(Answer::Admitted(answer)) => {
                admitted.push(took);
                take(&mut policy, now, Event::DispatchLost(answer.session));
            }
            Some(Answer::Rejected(_)) => refused.push(took),
            None => panic!("offer {number} was not answered"),
        }
    }
    println!("offer -> answer, admitted   us: {admitted}");
    println!("offer -> answer, refused    us: {refused}");
}
