//! What connects us to a host: its channel, its standard output and its standard error.
//!
//! Owns: both ends of all three, until the host's are handed over. Never: reads what comes.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use openrtc_ipc::HostId;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pipe::PipeFlags;

use crate::spawn::SpawnError;
use crate::spawn::newborn::{How, Newborn, Process};
use crate::spawn::state::Absence;

/// Our ends, which do not block.
#[derive(Debug)]
pub(super) struct Ends {
    channel: UnixStream,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Ends {
    /// Both sides; a host's channel, standard output and standard error block.
    pub(super) fn make() -> Result<(Self, [OwnedFd; 3]), SpawnError> {
        let make = || -> io::Result<_> {
            let (channel, their_channel) = UnixStream::pair()?;
            channel.set_nonblocking(true)?;
            let (stdout, their_stdout) = pipe_to_us()?;
            let (stderr, their_stderr) = pipe_to_us()?;
            Ok((Self { channel, stdout, stderr }, [their_channel.into(), their_stdout, their_stderr]))
        };
        make().map_err(SpawnError::Channel)
    }

    /// What becomes readable when the host says something.
    pub(super) fn channel(&self) -> PollFd<'_> {
        PollFd::new(&self.channel, PollFlags::IN)
    }

    /// What has come that nobody has read.
    pub(super) fn heard(&self) -> Heard {
        let mut channel = [self.channel()];
        match rustix::event::poll(&mut channel, Some(&Timespec::default())) {
            Ok(0) | Err(_) => Heard::Nothing,
            Ok(_) if channel[0].revents() == PollFlags::IN => Heard::Word,
            Ok(_) => Heard::End,
        }
    }

    /// The host at the other side.
    pub(super) fn newborn(self, host: HostId, process: Process, made: Made, begun: Instant) -> Newborn {
        let Self { channel, stdout, stderr } = self;
        let (how, why_cold) = match made {
            Made::Warm(how) => (how, None),
            Made::Cold(why) => (How::Cold, why),
        };
        Newborn { host, process, channel, stdout, stderr, how, why_cold, took: begun.elapsed() }
    }
}

/// What has come from a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing yet.
    Nothing,
    /// It has said something, and listens.
    Word,
    /// It has closed its end.
    End,
}

/// How a host was made.
#[derive(Debug)]
pub(super) enum Made {
    /// By a zygote.
    Warm(How),
    /// By an exec; why, where a zygote was asked for.
    Cold(Option<Absence>),
}

/// A pipe whose reading end, the first, does not block.
pub(super) fn pipe_to_us() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    Ok((reader, writer))
}
