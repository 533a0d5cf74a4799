//! A uid and gid for each tenant, where the supervisor may set one (decision W1).
//!
//! Owns: which tenant has which uid in this run, and whether a uid can reach a path. Never: gives two tenants one uid.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use openrtc_ipc::{Identity, RunAs, TenantId, WallSpec};

use crate::config::wall::UidSettings;
use crate::sys::proc::{self, Status};

const CAP_SETGID: u32 = 6;
const CAP_SETUID: u32 = 7;
const CAP_SETPCAP: u32 = 8;

/// Who the supervisor is and whom it can make of a host.
#[derive(Debug)]
pub(super) struct Identities {
    own: Status,
    range: UidSettings,
    /// Uids of the range that the machine's own users have.
    taken: BTreeSet<u32>,
    given: Mutex<BTreeMap<TenantId, u32>>,
    /// Why no uid can be set at all.
    refused: Option<String>,
}

impl Identities {
    pub(super) fn detect(range: UidSettings) -> Self {
        let own = proc::status(own_pid()).unwrap_or_default();
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let uid_map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let refused = refusal(&own, range, &uid_map);
        Self { own, range, taken: uids_in(&passwd), given: Mutex::default(), refused }
    }

    /// The supervisor's own uid.
    pub(super) fn own_uid(&self) -> u32 {
        self.own.uids[1]
    }

    /// A uid of the range, where none is chosen yet.
    pub(super) fn first_uid(&self) -> u32 {
        self.range.first
    }

    /// Whether the bounding set can be emptied, and so must be.
    pub(super) fn has_setpcap(&self) -> bool {
        has(&self.own, CAP_SETPCAP)
    }

    /// Why no host has a uid of its own on this machine, if that is so.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Who a host of this tenant becomes; `None` is the supervisor's own identity.
    ///
    /// A path that the tenant's uid cannot reach keeps the host on the supervisor's uid: [`Self::why_not`] tells.
    pub(super) fn of(&self, tenant: &TenantId, spec: &WallSpec, needed: &[PathBuf]) -> Option<Identity> {
        match spec.run_as {
            RunAs::Same => None,
            RunAs::Fixed { uid, gid } => (uid != self.own_uid()).then_some(Identity { uid, gid }),
            RunAs::Auto => {
                if self.refused.is_some() {
                    return None;
                }
                let uid = self.uid_of(tenant)?;
                let reachable = needed.iter().all(|path| reachable_by(uid, uid, path).is_ok());
                reachable.then_some(Identity { uid, gid: uid })
            }
        }
    }

    /// Why a host has no uid of its own, given the paths that it needs.
    pub(super) fn why_not<'path>(&self, spec: &WallSpec, needed: impl Iterator<Item = &'path Path>) -> String {
        match (spec.run_as, &self.refused) {
            (RunAs::Same, _) => "run_as = \"same\"".into(),
            (RunAs::Fixed { uid, .. }, _) => format!("run_as names uid {uid}, which is the supervisor's"),
            (RunAs::Auto, Some(reason)) => reason.clone(),
            (RunAs::Auto, None) => {
                let some_uid = self.range.last;
                let blocked = needed.filter_map(|path| reachable_by(some_uid, some_uid, path).err()).next();
                match blocked {
                    Some(path) => format!("cannot traverse {}", path.display()),
                    None => "no uid of uid_range is free".into(),
                }
            }
        }
    }

    /// The tenant's uid in this run: where its name's hash points, or the next that is free.
    fn uid_of(&self, tenant: &TenantId) -> Option<u32> {
        let mut given = self.given.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(uid) = given.get(tenant) {
            return Some(*uid);
        }
        let size = u64::from(self.range.last.checked_sub(self.range.first)?) + 1;
        let start = hash(tenant.as_str()) % size;
        let used: BTreeSet<u32> = given.values().copied().collect();
        let uid = (0..size)
            .map(|step| self.range.first + ((start + step) % size) as u32)
            .find(|uid| !used.contains(uid) && !self.taken.contains(uid) && *uid != self.own_uid())?;
        given.insert(tenant.clone(), uid);
        Some(uid)
    }
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

fn has(status: &Status, capability: u32) -> bool {
    status.capabilities[2] & (1 << capability) != 0
}

fn refusal(own: &Status, range: UidSettings, uid_map: &str) -> Option<String> {
    if !has(own, CAP_SETUID) || !has(own, CAP_SETGID) {
        return Some("the supervisor has no CAP_SETUID and CAP_SETGID".into());
    }
    (!mapped(range, uid_map))
        .then(|| format!("uid_range [{}, {}] is not mapped in this user namespace", range.first, range.last))
}

/// Whether one line of a uid_map covers the range.
fn mapped(range: UidSettings, uid_map: &str) -> bool {
    uid_map.lines().any(|line| {
        let mut numbers = line.split_ascii_whitespace().map(|word| word.parse::<u64>().unwrap_or(0));
        let (Some(inside), Some(_), Some(count)) = (numbers.next(), numbers.next(), numbers.next()) else {
            return false;
        };
        inside <= u64::from(range.first) && u64::from(range.last) < inside + count
    })
}

fn uids_in(passwd: &str) -> BTreeSet<u32> {
    passwd.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok()).collect()
}

/// FNV-1a: the same in every run, so that a tenant's files mostly keep their owner.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Whether a user without further groups can walk to a path and read it. Gives the first component where it ends.
///
/// Goes by mode bits; access control lists are not consulted. A path that does not exist stops nobody.
pub fn reachable_by(uid: u32, gid: u32, path: &Path) -> Result<(), PathBuf> {
    // Both ways: as written, through every symbolic link's own directory, and as it really lies.
    walk(uid, gid, path)?;
    match path.canonicalize() {
        Ok(real) if real != path => walk(uid, gid, &real),
        _ => Ok(()),
    }
}

fn walk(uid: u32, gid: u32, path: &Path) -> Result<(), PathBuf> {
    let mut ancestors: Vec<&Path> = path.ancestors().collect();
    ancestors.reverse();
    for part in ancestors {
        let Ok(metadata) = part.metadata() else { return Ok(()) };
        let shift = match (metadata.uid() == uid, metadata.gid() == gid) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        let bits = (metadata.permissions().mode() >> shift) & 0o7;
        let needed = if metadata.is_dir() { 0o1 } else { 0o4 };
        if bits & needed != needed {
            return Err(part.to_owned());
        }
    }
    Ok(())
}

/// Makes a host's own directory, for it alone: mode 0700, owned by the identity it will take.
///
/// The directories above it must exist and be passable for that identity (mode 0711).
pub fn make_work_dir(path: &Path, identity: Option<Identity>) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(path)?;
    match identity {
        Some(Identity { uid, gid }) => chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wall::tests::spec;

    fn identities(range: UidSettings) -> Identities {
        Identities {
            own: Status::default(),
            range,
            taken: BTreeSet::from([11]),
            given: Mutex::default(),
            refused: None,
        }
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[test]
    fn every_tenant_has_one_uid_of_its_own_until_the_range_is_used_up() {
        let identities = identities(UidSettings { first: 10, last: 19 });
        let of = |name: &str| identities.of(&tenant(name), &spec(), &[]).map(|identity| identity.uid);
        let given: Vec<u32> = (0..9).map(|nth| of(&format!("t{nth}")).unwrap()).collect();
        assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), 9);
        assert!(!given.contains(&11), "a user of the machine has that uid");
        assert_eq!(of("t3"), Some(given[3]));
        assert_eq!(of("one-too-many"), None);
    }

    #[test]
    fn a_path_behind_a_closed_directory_is_out_of_reach() {
        let closed = tempfile::tempdir().unwrap();
        std::fs::set_permissions(closed.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let program = closed.path().join("program");
        std::fs::write(&program, "").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(reachable_by(60_001, 60_001, &program), Err(closed.path().to_owned()));
        let own = closed.path().metadata().unwrap();
        assert_eq!(reachable_by(own.uid(), own.gid(), &program), Ok(()));
        std::fs::set_permissions(closed.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        assert_eq!(reachable_by(60_001, 60_001, &program), Ok(()));
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(reachable_by(60_001, 60_001, &program), Err(program));
    }

    #[test]
    fn a_range_outside_the_user_namespace_is_refused() {
        let range = UidSettings { first: 200_000, last: 265_535 };
        assert!(mapped(range, "         0          0 4294967295\n"));
        assert!(!mapped(range, "0 100000 65536\n"));
    }
}
