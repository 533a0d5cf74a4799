//! What operators order of one tenant while we run, laid over its section (decision H4).
//!
//! Owns: the keys that can be ordered; types and ranges are those of the file, read by the same code. Never: stores one.

use std::collections::BTreeMap;
use std::path::Path;

use openrtc_ipc::TenantId;

use super::Config;
use super::faults::{ConfigFaults, Faults};
use super::overrides;
use super::section::Section;
use super::tenants::TenantFile;
use super::tree::Origin;

/// The tenant's status, which has orders of its own.
pub const STATUS: &str = "status";

/// Keys below `[tenants.NAME]` that can be set: what is turned in an incident.
pub const ORDER_KEYS: [&str; 13] = [
    "max_sessions",
    "host_scope",
    "circuit_breaker.enabled",
    "circuit_breaker.cooldown_s",
    "circuit_breaker.failure_ratio",
    "circuit_breaker.min_samples",
    "circuit_breaker.window_s",
    "circuit_breaker.half_open_max_sessions",
    "wall.memory_max_mb",
    "wall.cpu_max_pct",
    "wall.cpu_weight",
    "wall.pids_max",
    "wall.open_files_max",
];

impl Config {
    /// Lays these orders over what the tenant has; one that is not configured has no section, and nothing happens.
    ///
    /// # Errors
    ///
    /// Every key that is none, and every value that the file would not take either.
    pub fn order(&mut self, tenant: &TenantId, orders: &BTreeMap<String, String>) -> Result<(), ConfigFaults> {
        let orders: Vec<(&String, &String)> = orders.iter().filter(|(key, _)| *key != STATUS).collect();
        if orders.is_empty() {
            return Ok(());
        }
        let file = read(&orders)?;
        let (Some(own), Some(rules)) = (self.tenants.get_mut(tenant), self.rules.tenants.get_mut(tenant)) else {
            return Ok(());
        };
        if let Some(cap) = file.max_sessions {
            rules.max_sessions = cap.number().map(|sessions| sessions as u32);
        }
        rules.host_scope = file.host_scope.or(rules.host_scope);
        rules.breaker = file.breaker.over(&rules.breaker);
        own.wall = file.wall.over(&own.wall);
        Ok(())
    }
}

fn read(orders: &[(&String, &String)]) -> Result<TenantFile, ConfigFaults> {
    let mut faults = Faults::default();
    let origin = Origin::whole("order", Path::new("/"));
    let mut root = Vec::new();
    for (key, value) in orders {
        if !ORDER_KEYS.contains(&key.as_str()) {
            let remedy = format!("set one of {}, or change the file and reload", ORDER_KEYS.join(", "));
            faults.add(&origin, key, None, "cannot be set while the supervisor runs", remedy);
            continue;
        }
        let path: Vec<&str> = key.split('.').collect();
        overrides::set(&mut root, &path, (*value).clone(), &origin);
    }
    let mut section = Section::root(root, origin, &mut faults);
    let file = TenantFile::read(&mut section);
    section.finish();
    faults.finish()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = "[agents.a]\ncommand = [\"/bin/true\"]\n[tenants.acme]\nmax_sessions = 9\n[tenants.acme.wall]\npids_max = 40\n";
        Config::embedded(text, Path::new("/tmp")).unwrap()
    }

    fn acme() -> TenantId {
        TenantId::parse("acme").unwrap()
    }

    fn orders(orders: &[(&str, &str)]) -> BTreeMap<String, String> {
        orders.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn orders_win_over_the_file_and_leave_what_they_do_not_name() {
        let mut config = config();
        let said = orders(&[
            ("max_sessions", "off"),
            ("host_scope", "session"),
            ("circuit_breaker.cooldown_s", "2.5"),
            ("wall.memory_max_mb", "64"),
            ("status", "suspended"),
        ]);
        config.order(&acme(), &said).unwrap();
        let rules = &config.rules.tenants[&acme()];
        assert_eq!((rules.max_sessions, rules.breaker.cooldown_ms), (None, 2_500));
        assert_eq!(rules.breaker.min_samples, 5);
        let spec = config.wall(&acme(), &config.agents[0].rules.runtime);
        assert_eq!((spec.memory_bytes_max, spec.pids_max), (Some(64 << 20), Some(40)));
    }

    #[test]
    fn what_the_file_would_refuse_is_refused_all_at_once() {
        let mut config = config();
        let said = orders(&[("max_sessions", "0"), ("host_scope", "both"), ("api_keys.openai", "sk-1")]);
        let faults = config.order(&acme(), &said).unwrap_err().faults;
        let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(faults.len(), 3, "{keys:?}");
        assert!(!format!("{faults:?}").contains("sk-1"));
        assert_eq!(config.rules.tenants[&acme()].max_sessions, Some(9));
    }

    #[test]
    fn every_key_that_can_be_ordered_is_one_of_the_file() {
        for key in ORDER_KEYS {
            let value = match key {
                "host_scope" => "session",
                "circuit_breaker.enabled" => "on",
                "circuit_breaker.failure_ratio" => "0.5",
                _ => "64",
            };
            config().order(&acme(), &orders(&[(key, value)])).unwrap_or_else(|faults| panic!("{key}: {faults:?}"));
        }
    }
}
