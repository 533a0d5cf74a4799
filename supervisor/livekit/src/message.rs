//! What the server says, read from one binary frame.
//!
//! Owns: the envelope, in which a job stays the bytes that came. Never: fails; what cannot be read is a message too.

use bytes::Bytes;
use prost::Message;

use crate::proto;
use crate::token::Token;
use crate::worker::event::JobId;

/// A message of the server.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerMessage {
    /// We are registered.
    Registered {
        /// The server's name for us.
        worker_id: String,
        /// Which server that is.
        server: Box<proto::ServerInfo>,
    },
    /// A job is offered.
    Offer {
        /// Its name; never empty.
        id: JobId,
        /// The job.
        job: Box<proto::Job>,
        /// The job as it came.
        raw: Bytes,
        /// It ran elsewhere before.
        resuming: bool,
    },
    /// A job is ours.
    Assigned {
        /// Its name; never empty.
        id: JobId,
        /// The job.
        job: Box<proto::Job>,
        /// The job as it came.
        raw: Bytes,
        /// With what the agent joins.
        token: Token,
        /// Where the agent joins, if not here.
        url: Option<String>,
    },
    /// The answer to our ping with this time stamp.
    Pong {
        /// Ours, given back.
        sent: i64,
    },
    /// A job shall end.
    Terminate(JobId),
    /// The server leaves.
    GoAway {
        /// What it says.
        reason: String,
    },
    /// A message of a newer server. To be skipped.
    Unknown,
    /// No message at all, or one without the fields that make it one. To be skipped and looked into.
    Unreadable,
}

/// [`proto::ServerMessage`], but jobs stay bytes.
#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(oneof = "Content", tags = "1, 2, 3, 4, 5, 6")]
    content: Option<Content>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Content {
    #[prost(message, tag = "1")]
    Register(proto::RegisterWorkerResponse),
    #[prost(message, tag = "2")]
    Availability(RawOffer),
    #[prost(message, tag = "3")]
    Assignment(RawAssignment),
    #[prost(message, tag = "4")]
    Pong(proto::WorkerPong),
    #[prost(message, tag = "5")]
    Termination(proto::JobTermination),
    #[prost(message, tag = "6")]
    GoAway(RawGoAway),
}

/// [`proto::AvailabilityRequest`].
#[derive(Clone, PartialEq, Message)]
struct RawOffer {
    #[prost(bytes = "bytes", tag = "1")]
    job: Bytes,
    #[prost(bool, tag = "2")]
    resuming: bool,
}

/// [`proto::JobAssignment`].
#[derive(Clone, PartialEq, Message)]
struct RawAssignment {
    #[prost(bytes = "bytes", tag = "1")]
    job: Bytes,
    #[prost(string, optional, tag = "2")]
    url: Option<String>,
    #[prost(string, tag = "3")]
    token: String,
}

/// `GoAway`, as far as anybody needs it.
#[derive(Clone, PartialEq, Message)]
struct RawGoAway {
    #[prost(string, tag = "1")]
    reason: String,
}

impl ServerMessage {
    /// Reads one frame.
    pub fn read(frame: Bytes) -> Self {
        let Ok(envelope) = Envelope::decode(frame) else { return Self::Unreadable };
        match envelope.content {
            None => Self::Unknown,
            Some(Content::Register(registered)) => Self::Registered {
                worker_id: registered.worker_id,
                server: Box::new(registered.server_info.unwrap_or_default()),
            },
            Some(Content::Availability(RawOffer { job: raw, resuming })) => match named(&raw) {
                Some((id, job)) => Self::Offer { id, job, raw, resuming },
                None => Self::Unreadable,
            },
            Some(Content::Assignment(RawAssignment { job: raw, url, token })) => match named(&raw) {
                Some((id, job)) => {
                    let url = url.filter(|url| !url.is_empty());
                    Self::Assigned { id, job, raw, token: Token::from(token), url }
                }
                None => Self::Unreadable,
            },
            Some(Content::Pong(pong)) => Self::Pong { sent: pong.last_timestamp },
            Some(Content::Termination(termination)) => Self::Terminate(JobId(termination.job_id)),
            Some(Content::GoAway(go_away)) => Self::GoAway { reason: go_away.reason },
        }
    }
}

/// The job in these bytes, if it has a name to answer to.
fn named(raw: &Bytes) -> Option<(JobId, Box<proto::Job>)> {
    let job = proto::Job::decode(raw.clone()).ok()?;
    (!job.id.is_empty()).then(|| (JobId(job.id.clone()), Box::new(job)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offer(job: &[u8]) -> Bytes {
        let content = Content::Availability(RawOffer { job: Bytes::copy_from_slice(job), resuming: false });
        Bytes::from(Envelope { content: Some(content) }.encode_to_vec())
    }

    #[test]
    fn the_job_is_kept_byte_by_byte_with_fields_that_nobody_knows() {
        let mut job = proto::Job { id: "AJ_1".into(), metadata: "{}".into(), ..Default::default() }.encode_to_vec();
        let known = job.clone();
        // Field 999, a length-delimited "new".
        prost::encoding::encode_key(999, prost::encoding::WireType::LengthDelimited, &mut job);
        job.extend_from_slice(b"\x03new");
        let ServerMessage::Offer { id, job: read, raw, .. } = ServerMessage::read(offer(&job)) else { panic!() };
        assert_eq!((id.0.as_str(), read.metadata.as_str()), ("AJ_1", "{}"));
        assert_eq!(raw, job);
        assert_eq!(read.encode_to_vec(), known, "prost itself forgets the field");
    }

    #[test]
    fn the_envelope_is_that_of_the_protocol_crate() {
        use proto::server_message::Message as M;
        let job = proto::Job { id: "AJ_2".into(), ..Default::default() };
        let read = |message: M| {
            ServerMessage::read(Bytes::from(proto::ServerMessage { message: Some(message) }.encode_to_vec()))
        };
        let assignment = proto::JobAssignment { job: Some(job), url: Some(String::new()), token: "jwt".into() };
        let ServerMessage::Assigned { id, token, url, .. } = read(M::Assignment(assignment)) else { panic!() };
        assert_eq!((id.0.as_str(), token.expose(), url), ("AJ_2", "jwt", None));
        let pong = proto::WorkerPong { last_timestamp: 7, timestamp: 9 };
        assert_eq!(read(M::Pong(pong)), ServerMessage::Pong { sent: 7 });
        let termination = proto::JobTermination { job_id: "AJ_3".into() };
        assert_eq!(read(M::Termination(termination)), ServerMessage::Terminate(JobId("AJ_3".into())));
        let registered = proto::RegisterWorkerResponse { worker_id: "AW_1".into(), ..Default::default() };
        let ServerMessage::Registered { worker_id, .. } = read(M::Register(registered)) else { panic!() };
        assert_eq!(worker_id, "AW_1");
        let ServerMessage::GoAway { .. } = read(M::GoAway(Default::default())) else { panic!() };
    }

    #[test]
    fn what_a_newer_server_says_is_unknown_and_what_is_no_message_is_unreadable() {
        assert_eq!(ServerMessage::read(Bytes::new()), ServerMessage::Unknown);
        assert_eq!(ServerMessage::read(Bytes::from_static(b"\xaa\x06\x01x")), ServerMessage::Unknown, "field 101");
        assert_eq!(ServerMessage::read(Bytes::from_static(b"\x12\x7fx")), ServerMessage::Unreadable, "cut off");
        assert_eq!(ServerMessage::read(offer(b"")), ServerMessage::Unreadable, "a job without a name");
        assert_eq!(ServerMessage::read(offer(b"\xff\xff")), ServerMessage::Unreadable, "no job");
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            ServerMessage::read(Bytes::from(bytes));
        }
    }
}
