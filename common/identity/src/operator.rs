//! Operators: the people and scripts that drive a cluster, by name and role.
//!
//! Promise: a name can stand in a certificate's URI and in a row's key, and is none that the cluster uses itself; a token
//! follows from the cluster key and the request that asks for it, so that who asks again gets the same one. Absent: the
//! table of operators (the replicated state's), which methods a role may call (`roles`).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{ClusterKey, Secret};

/// The actor of the token that was made with the cluster; its role is admin.
pub const BOOTSTRAP: &str = "bootstrap";
/// The actor of whoever calls in plaintext on this machine; its role is admin.
pub const LOCAL: &str = "local";
/// Names that the cluster itself gives to callers.
const RESERVED: [&str; 3] = [BOOTSTRAP, LOCAL, "anonymous"];
/// Characters of an operator's name.
const NAME_CHARS_MAX: usize = 64;
/// How the token of an operator begins.
pub(crate) const TOKEN_PREFIX: &str = "slo_";
/// What the cluster key is used for here.
const CONTEXT: &str = "sluice operator tokens v1";

/// What an operator may do. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OperatorRole {
    /// Reads, but no secrets.
    Viewer,
    /// Changes of APIs, deployments, stages, keys and plans too.
    Deployer,
    /// Everything: nodes, tokens, operators and values of keys too.
    Admin,
}

impl OperatorRole {
    /// From the least to the greatest.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Deployer, Self::Admin];

    /// `viewer`, `deployer` or `admin`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Deployer => "deployer",
            Self::Admin => "admin",
        }
    }

    /// Reads what [`OperatorRole::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for OperatorRole {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// An operator as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// What commands and the audit trail carry as the actor.
    pub name: String,
    /// What it may do.
    pub role: OperatorRole,
}

impl Operator {
    /// The operator of a name and role.
    pub fn new(name: &str, role: OperatorRole) -> Self {
        Self { name: name.to_owned(), role }
    }
}

/// What an operator has shown, by hash or number: whoever looks it up again, later or elsewhere, finds whether it is still
/// good.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Shown {
    /// Nothing: plaintext needs none, and nodes are no operators.
    #[default]
    Nothing,
    /// A token.
    Token(blake3::Hash),
    /// A certificate.
    Certificate {
        /// Hex of its serial number.
        serial: String,
    },
}

/// What a verified certificate says of an operator. Whether it is still good is for the table of operators to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorCertificate {
    /// The operator's name.
    pub name: String,
    /// Hex of the certificate's serial number.
    pub serial: String,
}

/// Why a token or a certificate opens nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorRefused {
    /// No operator has this token.
    #[error("the operator's token is not one of this cluster; check --token-file and the cluster it belongs to")]
    Token,
    /// The operator has no such certificate, or is none.
    #[error(
        "the certificate of operator {name} is not accepted: the operator was deleted, or has a newer certificate; an admin makes another with `sluice operator certificate {name}`"
    )]
    Certificate {
        /// As the certificate says.
        name: String,
    },
    /// The operator's time is over.
    #[error(
        "operator {name} has expired; an admin makes it anew with `sluice operator delete {name}` and `sluice operator create {name}`"
    )]
    Expired {
        /// Who it was.
        name: String,
    },
}

/// Knows the operators of the cluster.
pub trait Operators: Send + Sync + 'static {
    /// The operator whose token has this hash.
    ///
    /// # Errors
    /// `Token` or `Expired`.
    fn by_token(&self, hash: &blake3::Hash) -> Result<Operator, OperatorRefused>;

    /// The operator whose certificate this is.
    ///
    /// # Errors
    /// `Certificate` or `Expired`.
    fn by_certificate(&self, certificate: &OperatorCertificate) -> Result<Operator, OperatorRefused>;
}

/// Checks that `name` may name an operator: 1 to 64 of `a-z 0-9 . _ - @`, beginning with a letter or digit, and none that
/// the cluster uses itself.
///
/// # Errors
/// What was expected, in words.
pub fn check_operator_name(name: &str) -> Result<(), String> {
    if RESERVED.contains(&name) {
        return Err(format!("expected another name than {name}, which the cluster uses itself"));
    }
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let fits = (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.starts_with(is_plain)
        && name.chars().all(|letter| is_plain(letter) || "._-@".contains(letter));
    if fits {
        return Ok(());
    }
    Err(format!(
        "expected a name of 1 to {NAME_CHARS_MAX} of a-z, 0-9, `.`, `_`, `-` and `@`, beginning with a letter or digit, found {name:?}"
    ))
}

/// The token that the request `request_id` of `actor` makes for an operator.
///
/// Whoever knows the request but not `key` knows nothing of the token. A request id must be used for one token only: the
/// replicated state sees to that.
pub fn operator_token(key: &ClusterKey, actor: &str, request_id: &[u8]) -> Secret<String> {
    // The length first, so that no two requests are one input.
    let input = [&(actor.len() as u64).to_le_bytes(), actor.as_bytes(), request_id].concat();
    let bytes: [u8; 32] = key.derive(CONTEXT, &input);
    Secret::new(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_taken_for_another_caller_are_refused() {
        for name in ["alice", "ci-deploy", "a.b_c@example.com", "0"] {
            assert_eq!(check_operator_name(name), Ok(()), "{name}");
        }
        let long = "a".repeat(NAME_CHARS_MAX + 1);
        for name in ["", "bootstrap", "local", "anonymous", "node:a", "a/b", "Alice", "-a", "a b", "é", &long] {
            assert!(check_operator_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_token_follows_from_its_request_and_the_key() {
        let (key, other) = (ClusterKey::generate().unwrap(), ClusterKey::generate().unwrap());
        let token = operator_token(&key, "alice", b"1");
        assert_eq!(token, operator_token(&key, "alice", b"1"));
        assert!(token.expose().starts_with("slo_") && token.expose().len() == 47, "{}", token.expose().len());
        for another in [
            operator_token(&key, "alice", b"2"),
            operator_token(&key, "alic", b"e1"),
            operator_token(&other, "alice", b"1"),
        ] {
            assert_ne!(token, another);
        }
    }
}
