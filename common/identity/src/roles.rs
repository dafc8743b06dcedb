//! Which role may call which gRPC method, and where the method runs: the one table.
//!
//! Promise: a method that is not here is refused; a test fails for a method of `proto/` that is not here.

use tonic::Status;

use crate::Role;

/// Where a method runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// On the leader: another node that takes the call carries it there.
    Leader,
    /// On the node that took the call.
    Local,
    /// On the node that was called, by another control node, on the peer port.
    Peer,
}

/// Metadata of a call that wants the answer of the node it reaches, whoever leads: how a node without a leader is asked
/// for what it knows.
pub const LOCAL_METADATA: &str = "x-sluice-local";

/// Metadata of an answer to a read that was asked for stale: the id of the node whose knowledge it is, and the number of
/// the revision that the node has, with a space between.
pub const STALE_METADATA: &str = "x-sluice-stale";

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// `/package.Service/Method`, as in HTTP/2's `:path`.
    pub path: &'static str,
    /// Who may call it.
    pub roles: &'static [Role],
    /// Where it runs.
    pub runs: Runs,
}

const OPERATOR: &[Role] = &[Role::Operator];
const CONTROL: &[Role] = &[Role::Control];
const DATA: &[Role] = &[Role::Data];
const NODES: &[Role] = &[Role::Control, Role::Data];
/// A node that has yet to join is anonymous over TLS, and looks like an operator on plaintext.
const JOINING: &[Role] = &[Role::Anonymous, Role::Operator];

/// Every method that a node serves.
pub const METHODS: &[Method] = &[
    row("/sluice.admin.v1.Config/Change", OPERATOR, Runs::Leader),
    row("/sluice.admin.v1.Config/Get", OPERATOR, Runs::Local),
    row("/sluice.admin.v1.Config/List", OPERATOR, Runs::Local),
    row("/sluice.admin.v1.Config/Apply", OPERATOR, Runs::Leader),
    row("/sluice.admin.v1.Config/Export", OPERATOR, Runs::Local),
    row("/sluice.admin.v1.Apis/Import", OPERATOR, Runs::Local),
    row("/sluice.admin.v1.Apis/ListRoutes", OPERATOR, Runs::Local),
    row("/sluice.admin.v1.Keys/ImportCsv", OPERATOR, Runs::Local),
    row("/sluice.admin.v1.Fleet/Wait", OPERATOR, Runs::Leader),
    row("/sluice.admin.v1.Fleet/ListNodes", OPERATOR, Runs::Leader),
    row("/sluice.admin.v1.Cluster/Status", OPERATOR, Runs::Leader),
    row("/sluice.admin.v1.Cluster/CreateToken", OPERATOR, Runs::Leader),
    row("/sluice.admin.v1.Cluster/ListTokens", OPERATOR, Runs::Local),
    row("/sluice.admin.v1.Cluster/RevokeToken", OPERATOR, Runs::Leader),
    row("/sluice.admin.v1.Cluster/Join", JOINING, Runs::Leader),
    row("/sluice.admin.v1.Cluster/Renew", NODES, Runs::Leader),
    row("/sluice.admin.v1.Cluster/RotateKey", OPERATOR, Runs::Leader),
    row("/sluice.sync.v1.Sync/Follow", DATA, Runs::Local),
    row("/sluice.raft.v1.Raft/Append", CONTROL, Runs::Peer),
    row("/sluice.raft.v1.Raft/Vote", CONTROL, Runs::Peer),
    row("/sluice.raft.v1.Raft/PreVote", CONTROL, Runs::Peer),
    row("/sluice.raft.v1.Raft/InstallSnapshot", CONTROL, Runs::Peer),
    row("/sluice.raft.v1.Raft/TransferLeader", CONTROL, Runs::Peer),
    row("/sluice.raft.v1.Raft/ReadIndex", CONTROL, Runs::Peer),
    row("/sluice.raft.v1.Peer/Forward", CONTROL, Runs::Peer),
    row("/sluice.raft.v1.Peer/Propose", CONTROL, Runs::Peer),
    row("/sluice.raft.v1.Peer/ReportSessions", CONTROL, Runs::Peer),
    row("/sluice.raft.v1.Peer/KeepKey", CONTROL, Runs::Peer),
    row("/sluice.raft.v1.Peer/GetKeys", CONTROL, Runs::Peer),
    row("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", OPERATOR, Runs::Local),
    row("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", OPERATOR, Runs::Local),
];

const fn row(path: &'static str, roles: &'static [Role], runs: Runs) -> Method {
    Method { path, roles, runs }
}

/// The row of the method at `path`.
pub fn find(path: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.path == path)
}

/// The row of the method at `path`, when `role` may call it.
///
/// # Errors
/// `unimplemented` for a method that is not in the table, `unauthenticated` for a caller of whom nothing is known,
/// `permission_denied` for a role that the method is not for.
pub fn allow(path: &str, role: Role) -> Result<&'static Method, Status> {
    let Some(method) = find(path) else {
        return Err(Status::unimplemented(format!("{path} is not a method of this release; check the versions")));
    };
    if method.roles.contains(&role) {
        return Ok(method);
    }
    if role == Role::Anonymous {
        return Err(Status::unauthenticated(format!(
            "{path} needs an operator's token (--token-file) or a node's certificate; the caller showed neither"
        )));
    }
    let expected: Vec<_> = method.roles.iter().map(|role| role.as_str()).collect();
    Err(Status::permission_denied(format!("{path} is for {}; the caller is {role}", expected.join(" or "))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use tonic::Code;

    use super::*;

    #[test]
    fn every_method_of_the_proto_files_is_in_the_table_once() {
        let files = prost_types::FileDescriptorSet::decode(sluice_rpc::DESCRIPTORS).unwrap();
        let mut defined = BTreeSet::new();
        for file in &files.file {
            for service in &file.service {
                for method in &service.method {
                    defined.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                }
            }
        }
        let listed: Vec<_> = METHODS.iter().map(|method| method.path.to_owned()).collect();
        let ours: BTreeSet<_> = listed.iter().filter(|path| path.starts_with("/sluice.")).cloned().collect();
        assert_eq!(ours, defined, "the table and proto/ name the same methods");
        assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len(), "no method is listed twice");
    }

    #[test]
    fn roles_decide() {
        for (path, role, expect) in [
            ("/sluice.admin.v1.Config/Change", Role::Operator, None),
            ("/sluice.admin.v1.Config/Change", Role::Data, Some(Code::PermissionDenied)),
            ("/sluice.admin.v1.Config/Change", Role::Anonymous, Some(Code::Unauthenticated)),
            ("/sluice.admin.v1.Cluster/Join", Role::Anonymous, None),
            ("/sluice.sync.v1.Sync/Follow", Role::Data, None),
            ("/sluice.sync.v1.Sync/Follow", Role::Operator, Some(Code::PermissionDenied)),
            ("/sluice.raft.v1.Raft/Append", Role::Control, None),
            ("/sluice.raft.v1.Raft/Append", Role::Data, Some(Code::PermissionDenied)),
            ("/sluice.raft.v1.Raft/Append", Role::Operator, Some(Code::PermissionDenied)),
            ("/sluice.admin.v1.Config/Nothing", Role::Operator, Some(Code::Unimplemented)),
        ] {
            assert_eq!(allow(path, role).err().map(|status| status.code()), expect, "{path} as {role}");
        }
    }
}
