//! The terminal while the view has it.
//!
//! Owns: raw mode, the other screen, the cursor, and giving all three back however it ends. Never: writes but through one
//! buffer a frame, so that a slow line gets a frame whole.

use std::io::{self, BufWriter, Stdout};
use std::sync::Once;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use tokio::sync::mpsc;

/// More than a frame of any usual screen.
const FRAME_BYTES: usize = 64 * 1024;
/// Keys that were typed and not taken yet.
const KEYS_MAX: usize = 64;

/// A screen of ours, until it is dropped.
pub(super) struct Screen {
    pub(super) terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn take() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                before(panic);
            }));
        });
        enable_raw_mode()?;
        // From here on, what is taken is given back.
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(FRAME_BYTES, io::stdout())));
        let taken = terminal.map(|terminal| Self { terminal }).inspect_err(|_| give_back())?;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(taken)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Nothing more can be done for a terminal that does not take this.
fn give_back() {
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// What is typed, from a thread of its own, so that nothing else keeps it waiting. Ends with the terminal.
pub(super) fn events() -> io::Result<mpsc::Receiver<Event>> {
    let (typed, events) = mpsc::channel(KEYS_MAX);
    std::thread::Builder::new().name("keys".to_owned()).spawn(move || {
        while let Ok(event) = event::read() {
            if typed.blocking_send(event).is_err() {
                return;
            }
        }
    })?;
    Ok(events)
}
