//! What can go wrong, for the operator and for the code that proposes and reads.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process,
};

use tracing::error;

use crate::rewind::HistoryWindow;

/// Raft could not start, or a change of members was not made.
#[derive(Debug, thiserror::Error)]
pub enum RaftFailure {
    /// The folder belongs to another node.
    #[error(
        "expected the log of raft node {expected} in {folder}, found that of node {found}; use that node's own folder, or join as a new node with an empty one"
    )]
    WrongNode {
        /// The id this node was started with.
        expected: u64,
        /// The id in the log.
        found: u64,
        /// Where the log is.
        folder: PathBuf,
    },
    /// The folder belongs to another cluster.
    #[error(
        "expected the log of cluster {expected} in {folder}, found that of cluster {found}; use the folder of this cluster, or join with an empty one"
    )]
    WrongCluster {
        /// The cluster this node was started with.
        expected: String,
        /// The cluster in the log.
        found: String,
        /// Where the log is.
        folder: PathBuf,
    },
    /// The folder's mark is another member's.
    #[error(
        "expected the folder of {expected}, found that of {found} in {path}; use that node's own folder, or join as a new node with an empty one"
    )]
    OtherMember {
        /// The node that was started.
        expected: String,
        /// Whose folder it is.
        found: String,
        /// The mark.
        path: PathBuf,
    },
    /// The node has promised something, and has forgotten what.
    #[error(
        "the raft log of this node is gone: {folder} is that of raft node {raft_id}, which has voted and acknowledged changes, and {folder}/raft holds neither; it must not go on, since it could break what it promised; leave it stopped and join a new node in its place: an empty --data-dir, --join URL and a token of `sluice cluster token create --role control`"
    )]
    LostLog {
        /// Raft's number of this node.
        raft_id: u64,
        /// The node's folder.
        folder: PathBuf,
    },
    /// The layout of the folder is newer than this program.
    #[error("expected a log of format {expected} in {folder}, found format {found}; start a release that knows it")]
    WrongFormat {
        /// The format this program writes.
        expected: u32,
        /// The format on disk.
        found: u32,
        /// Where the log is.
        folder: PathBuf,
    },
    /// A file of log or state is not as it was written.
    #[error(
        "{path} is damaged: {problem}; the node does not start with it; check the disk, leave the node stopped and join a new node in its place: an empty --data-dir, --join URL and a token of `sluice cluster token create --role control`; a cluster of one control node is founded anew and restored from its backup"
    )]
    Damaged {
        /// The folder of the log or the state.
        path: PathBuf,
        /// What RocksDB said: it names the file.
        problem: String,
    },
    /// The state is that of a newer release.
    #[error(
        "expected a cluster of feature level {known} at most, found one of level {level} in {folder}: this release does not know what that cluster does; start the release that ran here, or a newer one"
    )]
    Downgraded {
        /// The cluster's level.
        level: u32,
        /// The newest level that this program knows.
        known: u32,
        /// Where the state is.
        folder: PathBuf,
    },
    /// A folder or database could not be opened or read.
    #[error("cannot use {path}: {problem}")]
    Storage {
        /// What was opened.
        path: PathBuf,
        /// What the system said.
        problem: String,
    },
    /// Settings that contradict each other.
    #[error("settings of raft: {problem}")]
    Settings {
        /// What is wrong with them.
        problem: String,
    },
    /// The cluster is there already.
    #[error("expected a node without state, found one that has it; a cluster is founded once, on one empty node")]
    NotPristine,
    /// A change of members was refused.
    #[error("members were not changed: {problem}")]
    Members {
        /// Why.
        problem: String,
    },
    /// Without it there is no one left to decide.
    #[error(
        "expected another control node that votes, found none: without a voter nothing can be changed; join one first (`sluice cluster token create --role control`) and wait until it votes"
    )]
    LastVoter,
    /// A change of voters after which too few of them answer.
    #[error(
        "members were not changed: of {voters} voters {needed} would have to answer and {answering} would; {} down: start it again, or remove it first, and repeat this",
        those(.down)
    )]
    WouldLoseQuorum {
        /// Voters after the change.
        voters: usize,
        /// Those of them that answer.
        answering: usize,
        /// How many have to.
        needed: usize,
        /// Raft's numbers of those that do not.
        down: Vec<u64>,
    },
    /// Another change of members has not come to its end.
    #[error("another change of members is under way; try again when it has ended")]
    Changing,
    /// This node does not lead; members are changed by the leader.
    #[error("expected to be the leader, found {} to be; ask the leader", known(.leader, "no known node"))]
    NotLeader {
        /// The leader, where it is known.
        leader: Option<u64>,
    },
    /// The command that founds a cluster was not applied.
    #[error("the cluster was not founded: {problem}")]
    NotFounded {
        /// Why.
        problem: String,
    },
    /// Raft has stopped.
    #[error("raft has stopped: {problem}")]
    Stopped {
        /// Why.
        problem: String,
    },
}

/// A proposal has no outcome here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeFailure {
    /// Nothing was proposed: another node leads, or none.
    #[error("expected to be the leader, found {} to be", known(.leader, "no known node"))]
    NotLeader {
        /// The leader, where it is known.
        leader: Option<u64>,
    },
    /// The outcome is unknown: the deadline passed, or the leader changed under the proposal. It may be applied later.
    #[error("the outcome is not known before the deadline; ask again with the same request id")]
    Timeout,
    /// Nothing was proposed: the command would not reach the other nodes in one message.
    #[error("expected a command of at most {most} bytes, found one of {bytes}; make the change in several")]
    TooLarge {
        /// Of the encoded command.
        bytes: usize,
        /// What one may have.
        most: usize,
    },
    /// Nothing was proposed: some nodes may not know such a command.
    #[error("expected a command of at most feature level {level}, found one of level {needed}")]
    Level {
        /// The least level that knows the command.
        needed: u32,
        /// The cluster's.
        level: u32,
    },
    /// Nothing was proposed: there is too little free disk to hold it.
    #[error(
        "the disk is full: control {} less than {reserve_mib} MiB free, so that changes are refused; deletes are not: delete something, or free disk there",
        have(.nodes)
    )]
    DiskFull {
        /// Raft's numbers of the nodes that are short of it.
        nodes: Vec<u64>,
        /// What each should have free.
        reserve_mib: u64,
    },
    /// Raft has stopped on this node.
    #[error("raft has stopped on this node")]
    Stopped,
}

/// An earlier state cannot be made again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RewindFailure {
    /// The state that is meant is not within what this node keeps.
    #[error("expected a revision that this node can make again, from {} to {}, found another", .0.from.number, .0.to.number)]
    OutOfWindow(HistoryWindow),
    /// The disk failed, or what is needed was dropped meanwhile.
    #[error("an earlier state cannot be made again: {0}")]
    Storage(String),
}

/// A read could not be made linearizable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadFailure {
    /// No leader confirmed itself, or this node did not catch up, before the deadline.
    #[error("no confirmed leader before the deadline; last known: {}", known(.leader, "none"))]
    Timeout {
        /// The leader, where it is known.
        leader: Option<u64>,
    },
    /// Raft has stopped on this node.
    #[error("raft has stopped on this node")]
    Stopped,
}

/// The leader in words; `none` where it is not known.
fn known(leader: &Option<u64>, none: &str) -> String {
    leader.map_or_else(|| none.to_owned(), |raft_id| format!("raft node {raft_id}"))
}

/// Nodes that have something, in words.
fn have(raft_ids: &[u64]) -> String {
    let ids: Vec<String> = raft_ids.iter().map(u64::to_string).collect();
    match ids.as_slice() {
        [one] => format!("node {one} has"),
        several => format!("nodes {} have", several.join(", ")),
    }
}

/// Nodes in words, with their verb.
fn those(raft_ids: &[u64]) -> String {
    let ids: Vec<String> = raft_ids.iter().map(u64::to_string).collect();
    match ids.as_slice() {
        [one] => format!("raft node {one} is"),
        several => format!("raft nodes {} are", several.join(", ")),
    }
}

/// Says that storage failed, and returns what stops Raft: after a failed write nothing this node says can be trusted.
/// Raft then ends, and the node with it.
pub(crate) fn stop_raft(what: &'static str, problem: &dyn std::fmt::Display) -> io::Error {
    error!(what, %problem, "storage failed, raft stops");
    last_words(what, problem);
    io::Error::other(format!("{what} failed: {problem}"))
}

/// Stops the process at once: a read of the state that failed is in the midst of code that cannot fail.
pub(crate) fn stop_process(what: &'static str, problem: &dyn std::fmt::Display) -> ! {
    error!(what, %problem, "storage failed, the process stops");
    last_words(what, problem);
    process::abort()
}

/// For operators without a log subscriber. They may go to the disk that is full; a panic over that, as of `eprintln!`,
/// would be the end of this thread only.
fn last_words(what: &'static str, problem: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "sluice: {what} failed: {problem}; the node stops, check the disk");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_a_plain_number_or_words() {
        let timeout = |leader| ReadFailure::Timeout { leader }.to_string();
        assert_eq!(timeout(Some(3)), "no confirmed leader before the deadline; last known: raft node 3");
        assert_eq!(timeout(None), "no confirmed leader before the deadline; last known: none");
        let not_leader = |leader| ProposeFailure::NotLeader { leader }.to_string();
        assert_eq!(not_leader(Some(3)), "expected to be the leader, found raft node 3 to be");
        assert_eq!(not_leader(None), "expected to be the leader, found no known node to be");
    }
}
