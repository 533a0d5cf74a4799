//! What holds for a tenant, and the layer that says so.

use openrtc_ipc::TenantId;
use serde_json::{Value, json};

use super::loaded;
use crate::config::{Config, Setting};

fn setting(config: &Config, tenant: &str, section: &str, name: &str) -> (Value, String) {
    let all = config.effective(&TenantId::parse(tenant).unwrap());
    let found = all.into_iter().find(|setting| setting.section == section && setting.name == name);
    let Setting { value, from, .. } = found.unwrap_or_else(|| panic!("no {section} {name}"));
    (value, from)
}

#[test]
fn each_layer_is_named_by_what_it_wrote() {
    let config = loaded(
        "[wall]\nmemory_max_mb = 100\npids_max = 10\nrequire = [\"memory\"]\nmemory_warn_mb = 50\n\
         [runtimes.r]\nkind = \"program\"\ncommand = [\"true\"]\n[runtimes.r.wall]\npids_max = 20\n\
         [agents.other]\nruntime = \"r\"\n[tenants.t.wall]\nmemory_max_mb = \"off\"\nrequire = [\"uid\"]",
    );
    let wall = |tenant: &str, name: &str| setting(&config, tenant, "wall", name);
    assert_eq!(wall("t", "r.memory_max_mb"), (json!("off"), "[tenants.t.wall]".to_owned()));
    assert_eq!(wall("t", "r.pids_max"), (json!(20), "[runtimes.r.wall]".to_owned()));
    assert_eq!(wall("t", "command.pids_max"), (json!(10), "[wall]".to_owned()));
    assert_eq!(wall("t", "r.cpu_weight"), (json!(100), "default".to_owned()));
    assert_eq!(wall("t", "r.require"), (json!(["memory", "uid"]), "[tenants.t.wall] + [wall]".to_owned()));
    assert_eq!(wall("x", "command.memory_warn_pct"), (json!(50), "[wall]".to_owned()));
    assert_eq!(wall("x", "command.memory_max_mb"), (json!(100), "[wall]".to_owned()));
}

#[test]
fn a_cap_and_a_breaker_are_the_tenants_where_it_writes_them_even_where_they_are_the_defaults() {
    let config = loaded(
        "[supervisor]\ndefault_max_sessions = 4\n[circuit_breaker]\nenabled = true\n\
         [tenants.own]\nmax_sessions = 4\nhost_scope = \"tenant\"\n[tenants.own.circuit_breaker]\nmin_samples = 5\n\
         [tenants.other]\nstatus = \"suspended\"\nallowed_agents = [\"support\"]",
    );
    let from = |tenant: &str, section: &str, name: &str| setting(&config, tenant, section, name).1;
    assert_eq!(from("own", "tenant", "max_sessions"), "[tenants.own]");
    assert_eq!(from("other", "tenant", "max_sessions"), "[supervisor] default_max_sessions");
    assert_eq!(from("own", "tenant", "host_scope"), "[tenants.own]");
    assert_eq!(from("own", "breaker", "min_samples"), "[tenants.own.circuit_breaker]");
    assert_eq!(from("other", "breaker", "min_samples"), "default");
    assert_eq!(from("other", "tenant", "status"), "[tenants.other]");
    assert_eq!(setting(&config, "other", "tenant", "allowed_agents").0, json!(["support"]));
    assert_eq!(setting(&config, "nobody", "tenant", "max_sessions").0, json!(4));
}
