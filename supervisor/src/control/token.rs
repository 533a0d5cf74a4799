//! The bearer token: what a host of our own uid does not have (decision W1).
//!
//! Owns: one random token per start and its file. Never: shows it in `Debug`, or compares it byte by byte.

use std::fmt;
use std::io;
use std::sync::Arc;

use openrtc_control_api::TOKEN_FILE;

use super::private_dir::{DirError, PrivateDir};

const RANDOM_BYTES: usize = 32;
/// Shortest token that opens a TCP port, in bytes: a shorter one can be guessed.
pub const REMOTE_TOKEN_BYTES_MIN: usize = 16;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The system gave no randomness.
    #[error("draw a control token")]
    Random(#[source] io::Error),
    /// It could not be written down.
    #[error(transparent)]
    File(#[from] DirError),
}

/// A token; the file of one that was drawn goes when it is dropped.
pub(super) struct Token {
    text: String,
    directory: Option<Arc<PrivateDir>>,
}

impl Token {
    /// Draws a token and writes it beside the socket, mode 0600.
    pub(super) fn draw(directory: &Arc<PrivateDir>) -> Result<Self, TokenError> {
        let mut bytes = [0_u8; RANDOM_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| TokenError::Random(error.into()))?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        directory.replace_file(TOKEN_FILE, format!("{text}\n").as_bytes())?;
        Ok(Self { text, directory: Some(Arc::clone(directory)) })
    }

    /// A token that was given.
    pub(super) fn given(text: String) -> Self {
        Self { text, directory: None }
    }

    /// Whether an `Authorization` header carries it. Takes as long for any wrong token of its length.
    pub(super) fn is_in(&self, authorization: &[u8]) -> bool {
        let Some(given) = authorization.strip_prefix(b"Bearer ") else { return false };
        same(given, self.text.as_bytes())
    }
}

fn same(given: &[u8], wanted: &[u8]) -> bool {
    let different = given.iter().zip(wanted).fold(given.len() ^ wanted.len(), |sum, (a, b)| sum | usize::from(a ^ b));
    std::hint::black_box(different) == 0
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            directory.remove(TOKEN_FILE);
        }
        zeroize::Zeroize::zeroize(&mut self.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_after_bearer_is_taken() {
        let home = tempfile::tempdir().unwrap();
        let token = Token::draw(&Arc::new(PrivateDir::open(&home.path().join("d")).unwrap())).unwrap();
        let good = format!("Bearer {}", token.text);
        assert_eq!(token.text.len(), 2 * RANDOM_BYTES);
        assert!(token.is_in(good.as_bytes()));
        assert!(!token.is_in(token.text.as_bytes()));
        assert!(!token.is_in(&good.as_bytes()[..good.len() - 1]));
        assert!(!token.is_in(format!("{good}0").as_bytes()));
        assert!(!token.is_in(b"Bearer "));
        let mut wrong = good.into_bytes();
        *wrong.last_mut().unwrap() ^= 1;
        assert!(!token.is_in(&wrong));
    }
}
