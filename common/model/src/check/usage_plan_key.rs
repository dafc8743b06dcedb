//! Usage plan keys: the membership of a key in a plan.

use sluice_proto::model::UsagePlanKey;

use super::checker::Checker;
use crate::{Diagnostics, ids};

/// Checks a membership: both ends are named.
pub fn check(member: &UsagePlanKey) -> Diagnostics {
    let mut checker = Checker::of_level(member.level);
    for (at, id) in [("planId", &member.plan_id), ("keyId", &member.key_id)] {
        if !ids::is_id(id) {
            checker.error("invalid-id", at, format!("expected an id of a-z0-9, found {id:?}"));
        }
    }
    checker.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_ids() {
        let member = UsagePlanKey { plan_id: "abc123".to_owned(), key_id: "k0123456789".to_owned(), level: 1 };
        assert!(check(&member).is_empty());
        assert_eq!(check(&UsagePlanKey::default()).len(), 2);
    }
}
