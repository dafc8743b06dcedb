//! Who a token or a certificate belongs to, as the replicated state has it now.
//!
//! Promise: an operator who was deleted, or whose time is over, is refused from the moment this node has applied that, and
//! so is a token or a certificate that another has replaced. Absent: waiting for what this node has not applied yet
//! (`newcomer`).

use sluice_identity::{BOOTSTRAP, Operator, OperatorCertificate, OperatorRefused, OperatorRole, Operators, Shown};
use sluice_proto::raft;
use sluice_raft::Raft;
use sluice_state::{Tables, View};

use crate::{propose::now_ms, replica::Replica};

/// The operators of the cluster of a replica.
#[derive(Debug, Clone)]
pub struct KnownOperators<R = Raft> {
    replica: R,
}

impl<R> KnownOperators<R> {
    pub(crate) fn of(replica: R) -> Self {
        Self { replica }
    }
}

impl<R: Replica> Operators for KnownOperators<R> {
    fn by_token(&self, hash: &blake3::Hash) -> Result<Operator, OperatorRefused> {
        by_token(&self.replica.view(), hash)
    }

    fn by_certificate(&self, certificate: &OperatorCertificate) -> Result<Operator, OperatorRefused> {
        by_certificate(&self.replica.view(), certificate)
    }
}

/// The operator who acts as `actor` and has shown this, if it is one still.
pub(super) fn again<T: Tables>(view: &View<T>, actor: &str, shown: &Shown) -> Option<Operator> {
    let found = match shown {
        Shown::Nothing => return None,
        Shown::Token(hash) => by_token(view, hash),
        Shown::Certificate { serial } => {
            by_certificate(view, &OperatorCertificate { name: actor.to_owned(), serial: serial.clone() })
        }
    };
    found.ok().filter(|operator| operator.name == actor)
}

fn by_token<T: Tables>(view: &View<T>, hash: &blake3::Hash) -> Result<Operator, OperatorRefused> {
    // blake3 compares in constant time.
    if bootstrap_hash(view).is_some_and(|kept| kept == *hash) {
        return Ok(Operator::new(BOOTSTRAP, OperatorRole::Admin));
    }
    // Found by an index of hashes: what the time of a lookup tells is nothing about a token of 256 random bits.
    let found = view.operator_of_token(hash.as_bytes()).ok_or(OperatorRefused::Token)?;
    good(found, now_ms(view.stamp()))
}

fn by_certificate<T: Tables>(view: &View<T>, certificate: &OperatorCertificate) -> Result<Operator, OperatorRefused> {
    let found = view.operator(&certificate.name);
    let found = found.filter(|found| found.certificate_serial == certificate.serial);
    let refused = || OperatorRefused::Certificate { name: certificate.name.clone() };
    good(found.ok_or_else(refused)?, now_ms(view.stamp()))
}

/// The hash of the token that was made with the cluster, until it is deleted.
fn bootstrap_hash<T: Tables>(view: &View<T>) -> Option<blake3::Hash> {
    blake3::Hash::from_slice(&view.cluster()?.bootstrap_token_hash).ok()
}

/// The operator of a row, when its time is not over. A role that this release does not know is the least one.
fn good(found: raft::Operator, now_ms: u64) -> Result<Operator, OperatorRefused> {
    if found.expires_ms != 0 && found.expires_ms <= now_ms {
        return Err(OperatorRefused::Expired { name: found.name });
    }
    let role = OperatorRole::parse(&found.role).unwrap_or(OperatorRole::Viewer);
    Ok(Operator { name: found.name, role })
}
