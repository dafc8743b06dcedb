//! The small languages of fields: names, header names, status codes, media types, key values.

use crate::limits;

/// The verbs of a method, `ANY` among them.
pub const VERBS: [&str; 8] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "ANY"];

/// Whether `text` is a token of RFC 9110, section 5.6.2: what header names are.
pub fn is_token(text: &str) -> bool {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Whether `text` is a status code of three digits, 100 to 599.
pub fn is_status_code(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit()) && (b'1'..=b'5').contains(&text.as_bytes()[0])
}

/// Whether `text` is `type/subtype`, each a token; parameters are not part of it.
pub fn is_media_type(text: &str) -> bool {
    text.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

/// Whether `text` is the name of a path variable: letters, digits, `.`, `_`, `-`.
pub fn is_variable_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Whether `text` is the name of a stage variable: letters, digits and `_`.
pub fn is_stage_variable_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= limits::STAGE_VARIABLE_NAME_CHARS_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether `text` may be the value of a stage variable. AWS: `[A-Za-z0-9-._~:/?#&=,]+`.
pub fn is_stage_variable_value(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= limits::STAGE_VARIABLE_VALUE_CHARS_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/?#&=,".contains(&byte))
}

/// Whether `text` may be the value of an API key: 20 to 128 visible ASCII characters without comma and quote, which
/// CSV files could not carry.
pub fn is_key_value(text: &str) -> bool {
    (limits::KEY_VALUE_CHARS_MIN..=limits::KEY_VALUE_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',' && byte != b'"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_small_language_takes_its_own_and_nothing_else() {
        assert!(is_token("X-Api-Key") && !is_token("") && !is_token("a b") && !is_token("a:b"));
        assert!(is_status_code("200") && !is_status_code("600") && !is_status_code("20") && !is_status_code("2xx"));
        assert!(is_media_type("application/json") && is_media_type("*/*") && !is_media_type("json"));
        assert!(is_variable_name("pet-id.x_1") && !is_variable_name("") && !is_variable_name("a+"));
        assert!(is_stage_variable_name("backend_1") && !is_stage_variable_name("a-b"));
        assert!(is_stage_variable_value("http://h:1/p?a=b&c,~") && !is_stage_variable_value("a b"));
        assert!(is_key_value(&"k".repeat(20)) && is_key_value(&"k".repeat(128)));
        assert!(!is_key_value(&"k".repeat(19)) && !is_key_value(&"k".repeat(129)));
        assert!(!is_key_value("has,a,comma,in,it,really") && !is_key_value("has a space in it, too"));
    }
}
