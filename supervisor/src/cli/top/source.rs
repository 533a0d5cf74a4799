//! Asking the supervisor, beside the keyboard.
//!
//! Owns: the rhythm, the deadline and one request in flight. Never: asks while paused, or for more than is shown.

use std::sync::Arc;
use std::time::Duration;

use openrtc_control_api::{Host, HostGone, Session, SessionList, Snapshot};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::state::{Look, LookedHost, Order, Query};
use crate::cli::client::{Client, ClientError, Patience};
use crate::cli::exit::{CliError, Exit};

/// For one look.
const DEADLINE: Duration = Duration::from_secs(5);
/// Seconds that ending a session waits for the end.
const END_WAIT_S: u64 = 15;

/// What was heard.
pub(super) enum Heard {
    /// A look.
    Look(Box<Result<Look, String>>),
    /// What an order came to.
    Done(String),
}

/// The path of a snapshot without what only one host's view shows.
pub(super) fn snapshot_path(tenant: Option<&str>) -> String {
    let tenant = tenant.map(|tenant| format!("&tenant={tenant}")).unwrap_or_default();
    format!("/v1/snapshot?brief=true{tenant}")
}

/// Looks again and again until nobody listens.
pub(super) async fn look_on(
    client: Arc<Client>,
    period: Duration,
    mut query: watch::Receiver<Query>,
    heard: mpsc::Sender<Heard>,
) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last: Option<Query> = None;
    let mut failed = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // Another question is answered at once.
            changed = query.changed() => if changed.is_err() { return },
        }
        let asked = query.borrow_and_update().clone();
        let by_hand = last.as_ref().is_none_or(|last| last.host != asked.host || last.refreshes != asked.refreshes);
        if asked.paused && !by_hand {
            continue;
        }
        let fresh = by_hand || failed;
        let look = match timeout(DEADLINE, look(&client, &asked, fresh)).await {
            Ok(Ok(look)) => Ok(look),
            Ok(Err(error)) => Err(in_words(&error)),
            Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
        };
        failed = look.is_err();
        last = Some(asked);
        if heard.send(Heard::Look(Box::new(look))).await.is_err() {
            return;
        }
    }
}

async fn look(client: &Client, query: &Query, fresh: bool) -> Result<Look, CliError> {
    let snapshot: Snapshot = client.get(&snapshot_path(query.tenant.as_deref())).await?;
    let detail = match &query.host {
        Some(id) => Some(look_into(client, id, fresh, &snapshot).await?),
        None => None,
    };
    Ok(Look { snapshot, detail })
}

/// What ended on a host is asked for anew only when something may have.
async fn look_into(client: &Client, id: &str, fresh: bool, snapshot: &Snapshot) -> Result<LookedHost, CliError> {
    let host: Option<Host> = match client.get(&format!("/v1/hosts/{id}")).await {
        Ok(host) => Some(host),
        Err(error) if error.exit() == Exit::NotFound => None,
        Err(error) => return Err(error),
    };
    let idle = snapshot.hosts.iter().find(|host| host.host == id).is_none_or(|host| host.sessions.is_empty());
    let ended = if fresh || idle {
        let list: SessionList = client.get(&format!("/v1/sessions?ended=true&host={id}")).await?;
        Some(list.ended)
    } else {
        None
    };
    Ok(LookedHost { id: id.to_owned(), host, ended })
}

/// Gives one order after the other.
pub(super) async fn give(client: Arc<Client>, mut orders: mpsc::Receiver<Order>, heard: mpsc::Sender<Heard>) {
    while let Some(order) = orders.recv().await {
        let said = match order_one(&client, &order).await {
            Ok(said) => said,
            Err(error) => format!("failed: {}", in_words(&error)),
        };
        if heard.send(Heard::Done(said)).await.is_err() {
            return;
        }
    }
}

async fn order_one(client: &Client, order: &Order) -> Result<String, CliError> {
    let nothing = serde_json::json!({});
    match order {
        Order::Kill { host, .. } => {
            let gone: HostGone = client.post(&format!("/v1/hosts/{host}/kill"), &nothing, Patience::Usual).await?;
            Ok(format!("{} is gone after {} ms", gone.host, gone.took_ms))
        }
        Order::End { session, .. } => {
            let path = format!("/v1/sessions/{session}/end?wait_s={END_WAIT_S}");
            let patience = Patience::Longer(Duration::from_secs(END_WAIT_S));
            match client.post(&path, &nothing, patience).await? {
                Session::Live { row, .. } => Ok(format!("{} was told to end, and has not yet", row.session_id)),
                Session::Ended { ended } => Ok(format!("{} ended: {}", ended.session_id, ended.reason)),
            }
        }
    }
}

/// In one line.
fn in_words(error: &CliError) -> String {
    match error {
        CliError::Client(ClientError::Unreachable(_) | ClientError::Lost(_) | ClientError::Token { .. }) => {
            "the supervisor is gone".to_owned()
        }
        error => error.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}
