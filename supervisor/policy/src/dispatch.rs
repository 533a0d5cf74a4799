//! A request to run an agent session, before anything was decided.
//!
//! Owns: what was asked, as it was asked. Never: believes any of it.

/// Names a dispatch between its question and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DispatchId(pub u64);

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatch {
    /// Names it until it is answered.
    pub id: DispatchId,
    /// The room.
    pub room: String,
    /// The dispatcher's own name for the job, if it has one.
    pub job_id: Option<String>,
    /// Named outside the metadata, by an operator; wins over it (semantics A8).
    pub tenant: Option<String>,
    /// Named outside the metadata, by an operator; wins over routing.
    pub agent: Option<String>,
    /// Job metadata, as text.
    pub job_metadata: String,
    /// Room metadata, as text.
    pub room_metadata: String,
    /// Whether assignment follows the answer at once (local) or comes as its own event (LiveKit).
    pub assigned_with_answer: bool,
}
