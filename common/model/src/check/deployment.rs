//! Deployments: immutable copies of APIs.

use sluice_proto::model::Deployment;

use super::checker::Checker;
use crate::Diagnostics;

/// Checks a deployment. AWS: CreateDeployment.
pub fn check(deployment: &Deployment) -> Diagnostics {
    let mut checker = Checker::of_level(deployment.level);
    checker.description(deployment.description.as_ref());
    checker.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_bounded() {
        let described = |length| Deployment { description: Some("d".repeat(length)), ..Deployment::default() };
        assert!(check(&described(1024)).is_empty());
        assert!(check(&described(1025)).has_errors());
    }
}
