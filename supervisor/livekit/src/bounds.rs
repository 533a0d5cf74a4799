//! Every number of the protocol and every maximum, with its unit, its source and what happens when it is reached.
//!
//! Owns: LiveKit's constants as read in server 1.13.5, and bounds that protect this process. Never: an operator's cap.

use std::time::Duration;

/// Bytes of one message from the server. Longer: the connection is closed and made anew; nothing is allocated for it.
pub const INBOUND_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of one message to the server, which closes the connection beyond its own 2 MiB. Longer: an acceptance becomes a
/// refusal ([`crate::Lapse::TooLarge`]), anything else is not sent and counted.
pub const OUTBOUND_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes of the error text of an ended job. Longer: cut.
pub const ERROR_BYTES_MAX: usize = 2048;
/// Offers and acceptances that wait at once. More: refused with `available = false`, so that another worker gets them.
pub const OFFERS_MAX: usize = 1024;
/// Terminal updates kept while there is no connection. More: the oldest is forgotten and counted.
pub const UPDATES_QUEUED_MAX: usize = 4096;
/// Ended jobs remembered, so that what comes late for them is told from what never was ours. More: the oldest goes.
pub const ENDED_REMEMBERED_MAX: usize = 1024;
/// Connections kept beside the current one because the server asked us to move while jobs ran. More: the oldest closes.
pub const LEAVING_MAX: usize = 4;
/// Messages waiting for one socket. Full: the server does not read; the connection is closed and made anew.
pub const SOCKET_QUEUED_MAX: usize = 1024;
/// Decisions waiting for the client's task. Full: [`crate::Client::decide`] says so.
pub const DECISIONS_QUEUED_MAX: usize = 4096;
/// Notices waiting for their reader, in the channel and once more before it. Full: nothing is read from the server; after
/// [`SILENCE`] the connection is given up, because a worker whose owner sleeps must not be offered calls.
pub const NOTICES_QUEUED_MAX: usize = 256;
/// Bytes of an answer of the server API. Longer: an error.
pub const RESPONSE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// From a socket's start to its upgrade (name, TCP, TLS, HTTP). Longer: it has failed.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// From the upgrade to the server's word that we are registered; its own deadline is the same. Longer: closed, made anew.
pub const REGISTER_WITHIN: Duration = Duration::from_secs(10);
/// Longest silence of the server, which pings every 10 s. Longer: the connection counts as dead.
pub const SILENCE: Duration = Duration::from_secs(25);
/// Between two pings of ours, whose answer gives the round-trip time.
pub const PING_EVERY: Duration = Duration::from_secs(10);
/// Between two reports of load when nothing changes (livekit-agents does the same).
pub const REPORT_EVERY: Duration = Duration::from_millis(2500);
/// Least time between two reports because of changes. A change to full does not wait.
pub const REPORT_APART: Duration = Duration::from_millis(100);
/// Highest load that is reported while admitting: at 0.7 (`agents.target_load`) the server offers nothing any more.
pub const LOAD_ADMITTING_MAX: f64 = 0.69;
/// From an acceptance to its assignment, normally 5 ms (livekit-agents waits as long). Longer: the reservation is free.
pub const ASSIGN_WITHIN: Duration = Duration::from_millis(7500);
/// From an assignment to the earliest word that its job ended: the server notes an assigned job only after it has sent the
/// assignment, and forgets an end that comes before (4 of 20 were, on a busy machine). An agent takes longer to join.
pub const END_AFTER_ASSIGNMENT: Duration = Duration::from_millis(100);
/// From an offer to our owner's answer; the server itself waits less than 2.8 s, and 10 s for a simulated job. Longer:
/// refused with `available = false`.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The upper end of the first delay before connecting again; doubles each time.
pub const RECONNECT_FIRST: Duration = Duration::from_millis(250);
/// The upper end of every later delay.
pub const RECONNECT_MAX: Duration = Duration::from_secs(10);
/// A registration that lasted this long is followed by a first delay again, a shorter one by a longer delay.
pub const STABLE_AFTER: Duration = Duration::from_secs(5);
/// After the last job of a drain, how long its terminal update may wait for a connection.
pub const DRAIN_FLUSH: Duration = Duration::from_secs(5);
/// How long one message may take to be written. Longer: the server does not read.
pub const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// How long saying goodbye may take.
pub const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// How long the kernel keeps unacknowledged bytes before a connection is broken (`TCP_USER_TIMEOUT`).
pub const UNACKNOWLEDGED: Duration = Duration::from_secs(15);
/// How long a call of the server API may take.
pub const SERVICE_WITHIN: Duration = Duration::from_secs(10);
/// Validity of a worker's token; it is looked at once, when the connection is made.
pub const WORKER_TOKEN_TTL: Duration = Duration::from_secs(300);
/// Validity of a token for one call of the server API.
pub const SERVICE_TOKEN_TTL: Duration = Duration::from_secs(60);
