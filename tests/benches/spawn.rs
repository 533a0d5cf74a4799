//! Host up, from the fork to ready, against a raw fork and against starting the same binary bare; all in one run, in
//! turns.
//!
//! Owns: `cargo bench -p openrtc-tests --bench spawn` (as root for every wall). Never: asserts a time.
//!
//! It drives the product's own code, `spawn::Spawner` and `host::birth::bring_up`, with the real binary as host program,
//! and stands where the supervisor stands: the control API would add its own round trip and tells whole milliseconds.
//! *First byte* is the host's hello, before any wall; *ready* comes after raise, lockdown, attest, green light and
//! configuration. The same path with walls left out shows what each costs.

#[path = "measure/mod.rs"]
mod measure;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use measure::{Series, baseline};
use openrtc_ipc::{HostId, RuntimeName, TenantId};
use openrtc_policy::HostPlan;
use openrtc_policy::rules::HostScope;
use openrtc_supervisor::config::Config;
use openrtc_supervisor::host::link::Link;
use openrtc_supervisor::host::morgue::Morgue;
use openrtc_supervisor::host::redact::Redactor;
use openrtc_supervisor::host::task::HostTask;
use openrtc_supervisor::host::{HostContext, InForce, Registry, birth, death, reap, tree};
use openrtc_supervisor::ledger::Ledger;
use openrtc_supervisor::observer::{Fanout, Timeouts};
use openrtc_supervisor::secrets::Vault;
use openrtc_supervisor::sources::Handle;
use openrtc_supervisor::spawn::{HostProgram, How, LaunchArguments, Spawner, ZygoteState};
use openrtc_supervisor::wall::Walls;
use openrtc_tests::binary;

const ROUNDS: u32 = 300;
const WARM_UP: u32 = 10;
const PATIENCE: Duration = Duration::from_secs(10);

/// A way to bring a host up.
struct Way {
    name: &'static str,
    how: How,
    config: &'static str,
}

const WAYS: [Way; 4] = [
    Way { name: "cold, default walls", how: How::Cold, config: "" },
    Way { name: "zygote, default walls", how: How::Zygote, config: "" },
    Way { name: "zygote, no cgroup", how: How::Zygote, config: "[wall.cgroup]\nmode = \"off\"\n" },
    Way {
        name: "zygote, no cgroup, our own uid",
        how: How::Zygote,
        config: "[wall]\nrun_as = \"same\"\n[wall.cgroup]\nmode = \"off\"\n",
    },
];

/// What a way took, in microseconds from the request: a process, its first byte, ready, gone.
#[derive(Default)]
struct Rows {
    made: Series,
    hello: Series,
    ready: Series,
    gone: Series,
}

fn main() {
    if measure::only_tests() {
        return;
    }
    tree::become_subreaper().expect("become subreaper");
    let program = HostProgram {
        path: binary().to_owned(),
        built_in: LaunchArguments {
            host: vec![openrtc_tenant_host::HOST_ARGUMENT.into()],
            zygote: vec![openrtc_tenant_host::ZYGOTE_ARGUMENT.into()],
            idle_hosts: 0,
        },
        runtimes: BTreeMap::new(),
    };
    let spawner = Spawner::start(program).expect("start the spawner");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(measure_all(spawner));
}

async fn measure_all(spawner: Spawner) {
    let mut zygote = spawner.zygote_changes(&RuntimeName::parse("command").expect("a name"));
    let warm = zygote.wait_for(|state| *state == ZygoteState::Warm);
    tokio::time::timeout(PATIENCE, warm).await.expect("a warm zygote").expect("the spawner");
    let dir = tempfile::Builder::new().prefix("ort-").tempdir().expect("directory");
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("open the directory");
    let mut stages = Vec::new();
    for (number, way) in WAYS.iter().enumerate() {
        stages.push(stage(way, &dir.path().join(number.to_string()), spawner.clone()).await);
    }
    let (mut fork, mut exec) = (Rows::default(), Rows::default());
    let mut ways: [Rows; WAYS.len()] = Default::default();
    for round in 0..WARM_UP + ROUNDS {
        let mut turns: Vec<usize> = (0..WAYS.len() + 2).collect();
        fastrand::shuffle(&mut turns);
        for turn in turns {
            let (rows, took) = match turn.checked_sub(2) {
                Some(way) => (&mut ways[way], host(&stages[way], WAYS[way].how, round + 1).await),
                None if turn == 0 => (&mut fork, bare(baseline::fork_and_byte())),
                None => (&mut exec, bare(baseline::exec_and_byte(binary(), "--version"))),
            };
            if round >= WARM_UP {
                rows.push(took);
            }
        }
    }
    println!("microseconds; x = ratio to the raw fork's first byte");
    let base = fork.hello.median();
    fork.print("raw fork, a byte, exit", base);
    exec.print("std Command of the same binary", base);
    for (way, rows) in WAYS.iter().zip(&ways) {
        rows.print(way.name, base);
    }
}

/// What one way needs, with a driver that takes every event and does nothing.
async fn stage(way: &Way, dir: &Path, spawner: Spawner) -> Arc<HostContext> {
    std::fs::create_dir(dir).expect("create directory");
    let text = format!("config_version = 1\n[tenants.acme]\n[agents.echo]\ncommand = [\"/bin/true\"]\n{}", way.config);
    let config = Config::embedded(&text, dir).unwrap_or_else(|faults| panic!("{}: {faults:?}", way.name));
    let (vault, _) = Vault::resolve(&config, |_| async { Err("no secrets here".to_owned()) }).await;
    let (handle, mut inputs) = Handle::new();
    tokio::spawn(async move { while inputs.recv().await.is_some() {} });
    let work_root = config.supervisor.state_dir.join("hosts");
    std::fs::create_dir_all(&work_root).expect("create directory");
    let walls = Walls::detect(&config.cgroup, &config.uids);
    Arc::new(HostContext {
        handle,
        spawner,
        walls,
        current: std::sync::RwLock::new(InForce::new(config, vault)),
        registry: Registry::default(),
        ledger: Ledger::default(),
        morgue: Morgue::default(),
        fanout: Fanout::new(Timeouts::default()),
        audit: openrtc_supervisor::audit::Audit::default(),
        work_root,
    })
}

/// Brings one host up, and buries it.
async fn host(context: &Arc<HostContext>, how: How, generation: u32) -> [Duration; 4] {
    let tenant = TenantId::parse("acme").expect("a tenant");
    let runtime = context.config().agents.first().expect("an agent").rules.runtime.clone();
    let plan = HostPlan { host: HostId { index: 0, generation }, tenant, runtime, scope: HostScope::Tenant };
    let start = Instant::now();
    let newborn = context.spawner.spawn(plan.host, &plan.runtime, how).await.expect("a process");
    let made = start.elapsed();
    assert_eq!(newborn.how, how, "made in another way");
    let channel = tokio::net::UnixStream::from_std(newborn.channel).expect("its channel");
    channel.readable().await.expect("its first byte");
    let hello = start.elapsed();
    let mut link = Link::new(channel.into_std().expect("its channel")).expect("link");
    let InForce { config, vault } = context.in_force();
    let hidden = vault.fingerprint(&config, &plan.tenant, &plan.runtime);
    let task = HostTask::new(Arc::clone(context), plan, (newborn.process, how), (hidden, Redactor::default()));
    let up = birth::bring_up(&task, &mut link, birth::Purpose::Serve).await;
    let ready = start.elapsed();
    up.unwrap_or_else(|fault| panic!("host did not come up: {fault:?}"));
    task.process.kill().expect("kill");
    reap::wait(&task.process).await.expect("its end");
    death::bury(&task, None).await;
    [made, hello, ready, start.elapsed()]
}

fn bare((byte, gone): (Duration, Duration)) -> [Duration; 4] {
    [Duration::ZERO, byte, byte, gone]
}

impl Rows {
    fn push(&mut self, took: [Duration; 4]) {
        for (series, took) in [&mut self.made, &mut self.hello, &mut self.ready, &mut self.gone].into_iter().zip(took) {
            series.push(took.as_secs_f64() * 1e6);
        }
    }

    fn print(&self, name: &str, base: f64) {
        println!("{name}");
        let rows = [("process", &self.made), ("first byte", &self.hello), ("ready", &self.ready), ("gone", &self.gone)];
        for (what, series) in rows.into_iter().filter(|(_, series)| series.median() > 0.0) {
            println!("  {what:<10} {series}   {:>6.2} x", series.median() / base);
        }
    }
}
