//! Where results go: standard output for results, standard error for everything said beside them.
//!
//! Owns: JSON or text, colours, the width and quietness. Never: panics when its reader leaves.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::exit::CliError;
use super::table::{Table, harmless};

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Yes.
    Always,
    /// No.
    Never,
}

/// How to print.
#[derive(Debug, Clone)]
pub struct Output {
    json: bool,
    quiet: bool,
    color: bool,
    width: Option<usize>,
    talks: bool,
}

impl Output {
    /// For this process's own streams.
    pub fn new(json: bool, quiet: bool, color: Color) -> Self {
        let out = io::stdout();
        let auto = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let size = rustix::termios::tcgetwinsize(&out).ok().filter(|_| out.is_terminal());
        Self {
            json,
            quiet,
            color: match color {
                Color::Auto => auto,
                Color::Always => true,
                Color::Never => false,
            },
            // What is piped somewhere is not cut.
            width: size.map(|size| usize::from(size.ws_col)).filter(|width| *width > 0),
            talks: io::stderr().is_terminal(),
        }
    }

    /// Whether JSON was asked for.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Whether to colour.
    pub fn colored(&self) -> bool {
        self.color
    }

    /// How many characters fit on a line, where that is known.
    pub fn width(&self) -> Option<usize> {
        self.width
    }

    /// Prints a value as JSON if that was asked for, else as this text.
    pub fn result<T: Serialize>(&self, value: &T, text: impl FnOnce(&Self, &T) -> String) -> Result<(), CliError> {
        if self.json {
            let text = serde_json::to_string_pretty(value).map_err(|error| CliError::Output(error.into()))?;
            return self.print(&format!("{text}\n"));
        }
        self.print(&text(self, value))
    }

    /// Prints to standard output as it is.
    pub fn print(&self, text: &str) -> Result<(), CliError> {
        self.print_bytes(text.as_bytes())
    }

    /// The same, of what may be no text.
    pub fn print_bytes(&self, bytes: &[u8]) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(CliError::Output)
    }

    /// A table as text, or a sentence where it is empty.
    pub fn table(&self, table: &Table, empty: &str) -> String {
        if table.is_empty() { format!("{empty}\n") } else { table.render(self.width, self.color) }
    }

    /// Says something beside the result, unless it was asked to be quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.complain(text);
        }
    }

    /// Says how it goes, where a person may be watching.
    pub fn progress(&self, text: &str) {
        if self.talks && !self.json {
            self.note(text);
        }
    }

    /// Says what is wrong. Nothing can be done if nobody listens.
    pub fn complain(&self, text: &str) {
        let shown: Vec<_> = text.lines().map(harmless).collect();
        let _ = writeln!(io::stderr().lock(), "{}", shown.join("\n"));
    }
}
