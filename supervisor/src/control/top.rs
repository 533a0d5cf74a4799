//! `top.sock`: OpenRTC's line, for `openrtc top --socket` (semantics E6).
//!
//! Owns: one JSON line per connection. Never: reads a byte, or waits longer than OpenRTC's own reader would.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::snapshot::top_line;
use super::world::World;

/// OpenRTC's reader gives up after as long.
const DEADLINE: Duration = Duration::from_secs(2);

/// Tells one reader.
pub(super) async fn tell(mut stream: UnixStream, world: World) {
    let told = tokio::time::timeout(DEADLINE, async {
        let Ok(line) = top_line(&world).await else { return };
        let Ok(mut line) = serde_json::to_vec(&line) else { return };
        line.push(b'\n');
        // A reader that left misses nothing.
        let _ = stream.write_all(&line).await;
        let _ = stream.shutdown().await;
    });
    let _ = told.await;
}
