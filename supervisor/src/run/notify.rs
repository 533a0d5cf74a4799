//! What the service manager is told: that we are ready, that we stop, how it goes, and that we live (`sd_notify(3)`).
//!
//! Owns: the datagrams to `$NOTIFY_SOCKET` and their moments. Never: waits for the manager, or hands the socket on: no
//! host gets our environment.

use std::env;
use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use openrtc_policy::Policy;
use tokio::time::{MissedTickBehavior, interval};

use crate::sources::Handle;

/// How often the status is looked at; the manager hears of it when it changed.
const LOOK: Duration = Duration::from_secs(2);
/// What the end takes beside sessions: observers and the API.
const FINISH: Duration = Duration::from_secs(30);

/// The service manager, if one started us.
#[derive(Debug)]
pub(super) struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that we live.
    watchdog: Option<Duration>,
}

impl Manager {
    /// As the environment has it; one that cannot be reached is warned of, and is then as good as none.
    pub(super) fn find() -> Self {
        let watched = env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse::<u64>().ok()).filter(|usec| *usec > 0);
        let ours = env::var("WATCHDOG_PID").ok().is_none_or(|pid| pid == std::process::id().to_string());
        Self::at(env::var_os("NOTIFY_SOCKET"), watched.filter(|_| ours).map(Duration::from_micros))
    }

    fn at(path: Option<OsString>, watchdog: Option<Duration>) -> Self {
        let none = Self { socket: None, watchdog: None };
        let Some(path) = path.filter(|path| !path.is_empty()) else { return none };
        let address = match path.as_bytes() {
            // An abstract name is written with an @ in place of its NUL.
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            _ => SocketAddr::from_pathname(&path),
        };
        let opened = address.and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Ok((socket, address))
        });
        match opened {
            Ok(socket) => Self { socket: Some(socket), watchdog },
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "NOTIFY_SOCKET cannot be used: no manager is told");
                none
            }
        }
    }

    fn tell(&self, words: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(words.as_bytes(), address) {
            tracing::debug!(%error, "the service manager was not told: {}", words.lines().next().unwrap_or_default());
        }
    }

    /// Sessions are taken from now on.
    fn ready(&self) {
        self.tell("READY=1\nSTATUS=ready: no session yet");
    }

    /// Tells that we are ready, and how it goes until the driver is gone. A watchdog hears of us only when the driver has answered; a stop is
    /// given the time that a drain may take, whatever the unit says.
    pub(super) async fn tell_on(self, handle: Handle, drain: Duration) {
        if self.socket.is_none() {
            return;
        }
        self.ready();
        let mut ticks = interval(self.watchdog.map_or(LOOK, |watchdog| (watchdog / 3).min(LOOK)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut status, mut stopping) = (String::new(), false);
        loop {
            ticks.tick().await;
            let look = |policy: &Policy| (policy.active(), policy.hosts().count(), policy.draining());
            let Ok((sessions, hosts, draining)) = handle.inspect(look).await else { break };
            if self.watchdog.is_some() {
                self.tell("WATCHDOG=1");
            }
            if draining && !stopping {
                stopping = true;
                let extend = (drain + FINISH).as_micros();
                self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={extend}"));
            }
            let word = if draining { "draining" } else { "serving" };
            let now = format!("STATUS={word}: {sessions} sessions on {hosts} hosts");
            if now != status {
                self.tell(&now);
                status = now;
            }
        }
        if !stopping {
            self.tell("STOPPING=1");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_manager_is_told_at_a_path_and_at_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        Manager::at(Some(path.into()), None).ready();
        assert!(heard(&by_path).starts_with("READY=1\nSTATUS="));
        let name = format!("openrtc-notify-test-{}", std::process::id());
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Manager::at(Some(format!("@{name}").into()), None).ready();
        assert!(heard(&by_name).starts_with("READY=1\n"));
    }

    #[test]
    fn without_a_manager_nothing_is_told_and_a_dead_one_costs_nothing() {
        Manager::at(None, None).ready();
        Manager::at(Some("".into()), None).ready();
        Manager::at(Some("/nonexistent/notify".into()), None).ready();
        Manager::at(Some("x".repeat(500).into()), None).ready();
    }
}
