//! Python hosts behind their walls: what they have, what they count for, and which zygote they come from.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixListener;

use openrtc_tests::{Running, User, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::python_faults::{SUPERVISOR, applications, is_forked, place, run, stay, zygote};

fn pid_of(host: &Value) -> u32 {
    u32::try_from(host["pid"].as_u64().expect("a pid")).expect("a pid")
}

fn the_host_of(running: &Running, tenant: &str) -> Value {
    until("the tenant has a host", || running.hosts_of(tenant).into_iter().find(|host| host["pid"].is_u64()))
}

/// A line of `/proc/PID/…`, without its name.
fn field(text: &str, name: &str) -> String {
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
}

/// The walls that every Python host has, whoever runs the supervisor; gives its uid.
pub(crate) fn stands_behind_walls(host: &Value) -> u32 {
    let pid = pid_of(host);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(&status, set), "0000000000000000", "{set}");
    }
    assert_eq!((field(&status, "NoNewPrivs:"), field(&status, "Seccomp:")), ("1".to_owned(), "2".to_owned()));
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
    let soft_and_hard = |name: &str| field(&limits, name).split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    assert_eq!(soft_and_hard("Max open files"), "13824 13824");
    assert_eq!(soft_and_hard("Max core file size"), "0 0");
    assert!(soft_and_hard("Max data size").parse::<u64>().is_err(), "{limits}");
    assert_ne!(soft_and_hard("Max data size"), "unlimited unlimited");
    for wall in ["capabilities", "no_new_privs", "dumpable", "landlock", "seccomp", "parent_death", "rlimits"] {
        let row = host["walls"].as_array().into_iter().flatten().find(|row| row["wall"] == wall);
        assert_eq!(row.map(|row| &row["strength"]), Some(&Value::from("kernel")), "{wall}: {host}");
    }
    field(&status, "Uid:").split_whitespace().next().and_then(|uid| uid.parse().ok()).expect("a uid")
}

/// Two tenants' sessions by this user; gives the hosts' uids and what each drew at random.
fn two_tenants(user: User, wall: &str) -> [u32; 2] {
    let config = format!(
        "{SUPERVISOR}[runtimes.faulty]\nkind = \"python\"\napp = \"APP/faulty.py\"\n{wall}\
         [tenants.acme]\n[tenants.globex]\n"
    );
    let running = applications(&["faulty.py"], &config).run_by(user).start();
    let uids = ["acme", "globex"].map(|tenant| {
        running.idle_host();
        assert_eq!(run(&running, tenant, "draws")["status"], "success", "{}", running.log());
        let host = the_host_of(&running, tenant);
        assert_eq!(host["spawned_by"], "ahead", "{host}");
        stands_behind_walls(&host)
    });
    let log = running.log();
    let drawn = log.lines().filter_map(|line| line.split_once("faulty: drew ")?.1.split_once('"'));
    let drawn: Vec<BTreeSet<&str>> = drawn.map(|(numbers, _)| numbers.split(" and ").collect()).collect();
    assert_eq!(drawn.iter().map(BTreeSet::len).collect::<Vec<_>>(), [2, 2], "{drawn:?}");
    assert!(drawn[0].is_disjoint(&drawn[1]), "two tenants drew the same: {drawn:?}");
    uids
}

#[test]
#[cfg_attr(not(all(root, open_python)), ignore = "needs root, and a Python that other users can reach")]
fn as_root_each_tenants_python_has_a_uid_of_its_own_and_draws_its_own_numbers() {
    let uids = two_tenants(User::Me, "");
    assert!(uids[0] != uids[1] && uids.iter().all(|uid| (200_000..=265_535).contains(uid)), "{uids:?}");
}

#[test]
#[cfg_attr(not(all(root, python)), ignore = "needs root, Python 3.11 to 3.13, pip and a package index")]
fn as_root_with_one_uid_a_python_host_has_the_same_walls() {
    assert_eq!(two_tenants(User::Me, "[wall]\nrun_as = \"same\"\n"), [0, 0]);
}

#[test]
#[cfg_attr(not(open_python), ignore = "needs a Python that other users can reach")]
fn an_ordinary_users_python_hosts_have_the_same_walls() {
    let uids = two_tenants(User::Ordinary, "");
    assert!(uids[0] == uids[1] && uids[0] != 0, "{uids:?}");
}

/// Bytes of `/proc/PID/smaps_rollup`.
fn private_dirty(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let kb = field(&rollup, "Private_Dirty:");
    kb.split_whitespace().next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn threads(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").flatten();
    tasks.map(|task| fs::read_to_string(task.path().join("comm")).unwrap_or_default().trim().to_owned()).collect()
}

/// The sockets of a process, as `/proc/net/unix` has them; another kind of socket is `?`.
fn sockets(pid: u32) -> Vec<String> {
    let unix = fs::read_to_string("/proc/net/unix").expect("Unix sockets");
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").flatten();
    let links = fds.filter_map(|fd| Some(fs::read_link(fd.path()).ok()?.display().to_string()));
    let inodes = links.filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()));
    // Num RefCount Protocol Flags Type St Inode Path
    let found = |inode: String| {
        let row = unix.lines().find(|row| row.split_whitespace().nth(6) == Some(&inode));
        row.map_or_else(|| "?".to_owned(), |row| row.split_whitespace().nth(7).unwrap_or("unnamed").to_owned())
    };
    inodes.map(found).collect()
}

#[test]
#[cfg_attr(not(all(root, python)), ignore = "needs root, Python 3.11 to 3.13, pip and a package index")]
fn a_host_has_one_thread_before_its_first_session_and_opens_no_socket_of_the_frameworks() {
    let config = format!(
        "{SUPERVISOR}[runtimes.gated]\nkind = \"python\"\napp = \"APP/gated.py\"\n[wall]\nrun_as = \"same\"\n[tenants.acme]\n"
    );
    let setup = applications(&["gated.py"], &config).file("app/go", b"");
    let top = setup.dir().join("app/top.sock");
    let _listening = UnixListener::bind(&top).expect("stand in for another worker's socket");
    let running = setup.start();
    let gate = running.dir().join("app/go");
    fs::remove_file(&gate).expect("close the gate");
    let session = place(&running, "acme", "gated");
    let pid = pid_of(&the_host_of(&running, "acme"));
    until("it is at the gate", || (private_dirty(pid) > 0 && sockets(pid).len() == 3).then_some(()));
    assert_eq!(threads(pid), ["python"]);
    // Its channel, and the pair that asyncio wakes itself with.
    let own = ["unnamed"; 3];
    assert_eq!(sockets(pid), own);
    let loading = private_dirty(pid);
    fs::write(&gate, b"").expect("open the gate");
    assert_eq!(running.ended(&session)["status"], "success", "{}", running.log());
    assert_eq!(sockets(pid), own);
    assert!(top.exists(), "another's socket was unlinked");
    eprintln!(
        "private dirty memory of a host: {} KiB with its application loaded, {} KiB after a session; threads then: {:?}",
        loading / 1024,
        private_dirty(pid) / 1024,
        threads(pid)
    );
}

fn memory_that_resident_sets_do_not_show(cgroup: &str) {
    let config = format!(
        "{SUPERVISOR}[wall]\nmemory_max_mb = 128\n[wall.cgroup]\nmode = \"{cgroup}\"\n\
         [runtimes.rewrites]\nkind = \"python\"\napp = \"APP/rewrites.py\"\nload_app = \"zygote\"\n\
         [tenants.acme]\n[tenants.globex]\n"
    );
    let running = applications(&["rewrites.py"], &config).start();
    for (tenant, agent) in [("acme", "rewrites"), ("globex", "fathers")] {
        let ended = run(&running, tenant, agent);
        assert_eq!(
            (&ended["status"], &ended["reason"]),
            (&"failed".into(), &"memory_limit".into()),
            "{agent}: {ended}"
        );
        let exit = ended["exit"]["reason"].as_str().unwrap_or_default();
        assert!(exit == "mem_watchdog" || (cgroup == "auto" && exit == "oom_own_limit"), "{agent}: {ended}");
        if exit == "mem_watchdog" {
            assert!(ended["exit"]["observed_bytes"].as_u64() > Some(128 << 20), "{agent}: {ended}");
        }
    }
    zygote(&running, "rewrites.py");
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn inherited_pages_that_are_rewritten_and_programs_below_count_for_their_host() {
    memory_that_resident_sets_do_not_show("auto");
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn inherited_pages_that_are_rewritten_and_programs_below_count_for_their_host_without_a_cgroup() {
    memory_that_resident_sets_do_not_show("off");
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn hosts_outlive_their_zygote_the_next_is_made_cold_and_later_ones_are_forked_again() {
    let config = format!(
        "{SUPERVISOR}[runtimes.faulty]\nkind = \"python\"\napp = \"APP/faulty.py\"\nnum_idle_hosts = 0\n\
         [tenants.acme]\n[tenants.globex]\n[tenants.initech]\n"
    );
    let running = applications(&["faulty.py"], &config).start();
    let live = stay(&running, "acme", "waits");
    let first = zygote(&running, "faulty.py");
    let pid = Pid::from_raw(i32::try_from(first).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::KILL).expect("kill the zygote");
    let zygote_row = || {
        let rows = running.snapshot()["zygotes"].as_array().cloned().unwrap_or_default();
        rows.into_iter().find(|row| row["runtime"] == "faulty").expect("a row")["spawn"].as_str().map(str::to_owned)
    };
    until("its death is known", || zygote_row().filter(|spawn| spawn.starts_with("cold (")));
    assert_eq!(run(&running, "globex", "fine")["status"], "success", "{}", running.log());
    let cold = the_host_of(&running, "globex");
    assert!(cold["spawned_by"].as_str().is_some_and(|how| how.starts_with("cold")), "{cold}");
    stands_behind_walls(&cold);
    until("there is another zygote", || zygote_row().filter(|spawn| spawn == "zygote"));
    assert_eq!(run(&running, "initech", "fine")["status"], "success", "{}", running.log());
    assert_eq!(the_host_of(&running, "initech")["spawned_by"], "zygote");
    assert_ne!(zygote(&running, "faulty.py"), first);
    assert_eq!(running.json(&["session", "show", &live]).0["state"], "live");
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn an_application_without_keys_is_loaded_and_prewarmed_once_in_the_zygote() {
    let config = format!(
        "{SUPERVISOR}[runtimes.options]\nkind = \"python\"\napp = \"APP/options.py\"\nload_app = \"zygote\"\n\
         [tenants.acme]\n[tenants.globex]\n"
    );
    let running = applications(&["options.py"], &config).start();
    for tenant in ["acme", "globex"] {
        assert_eq!(run(&running, tenant, "options")["status"], "success", "{}", running.log());
        assert!(is_forked(&the_host_of(&running, tenant)));
    }
    let log = running.log();
    let prewarmed: Vec<&str> = log.lines().filter(|line| line.contains("prewarmed")).collect();
    assert!(prewarmed.len() == 1 && prewarmed[0].contains("openrtc.zygote"), "{prewarmed:?}");
}
