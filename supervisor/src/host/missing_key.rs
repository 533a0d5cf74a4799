//! Recognising that an agent misses a key which lies in the supervisor's own environment.
//!
//! Owns: finding the variable in what was said, and the line of configuration that would give it. Never: looks at the key.

use openrtc_ipc::{RuntimeName, TenantId};

use crate::config::Config;
use crate::config::plugins::key_variable;
use crate::secrets::Vault;

/// The error; completed where it names the variable of a key that is set here and not given to hosts of this tenant.
pub fn completed(config: &Config, vault: &Vault, tenant: &TenantId, runtime: &RuntimeName, error: String) -> String {
    let named = config.keys_here().find(|(variable, _)| names(&error, variable));
    let Some((variable, plugin)) = named.filter(|(variable, _)| !vault.gives(config, tenant, runtime, variable)) else {
        return error;
    };
    let line = line(config, tenant, variable, plugin);
    format!("{error}; {variable} is set here but not given to hosts; add {line}")
}

fn line(config: &Config, tenant: &TenantId, variable: &str, plugin: &str) -> String {
    let of_tenant = format!("tenants.{}", tenant);
    let reference = format!("{{ env = \"{variable}\" }}");
    if key_variable(plugin) != variable {
        return format!("[{of_tenant}.env] {variable} = {reference}");
    }
    let section = if config.falls_back(tenant) { "defaults" } else { &of_tenant };
    format!("[{section}.api_keys] {} = {reference}", plugin)
}

/// Whether the text has the variable as a word of its own.
fn names(text: &str, variable: &str) -> bool {
    let of_a_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(variable)
        .any(|(at, _)| !text[..at].ends_with(of_a_word) && !text[at + variable.len()..].starts_with(of_a_word))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_variable_is_named_by_a_word_of_its_own() {
        for text in ["KeyError: 'OPENAI_API_KEY'", "set OPENAI_API_KEY", "OPENAI_API_KEY=?"] {
            assert!(names(text, "OPENAI_API_KEY"), "{text}");
        }
        for text in ["AZURE_OPENAI_API_KEY", "OPENAI_API_KEYS", "openai_api_key", ""] {
            assert!(!names(text, "OPENAI_API_KEY"), "{text}");
        }
    }
}
