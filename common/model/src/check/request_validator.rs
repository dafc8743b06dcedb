//! Request validators: what of a request is checked.

use sluice_proto::model::RequestValidator;

use super::checker::Checker;
use crate::Diagnostics;

/// Checks a request validator. AWS: CreateRequestValidator.
pub fn check(validator: &RequestValidator) -> Diagnostics {
    let mut checker = Checker::of_level(validator.level);
    checker.name("name", &validator.name);
    checker.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validator_has_a_name() {
        assert!(check(&RequestValidator::default()).has_errors());
        assert!(check(&RequestValidator { name: "all".to_owned(), ..RequestValidator::default() }).is_empty());
    }
}
