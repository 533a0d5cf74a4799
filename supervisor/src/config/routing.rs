//! `[routing]` and `[rooms]`: which agent takes a dispatch, and whose a room is (semantics G1–G4, V9, V10).
//!
//! Owns: these two sections. Never: routes.

use std::collections::BTreeMap;

use openrtc_ipc::TenantId;
use openrtc_policy::rules::{Fallback, RoomRules, RoutingRule, RoutingRules};

use super::agents::AgentNames;
use super::faults::Faults;
use super::section::{Section, Spot};
use super::shape::Shape;
use super::tree::Value;

struct RuleFile {
    key: String,
    tenant: Option<Spot<String>>,
    metadata: BTreeMap<String, String>,
    agent: Option<Spot<String>>,
}

/// What was written under `[routing]`.
pub(super) struct RoutingFile {
    metadata_agent_keys: Option<Vec<String>>,
    room_prefix: Option<bool>,
    fallback: Option<Spot<String>>,
    rules: Vec<RuleFile>,
}

impl RoutingFile {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let keys = section.texts("metadata_agent_keys");
        Self {
            metadata_agent_keys: keys.map(|list| list.value.into_iter().map(|key| key.value).collect()),
            room_prefix: section.flag("room_prefix"),
            fallback: section.text("fallback"),
            rules: section.tables("rule", RuleFile::read),
        }
    }

    /// Whether no fallback is written, so that it is the first agent.
    pub(super) fn first_is_fallback(&self) -> bool {
        self.fallback.is_none()
    }

    /// The rules, with every agent known or awaited.
    pub(super) fn valid(self, agents: &mut AgentNames, tenants: &[&TenantId], faults: &mut Faults) -> RoutingRules {
        let rules = self.rules.into_iter().filter_map(|rule| rule.valid(agents, tenants, faults)).collect();
        let fallback = match &self.fallback {
            Some(spot) if spot.value == "reject" => Some(Fallback::Reject),
            Some(spot) => agents.find(spot, faults).map(Fallback::Agent),
            None => agents.first().cloned().map(Fallback::Agent),
        };
        let keys = || ["agent", "demo"].map(str::to_owned).to_vec();
        RoutingRules {
            rules,
            metadata_agent_keys: self.metadata_agent_keys.unwrap_or_else(keys),
            room_prefix: self.room_prefix.unwrap_or(true),
            fallback: fallback.unwrap_or(Fallback::Reject),
        }
    }
}

impl RuleFile {
    fn read(section: &mut Section<'_>) -> Self {
        let (key, origin) = (section.path().to_owned(), section.origin.clone());
        let file = Self {
            tenant: section.text("tenant"),
            metadata: section.table("metadata", metadata),
            agent: section.text("agent"),
            key,
        };
        if file.agent.is_none() {
            section.faults.add(&origin, &file.key, None, "names no agent", "add agent = \"NAME\"");
        }
        file
    }

    fn valid(self, agents: &mut AgentNames, tenants: &[&TenantId], faults: &mut Faults) -> Option<RoutingRule> {
        let agent = agents.find(&self.agent?, faults);
        if self.tenant.is_none() && self.metadata.is_empty() {
            faults
                .warn(format!("{} matches every dispatch: rules below it and the metadata are never asked", self.key));
        }
        let tenant = match &self.tenant {
            None => None,
            Some(spot) => match TenantId::parse(&spot.value) {
                Ok(tenant) => {
                    if !tenants.contains(&&tenant) {
                        faults.warn(format!("{} = {:?}: this tenant is not configured", spot.key, spot.value));
                    }
                    Some(tenant)
                }
                Err(error) => {
                    let value = Some(format!("{:?}", spot.value));
                    faults.add(&spot.origin, &spot.key, value, "is no tenant id", error.to_string());
                    return None;
                }
            },
        };
        Some(RoutingRule { tenant, metadata: self.metadata, agent: agent? })
    }
}

fn metadata(section: &mut Section<'_>) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::new();
    for (name, node, key) in section.rest_of(Shape::Scalar) {
        let text = match &node.value {
            Value::Text(text) => Some(text.clone()),
            Value::Whole(number) => Some(number.to_string()),
            Value::Flag(flag) => Some(flag.to_string()),
            _ => None,
        };
        match text {
            Some(text) => {
                metadata.insert(name, text);
            }
            None => {
                let value = Some(node.value.shown());
                section.faults.add(&node.origin, &key, value, "is no text", "write the value in quotes");
            }
        }
    }
    metadata
}

/// What was written under `[rooms]`.
pub(super) struct RoomsFile {
    tenant_prefix: bool,
    separator: Option<Spot<String>>,
}

impl RoomsFile {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let modes = [("off", false), ("tenant_prefix", true)];
        let separator = section.text_of("separator", || Shape::Short(8));
        if let Some(spot) = separator.as_ref().filter(|spot| spot.value.is_empty() || spot.value.len() > 8) {
            let value = Some(format!("{:?}", spot.value));
            section.faults.add(
                &spot.origin,
                &spot.key,
                value,
                "is no separator",
                "use 1 to 8 characters, as \"_\" or \".\"",
            );
        }
        Self { tenant_prefix: section.choice("namespace_mode", &modes).unwrap_or(false), separator }
    }

    pub(super) fn valid(
        self,
        tenants: &[&TenantId],
        places: &dyn Fn(&TenantId) -> Option<Spot<String>>,
        faults: &mut Faults,
    ) -> RoomRules {
        let separator = self.separator.map_or_else(|| "_".to_owned(), |spot| spot.value);
        if self.tenant_prefix && !separator.is_empty() {
            for (owner, other) in super::tenants::colliding(tenants.iter().copied(), &separator) {
                let Some(place) = places(other).or_else(|| places(owner)) else { continue };
                let problem =
                    format!("its rooms ({other}{separator}…) lie within those of tenant {owner} ({owner}{separator}…)");
                let remedy = "set rooms.separator = \".\", which no tenant id can contain, or rename one";
                faults.add(&place.origin, &place.key, None, problem, remedy);
            }
        }
        RoomRules { tenant_prefix: self.tenant_prefix, separator }
    }
}
