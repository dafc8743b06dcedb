//! What happens in a run, as invariants see it.

use std::{collections::BTreeMap, fmt, time::Duration};

/// How a data node stands, in truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// The node.
    pub node_id: String,
    /// What it serves now; `None` when it does not run, or serves nothing.
    pub number: Option<u64>,
    /// For how long it has followed the control node that it follows, if that is there.
    pub follows_for: Option<Duration>,
    /// The greatest number that it has ever served, in any life.
    pub served_max: Option<u64>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Trouble was made, or mended.
    Trouble(String),
    /// A control node leads.
    Leads {
        /// The node.
        node: u64,
        /// In this term.
        term: u64,
    },
    /// A control node has applied an entry.
    Applied {
        /// The node.
        node: u64,
        /// Of the entry.
        index: u64,
        /// Of what the entry says, with the term that wrote it.
        entry: u64,
        /// The number that data nodes see, after it.
        number: u64,
        /// Of all rows that data nodes see, after it.
        digest: [u8; 16],
    },
    /// An operator asks for a change.
    Asked {
        /// What is to change.
        key: String,
        /// What it is to become: greater than anything that was asked for before.
        value: u64,
    },
    /// An operator was told that a change is made.
    Acknowledged {
        /// What has changed.
        key: String,
        /// What it has become.
        value: u64,
        /// The number after it.
        number: u64,
    },
    /// A linearizable read begins.
    ReadBegan {
        /// Of the read.
        id: u64,
        /// What is read.
        key: String,
    },
    /// A linearizable read was answered.
    Read {
        /// Of the read.
        id: u64,
        /// What was read.
        key: String,
        /// What it is; 0 when it is not there.
        value: u64,
    },
    /// A data node serves.
    Serves {
        /// The node.
        node: String,
        /// Its start: what a node has served before a crash it need not serve after it.
        life: u32,
        /// What it serves.
        generation: String,
        /// What it serves.
        number: u64,
    },
    /// A data node tells a control node what it holds.
    Says {
        /// The node.
        node: String,
        /// What it holds.
        number: u64,
        /// Of all its rows, where it says so.
        digest: Option<[u8; 16]>,
    },
    /// A leader has answered who waited for the fleet.
    Waited {
        /// What was waited for.
        number: u64,
        /// How long ago it was asked.
        asked_for: Duration,
        /// Whether all serve it, as the answer says.
        served: bool,
        /// How each node stands, as the answer says.
        nodes: BTreeMap<String, String>,
        /// How each stands, in truth, at this moment.
        truth: Vec<Truth>,
    },
    /// Everything was mended and has come to rest; this is what a control node holds.
    AtRest {
        /// The node.
        node: u64,
        /// All that operators changed.
        values: BTreeMap<String, u64>,
        /// Of all rows.
        rows: u64,
    },
    /// Everything was mended, and something does not work again.
    NotHealed(String),
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trouble(what) => write!(formatter, "trouble: {what}"),
            Self::Leads { node, term } => write!(formatter, "c{node} leads in term {term}"),
            Self::Applied { node, index, entry, number, digest } => {
                let digest = u128::from_be_bytes(*digest);
                write!(formatter, "c{node} applied {index} ({entry:016x}), number {number}, digest {digest:032x}")
            }
            Self::Asked { key, value } => write!(formatter, "asked: {key} = {value}"),
            Self::Acknowledged { key, value, number } => {
                write!(formatter, "acknowledged: {key} = {value}, number {number}")
            }
            Self::ReadBegan { id, key } => write!(formatter, "read {id} of {key} begins"),
            Self::Read { id, key, value } => write!(formatter, "read {id}: {key} = {value}"),
            Self::Serves { node, life, number, .. } => write!(formatter, "{node} serves {number} (life {life})"),
            Self::Says { node, number, digest } => {
                let digest = digest.map(|digest| format!(", digest {:032x}", u128::from_be_bytes(digest)));
                write!(formatter, "{node} says it holds {number}{}", digest.unwrap_or_default())
            }
            Self::Waited { number, asked_for, served, nodes, truth } => {
                let answer = if *served { "served" } else { "not served" };
                write!(formatter, "waited {asked_for:?} for {number}: {answer}, {nodes:?}; in truth")?;
                truth.iter().try_for_each(|truth| {
                    write!(formatter, " {} {:?} follows for {:?};", truth.node_id, truth.number, truth.follows_for)
                })
            }
            // Its rows hold the secrets of the cluster, which no seed decides.
            Self::AtRest { node, values, .. } => write!(formatter, "c{node} at rest with {values:?}"),
            Self::NotHealed(what) => write!(formatter, "not healed: {what}"),
        }
    }
}
