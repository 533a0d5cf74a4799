//! What an application may ask for and the configuration decides, for the host that says what differs.
//!
//! Owns: the few keys that a script's arguments can name, and their size. Never: a secret, a path of a key, or what one
//! tenant has beyond its cap and the steps that it names.

use openrtc_ipc::{RuntimeName, frame::FRAME_BYTES_MAX};
use serde_json::{Map, Value as Json, json};
use toml::Table;

use super::{env, runtimes, walls};
use crate::config::{Config, Runtime};

/// Half of a frame: the rest of the message needs room too.
const BYTES_MAX: usize = FRAME_BYTES_MAX / 2;

impl Config {
    /// The values in force of what an application of this runtime may ask for, by the sections and keys of the file.
    pub fn in_force(&self, runtime: &RuntimeName) -> Json {
        let of_runtime = self.runtimes.get(runtime);
        let wall = of_runtime.map_or_else(|| self.wall.clone(), |runtime| runtime.wall.over(&self.wall));
        let mut wall = walls::from_spec(&wall.spec());
        self.hosts_into(&mut wall);
        let own = of_runtime.map(own).unwrap_or_default();
        let caps = self.rules.agents.iter().filter_map(|(name, rules)| Some((name.to_string(), rules.max_sessions?)));
        let caps = caps.map(|(name, cap)| (name, json!({ "max_sessions": cap })));
        let mut shown = json!({
            "supervisor": self.supervisor_table(),
            "wall": wall,
            "circuit_breaker": super::breaker(&self.rules.breaker),
            "runtimes": { runtime.as_str(): own },
            "agents": caps.collect::<Map<_, _>>(),
        });
        let tenants = Json::Object(self.tenants_in_force());
        // Ten thousand tenants with caps are 400 KB. Of more, a script's own caps are told as not in force.
        if tenants.to_string().len() <= BYTES_MAX {
            shown["tenants"] = tenants;
        }
        shown
    }

    fn tenants_in_force(&self) -> Map<String, Json> {
        let tenant = |tenant: &crate::config::Tenant| {
            let mut shown = Map::new();
            if let Some(cap) = self.rules.tenants.get(&tenant.id).and_then(|rules| rules.max_sessions) {
                shown.insert("max_sessions".to_owned(), cap.into());
            }
            let steps: Vec<&str> = tenant.providers.named().map(|(step, _)| step).collect();
            if !steps.is_empty() {
                shown.insert("tenant_config".to_owned(), steps.into());
            }
            (!shown.is_empty()).then(|| (tenant.id.to_string(), Json::Object(shown)))
        };
        self.tenants.values().filter_map(tenant).collect()
    }
}

fn own(runtime: &Runtime) -> Table {
    let mut table = Table::new();
    if let Some(application) = runtime.python() {
        runtimes::python(application, &mut table);
    }
    super::put(&mut table, "env", env(&runtime.env));
    table
}
