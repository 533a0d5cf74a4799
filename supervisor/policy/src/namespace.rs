//! Which tenant a room's name belongs to (semantics O1, V9, V10).
//!
//! Owns: the grammar `<tenant><separator><rest>`. Never: applies where `rooms.tenant_prefix` is off.

use openrtc_ipc::TenantId;

use crate::rules::Rules;

/// The configured tenant whose namespace the room lies in: the longest whose id and separator start its name, so that
/// `acme` does not own the rooms of `acme_corp`.
pub(crate) fn owner<'a>(rules: &'a Rules, room: &str) -> Option<&'a TenantId> {
    let owners = rules.tenants.keys().filter(|tenant| within(rules, tenant, room).is_some());
    owners.max_by_key(|tenant| tenant.as_str().len())
}

/// What follows the tenant's namespace in the room's name; `None` if the room lies outside it. The whole name where
/// there are no namespaces.
pub(crate) fn rest<'a>(rules: &Rules, tenant: &TenantId, room: &'a str) -> Option<&'a str> {
    if !rules.rooms.tenant_prefix {
        return Some(room);
    }
    let rest = within(rules, tenant, room)?;
    let longest = owner(rules, room).map_or(0, |owner| owner.as_str().len());
    (longest <= tenant.as_str().len()).then_some(rest)
}

impl Rules {
    /// Whether a room may be this tenant's: in its namespace and in no longer one's, where there are namespaces.
    pub fn room_is_of(&self, tenant: &TenantId, room: &str) -> bool {
        rest(self, tenant, room).is_some()
    }
}

fn within<'a>(rules: &Rules, tenant: &TenantId, room: &'a str) -> Option<&'a str> {
    room.strip_prefix(tenant.as_str())?.strip_prefix(rules.rooms.separator.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{rules, tenant, tenant_rules};

    fn agency() -> Rules {
        let mut rules = rules();
        rules.rooms.tenant_prefix = true;
        rules.tenants = [(tenant("acme"), tenant_rules()), (tenant("acme_corp"), tenant_rules())].into();
        rules
    }

    #[test]
    fn a_room_belongs_to_the_longest_tenant_that_starts_it() {
        let rules = agency();
        assert_eq!(owner(&rules, "acme_corp_room-1"), Some(&tenant("acme_corp")));
        assert_eq!(owner(&rules, "acme_room-1"), Some(&tenant("acme")));
        assert_eq!(owner(&rules, "globex_room-1"), None);
    }

    #[test]
    fn a_tenant_does_not_reach_into_a_longer_ones_rooms() {
        let rules = agency();
        assert_eq!(rest(&rules, &tenant("acme"), "acme_corp_room-1"), None);
        assert_eq!(rest(&rules, &tenant("acme_corp"), "acme_corp_room-1"), Some("room-1"));
        assert_eq!(rest(&rules, &tenant("acme"), "acme_room-1"), Some("room-1"));
        assert_eq!(rest(&rules, &tenant("acme"), "acmeroom"), None);
    }

    #[test]
    fn without_namespaces_every_room_is_everybodys() {
        assert_eq!(rest(&rules(), &tenant("acme"), "globex_room"), Some("globex_room"));
    }
}
