//! Keys, and the tokens minted from them.
//!
//! Owns: which grants a token carries, and for how long. Never: shows a secret; neither keys nor tokens print themselves.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use livekit_token::{AccessToken, VideoGrants};
use zeroize::Zeroizing;

use crate::bounds::{SERVICE_TOKEN_TTL, WORKER_TOKEN_TTL};
use crate::proto;

/// An API key and its secret. Has no `Debug`, no `Clone` and no `Serialize`: it is shared behind an `Arc`.
pub struct ApiKey {
    key: String,
    secret: Zeroizing<String>,
}

/// A signed token. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

/// Why a token could not be minted.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The key or its secret is empty.
    #[error("sign a token with an empty API key or secret")]
    Empty,
    /// A token that lets nobody in anywhere.
    #[error("mint a token to join a room without {0}")]
    Missing(&'static str),
    /// The library refused.
    #[error("sign a token")]
    Sign(#[source] livekit_token::AccessTokenError),
}

impl Token {
    /// The token itself, to be sent.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The beginning of what a server said to this token, without the token: LiveKit repeats one that it refuses.
    pub(crate) fn quote(&self, said: &[u8]) -> String {
        String::from_utf8_lossy(said).replace(self.expose(), "***").trim().chars().take(200).collect()
    }
}

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self(Zeroizing::new(token))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Who may join which room, and as what.
#[derive(Debug, Clone, PartialEq)]
pub struct Participant {
    /// Unique in the room.
    pub identity: String,
    /// The one room.
    pub room: String,
    /// Shown to others.
    pub name: String,
    /// Fixed by whoever mints the token.
    pub metadata: String,
    /// Fixed by whoever mints the token.
    pub attributes: HashMap<String, String>,
    /// Whether it may publish tracks and data.
    pub can_publish: bool,
    /// Whether it may hear others.
    pub can_subscribe: bool,
    /// It is an agent: told apart by servers and clients.
    pub agent: bool,
    /// Agents that are dispatched to the room when this participant creates it.
    pub dispatches: Vec<proto::RoomAgentDispatch>,
    /// How long the token may be used to join; the server renews it while the participant stays.
    pub ttl: Duration,
}

impl Participant {
    /// A caller for an hour.
    pub fn new(identity: impl Into<String>, room: impl Into<String>) -> Self {
        Self {
            identity: identity.into(),
            room: room.into(),
            name: String::new(),
            metadata: String::new(),
            attributes: HashMap::new(),
            can_publish: true,
            can_subscribe: true,
            agent: false,
            dispatches: Vec::new(),
            ttl: Duration::from_secs(3600),
        }
    }
}

/// What a token for the server API may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// Manage this room: its participants, its metadata, its dispatches.
    RoomAdmin {
        /// The one room.
        room: String,
    },
    /// Create and delete rooms.
    RoomCreate,
    /// List rooms.
    RoomList,
}

impl ApiKey {
    /// The key's name and its secret. `livekit-server --dev` has `devkey` and `secret`, so short ones are taken.
    pub fn new(key: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { key: key.into(), secret: Zeroizing::new(secret.into()) }
    }

    /// The key's name, which is no secret.
    pub fn name(&self) -> &str {
        &self.key
    }

    /// For one connection of a worker; valid for [`WORKER_TOKEN_TTL`].
    pub fn worker_token(&self) -> Result<Token, TokenError> {
        let grants = VideoGrants { agent: true, ..VideoGrants::default() };
        self.sign(self.token(WORKER_TOKEN_TTL).with_grants(grants))
    }

    /// For a participant of one room.
    pub fn participant_token(&self, participant: &Participant) -> Result<Token, TokenError> {
        for (value, what) in [(&participant.identity, "an identity"), (&participant.room, "a room")] {
            if value.is_empty() {
                return Err(TokenError::Missing(what));
            }
        }
        let grants = VideoGrants {
            room_join: true,
            room: participant.room.clone(),
            can_publish: Some(participant.can_publish),
            can_subscribe: Some(participant.can_subscribe),
            can_publish_data: Some(participant.can_publish),
            agent: participant.agent,
            ..VideoGrants::default()
        };
        let mut token = self
            .token(participant.ttl)
            .with_identity(&participant.identity)
            .with_name(&participant.name)
            .with_metadata(&participant.metadata)
            .with_attributes(participant.attributes.clone())
            .with_grants(grants);
        if participant.agent {
            token = token.with_kind("agent");
        }
        if !participant.dispatches.is_empty() {
            let agents = participant.dispatches.clone();
            token = token.with_room_config(proto::RoomConfiguration { agents, ..Default::default() });
        }
        self.sign(token)
    }

    /// For the server API, for as long as wanted: what a host may get, for its own room only.
    pub fn grant_token(&self, grant: &Grant, ttl: Duration) -> Result<Token, TokenError> {
        let grants = match grant {
            Grant::RoomAdmin { room } if room.is_empty() => return Err(TokenError::Missing("a room")),
            Grant::RoomAdmin { room } => VideoGrants { room_admin: true, room: room.clone(), ..Default::default() },
            Grant::RoomCreate => VideoGrants { room_create: true, ..Default::default() },
            Grant::RoomList => VideoGrants { room_list: true, ..Default::default() },
        };
        self.sign(self.token(ttl).with_grants(grants))
    }

    /// For one call of the server API.
    pub(crate) fn call_token(&self, grant: &Grant) -> Result<Token, TokenError> {
        self.grant_token(grant, SERVICE_TOKEN_TTL)
    }

    fn token(&self, ttl: Duration) -> AccessToken {
        AccessToken::with_api_key(&self.key, &self.secret).with_ttl(ttl)
    }

    fn sign(&self, token: AccessToken) -> Result<Token, TokenError> {
        if self.key.is_empty() || self.secret.is_empty() {
            return Err(TokenError::Empty);
        }
        token.to_jwt().map(Token::from).map_err(TokenError::Sign)
    }
}

#[cfg(test)]
mod tests {
    use livekit_token::TokenVerifier;

    use super::*;

    fn claims(token: &Token) -> livekit_token::Claims {
        TokenVerifier::with_api_key("devkey", "secret").verify(token.expose()).expect("our own signature")
    }

    fn key() -> ApiKey {
        ApiKey::new("devkey", "secret")
    }

    #[test]
    fn a_worker_token_lets_be_a_worker_for_five_minutes_and_nothing_else() {
        let claims = claims(&key().worker_token().expect("a token"));
        assert_eq!(claims.video, VideoGrants { agent: true, ..Default::default() });
        assert!((claims.exp - claims.nbf) as u64 <= WORKER_TOKEN_TTL.as_secs() + 1);
        assert_eq!(claims.iss, "devkey");
    }

    #[test]
    fn a_participant_token_is_for_one_room_and_carries_its_dispatches() {
        let dispatch = proto::RoomAgentDispatch {
            agent_name: "clerk".into(),
            metadata: r#"{"tenant":"acme"}"#.into(),
            ..Default::default()
        };
        let participant = Participant { dispatches: vec![dispatch.clone()], ..Participant::new("caller", "acme-1") };
        let claims = claims(&key().participant_token(&participant).expect("a token"));
        assert_eq!((claims.sub.as_str(), claims.video.room.as_str()), ("caller", "acme-1"));
        assert!(claims.video.room_join && !claims.video.room_admin && !claims.video.agent);
        assert_eq!(claims.room_config.expect("a configuration").agents, [dispatch]);
    }

    #[test]
    fn a_token_that_opens_every_room_or_nobody_can_use_is_not_minted() {
        let nowhere = key().participant_token(&Participant::new("caller", ""));
        assert!(matches!(nowhere, Err(TokenError::Missing("a room"))));
        let nobody = key().participant_token(&Participant::new("", "room"));
        assert!(matches!(nobody, Err(TokenError::Missing("an identity"))));
        let admin = key().grant_token(&Grant::RoomAdmin { room: String::new() }, Duration::from_secs(60));
        assert!(matches!(admin, Err(TokenError::Missing("a room"))));
        assert!(matches!(ApiKey::new("devkey", "").worker_token(), Err(TokenError::Empty)));
    }

    #[test]
    fn a_grant_token_is_scoped_to_its_room() {
        let grant = Grant::RoomAdmin { room: "acme-1".into() };
        let claims = claims(&key().grant_token(&grant, Duration::from_secs(600)).expect("a token"));
        assert_eq!(claims.video, VideoGrants { room_admin: true, room: "acme-1".into(), ..Default::default() });
    }

    #[test]
    fn a_token_prints_as_stars_and_is_not_quoted() {
        let token = key().worker_token().expect("a token");
        assert_eq!(format!("{token:?}"), "***");
        let said = format!("invalid token: {}, sorry \n", token.expose());
        assert_eq!(token.quote(said.as_bytes()), "invalid token: ***, sorry");
    }
}
