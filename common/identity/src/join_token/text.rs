//! The text of a join token: one line that may be pasted.
//!
//! Promise: what was written is read as it was, and anything else is refused in words that say nothing of what it holds.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

const PREFIX: &str = "sluice-join-1.";
/// Characters of a text, at most: far above a certificate and two names.
const CHARS_MAX: usize = 64 * 1024;

/// What a token says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Text {
    pub(crate) id: String,
    pub(crate) role: String,
    pub(crate) secret: String,
    pub(crate) cluster: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) ca: Option<String>,
}

impl Text {
    pub(crate) fn write(&self) -> String {
        let json = serde_json::to_vec(self).expect("strings always have a JSON form");
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(json))
    }

    /// Reads what `write` wrote, with white space around it.
    pub(crate) fn read(text: &str) -> Result<Self, &'static str> {
        if text.len() > CHARS_MAX {
            return Err("it is longer than any token");
        }
        let encoded = text.trim().strip_prefix(PREFIX).ok_or("it begins otherwise")?;
        let json = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| "it is cut off or has stray characters")?;
        serde_json::from_slice(&json).map_err(|_| "its contents are of another release")
    }
}
