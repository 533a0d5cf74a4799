//! `tenant bundle`: all that is known of one tenant's trouble, in a file to be handed on.
//!
//! Owns: the file, which is made for its owner's eyes and never written over another. Never: adds to what the supervisor
//! tells.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use openrtc_control_api::TenantBundle;
use openrtc_ipc::TenantId;
use serde::Serialize;

use crate::cli::client::Client;
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::units;

/// What was written.
#[derive(Debug, Serialize)]
struct Written {
    output: PathBuf,
    bytes: u64,
    sessions: usize,
    ended: usize,
    lines: usize,
    audit: usize,
}

pub(super) async fn perform(tenant: &TenantId, out: &Path, client: &Client, output: &Output) -> Result<Exit, CliError> {
    let failed = |source| CliError::File { option: "--out", path: out.to_owned(), source };
    // Before anything is asked: what cannot be kept need not be gathered.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(out).map_err(failed)?;
    let bundle: TenantBundle = match client.get(&format!("/v1/tenants/{tenant}/bundle")).await {
        Ok(bundle) => bundle,
        Err(error) => return Err(given_up(out, error)),
    };
    let bytes = match write(file, &bundle) {
        Ok(bytes) => bytes,
        Err(source) => return Err(given_up(out, failed(source))),
    };
    let written = Written {
        output: out.to_owned(),
        bytes,
        sessions: bundle.sessions.len(),
        ended: bundle.ended.len(),
        lines: bundle.lines.len(),
        audit: bundle.audit.len(),
    };
    if let Some(fault) = &bundle.audit_fault {
        output.note(&format!("the audit log could not be read: {fault}"));
    }
    output.result(&written, |_, written| {
        format!(
            "{}: {}, {}, {} ended, {}, {}\n",
            written.output.display(),
            units::bytes(written.bytes),
            units::counted(written.sessions as u64, "session"),
            written.ended,
            units::counted(written.lines as u64, "line"),
            units::counted(written.audit as u64, "audit record"),
        )
    })?;
    Ok(Exit::Ok)
}

fn write(file: File, bundle: &TenantBundle) -> io::Result<u64> {
    let mut writer = BufWriter::new(file);
    serde_json::to_writer_pretty(&mut writer, bundle)?;
    writer.write_all(b"\n")?;
    let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// Half a bundle is none. What cannot be removed either is named by the error that is told already.
fn given_up(out: &Path, error: CliError) -> CliError {
    let _ = std::fs::remove_file(out);
    error
}
