//! `Cluster.Promote`, `Demote`, `RemoveNode`, `TransferLeader`: who is in the cluster, who votes, who leads.
//!
//! Promise: each may be asked again, and by whichever node leads then, until it is done; nothing is begun that would leave too
//! few voters that answer; the leader hands over before it loses its vote. Absent: promotion of a node that has joined, which
//! the leader does unasked; how a removed node learns of it (`sluice-control`).

use std::time::{Duration, Instant};

use sluice_identity::NodeRole;
use sluice_proto::{
    admin::{
        DemoteRequest, MembersReply, PromoteRequest, RemoveNodeRequest, TransferLeaderReply, TransferLeaderRequest,
    },
    model::Diagnostic,
    raft::{Command, HoldNode, Node, RemoveNode, RemovedNode, Stamp, command::Kind},
};
use tracing::info;

use super::named::{Control, Named, named};
use crate::{
    admin::Admin,
    call::{Call, leave_by},
    commit::barrier,
    propose::{here, now_ms},
    refused::{Reason, Refused},
    replica::{Leader, Replica, Standing, Vote},
};

/// How often it is looked whether a change of members has come to its end.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A node that does not catch up in this time is reported as the learner that it is.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(5);

/// Gives a control node its vote.
pub(super) async fn promote<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: PromoteRequest,
) -> Result<MembersReply, Refused> {
    let control = control(admin, call, &message.node).await?;
    let raft_id = control.node.raft_id;
    if control.votes() {
        hold(admin, call, &control.node, false).await?;
        return Ok(reply(admin, &control.node, "voter", true));
    }
    if control.member.is_none() {
        let message = format!("node {} is not a member of Raft's group yet; is it running?", control.node.id);
        return Err(Refused::new(Reason::Members, message));
    }
    admin.replica.may_change(Vote::Given(raft_id))?;
    hold(admin, call, &control.node, false).await?;
    let until = leave_by(call.deadline).min(Instant::now() + CATCH_UP_WITHIN);
    let votes = |standing: &Standing| standing.members.iter().any(|member| member.raft_id == raft_id && member.voter);
    if wait_until(admin, until, votes).await? {
        return Ok(reply(admin, &control.node, "voter", false));
    }
    let mut told = reply(admin, &control.node, "learner", false);
    let message = "it has not caught up yet; the leader makes it a voter when it has";
    told.warnings.push(warning("catching-up", &control.node.id, message, "see `sluice cluster status`"));
    Ok(told)
}

/// Takes the vote of a control node, which follows on.
pub(super) async fn demote<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: DemoteRequest,
) -> Result<MembersReply, Refused> {
    let control = control(admin, call, &message.node).await?;
    let unchanged = control.node.held && !control.votes();
    take_vote(admin, call, &control).await?;
    Ok(reply(admin, &control.node, "learner", unchanged))
}

/// Takes a node out of the cluster.
pub(super) async fn remove<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: RemoveNodeRequest,
) -> Result<MembersReply, Refused> {
    barrier(&admin.replica, call.deadline).await?;
    let node = match named(&admin.replica.view(), &message.node)? {
        Named::Here(node) => node,
        Named::Removed(removed) => {
            gone(admin, call, removed.raft_id).await?;
            let node = Node { id: removed.id, role: removed.role, raft_id: removed.raft_id, ..Node::default() };
            return Ok(reply(admin, &node, "removed", true));
        }
    };
    if let Some(role) = message.role.filter(|role| *role != node.role) {
        let text = format!("expected a {role} node, found {}, a {} node", node.id, node.role);
        return Err(Refused::invalid("node", text, format!("use `sluice {} remove`", noun_of(&node.role))));
    }
    if node.role == NodeRole::Control.as_str() {
        let control = Control::of(&admin.replica.view(), &admin.replica.standing(), &node.id)?;
        take_vote(admin, call, &control).await?;
    }
    let removed = RemovedNode {
        id: node.id.clone(),
        role: node.role.clone(),
        raft_id: node.raft_id,
        certificate_serial: node.certificate_serial.clone(),
        removed_by: call.actor.clone(),
        // Apply knows the time.
        removed_ms: 0,
    };
    propose(admin, call, |stamp| Kind::RemoveNode(RemoveNode { stamp: Some(stamp), node: Some(removed) })).await?;
    info!(node_id = %node.id, role = %node.role, actor = %call.actor, "node removed");
    gone(admin, call, node.raft_id).await?;
    Ok(reply(admin, &node, "removed", false))
}

/// Lets another voter lead.
pub(super) async fn transfer<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: TransferLeaderRequest,
) -> Result<TransferLeaderReply, Refused> {
    barrier(&admin.replica, call.deadline).await?;
    let standing = admin.replica.standing();
    // Asked of the next leader, because the answer of the last was lost: it is done.
    let is_done = message.from.is_some_and(|from| from != standing.raft_id);
    let to = match message.node {
        Some(name) => Control::of(&admin.replica.view(), &standing, &name)?.node.raft_id,
        None if is_done => standing.raft_id,
        None => admin.replica.heir().ok_or_else(no_heir)?,
    };
    if to == standing.raft_id {
        return Ok(leads(admin, to, standing.term));
    }
    let now = admin.replica.hand_over(to, leave_by(call.deadline)).await?;
    let leader = now.leader.unwrap_or_default();
    if leader != to {
        let message = format!("raft node {to} has not taken over: raft node {leader} leads now; try again");
        return Err(Refused::new(Reason::Members, message));
    }
    Ok(leads(admin, to, now.term))
}

fn leads<R: Replica>(admin: &Admin<R>, raft_id: u64, term: u64) -> TransferLeaderReply {
    let node = admin.replica.view().nodes().into_iter().find(|node| node.raft_id == raft_id);
    TransferLeaderReply { node_id: node.map(|node| node.id).unwrap_or_default(), raft_id, term }
}

async fn control<R: Replica>(admin: &Admin<R>, call: &Call, name: &str) -> Result<Control, Refused> {
    barrier(&admin.replica, call.deadline).await?;
    Control::of(&admin.replica.view(), &admin.replica.standing(), name)
}

/// Takes a vote for good: without the hold the leader would give it back at once.
async fn take_vote<R: Replica>(admin: &Admin<R>, call: &Call, control: &Control) -> Result<(), Refused> {
    let raft_id = control.node.raft_id;
    if control.votes() {
        admin.replica.may_change(Vote::Taken(raft_id))?;
        if admin.replica.standing().raft_id == raft_id {
            return Err(step_down(admin, call).await);
        }
    }
    hold(admin, call, &control.node, true).await?;
    admin.replica.change_vote(Vote::Taken(raft_id), leave_by(call.deadline)).await
}

/// Hands over to another voter; what is left to do is done there, as the answer says.
async fn step_down<R: Replica>(admin: &Admin<R>, call: &Call) -> Refused {
    let Some(heir) = admin.replica.heir() else { return no_heir() };
    match admin.replica.hand_over(heir, leave_by(call.deadline)).await {
        Ok(_) => Refused::new(Reason::NotLeader, "another node leads now and goes on"),
        Err(refused) => refused,
    }
}

fn no_heir() -> Refused {
    Refused::new(Reason::Members, "no other voter answers the leader: there is none that could lead instead")
}

async fn hold<R: Replica>(admin: &Admin<R>, call: &Call, node: &Node, held: bool) -> Result<(), Refused> {
    if node.held == held {
        return Ok(());
    }
    let node_id = node.id.clone();
    propose(admin, call, |stamp| Kind::HoldNode(HoldNode { stamp: Some(stamp), node_id, held })).await
}

async fn propose<R: Replica>(admin: &Admin<R>, call: &Call, kind: impl FnOnce(Stamp) -> Kind) -> Result<(), Refused> {
    let time_ms = now_ms(admin.replica.view().stamp());
    // Without a request id: the rows themselves say whether this was done.
    let stamp = call.stamp(time_ms, None);
    here(&admin.replica, Command { kind: Some(kind(stamp)) }, call.deadline).await.map(drop)
}

/// Waits until a removed control node is no member any more: the leader lets it go once it knows.
async fn gone<R: Replica>(admin: &Admin<R>, call: &Call, raft_id: u64) -> Result<(), Refused> {
    let is_gone = |standing: &Standing| !standing.members.iter().any(|member| member.raft_id == raft_id);
    if raft_id == 0 || wait_until(admin, leave_by(call.deadline), is_gone).await? {
        return Ok(());
    }
    let message = "the node is removed, and its member of Raft's group goes as soon as a majority answers; ask again";
    Err(Refused::new(Reason::OutcomeUnknown, message))
}

/// Waits until Raft stands as wanted; false when it does not in time.
async fn wait_until<R: Replica>(
    admin: &Admin<R>,
    until: Instant,
    wanted: impl Fn(&Standing) -> bool,
) -> Result<bool, Refused> {
    loop {
        if wanted(&admin.replica.standing()) {
            return Ok(true);
        }
        if admin.replica.leader() != Leader::This {
            return Err(Refused::new(Reason::NotLeader, "another node leads now and goes on"));
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn reply<R: Replica>(admin: &Admin<R>, node: &Node, state: &str, unchanged: bool) -> MembersReply {
    let members = admin.replica.standing().members;
    let voters = u32::try_from(members.iter().filter(|member| member.voter).count()).unwrap_or(u32::MAX);
    let is_control = node.role == NodeRole::Control.as_str();
    MembersReply {
        node_id: node.id.clone(),
        role: node.role.clone(),
        state: state.to_owned(),
        unchanged,
        voters,
        warnings: even(voters).filter(|_| is_control).into_iter().collect(),
    }
}

/// An even count bears no more losses than the odd one below it, and needs one more for a majority.
fn even(voters: u32) -> Option<Diagnostic> {
    if voters == 0 || !voters.is_multiple_of(2) {
        return None;
    }
    let bears = voters / 2 - 1;
    let message = format!("{voters} control nodes vote: {bears} of them may be lost, as with {}", voters - 1);
    Some(warning("even-voters", "cluster", message, "join one more, or demote or remove one"))
}

fn warning(code: &str, at: &str, message: impl Into<String>, hint: &str) -> Diagnostic {
    Diagnostic {
        code: code.to_owned(),
        at: at.to_owned(),
        message: message.into(),
        hint: hint.to_owned(),
        severity: "warning".to_owned(),
    }
}

fn noun_of(role: &str) -> &'static str {
    if role == NodeRole::Control.as_str() { "cluster" } else { "node" }
}

#[cfg(test)]
mod tests {
    use sluice_proto::raft::PutNode;
    use tonic::Request;

    use super::*;
    use crate::testing::{MemoryReplica, founded};

    fn with_nodes(nodes: &[(&str, &str, u64, &str)]) -> Admin<MemoryReplica> {
        let admin = founded();
        for (id, role, raft_id, address) in nodes {
            let node = Node {
                id: (*id).into(),
                role: (*role).into(),
                raft_id: *raft_id,
                public_address: (*address).into(),
                certificate_serial: "0a".into(),
                ..Node::default()
            };
            let stamp = Stamp { actor: "test".into(), time_ms: now_ms(0), ..Stamp::default() };
            admin
                .replica
                .apply(&Command { kind: Some(Kind::PutNode(PutNode { stamp: Some(stamp), node: Some(node) })) });
        }
        admin
    }

    async fn remove_named(
        admin: &Admin<MemoryReplica>,
        node: &str,
        role: Option<&str>,
    ) -> Result<MembersReply, Refused> {
        let message = RemoveNodeRequest { node: node.into(), role: role.map(Into::into) };
        remove(admin, &Call::of(&Request::new(())), message).await
    }

    #[tokio::test]
    async fn a_data_node_is_removed_by_its_address_once_and_stays_so() {
        let admin = with_nodes(&[("d1", "data", 0, "h:8080"), ("d2", "data", 0, "h:8081")]);
        let removed = remove_named(&admin, "h:8080", None).await.unwrap();
        assert_eq!((removed.node_id.as_str(), removed.state.as_str(), removed.unchanged), ("d1", "removed", false));
        let kept = admin.replica.view().removed_node("d1").unwrap();
        assert_eq!((kept.certificate_serial.as_str(), kept.removed_by.as_str()), ("0a", "anonymous"));
        assert!(remove_named(&admin, "d1", None).await.unwrap().unchanged);
        assert_eq!(remove_named(&admin, "d9", None).await.unwrap_err().reason, Reason::NotFound);
        assert_eq!(admin.replica.view().nodes().len(), 1);
    }

    #[tokio::test]
    async fn a_node_of_the_other_role_and_a_name_of_several_are_refused() {
        let admin = with_nodes(&[("d1", "data", 0, "h:1"), ("d2", "data", 0, "h:1"), ("c7", "control", 7, "h:2")]);
        let refused = remove_named(&admin, "c7", Some("data")).await.unwrap_err();
        assert!(refused.diagnostics[0].hint.contains("cluster remove"), "{refused:?}");
        let refused = remove_named(&admin, "h:1", None).await.unwrap_err();
        assert!(refused.message.contains("d1") && refused.message.contains("d2"), "{refused:?}");
        let demoting = DemoteRequest { node: "d1".into() };
        let refused = demote(&admin, &Call::of(&Request::new(())), demoting).await.unwrap_err();
        assert_eq!(refused.reason, Reason::Invalid);
    }

    #[test]
    fn an_even_count_of_voters_is_worth_a_word() {
        assert!([1, 3, 5, 7].into_iter().all(|voters| even(voters).is_none()));
        assert!(even(2).unwrap().message.contains("0 of them may be lost, as with 1"));
        assert!(even(4).unwrap().message.contains("1 of them may be lost, as with 3"));
    }
}
