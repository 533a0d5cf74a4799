//! Walls as keys and units of the file.
//!
//! Owns: the way back from [`WallSpec`] and a layer. Never: adds a default to a layer.

use openrtc_ipc::{CpuMax, DataMax, RunAs, WallSpec};
use toml::{Table, Value};

use super::{put, seconds, whole};
use crate::config::section::{Auto, Limit};
use crate::config::walls::{WallLayer, WarnAt};

const MIB: u64 = 1 << 20;

fn or_off(limit: Option<u64>) -> Value {
    limit.map_or_else(|| Value::from("off"), |limit| Value::from(whole(limit)))
}

fn flag(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn run_as(run_as: RunAs) -> String {
    match run_as {
        RunAs::Auto => "auto".to_owned(),
        RunAs::Same => "same".to_owned(),
        RunAs::Fixed { uid, gid } => format!("{uid}:{gid}"),
    }
}

fn ports(ports: &Option<Vec<u16>>) -> Value {
    match ports {
        None => Value::from("any"),
        Some(ports) => Value::Array(ports.iter().map(|port| Value::from(i64::from(*port))).collect()),
    }
}

fn paths(paths: &[std::path::PathBuf]) -> Value {
    Value::Array(paths.iter().map(|path| Value::from(path.display().to_string())).collect())
}

/// Everything that is asked for.
pub(super) fn from_spec(spec: &WallSpec) -> Table {
    let mut table = Table::new();
    put(&mut table, "memory_max_mb", or_off(spec.memory_bytes_max.map(|bytes| bytes / MIB)));
    put(&mut table, "memory_warn_pct", spec.memory_warn_pct);
    put(&mut table, "memory_sample_ms", whole(spec.sample_ms));
    put(
        &mut table,
        "data_max_mb",
        match spec.data_max {
            DataMax::Auto => Value::from("auto"),
            DataMax::Off => Value::from("off"),
            DataMax::Bytes(bytes) => Value::from(whole(bytes / MIB)),
        },
    );
    put(&mut table, "address_space_max_mb", or_off(spec.address_space_bytes_max.map(|bytes| bytes / MIB)));
    put(
        &mut table,
        "cpu_max_pct",
        match spec.cpu_max {
            CpuMax::Auto => Value::from("auto"),
            CpuMax::Off => Value::from("off"),
            CpuMax::Percent(percent) => Value::from(percent),
        },
    );
    put(&mut table, "cpu_weight", spec.cpu_weight);
    put(&mut table, "cpu_seconds_max", or_off(spec.cpu_seconds_max));
    put(&mut table, "pids_max", or_off(spec.pids_max.map(u64::from)));
    put(&mut table, "open_files_max", or_off(spec.open_files_max));
    put(&mut table, "file_size_max_mb", or_off(spec.file_size_bytes_max.map(|bytes| bytes / MIB)));
    put(&mut table, "core_dump", flag(spec.core_dump));
    let session = spec.session_ms_max.map_or_else(|| Value::from("off"), seconds);
    put(&mut table, "session_seconds_max", session);
    put(&mut table, "run_as", run_as(spec.run_as));
    put(&mut table, "read_paths", paths(&spec.read_paths));
    put(&mut table, "write_paths", paths(&spec.write_paths));
    put(&mut table, "connect_ports", ports(&spec.connect_ports));
    put(&mut table, "unix_sockets", spec.unix_sockets);
    put(&mut table, "require", spec.require.iter().map(|wall| wall.name().to_owned()).collect::<Vec<_>>());
    put(&mut table, "oom_score_adj", spec.oom_score_adj);
    table
}

/// What one layer says, and nothing else.
pub(super) fn from_layer(layer: &WallLayer) -> Table {
    let mut table = Table::new();
    let limit = |limit: Limit| or_off(limit.number());
    let auto = |auto: Auto| match auto {
        Auto::Auto => Value::from("auto"),
        Auto::Limit(limit) => or_off(limit.number()),
    };
    let number = |number: u64| Value::from(whole(number));
    let warn = |key: &str, warn: Option<WarnAt>| match (key, warn) {
        ("memory_warn_pct", Some(WarnAt::Percent(percent))) => Some(number(percent)),
        ("memory_warn_pct", Some(WarnAt::Off)) => Some(Value::from("off")),
        ("memory_warn_mb", Some(WarnAt::Mib(mib))) => Some(number(mib)),
        _ => None,
    };
    let requires = layer.require.iter().map(|wall| Value::from(wall.name())).collect::<Vec<_>>();
    let some = |list: Value| list.as_array().is_some_and(|list| !list.is_empty()).then_some(list);
    let keys = [
        ("memory_max_mb", layer.memory_max_mb.map(limit)),
        ("memory_warn_pct", warn("memory_warn_pct", layer.memory_warn)),
        ("memory_warn_mb", warn("memory_warn_mb", layer.memory_warn)),
        ("memory_sample_ms", layer.memory_sample_ms.map(number)),
        ("data_max_mb", layer.data_max_mb.map(auto)),
        ("address_space_max_mb", layer.address_space_max_mb.map(limit)),
        ("cpu_max_pct", layer.cpu_max_pct.map(auto)),
        ("cpu_weight", layer.cpu_weight.map(number)),
        ("cpu_seconds_max", layer.cpu_seconds_max.as_ref().map(|spot| limit(spot.value))),
        ("pids_max", layer.pids_max.map(limit)),
        ("open_files_max", layer.open_files_max.map(limit)),
        ("file_size_max_mb", layer.file_size_max_mb.map(limit)),
        ("core_dump", layer.core_dump.map(|on| Value::from(flag(on)))),
        ("session_seconds_max", layer.session_seconds_max.map(limit)),
        ("run_as", layer.run_as.map(|it| Value::from(run_as(it)))),
        ("read_paths", some(paths(&layer.read_paths))),
        ("write_paths", some(paths(&layer.write_paths))),
        ("connect_ports", layer.connect_ports.as_ref().map(ports)),
        ("unix_sockets", layer.unix_sockets.map(Value::from)),
        ("require", some(Value::Array(requires))),
        ("oom_score_adj", layer.oom_score_adj.map(number)),
    ];
    for (key, value) in keys {
        if let Some(value) = value {
            put(&mut table, key, value);
        }
    }
    table
}
