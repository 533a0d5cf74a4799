//! `process_*`: this process, in the names that all exporters share.
//!
//! Owns: what is read of `/proc/self`. Never: another process.

use prometheus_client::registry::Unit;

use super::table::{Family, Table};

/// What can be read now.
pub fn table() -> Table {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let stat = Stat::parse(&stat);
    let mut families = Vec::new();
    if let Some(stat) = stat {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        families.push(
            Family::counter("process_cpu", "CPU that the supervisor itself used")
                .in_unit(Unit::Seconds)
                .with(&[], stat.cpu_ticks as f64 / ticks),
        );
        let memory = |name, help, bytes: u64| Family::gauge(name, help).in_unit(Unit::Bytes).with(&[], bytes as f64);
        let resident = stat.resident_pages.saturating_mul(rustix::param::page_size() as u64);
        families.push(memory("process_resident_memory", "Resident memory of the supervisor itself", resident));
        families.push(memory("process_virtual_memory", "Address space of the supervisor itself", stat.virtual_bytes));
        families
            .push(Family::gauge("process_threads", "Threads of the supervisor itself").with(&[], stat.threads as f64));
        if let Some(boot) = boot_unix_seconds() {
            families.push(
                Family::gauge("process_start_time", "When the supervisor started, since 1970")
                    .in_unit(Unit::Seconds)
                    .with(&[], boot as f64 + stat.start_ticks as f64 / ticks),
            );
        }
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // Less the one that reads the directory.
        let open = open.count().saturating_sub(1);
        families
            .push(Family::gauge("process_open_fds", "Descriptors that the supervisor holds").with(&[], open as f64));
    }
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
    if let Some(most) = soft.and_then(|soft| soft.parse::<u64>().ok()) {
        families.push(Family::gauge("process_max_fds", "Descriptors that it may hold").with(&[], most as f64));
    }
    Table(families)
}

fn boot_unix_seconds() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

/// Fields of `/proc/self/stat`.
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    /// The command's name is in parentheses and may hold anything; what counts comes after the last one.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        // proc_pid_stat(5) numbers from 1, and the first field here is its third.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)?.checked_add(field(15)?)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_moves_no_field() {
        let rest: Vec<String> = (4..=52).map(|number: u32| number.to_string()).collect();
        let stat = Stat::parse(&format!("7 (a) S (b) S {}", rest.join(" "))).unwrap();
        assert_eq!((stat.cpu_ticks, stat.threads, stat.start_ticks), (14 + 15, 20, 22));
        assert_eq!((stat.virtual_bytes, stat.resident_pages), (23, 24));
        assert!(Stat::parse("7 (a) S 1 2").is_none());
    }

    #[test]
    fn this_process_can_be_read() {
        assert_eq!(table().0.len(), 7);
    }
}
