//! Every engineering maximum, with its unit, its reason and what happens when it is full.
//!
//! Owns: numbers that protect the supervisor. Never: holds a cap; caps are the operator's and stand in `rules.rs`.

/// Bytes of job or room metadata. Longer: the dispatch is refused with `config_error` (LiveKit's own cap is 64 KiB).
pub const METADATA_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a room name. Longer: refused.
pub const ROOM_NAME_BYTES_MAX: usize = 512;
/// Bytes of an error text taken from a host. Longer: cut (OpenRTC cuts at 500 characters).
pub const ERROR_BYTES_MAX: usize = 2048;
/// Ended sessions kept for `session show`. Full: the oldest is forgotten.
pub const ENDED_SESSIONS_MAX: usize = 1000;
/// Reports waiting between one host's socket and the driver. Full: we stop reading that socket, so only that host waits.
pub const REPORTS_QUEUED_MAX: usize = 256;
/// Commands waiting for one host. Full: the host does not read, and is killed (`protocol_violation{not_reading}`).
pub const COMMANDS_QUEUED_MAX: usize = 256;
/// Inputs waiting for the driver, from everywhere. Full: the source waits; hosts wait behind their own bound first.
pub const DRIVER_INPUTS_MAX: usize = 4096;
/// Milliseconds from the first byte of a frame to its last. Longer: `protocol_violation{slow}`.
pub const FRAME_DEADLINE_MS: u64 = 5_000;
/// Milliseconds that a local reservation may wait for its assignment (LiveKit's own is 7.5 s).
pub const RESERVATION_TTL_MS: u64 = 7_500;
/// Milliseconds that a host may wait for its turn to be spawned. Longer: its sessions fail with `setup_failed{fork}`, so
/// that no caller listens to silence for ever.
pub const QUEUED_MS_MAX: u64 = 60_000;
/// Milliseconds after which asking again is suggested when every host is busy and nothing better is known.
pub const BUSY_RETRY_MS: u64 = 1_000;
/// Events waiting for one observer. Full: the event is dropped and counted.
pub const OBSERVER_QUEUED_MAX: usize = 1024;
/// Places of those that only starts, ends, hosts and notices may take, so that a chatty host cannot displace them.
pub const OBSERVER_RESERVED: usize = OBSERVER_QUEUED_MAX / 4;
/// Bytes that an observer's file may be behind (a full disk). Full: rows are dropped and counted in a `gap` row.
pub const OBSERVER_FILE_BYTES_PENDING_MAX: usize = 4 * 1024 * 1024;
/// Events of the metrics stream between two snapshots (OpenRTC's number). Full: dropped and counted in a row.
pub const METRICS_EVENTS_MAX: usize = 256;
/// Tenants with series of their own in `/metrics`. Full: the others share `tenant="other"`, so that neither a large
/// configuration nor invented names make the scrape or the scraper's memory grow.
pub const METRIC_TENANTS_MAX: usize = 1000;
/// Sessions that traces remember until their ends. Full: the oldest is forgotten, and its trace begins with its end.
pub const TRACED_SESSIONS_MAX: usize = 16_384;
/// Hosts whose births traces remember. Full: one is forgotten, and traces of its sessions have no spawn.
pub const TRACED_HOSTS_MAX: usize = 10_000;
/// Spans that wait for the collector while more is told. Full: they are sent.
pub const TRACE_SPANS_MAX: usize = 512;
/// Events kept for readers of `/v1/events`. Full: the oldest is forgotten, and who resumes before it is told of a gap.
pub const EVENTS_KEPT_MAX: usize = 4096;
/// Bytes of those. Full: the same.
pub const EVENTS_KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Readers of `/v1/events` at once. More: refused with 503.
pub const EVENT_READERS_MAX: usize = 32;
/// Lines kept of one tenant for `tenant verify` and `tenant bundle`. Full: its oldest is forgotten.
pub const RECENT_LINES_MAX: usize = 200;
/// Bytes of those. Full: the same.
pub const RECENT_LINES_BYTES_MAX: usize = 64 * 1024;
/// Tenants of which lines are kept, 8 MiB in all. Full: those of the tenant that was silent for the longest are forgotten.
pub const RECENT_TENANTS_MAX: usize = 128;
/// Lines of our own log waiting to be written. Full: dropped and counted; a blocked terminal never blocks us.
pub const LOG_LINES_QUEUED_MAX: usize = 4096;
/// Bytes of one line of a host's output. Longer: cut and marked.
pub const OUTPUT_LINE_BYTES_MAX: usize = 16 * 1024;
/// Bytes a second that one host may log; a burst of the same size is allowed. More: lines are dropped and counted.
pub const OUTPUT_BYTES_PER_S: u64 = 1024 * 1024;
/// Bytes a second that we read of one host's output, most of it to throw away. More: we stop reading its pipes for a
/// moment, so that a flood costs its host time and not us.
pub const OUTPUT_READ_BYTES_PER_S: u64 = 16 * OUTPUT_BYTES_PER_S;
/// Reports a second from one host, averaged; the burst is as large. More: events and logs are dropped and counted.
pub const REPORTS_PER_S: u64 = 5_000;
/// Breaker samples kept for one tenant within the window. Full: the oldest goes.
pub const BREAKER_SAMPLES_MAX: usize = 4096;
/// Tenants outside the configuration that are remembered. Full: one without sessions is forgotten.
pub const UNKNOWN_TENANTS_MAX: usize = 1024;
/// Bytes of a control request's body. Longer: 413.
pub const CONTROL_BODY_BYTES_MAX: usize = 256 * 1024;
/// Bytes of the file of operators' orders: some thousand tenants with several each. Longer: the order is refused.
pub const STANDING_ORDERS_BYTES_MAX: usize = 1024 * 1024;
/// Connections to the control socket at once. Full: a new one waits to be accepted.
pub const CONTROL_CONNECTIONS_MAX: usize = 256;
/// Requests waiting for the spawner thread. Full: who asks waits.
pub const SPAWNS_QUEUED_MAX: usize = 64;
/// Milliseconds that a zygote may take to answer a fork. Longer: it is killed and the host made cold.
pub const ZYGOTE_REPLY_MS: u64 = 2_000;
/// Milliseconds from a zygote's exec to its word that it is warm. Longer: it is killed and tried again. Python's imports
/// and models take 3 to 5 s, and have taken 12 s from a cold disk.
pub const ZYGOTE_WARM_MS: u64 = 60_000;
/// Lines a second that a zygote may log; a burst of the same size is allowed. More: dropped and counted.
pub const ZYGOTE_LINES_PER_S: u64 = 200;
/// Lines kept of the end of a zygote's output, as the reason of its death. Full: the oldest is forgotten.
pub const ZYGOTE_TAIL_LINES_MAX: usize = 8;
/// Bytes of those lines that are shown. More: the beginning is left out.
pub const ZYGOTE_TAIL_BYTES_MAX: usize = 2048;
/// Milliseconds that an interpreter may take to say its version. Longer: it is killed, and the start is refused. It
/// imports no framework, but the disk may be cold.
pub const INTERPRETER_ANSWER_MS: u64 = 30_000;
/// Bytes that a helper program (a secret command) may write to standard output. More: it is killed and has failed.
pub const HELPER_OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Bytes kept of the end of a helper program's standard error. More: the beginning is forgotten.
pub const HELPER_ERROR_BYTES_MAX: usize = 4 * 1024;
/// Milliseconds that killing a tree may take. Longer: what is left is counted and reported.
pub const TREE_KILL_MS: u64 = 2_000;

const _: () = assert!(METADATA_BYTES_MAX * 2 + ROOM_NAME_BYTES_MAX < CONTROL_BODY_BYTES_MAX);
