//! Join tokens: what lets a machine become a node, once.
//!
//! Promise: the text holds the CA's certificate, so that the joining node verifies whom it talks to, and a secret of 256
//! bits, of which the cluster keeps only the hash. The secret follows from the cluster key and the request that asks for
//! it: asked again, also of another leader, it is the same. Absent: that a token is used once (the replicated state's).

mod text;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sluice_proto::raft;

use self::text::Text;
use crate::{ClusterKey, IdentityFailure, NodeRole, Secret, token_hash};

/// What the cluster key is used for here.
const CONTEXT: &str = "sluice join tokens v1";
const ID_BYTES: usize = 5;
const SECRET_BYTES: usize = 32;

/// A join token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Its name in lists; not secret.
    pub id: String,
    /// What the node will be.
    pub role: NodeRole,
    /// Shown once to the cluster.
    pub secret: Secret<String>,
    /// The cluster that made it.
    pub cluster_id: String,
    /// PEM of the CA's certificate; absent in a cluster without certificates.
    pub ca_pem: Option<String>,
}

impl JoinToken {
    /// The token of `cluster_id` that the request `request_id` of `actor` asks for.
    ///
    /// Whoever knows the request but not `key` knows nothing of the secret. A request id must be used for one token only:
    /// the replicated state sees to that.
    pub fn of_request(
        key: &ClusterKey,
        (actor, request_id): (&str, &[u8]),
        cluster_id: &str,
        role: NodeRole,
        ca_pem: Option<&str>,
    ) -> Self {
        // The length first, so that no two requests are one input.
        let input = [&(actor.len() as u64).to_le_bytes(), actor.as_bytes(), request_id].concat();
        let bytes: [u8; SECRET_BYTES + ID_BYTES] = key.derive(CONTEXT, &input);
        let (secret, id) = bytes.split_at(SECRET_BYTES);
        Self {
            id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
            role,
            secret: Secret::new(format!("slj_{}", URL_SAFE_NO_PAD.encode(secret))),
            cluster_id: cluster_id.to_owned(),
            ca_pem: ca_pem.filter(|pem| !pem.is_empty()).map(str::to_owned),
        }
    }

    /// What the cluster keeps in place of the secret.
    pub fn secret_hash(&self) -> blake3::Hash {
        token_hash(self.secret.expose())
    }

    /// The text for `--join-token-file`: one line.
    pub fn to_text(&self) -> Secret<String> {
        let text = Text {
            id: self.id.clone(),
            role: self.role.as_str().to_owned(),
            secret: self.secret.expose().clone(),
            cluster: self.cluster_id.clone(),
            ca: self.ca_pem.clone(),
        };
        Secret::new(text.write())
    }

    /// Reads what [`JoinToken::to_text`] wrote.
    ///
    /// # Errors
    /// `JoinToken` when the text is none.
    pub fn parse(text: &str) -> Result<Self, IdentityFailure> {
        let wrong = |reason: &str| IdentityFailure::JoinToken { reason: reason.to_owned() };
        let text = Text::read(text).map_err(wrong)?;
        let role = NodeRole::parse(&text.role).ok_or_else(|| wrong("its role is neither control nor data"))?;
        Ok(Self { id: text.id, role, secret: Secret::new(text.secret), cluster_id: text.cluster, ca_pem: text.ca })
    }
}

/// Why a join token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefused {
    /// Unknown, used, revoked, or the secret is another.
    #[error(
        "the join token is not accepted: it was used, revoked or never made here; make one with `sluice cluster token create`"
    )]
    Unknown,
    /// Its time is over.
    #[error("the join token expired {ago_ms} ms ago; make a new one with `sluice cluster token create`")]
    Expired {
        /// Milliseconds since it expired.
        ago_ms: u64,
    },
    /// It is for the other kind of node.
    #[error("the join token is for a {token} node, the joining node is a {node} node")]
    Role {
        /// What the token is for.
        token: String,
        /// What the node is.
        node: String,
    },
}

/// Judges a join token that a node showed by what the cluster keeps of it (`None`: it keeps none of that id).
///
/// # Errors
/// Which of the conditions does not hold; a wrong secret and an unknown id are told apart by no one.
pub fn admit(kept: Option<&raft::JoinToken>, secret: &str, role: NodeRole, now_ms: u64) -> Result<(), JoinRefused> {
    let shown = token_hash(secret);
    let known = kept.filter(|kept| blake3::Hash::from_slice(&kept.secret_hash).is_ok_and(|hash| hash == shown));
    let Some(kept) = known else { return Err(JoinRefused::Unknown) };
    if kept.expires_ms <= now_ms {
        return Err(JoinRefused::Expired { ago_ms: now_ms - kept.expires_ms });
    }
    if kept.role != role.as_str() {
        return Err(JoinRefused::Role { token: kept.role.clone(), node: role.as_str().to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(ca_pem: Option<&str>) -> JoinToken {
        JoinToken::of_request(&ClusterKey::generate().unwrap(), ("local", b"1"), "c1", NodeRole::Data, ca_pem)
    }

    #[test]
    fn a_request_has_one_token_and_no_other_has_it() {
        let (key, other_key) = (ClusterKey::generate().unwrap(), ClusterKey::generate().unwrap());
        let of = |key: &ClusterKey, request| JoinToken::of_request(key, request, "c1", NodeRole::Data, None);
        let token = of(&key, ("local", b"request 1"));
        assert_eq!(of(&key, ("local", b"request 1")), token);
        assert_eq!((token.id.len(), token.secret.expose().len()), (10, 47));
        for other in [
            of(&key, ("local", b"request 2")),
            of(&key, ("bootstrap", b"request 1")),
            of(&key, ("localr", b"equest 1")),
            of(&other_key, ("local", b"request 1")),
        ] {
            assert!(other.id != token.id && other.secret != token.secret);
        }
    }

    #[test]
    fn a_token_survives_its_text() {
        for ca_pem in [None, Some("-----BEGIN CERTIFICATE-----\n")] {
            let token = token(ca_pem);
            let text = token.to_text();
            assert_eq!(JoinToken::parse(&format!("  {}\n", text.expose())).unwrap(), token);
            assert!(!format!("{token:?}").contains(token.secret.expose().as_str()));
        }
    }

    #[test]
    fn what_is_no_token_says_what_was_expected() {
        let whole = token(None).to_text();
        let cut = &whole.expose()[..whole.expose().len() - 3];
        for text in ["", "slo_abc", "sluice-join-1.", "sluice-join-1.%%", cut] {
            let message = JoinToken::parse(text).unwrap_err().to_string();
            assert!(message.contains("sluice cluster token create"), "{message}");
        }
    }

    #[test]
    fn only_the_right_secret_in_time_for_the_right_role_is_admitted() {
        let token = token(None);
        let kept = raft::JoinToken {
            id: token.id.clone(),
            role: "data".into(),
            secret_hash: token.secret_hash().as_bytes().to_vec().into(),
            expires_ms: 1_000,
            ..Default::default()
        };
        let secret = token.secret.expose();
        assert_eq!(admit(Some(&kept), secret, NodeRole::Data, 999), Ok(()));
        assert_eq!(admit(Some(&kept), secret, NodeRole::Data, 1_000), Err(JoinRefused::Expired { ago_ms: 0 }));
        assert_eq!(admit(Some(&kept), "other", NodeRole::Data, 0), Err(JoinRefused::Unknown));
        assert_eq!(admit(None, secret, NodeRole::Data, 0), Err(JoinRefused::Unknown));
        let refused = admit(Some(&kept), secret, NodeRole::Control, 0).unwrap_err();
        assert!(matches!(refused, JoinRefused::Role { .. }), "{refused}");
    }
}
