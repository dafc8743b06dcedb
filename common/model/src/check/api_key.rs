//! API keys.

use sluice_proto::model::ApiKey;

use super::{checker::Checker, text::is_key_value};
use crate::{Diagnostics, limits};

/// Checks an API key; its value where it has one. The value is never shown. AWS: CreateApiKey.
pub fn check(key: &ApiKey) -> Diagnostics {
    let mut checker = Checker::of_level(key.level);
    checker.name("name", &key.name);
    checker.description(key.description.as_ref());
    if let Some(customer) = &key.customer_id {
        checker.text("customerId", customer, limits::NAME_CHARS_MAX);
    }
    if let Some(value) = &key.value
        && !is_key_value(value)
    {
        let message = format!(
            "expected {} to {} visible characters without comma and quote, found a value of {}",
            limits::KEY_VALUE_CHARS_MIN,
            limits::KEY_VALUE_CHARS_MAX,
            value.chars().count()
        );
        checker.error("invalid-key-value", "value", message);
    }
    checker.tags(&key.tags);
    checker.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_aws_length_and_are_not_repeated() {
        let key = |value: &str| ApiKey { name: "k".to_owned(), value: Some(value.to_owned()), ..ApiKey::default() };
        assert!(check(&key("abcdefghij0123456789")).is_empty());
        let found = check(&key("secret")).into_vec();
        assert_eq!(found[0].at, "value");
        assert!(!found[0].message.contains("secret"));
    }
}
