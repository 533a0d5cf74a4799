//! What is printed.
//!
//! Owns: the rows of the tables, and the account of every call. Never: measures.

use std::collections::BTreeMap;

use super::callers::Heard;
use super::measure::Series;
use super::workers::{Offer, WAYS};

/// One worker, so many calls at once.
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) cpu_ms: Series,
    offered: Series,
    joined: Series,
    audio: Series,
    /// Of all calls: one that heard nothing has waited for ever.
    audio_of_all: Series,
    dispatched: usize,
    not_offered: usize,
    refused: BTreeMap<String, usize>,
    failed: BTreeMap<String, usize>,
    not_joined: usize,
    not_heard: usize,
    heard: usize,
    server_said: BTreeMap<String, usize>,
}

impl Row {
    /// Every call of one turn, with what the worker and the server say of it.
    pub(crate) fn account(&mut self, calls: &[Heard], offers: &BTreeMap<String, Offer>, server_said: &str) {
        for call in calls {
            self.dispatched += 1;
            self.joined.extend(call.joined_ms);
            self.audio.extend(call.audio_ms);
            self.audio_of_all.push(call.audio_ms.unwrap_or(f64::INFINITY));
            let offer = offers.get(&call.room);
            self.offered.extend(offer.map(|offer| offer.at_unix_ms - call.dispatch_unix_ms));
            if let Some(error) = &call.error {
                *self.failed.entry(format!("the dispatch itself: {error}")).or_default() += 1;
            }
            match offer {
                _ if call.heard => self.heard += 1,
                None => self.not_offered += 1,
                Some(Offer { refused: Some(why), .. }) => *self.refused.entry(why.clone()).or_default() += 1,
                Some(Offer { failed: Some(why), .. }) => *self.failed.entry(why.clone()).or_default() += 1,
                Some(_) if call.joined_ms.is_none() => self.not_joined += 1,
                Some(_) => self.not_heard += 1,
            }
        }
        // Hanging up closes channels that somebody reads.
        let of_jobs = |line: &&str| !line.contains("data channel") && (line.contains("agent") || line.contains("job"));
        for line in server_said.lines().filter(of_jobs) {
            *self.server_said.entry(essence(line)).or_default() += 1;
        }
    }

    fn account_of_all(&self) -> String {
        let mut told = vec![format!("{} of {} heard", self.heard, self.dispatched)];
        let counts = [
            (self.not_offered, "never offered"),
            (self.not_joined, "accepted, never joined"),
            (self.not_heard, "joined, never heard"),
        ];
        told.extend(counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
        told.extend(self.refused.iter().map(|(why, count)| format!("{count} refused by the worker: {why}")));
        told.extend(self.failed.iter().map(|(why, count)| format!("{count} failed: {why}")));
        told.extend(self.server_said.iter().map(|(what, count)| format!("server, {count} ×: {what}")));
        told.join("; ")
    }
}

/// A line of the server's log without what differs from call to call.
fn essence(line: &str) -> String {
    let mut fields = line.split('\t');
    let message = fields.nth(4).or_else(|| line.split('\t').next_back()).unwrap_or(line);
    let error = line.split_once("\"error\": \"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default();
    if error.is_empty() { message.to_owned() } else { format!("{message} ({error})") }
}

/// One part.
pub(crate) fn calls<'a>(at_once: usize, rounds: usize, rows: impl Iterator<Item = (&'a str, &'a Row)>) {
    println!(
        "\n{at_once} at once, {rounds} rounds: ms from dispatch, at the caller, median (p99); CPU of the tree per call"
    );
    let both = |series: &Series| format!("{:>6.0} ({:>6.0})", series.median(), series.p99());
    println!(
        "{:<34} {:>15} {:>15} {:>15} {:>15} {:>15}",
        "", "offered", "agent joined", "first audio", "audio, of all", "CPU ms"
    );
    for (name, row) in rows {
        let columns = [&row.offered, &row.joined, &row.audio, &row.audio_of_all, &row.cpu_ms].map(both);
        let [offered, joined, audio, of_all, cpu] = columns;
        println!("{name:<34} {offered:>15} {joined:>15} {audio:>15} {of_all:>15} {cpu:>15}   {}", row.account_of_all());
    }
}

/// One worker's memory, alone.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Before its first call.
    pub(crate) idle_kb: Series,
    /// After a call of each tenant.
    pub(crate) used_kb: Series,
    /// With ten calls.
    pub(crate) live_kb: Series,
    pub(crate) processes: usize,
    pub(crate) live: usize,
}

/// Each way alone, in turns.
pub(crate) fn memory(ways: &[usize], mut measure: impl FnMut(&mut Tree, usize), rounds: usize) {
    let mut rows: Vec<Tree> = ways.iter().map(|_| Tree::default()).collect();
    for _ in 0..rounds {
        let mut turns: Vec<usize> = (0..ways.len()).collect();
        fastrand::shuffle(&mut turns);
        for turn in turns {
            measure(&mut rows[turn], ways[turn]);
        }
    }
    println!("\nmemory of the whole tree (PSS), {rounds} rounds, one worker at a time; median MB of 1024 kB");
    println!("{:<34} {:>8} {:>16} {:>10} {:>10}", "", "idle", "idle, 4 calls on", "10 live", "per call");
    for (way, row) in ways.iter().zip(&rows) {
        let [idle, used, live] = [&row.idle_kb, &row.used_kb, &row.live_kb].map(|series| series.median() / 1024.0);
        let each = (live - idle) / row.live.max(1) as f64;
        let name = WAYS[*way].0;
        let Tree { processes, live: heard, .. } = row;
        println!(
            "{name:<34} {idle:>8.0} {used:>16.0} {live:>10.0} {each:>10.1}   {processes} processes, {heard} calls"
        );
    }
}
