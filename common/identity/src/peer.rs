//! Who is at the other end of a call.

use std::fmt;

use crate::{Operator, OperatorRole, Shown};

/// How the name of an actor that is a node begins; its id follows.
const NODE_ACTOR: &str = "node:";

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeRole {
    /// A node of the control plane.
    Control,
    /// A node of the data plane.
    Data,
}

impl NodeRole {
    /// `control` or `data`: the form in certificates, tokens and metadata.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Data => "data",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Control => Self::Data,
            Self::Data => Self::Control,
        }
    }

    /// Reads `control` or `data`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "control" => Some(Self::Control),
            "data" => Some(Self::Data),
            _ => None,
        }
    }
}

impl fmt::Display for NodeRole {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// What the caller of a method is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A person or script: who holds a token or certificate of an operator, or anyone on plaintext loopback.
    Operator(OperatorRole),
    /// A control node of this cluster.
    Control,
    /// A data node of this cluster.
    Data,
    /// Neither certificate nor token: a node that has yet to join.
    Anonymous,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Operator(OperatorRole::Viewer),
        Self::Operator(OperatorRole::Deployer),
        Self::Operator(OperatorRole::Admin),
        Self::Control,
        Self::Data,
        Self::Anonymous,
    ];

    /// The form in messages and in forwarded calls.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator(role) => role.as_str(),
            Self::Control => "control",
            Self::Data => "data",
            Self::Anonymous => "anonymous",
        }
    }

    /// Reads what [`Role::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl From<NodeRole> for Role {
    fn from(role: NodeRole) -> Self {
        match role {
            NodeRole::Control => Self::Control,
            NodeRole::Data => Self::Data,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The caller of a method, as its certificate, token or (on plaintext loopback) metadata says. A request extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// What it is.
    pub role: Role,
    /// Its node id, for nodes.
    pub node_id: Option<String>,
    /// The cluster it says it belongs to; absent for operators and for nodes that have yet to join.
    pub cluster: Option<String>,
    /// What commands carry: an operator's name, `local`, `bootstrap`, `node:{id}`, `anonymous`.
    pub actor: String,
    /// By what an operator has proved who it is.
    pub shown: Shown,
}

impl Peer {
    /// A node of `cluster`.
    pub fn node(cluster: &str, role: NodeRole, node_id: &str) -> Self {
        Self {
            role: role.into(),
            node_id: Some(node_id.to_owned()),
            cluster: Some(cluster.to_owned()),
            actor: format!("{NODE_ACTOR}{node_id}"),
            shown: Shown::Nothing,
        }
    }

    /// An operator, and by what it is known.
    pub fn operator(operator: &Operator, shown: Shown) -> Self {
        let Operator { name, role } = operator;
        Self { role: Role::Operator(*role), node_id: None, cluster: None, actor: name.clone(), shown }
    }

    /// A caller of whom nothing is known.
    pub fn anonymous() -> Self {
        Self {
            role: Role::Anonymous,
            node_id: None,
            cluster: None,
            actor: "anonymous".to_owned(),
            shown: Shown::Nothing,
        }
    }
}
