//! Which role may call which gRPC method, and where the method runs: the one table.
//!
//! Promise: a method that is not here is refused; a test fails for a method of `proto/` that is not here. What an
//! operator may do, every greater role may do too. Absent: what a method does for some roles only: the value of an API
//! key is shown to an admin, by a method that a viewer may call.

use tonic::Status;

use crate::{OperatorRole, Role};

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

/// Reads, but no secrets.
const VIEWER: &[Role] = &[
    Role::Operator(OperatorRole::Viewer),
    Role::Operator(OperatorRole::Deployer),
    Role::Operator(OperatorRole::Admin),
];
/// Changes of APIs, deployments, stages, keys and plans.
const DEPLOYER: &[Role] = &[Role::Operator(OperatorRole::Deployer), Role::Operator(OperatorRole::Admin)];
/// Nodes, tokens, operators, backups.
const ADMIN: &[Role] = &[Role::Operator(OperatorRole::Admin)];
const CONTROL: &[Role] = &[Role::Control];
const DATA: &[Role] = &[Role::Data];
const NODES: &[Role] = &[Role::Control, Role::Data];
/// A node that has yet to join is anonymous over TLS, and looks like an operator on plaintext.
const JOINING: &[Role] = &[Role::Anonymous, Role::Operator(OperatorRole::Admin)];

/// Every method that a node serves.
pub const METHODS: &[Method] = &[
    row("/sluice.admin.v1.Config/Change", DEPLOYER, Runs::Leader),
    row("/sluice.admin.v1.Config/Get", VIEWER, Runs::Local),
    row("/sluice.admin.v1.Config/List", VIEWER, Runs::Local),
    row("/sluice.admin.v1.Config/Apply", DEPLOYER, Runs::Leader),
    row("/sluice.admin.v1.Config/Export", VIEWER, Runs::Local),
    row("/sluice.admin.v1.Apis/Import", DEPLOYER, Runs::Local),
    row("/sluice.admin.v1.Apis/ListRoutes", VIEWER, Runs::Local),
    row("/sluice.admin.v1.Keys/ImportCsv", DEPLOYER, Runs::Local),
    row("/sluice.admin.v1.Fleet/Wait", VIEWER, Runs::Leader),
    row("/sluice.admin.v1.Fleet/ListNodes", VIEWER, Runs::Leader),
    row("/sluice.admin.v1.Cluster/Status", VIEWER, Runs::Leader),
    row("/sluice.admin.v1.Cluster/CreateToken", ADMIN, Runs::Leader),
    row("/sluice.admin.v1.Cluster/ListTokens", VIEWER, Runs::Local),
    row("/sluice.admin.v1.Cluster/RevokeToken", ADMIN, Runs::Leader),
    row("/sluice.admin.v1.Cluster/Join", JOINING, Runs::Leader),
    row("/sluice.admin.v1.Cluster/Renew", NODES, Runs::Leader),
    row("/sluice.admin.v1.Cluster/RotateKey", ADMIN, Runs::Leader),
    row("/sluice.admin.v1.Operators/Create", ADMIN, Runs::Leader),
    row("/sluice.admin.v1.Operators/List", VIEWER, Runs::Local),
    row("/sluice.admin.v1.Operators/Delete", ADMIN, Runs::Leader),
    row("/sluice.admin.v1.Operators/Rotate", ADMIN, Runs::Leader),
    row("/sluice.admin.v1.Operators/Certify", ADMIN, Runs::Leader),
    row("/sluice.admin.v1.Audit/List", VIEWER, Runs::Local),
    row("/sluice.admin.v1.Backups/Create", ADMIN, Runs::Local),
    row("/sluice.admin.v1.Backups/Restore", ADMIN, Runs::Local),
    row("/sluice.admin.v1.Backups/Rewind", ADMIN, Runs::Local),
    row("/sluice.admin.v1.Backups/History", ADMIN, Runs::Local),
    row("/sluice.admin.v1.Fleet/Drain", ADMIN, Runs::Leader),
    row("/sluice.admin.v1.Cluster/Promote", ADMIN, Runs::Leader),
    row("/sluice.admin.v1.Cluster/Demote", ADMIN, Runs::Leader),
    row("/sluice.admin.v1.Cluster/RemoveNode", ADMIN, Runs::Leader),
    row("/sluice.admin.v1.Cluster/TransferLeader", ADMIN, Runs::Leader),
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
    row("/sluice.raft.v1.Peer/Drain", CONTROL, Runs::Peer),
    row("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", VIEWER, Runs::Local),
    row("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", VIEWER, Runs::Local),
];

impl Method {
    /// Whether it is for operators and changes something: a viewer may call what only reads.
    pub fn changes(&self) -> bool {
        self.roles.contains(&Role::Operator(OperatorRole::Admin)) && !self.roles.contains(&VIEWER[0])
    }

    /// The least role of an operator that may call it; `None` when it is for nodes only.
    fn least(&self) -> Option<OperatorRole> {
        OperatorRole::ALL.into_iter().find(|role| self.roles.contains(&Role::Operator(*role)))
    }
}

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
    let refused = match (method.least(), role) {
        (Some(least), Role::Operator(_)) => lacking(path, least, role),
        _ => {
            let expected: Vec<_> = method.roles.iter().map(|role| role.as_str()).collect();
            format!("{path} is for {}; the caller is {role}", expected.join(" or "))
        }
    };
    Err(Status::permission_denied(refused))
}

/// What an operator is told whose role is less than what `what` needs.
pub fn lacking(what: &str, least: OperatorRole, role: Role) -> String {
    format!(
        "{what} needs the role {least}, the caller has {role}; an admin gives it: `sluice operator create NAME --role {least}`"
    )
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

    /// Who may call what, once more and by hand: a row of the table that is changed is changed here too.
    const EXPECTED: &[(&str, &[&str])] = &[
        (
            "viewer deployer admin",
            &[
                "admin.v1.Config/Get",
                "admin.v1.Config/List",
                "admin.v1.Config/Export",
                "admin.v1.Apis/ListRoutes",
                "admin.v1.Fleet/Wait",
                "admin.v1.Fleet/ListNodes",
                "admin.v1.Cluster/Status",
                "admin.v1.Cluster/ListTokens",
                "admin.v1.Operators/List",
                "admin.v1.Audit/List",
            ],
        ),
        (
            "deployer admin",
            &["admin.v1.Config/Change", "admin.v1.Config/Apply", "admin.v1.Apis/Import", "admin.v1.Keys/ImportCsv"],
        ),
        (
            "admin",
            &[
                "admin.v1.Cluster/CreateToken",
                "admin.v1.Cluster/RevokeToken",
                "admin.v1.Cluster/RotateKey",
                "admin.v1.Operators/Create",
                "admin.v1.Operators/Delete",
                "admin.v1.Operators/Rotate",
                "admin.v1.Operators/Certify",
                "admin.v1.Backups/Create",
                "admin.v1.Backups/Restore",
                "admin.v1.Backups/Rewind",
                "admin.v1.Backups/History",
                "admin.v1.Cluster/Promote",
                "admin.v1.Cluster/Demote",
                "admin.v1.Cluster/RemoveNode",
                "admin.v1.Cluster/TransferLeader",
                "admin.v1.Fleet/Drain",
            ],
        ),
        ("admin anonymous", &["admin.v1.Cluster/Join"]),
        ("control data", &["admin.v1.Cluster/Renew"]),
        ("data", &["sync.v1.Sync/Follow"]),
        (
            "control",
            &[
                "raft.v1.Raft/Append",
                "raft.v1.Raft/Vote",
                "raft.v1.Raft/PreVote",
                "raft.v1.Raft/InstallSnapshot",
                "raft.v1.Raft/TransferLeader",
                "raft.v1.Raft/ReadIndex",
                "raft.v1.Peer/Forward",
                "raft.v1.Peer/Propose",
                "raft.v1.Peer/ReportSessions",
                "raft.v1.Peer/KeepKey",
                "raft.v1.Peer/GetKeys",
                "raft.v1.Peer/Drain",
            ],
        ),
    ];

    #[test]
    fn each_method_is_for_the_roles_that_it_is_for_and_for_no_other() {
        let mut seen = 0;
        for (roles, methods) in EXPECTED {
            for method in *methods {
                let path = format!("/sluice.{method}");
                for role in Role::ALL {
                    let expect = match roles.split(' ').any(|one| one == role.as_str()) {
                        true => None,
                        false if role == Role::Anonymous => Some(Code::Unauthenticated),
                        false => Some(Code::PermissionDenied),
                    };
                    assert_eq!(allow(&path, role).err().map(|status| status.code()), expect, "{path} as {role}");
                }
                seen += 1;
            }
        }
        let ours = METHODS.iter().filter(|method| method.path.starts_with("/sluice.")).count();
        assert_eq!(seen, ours, "the rows of the table and the rows of this test");
        assert_eq!(allow("/sluice.admin.v1.Config/Nothing", Role::ALL[2]).unwrap_err().code(), Code::Unimplemented);
    }

    #[test]
    fn a_greater_role_may_do_what_a_lesser_one_may() {
        for method in METHODS.iter().filter(|method| method.path != "/sluice.admin.v1.Cluster/Join") {
            let may = |role: &OperatorRole| method.roles.contains(&Role::Operator(*role));
            let may: Vec<bool> = OperatorRole::ALL.iter().map(may).collect();
            assert!(may.is_sorted(), "{}: {may:?}", method.path);
        }
    }

    #[test]
    fn who_lacks_a_role_is_told_which_and_who_gives_it() {
        let viewer = Role::Operator(OperatorRole::Viewer);
        let refused = allow("/sluice.admin.v1.Config/Change", viewer).unwrap_err();
        for part in ["role deployer", "has viewer", "an admin", "--role deployer"] {
            assert!(refused.message().contains(part), "{}", refused.message());
        }
    }
}
