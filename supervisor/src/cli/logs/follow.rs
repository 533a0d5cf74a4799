//! A log file that grows, is replaced and is emptied.
//!
//! Owns: telling the three apart. Never: loses what was written to a file before it was replaced.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::{CHUNK_BYTES, CliError, Output, Strainer};

/// Between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Shows what is in the file and what comes, until a signal.
pub(super) fn follow(path: &Path, strainer: &mut Strainer<'_>, output: &Output) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Start)?;
    runtime.block_on(async {
        let mut interrupted = signal(SignalKind::interrupt()).map_err(CliError::Start)?;
        let mut terminated = signal(SignalKind::terminate()).map_err(CliError::Start)?;
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tail = Tail::new(path);
        let mut told = false;
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                _ = interrupted.recv() => return Ok(()),
                _ = terminated.recv() => return Ok(()),
            }
            let fault = |source| CliError::File { option: "FILE", path: path.to_owned(), source };
            while tail.look(strainer).map_err(|error| error.told(fault))? {}
            if !tail.found() && !told {
                output.note(&format!("waiting for {}", path.display()));
                told = true;
            }
        }
    })
}

/// Why a look failed.
#[derive(Debug)]
pub(super) enum TailFault {
    Read(io::Error),
    Show(CliError),
}

impl TailFault {
    fn told(self, fault: impl Fn(io::Error) -> CliError) -> CliError {
        match self {
            Self::Read(error) => fault(error),
            Self::Show(error) => error,
        }
    }
}

/// The end of a file.
pub(super) struct Tail<'a> {
    path: &'a Path,
    file: Option<File>,
    chunk: Vec<u8>,
}

impl<'a> Tail<'a> {
    pub(super) fn new(path: &'a Path) -> Self {
        Self { path, file: None, chunk: vec![0; CHUNK_BYTES] }
    }

    /// Whether there is, or was, such a file.
    pub(super) fn found(&self) -> bool {
        self.file.is_some()
    }

    /// Shows what came since the last look, at most one piece of it. True: there may be more at once.
    pub(super) fn look(&mut self, strainer: &mut Strainer<'_>) -> Result<bool, TailFault> {
        let Some(file) = &mut self.file else {
            match File::open(self.path) {
                Ok(file) => self.file = Some(file),
                // It may come.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(TailFault::Read(error)),
            }
            return Ok(true);
        };
        let read = match file.read(&mut self.chunk) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(TailFault::Read(error)),
        };
        if read > 0 {
            strainer.take(&self.chunk[..read]).map_err(TailFault::Show)?;
            return Ok(true);
        }
        let (held, at) = (file.metadata().map_err(TailFault::Read)?, file.stream_position().map_err(TailFault::Read)?);
        if held.is_file() && held.len() < at {
            // Emptied: what was not ended will not be.
            strainer.finish().map_err(TailFault::Show)?;
            file.rewind().map_err(TailFault::Read)?;
            return Ok(true);
        }
        // Replaced? While the name is away, the old one may still be written to.
        let Ok(named) = std::fs::metadata(self.path) else { return Ok(false) };
        if (named.dev(), named.ino()) == (held.dev(), held.ino()) {
            return Ok(false);
        }
        // Between the read and the look at the name something may have been written.
        let rest = file.read(&mut self.chunk).map_err(TailFault::Read)?;
        if rest > 0 {
            strainer.take(&self.chunk[..rest]).map_err(TailFault::Show)?;
            return Ok(true);
        }
        strainer.finish().map_err(TailFault::Show)?;
        self.file = None;
        Ok(true)
    }
}
