//! The promises, one function each.
//!
//! Owns: what is asserted. Never: passes over a missing wall in silence: it prints SKIP and says which.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command as Process};

use openrtc_ipc::{CpuMax, DataMax, Evidence, RunAs, Wall, WallSpec, WallState, WallStatus};
use openrtc_supervisor::config::wall::CgroupMode;
use openrtc_supervisor::wall::{Swept, WallError, Walls};

use crate::rig::{Host, STAYS_OUT, spec, walls};

type Case = (&'static str, fn());

macro_rules! cases {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name)),*] };
}

pub(crate) const ALL: &[Case] = cases![
    without_walls_every_attack_succeeds,
    with_walls_every_attack_fails,
    with_equal_uids_every_attack_fails,
    an_ordinary_user_has_the_same_walls,
    every_wall_is_proved_before_the_green_light,
    a_zygotes_child_completes_the_walls_it_inherits,
    a_missing_required_wall_refuses_the_host,
    a_host_outside_its_cgroup_gets_no_green_light,
    a_hog_in_a_cgroup_is_killed_by_the_kernel_and_counted,
    a_program_killed_in_a_group_shows_while_the_host_lives,
    a_hog_without_a_cgroup_is_seen,
    inherited_memory_is_not_counted_and_rewriting_it_is_not_free,
    memory_of_a_program_below_the_host_is_counted,
    processes_are_counted_and_their_group_dies_whole,
    a_spinning_host_without_a_cgroup_is_held_back,
    languages_still_run_behind_the_walls,
    files_outside_the_grants_are_out_of_reach,
];

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A directory that every user can pass, for hosts' own directories.
fn open_dir() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    directory
}

/// Stands for the supervisor: of our uid, outside every wall, and nobody's loss.
struct Victim(Child);

impl Victim {
    fn new() -> Self {
        Self(Process::new("sleep").arg("600").env("KEY", "secret").spawn().unwrap())
    }

    fn alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Everything that an attack can be aimed at.
struct Scene {
    victim: Victim,
    runtime: tempfile::TempDir,
    work: tempfile::TempDir,
    _sockets: [UnixListener; 2],
}

impl Scene {
    fn new() -> Self {
        let runtime = tempfile::tempdir().unwrap();
        std::fs::set_permissions(runtime.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let path = runtime.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        use std::os::linux::net::SocketAddrExt;
        let name = std::os::unix::net::SocketAddr::from_abstract_name(path.as_os_str().as_encoded_bytes()).unwrap();
        let hidden = UnixListener::bind_addr(&name).unwrap();
        Self { victim: Victim::new(), runtime, work: open_dir(), _sockets: [listener, hidden] }
    }

    fn attack(&self, sibling: &Host) -> Vec<String> {
        let socket = self.runtime.path().join("control.sock");
        let directory = self.runtime.path();
        let words = [&self.victim.0.id().to_string(), &sibling.pid().to_string()];
        let paths = [socket.display().to_string(), directory.display().to_string()];
        let words = words.into_iter().cloned().chain(paths);
        std::iter::once("attack".to_owned()).chain(words).collect()
    }
}

fn walled(walls: &Walls, spec: &WallSpec, tenant: &str, work: &Path, act: &[String]) -> Host {
    let act: Vec<&str> = act.iter().map(String::as_str).collect();
    Host::walled(walls, spec, tenant, work, &act).unwrap_or_else(|error| panic!("{}", error.detail()))
}

fn without_walls_every_attack_succeeds() {
    let scene = Scene::new();
    let sibling = Host::bare(&["wait"]);
    let act = scene.attack(&sibling);
    let act: Vec<&str> = act.iter().map(String::as_str).collect();
    let said = Host::bare(&act).finish();
    let failed: Vec<&str> = said.lines().filter(|line| !line.ends_with("=ok")).collect();
    assert!(failed.is_empty() && said.lines().count() == 18, "{said}");
}

fn assert_attacks_fail(spec: &WallSpec) {
    let walls = walls(CgroupMode::Off);
    let mut scene = Scene::new();
    let mut sibling = walled(&walls, spec, "globex", scene.work.path(), &["wait".into()]);
    let act = scene.attack(&sibling);
    let attacker = walled(&walls, spec, "initech", scene.work.path(), &act);
    println!("  uid: {}", attacker.state("uid"));
    let said = attacker.finish();
    let succeeded: Vec<&str> = said.lines().filter(|line| line.ends_with("=ok")).collect();
    assert!(succeeded.is_empty() && said.lines().count() == 18, "{said}");
    assert!(scene.victim.alive());
    assert!(sibling.child.try_wait().unwrap().is_none());
}

fn with_walls_every_attack_fails() {
    assert_attacks_fail(&spec());
}

fn with_equal_uids_every_attack_fails() {
    assert_attacks_fail(&WallSpec { run_as: RunAs::Same, ..spec() });
}

/// Runs the other cases again as uid 1234, from a copy that it can reach.
fn an_ordinary_user_has_the_same_walls() {
    if !is_root() {
        return;
    }
    let open = open_dir();
    std::fs::set_permissions(open.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let copy = open.path().join("walls");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let mut command = Process::new(&copy);
    let status = command.uid(1234).gid(1234).env("TMPDIR", open.path()).current_dir("/").status().unwrap();
    assert!(status.success(), "as uid 1234");
}

fn every_wall_is_proved_before_the_green_light() {
    for mode in [CgroupMode::Auto, CgroupMode::Off] {
        let walls = walls(mode);
        let work = open_dir();
        let host = walled(&walls, &spec(), "acme", work.path(), &["wait".into()]);
        for status in &host.statuses {
            println!("  {:?} {}: {:?} ({:?})", mode, status.wall.name(), status.state, status.evidence);
        }
        let evidence = |wall: Wall| host.statuses.iter().find(|status| status.wall == wall).unwrap().evidence;
        assert_eq!(evidence(Wall::Seccomp), Evidence::Observed);
        assert_eq!(evidence(Wall::Landlock), Evidence::Reported);
        for name in ["rlimits", "capabilities", "no_new_privs", "dumpable", "seccomp", "parent_death"] {
            assert!(host.state(name).starts_with("Kernel"), "{name}: {}", host.state(name));
        }
        assert_eq!(host.state("uid").starts_with("Kernel"), is_root(), "{}", host.state("uid"));
        // Whoever holds a file of a cgroup can put any process into it. Of a host, only root can look.
        let descriptors = is_root().then(|| std::fs::read_dir(format!("/proc/{}/fd", host.pid())).unwrap());
        for entry in descriptors.into_iter().flatten() {
            let open = std::fs::read_link(entry.unwrap().path()).unwrap();
            assert!(!open.starts_with("/sys/fs/cgroup") && !open.ends_with("tasks"), "{}", open.display());
        }
        let forecast = walls.forecast(&spec());
        for (forecast, remedy) in &forecast {
            let found = host.statuses.iter().find(|status| status.wall == forecast.wall).unwrap();
            let kind = |state: &WallState| std::mem::discriminant(state);
            assert_eq!(kind(&forecast.state), kind(&found.state), "{forecast:?} {found:?}");
            assert_eq!(remedy.is_some(), !matches!(forecast.state, WallState::Kernel(_)), "{forecast:?}");
        }
    }
}

fn a_zygotes_child_completes_the_walls_it_inherits() {
    let work = open_dir();
    let act = ["wait".to_owned(), "zygote".to_owned()];
    let host = walled(&walls(CgroupMode::Off), &spec(), "acme", work.path(), &act);
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!((field("Seccomp_filters:").as_str(), field("NoNewPrivs:").as_str()), ("2", "1"));
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    if is_root() {
        assert_eq!(field("CapBnd:"), "0000000000000000");
        assert_ne!(field("Uid:").split_ascii_whitespace().next(), Some("0"));
    }
}

/// On v1 a host enters its group itself; on v2, and without one, there is nothing that it could leave undone.
fn a_host_outside_its_cgroup_gets_no_green_light() {
    let work = open_dir();
    let walls = walls(CgroupMode::Auto);
    let forecast = walls.forecast(&spec());
    let in_v1 = |wall: Wall| {
        let found = forecast.iter().find(|(status, _)| status.wall == wall);
        matches!(found, Some((WallStatus { state: WallState::Kernel(how), .. }, _)) if how.contains("cgroup v1"))
    };
    if !in_v1(Wall::Memory) && !in_v1(Wall::Pids) {
        return println!("SKIP: no cgroup v1 that we may write");
    }
    let refused = Host::walled(&walls, &spec(), "acme", work.path(), &["wait", STAYS_OUT]).err().unwrap();
    assert!(matches!(refused, WallError::NotAsAsked { wall: Wall::Memory | Wall::Pids, .. }), "{refused:?}");
}

fn a_missing_required_wall_refuses_the_host() {
    let work = open_dir();
    let wanted = WallSpec { require: vec![Wall::Landlock, Wall::Network], ..spec() };
    let refused = Host::walled(&walls(CgroupMode::Off), &wanted, "acme", work.path(), &["wait"]).err().unwrap();
    assert!(matches!(refused, WallError::RequiredMissing { wall: Wall::Network, .. }), "{refused:?}");
    assert!(!refused.retry() && refused.detail().contains("network"), "{}", refused.detail());
}

/// Walls with a memory cgroup, or a word about why there is none.
fn with_cgroup() -> Option<Walls> {
    let walls = walls(CgroupMode::Auto);
    let forecast = walls.forecast(&spec());
    let memory = &forecast.iter().find(|(status, _)| status.wall == Wall::Memory).unwrap().0;
    let stands = matches!(memory.state, WallState::Kernel(_));
    if !stands {
        println!("  SKIP: no memory cgroup here");
    }
    stands.then_some(walls)
}

fn a_hog_in_a_cgroup_is_killed_by_the_kernel_and_counted() {
    let Some(walls) = with_cgroup() else { return };
    let work = open_dir();
    let hog = ["hold".to_owned(), (256_usize << 20).to_string()];
    let mut host = walled(&walls, &spec(), "initech", work.path(), &hog);
    host.child.wait().unwrap();
    let counters = host.raised.as_ref().unwrap().counters();
    println!("  {counters:?}");
    assert_eq!((counters.oom_kills, counters.ancestor_oom_kills), (1, 0));
    assert!(counters.memory_peak_bytes.is_some_and(|peak| peak > 60 << 20));
    assert!(counters.cpu_micros.is_some_and(|micros| micros > 0));
}

fn a_program_killed_in_a_group_shows_while_the_host_lives() {
    let Some(walls) = with_cgroup() else { return };
    let work = open_dir();
    let hog = "x=$(head -c 256m /dev/zero | tr '\\0' x); echo $x | wc -c";
    let act = ["run", "/bin/sh", "-c", hog].map(str::to_owned);
    let mut host = walled(&walls, &spec(), "initech", work.path(), &act);
    let sample = host.sample_until("killed", |sample| sample.oom_kill_delta > 0);
    assert!(sample.oom_kill_delta > 0);
    assert_eq!(host.raised.as_ref().unwrap().kill_all(), Swept::Empty);
}

fn a_hog_without_a_cgroup_is_seen() {
    let work = open_dir();
    let hog = ["hold".to_owned(), (96_usize << 20).to_string()];
    let mut host = walled(&walls(CgroupMode::Off), &spec(), "initech", work.path(), &hog);
    host.await_done();
    let sample = host.sample_until("over", |sample| sample.over_memory);
    println!("  {sample:?}");
    assert!(sample.near_memory && sample.memory_bytes > 90 << 20 && sample.memory_bytes < 110 << 20, "{sample:?}");
}

fn inherited_memory_is_not_counted_and_rewriting_it_is_not_free() {
    let work = open_dir();
    // What stands for a zygote's memory is touched before the green light.
    let act = ["rewrite".to_owned(), format!("inherit={}", 96 << 20)];
    let mut host = walled(&walls(CgroupMode::Off), &spec(), "acme", work.path(), &act);
    host.await_done();
    let sample = host.sample_until("sampled", |_| true);
    assert!(sample.memory_bytes < 8 << 20, "it was private before, and is the same pages: {sample:?}");
}

fn memory_of_a_program_below_the_host_is_counted() {
    if !Path::new("/usr/bin/python3").exists() {
        return println!("  SKIP: no /usr/bin/python3");
    }
    let work = open_dir();
    let act = ["run", "/usr/bin/python3", "-c", "x = bytearray(96 << 20); import time; time.sleep(600)"];
    let mut host = walled(&walls(CgroupMode::Off), &spec(), "acme", work.path(), &act.map(str::to_owned));
    let sample = host.sample_until("over", |sample| sample.over_memory);
    println!("  {sample:?}");
    assert!(sample.processes >= 2, "{sample:?}");
}

fn processes_are_counted_and_their_group_dies_whole() {
    let work = open_dir();
    let storm = "i=0; while [ $i -lt 100 ]; do sleep 600 & i=$((i+1)); done; wait";
    let act = ["run", "/bin/sh", "-c", storm].map(str::to_owned);
    let mut host = walled(&walls(CgroupMode::Off), &spec(), "initech", work.path(), &act);
    let sample = host.sample_until("above the wall", |sample| sample.over_pids);
    println!("  {sample:?}");
    let pids = host.raised.as_ref().unwrap().pids();
    for pid in pids.iter().skip(1).rev() {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), nix::sys::signal::SIGKILL);
    }
    drop(host);
    let Some(walls) = with_cgroup() else { return };
    let mut host = walled(&walls, &spec(), "initech", work.path(), &act);
    host.sample_until("refused", |_| true);
    let start = std::time::Instant::now();
    while host.raised.as_ref().unwrap().counters().pids_hit == 0 {
        assert!(start.elapsed() < crate::rig::DEADLINE);
        std::thread::yield_now();
    }
    assert_eq!(host.raised.as_ref().unwrap().kill_all(), Swept::Empty);
}

fn a_spinning_host_without_a_cgroup_is_held_back() {
    let walls = walls(CgroupMode::Off);
    let work = open_dir();
    let wanted = WallSpec { cpu_max: CpuMax::Percent(3), ..spec() };
    let mut host = walled(&walls, &wanted, "initech", work.path(), &["spin".into()]);
    println!("  cpu: {}", host.state("cpu"));
    if !host.state("cpu").starts_with("Sampled") {
        return println!("  SKIP: nothing to hold a host back with");
    }
    let sample = host.sample_until("held", |sample| sample.cpu_held);
    assert!(sample.cpu_micros > 0, "{sample:?}");
}

fn languages_still_run_behind_the_walls() {
    let work = open_dir();
    let python = "import threading, socket, asyncio, sys, subprocess\n\
        t = threading.Thread(target=lambda: None); t.start(); t.join()\n\
        socket.getaddrinfo('localhost', 80)\n\
        async def run():\n    p = await asyncio.create_subprocess_exec('/bin/echo', 'hi', stdout=subprocess.PIPE)\n    \
        return (await p.communicate())[0]\n\
        assert asyncio.run(run()) == b'hi\\n'\n\
        open('own-file', 'w').write('x')\n\
        print('alive')";
    let node = "require('fs').writeFileSync('own', 'x'); require('child_process').execFileSync('/bin/echo'); \
        require('dns').lookup('localhost', (e) => { if (e) throw e; console.log('alive') })";
    let programs = [("/usr/bin/python3", "-c", python), ("/usr/bin/node", "-e", node), ("/bin/sh", "-c", "echo alive")];
    for (program, flag, text) in programs {
        if !Path::new(program).exists() {
            println!("  SKIP: no {program}");
            continue;
        }
        let roomy = WallSpec { memory_bytes_max: Some(1 << 30), data_max: DataMax::Auto, ..spec() };
        let act = ["exec", program, flag, text].map(str::to_owned);
        let mut host = walled(&walls(CgroupMode::Auto), &roomy, "acme", work.path(), &act);
        let mut said = String::new();
        std::io::Read::read_to_string(&mut host.child.stdout.take().unwrap(), &mut said).unwrap();
        assert_eq!(said, "alive\n", "{program}");
    }
}

fn files_outside_the_grants_are_out_of_reach() {
    let work = open_dir();
    let secret = open_dir();
    std::fs::write(secret.path().join("key"), "secret").unwrap();
    let script = format!(
        "cat {}/key; cat /proc/1/environ; ls /proc; ls {}; echo x > /tmp/openrtc-must-not-be; cat /etc/shadow; \
         echo x > own && cat own; chmod 777 own || echo no-chmod",
        secret.path().display(),
        work.path().display()
    );
    let act = ["exec", "/bin/sh", "-c", &script].map(str::to_owned);
    let mut host = walled(&walls(CgroupMode::Off), &spec(), "acme", work.path(), &act);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut host.child.stdout.take().unwrap(), &mut said).unwrap();
    assert_eq!(said, "x\nno-chmod\n");
    assert!(!Path::new("/tmp/openrtc-must-not-be").exists());
}
