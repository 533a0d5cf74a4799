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
/// Bytes of one line of a host's output. Longer: cut and marked.
pub const OUTPUT_LINE_BYTES_MAX: usize = 16 * 1024;
/// Bytes a second that one host may log; a burst of the same size is allowed. More: lines are dropped and counted.
pub const OUTPUT_BYTES_PER_S: u64 = 1024 * 1024;
/// Reports a second from one host, averaged; the burst is as large. More: events and logs are dropped and counted.
pub const REPORTS_PER_S: u64 = 20_000;
/// Breaker samples kept for one tenant within the window. Full: the oldest goes.
pub const BREAKER_SAMPLES_MAX: usize = 4096;
/// Tenants outside the configuration that are remembered. Full: one without sessions is forgotten.
pub const UNKNOWN_TENANTS_MAX: usize = 1024;
/// Bytes of a control request's body. Longer: 413.
pub const CONTROL_BODY_BYTES_MAX: usize = 256 * 1024;
/// Connections to the control socket at once. Full: a new one waits to be accepted.
pub const CONTROL_CONNECTIONS_MAX: usize = 256;

const _: () = assert!(METADATA_BYTES_MAX * 2 + ROOM_NAME_BYTES_MAX < CONTROL_BODY_BYTES_MAX);
