//! Who made a call that another node carries here.
//!
//! Promise: what the other node says of the caller opens no more than the state here does: an operator is looked up once
//! more, has the lesser of both roles, and is refused when it is there no longer; nobody is `local` in a cluster with
//! certificates. Absent: proof that the caller ever called: the other node is a control node, by its certificate.

use sluice_identity::{LOCAL, NodeRole, Operator, Peer, Role, Shown};
use sluice_proto::raft::ForwardRequest;
use sluice_state::{Tables, View};
use tonic::Status;

use super::known::again;

/// The caller of a carried call, who is at most what the other node says.
///
/// # Errors
/// `invalid_argument` for a role that is none, `unauthenticated` for an operator who is not known here.
pub(crate) fn carried<T: Tables>(view: &View<T>, call: &ForwardRequest) -> Result<Peer, Status> {
    let ForwardRequest { actor, role, .. } = call;
    let said = Role::parse(role).ok_or_else(|| Status::invalid_argument(format!("expected a role, found `{role}`")))?;
    match said {
        Role::Anonymous => Ok(Peer::anonymous()),
        Role::Control | Role::Data => {
            let role = if said == Role::Data { NodeRole::Data } else { NodeRole::Control };
            let node_id = actor.strip_prefix("node:").filter(|id| !id.is_empty());
            let node_id = node_id.ok_or_else(|| Status::invalid_argument("expected the actor of a node"))?;
            Ok(Peer::node(&view.cluster().unwrap_or_default().cluster_id, role, node_id))
        }
        Role::Operator(said) => {
            let is_plaintext = view.cluster().is_some_and(|cluster| cluster.plaintext);
            let shown = shown(call);
            let known = match actor.as_str() {
                LOCAL if is_plaintext => Some(Operator::new(LOCAL, said)),
                LOCAL => None,
                _ => again(view, actor, &shown),
            };
            let known = known.ok_or_else(|| {
                Status::unauthenticated(format!(
                    "{actor} has shown what is good no longer; an admin makes another with `sluice operator rotate` or `create`"
                ))
            })?;
            Ok(Peer::operator(&Operator { role: known.role.min(said), ..known }, shown))
        }
    }
}

/// What the caller has shown to the other node.
fn shown(call: &ForwardRequest) -> Shown {
    match (blake3::Hash::from_slice(&call.token_hash), call.certificate_serial.as_str()) {
        (Ok(hash), _) => Shown::Token(hash),
        (Err(_), "") => Shown::Nothing,
        (Err(_), serial) => Shown::Certificate { serial: serial.to_owned() },
    }
}

/// Says in a call that is carried what its caller has shown.
pub(crate) fn with_shown(call: ForwardRequest, shown: &Shown) -> ForwardRequest {
    match shown {
        Shown::Nothing => call,
        Shown::Token(hash) => ForwardRequest { token_hash: hash.as_bytes().to_vec().into(), ..call },
        Shown::Certificate { serial } => ForwardRequest { certificate_serial: serial.clone(), ..call },
    }
}
