//! Fetches what references name: variables, files, programs' output.
//!
//! Owns: the size cap and the form of a secret. Never: waits on a pipe, or fetches one reference twice.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use openrtc_ipc::SecretText;
use zeroize::Zeroizing;

use super::{Held, Holder, SecretFault, Wanted};
use crate::config::{Config, SecretRef, plugins};

/// Bytes of one secret; more is refused.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;
/// References fetched at once.
const AT_ONCE: usize = 8;
/// Characters of a program's complaint that are shown.
const COMPLAINT_CHARS_MAX: usize = 200;

/// What is wrong, and what to do.
type Problem = (String, String);

fn problem<T>(problem: impl Into<String>, remedy: impl Into<String>) -> Result<T, Problem> {
    Err((problem.into(), remedy.into()))
}

/// Fetches each distinct reference once.
pub(super) async fn fetch<F, R>(config: &Config, wanted: Vec<Wanted>, run: F) -> BTreeMap<String, Held>
where
    F: Fn(Vec<String>) -> R,
    R: Future<Output = Result<Vec<u8>, String>>,
{
    let distinct: BTreeMap<String, SecretRef> =
        wanted.iter().filter_map(|want| Some((identity(&want.reference)?, want.reference.clone()))).collect();
    let run = &run;
    let fetched: BTreeMap<String, Result<SecretText, Problem>> = futures_util::stream::iter(distinct)
        .map(|(identity, reference)| async move {
            let value = one(config, &reference, run).await;
            (identity, value)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let held = wanted.into_iter().map(|wanted| {
        let value = match (&wanted.reference, identity(&wanted.reference).and_then(|it| fetched.get(&it))) {
            (SecretRef::Literal(literal), _) => text(literal.expose_secret().as_bytes().to_vec()),
            (_, Some(value)) => value.clone(),
            (_, None) => problem("was not fetched", "report this as a defect"),
        };
        let value = value.and_then(|value| usable(&wanted, value)).map_err(|problem| fault(&wanted, problem));
        (wanted.key.clone(), Held { wanted, value })
    });
    held.collect()
}

/// Equal for equal references; `None` for a literal, which needs no fetching.
fn identity(reference: &SecretRef) -> Option<String> {
    match reference {
        SecretRef::Literal(_) => None,
        SecretRef::Env(_) | SecretRef::File(_) | SecretRef::Exec(_) | SecretRef::Credential(_) => {
            Some(format!("{reference:?}"))
        }
    }
}

fn fault(wanted: &Wanted, (problem, remedy): Problem) -> SecretFault {
    let tenant = match &wanted.holder {
        Holder::Tenant(tenant) => Some(tenant.clone()),
        Holder::Defaults | Holder::Runtime(_) | Holder::Supervisor => None,
    };
    SecretFault { tenant, key: wanted.key.clone(), reference: wanted.reference.to_string(), problem, remedy }
}

async fn one<F, R>(config: &Config, reference: &SecretRef, run: &F) -> Result<SecretText, Problem>
where
    F: Fn(Vec<String>) -> R,
    R: Future<Output = Result<Vec<u8>, String>>,
{
    match reference {
        SecretRef::Literal(literal) => Ok(literal.clone()),
        SecretRef::Env(name) => match config.found_variable(name) {
            Some(value) => text(value.as_bytes().to_vec()),
            None => problem("the variable is not set", format!("set {name} in the supervisor's environment")),
        },
        SecretRef::File(path) => file(path.clone()).await,
        SecretRef::Credential(name) => match config.path_of(reference) {
            Some(path) => file(path).await.map_err(|(problem, _)| {
                (problem, format!("add LoadCredential={name}:PATH to the unit, or correct the name"))
            }),
            None => problem("$CREDENTIALS_DIRECTORY is not set", format!("add LoadCredential={name}:PATH to the unit")),
        },
        SecretRef::Exec(argv) => match run(argv.clone()).await {
            Ok(output) => text(output),
            Err(complaint) => {
                let complaint: String = complaint.chars().take(COMPLAINT_CHARS_MAX).collect();
                problem(format!("the program failed: {complaint}"), "run it by hand, as the supervisor's user")
            }
        },
    }
}

/// A file is read on a thread that may block: it may lie on a slow disk.
async fn file(path: PathBuf) -> Result<SecretText, Problem> {
    match tokio::task::spawn_blocking(move || read(&path)).await {
        Ok(read) => read.and_then(text),
        Err(_) => problem("the thread that read it ended", "reload"),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let options = libc::O_NONBLOCK | libc::O_CLOEXEC;
    let opened = std::fs::OpenOptions::new().read(true).custom_flags(options).open(path);
    let opened = opened.and_then(|file| Ok((file.metadata()?.is_file(), file)));
    let file = match opened {
        Ok((true, file)) => file,
        Ok((false, _)) => return problem("is no regular file", "name a file"),
        Err(error) => return problem(format!("cannot be read: {error}"), "correct the path, or its permissions"),
    };
    let mut bytes = Vec::new();
    match file.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => problem(format!("cannot be read: {error}"), "correct the path, or its permissions"),
    }
}

/// Text without the newline that editors and `echo` put at its end.
fn text(bytes: Vec<u8>) -> Result<SecretText, Problem> {
    let bytes = Zeroizing::new(bytes);
    if bytes.len() > SECRET_BYTES_MAX {
        return problem(format!("is larger than {SECRET_BYTES_MAX} bytes"), "name the file of the key itself");
    }
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return problem("is not UTF-8", "store the key as text");
    };
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.trim().is_empty() {
        return problem("is empty", "put the key there");
    }
    if text.contains('\0') {
        return problem("has a NUL byte, which no variable can carry", "store the key as text");
    }
    Ok(SecretText::new(text.to_owned()))
}

/// A service account is passed on by path, so it must be in a file.
fn usable(wanted: &Wanted, value: SecretText) -> Result<SecretText, Problem> {
    let by_path = is_service_account(wanted.plugin.as_deref(), &value);
    match wanted.reference {
        SecretRef::Env(_) | SecretRef::Exec(_) | SecretRef::Literal(_) if by_path => {
            problem("is a service account, which plugins read from a file", "write { file = \"PATH\" }")
        }
        _ => Ok(value),
    }
}

/// Whether a provider's key is Google's JSON file.
pub(super) fn is_service_account(plugin: Option<&str>, value: &SecretText) -> bool {
    plugin.is_some_and(plugins::takes_credentials_file) && value.expose_secret().trim_start().starts_with('{')
}
