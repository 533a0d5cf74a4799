//! The live view: keys and looks in, frames out.
//!
//! Owns: the loop, and ending it by key or signal. Never: waits for the supervisor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{Event, KeyEventKind};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::keys::Deed;
use super::source::{self, Heard};
use super::state::{Order, State};
use super::terminal::{self, Screen};
use super::view;
use crate::cli::client::Client;
use crate::cli::exit::{CliError, Exit};

/// Between two looks at the clock, for what is told in seconds.
const CLOCK: Duration = Duration::from_secs(1);

/// Shows it until the reader leaves.
pub(super) fn run(state: State, client: Client) -> Result<Exit, CliError> {
    // The supervisor is asked on a thread of its own: even a connection that hangs keeps no key waiting.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(CliError::Start)?;
    let ended = runtime.block_on(show(state, Arc::new(client)));
    runtime.shutdown_background();
    ended
}

/// Whatever ends the view from outside.
struct Signals([Signal; 3]);

impl Signals {
    fn catch() -> std::io::Result<Self> {
        let [term, int, hup] = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        Ok(Self([term?, int?, hup?]))
    }

    async fn any(&mut self) {
        let [term, int, hup] = &mut self.0;
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            _ = hup.recv() => {}
        }
    }
}

async fn show(mut state: State, client: Arc<Client>) -> Result<Exit, CliError> {
    let mut signals = Signals::catch().map_err(CliError::Start)?;
    let (tell, query) = watch::channel(state.query());
    let (heard_sender, mut heard) = mpsc::channel(4);
    let (orders, given) = mpsc::channel::<Order>(1);
    tokio::spawn(source::look_on(Arc::clone(&client), state.settings.period, query, heard_sender.clone()));
    tokio::spawn(source::give(client, given, heard_sender));
    let started = Instant::now();
    let mut clock = interval(CLOCK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut screen = Screen::take().map_err(CliError::Output)?;
    let mut typed = terminal::events().map_err(CliError::Start)?;
    loop {
        let drawn = screen.terminal.draw(|frame| view::draw(&state, started.elapsed(), frame.buffer_mut()));
        drawn.map_err(CliError::Output)?;
        tokio::select! {
            event = typed.recv() => {
                let Some(event) = event else { break };
                if !take_event(&mut state, &event, &orders) {
                    break;
                }
                // What was typed meanwhile costs no frame of its own.
                while let Ok(event) = typed.try_recv() {
                    if !take_event(&mut state, &event, &orders) {
                        return Ok(Exit::Ok);
                    }
                }
                tell.send_if_modified(|query| {
                    let asked = state.query();
                    let changed = *query != asked;
                    *query = asked;
                    changed
                });
            }
            told = heard.recv() => match told {
                Some(Heard::Look(look)) => state.take(*look, started.elapsed()),
                Some(Heard::Done(said)) => state.said = Some(said),
                None => break,
            },
            _ = clock.tick() => {}
            () = signals.any() => break,
        }
    }
    Ok(Exit::Ok)
}

/// False: the reader leaves.
fn take_event(state: &mut State, event: &Event, orders: &mpsc::Sender<Order>) -> bool {
    let Event::Key(key) = event else { return true };
    if key.kind == KeyEventKind::Release {
        return true;
    }
    match state.press(*key) {
        Deed::Nothing => true,
        Deed::Quit => false,
        Deed::Give(order) => {
            if orders.try_send(order).is_err() {
                state.said = Some("the last order is still under way; nothing was done".to_owned());
            }
            true
        }
    }
}
