//! Ways between control nodes that are lost in one direction, or between two of three: who has no majority acknowledges
//! nothing and answers no read that may be old; who has one goes on; and it heals without anyone.

use std::collections::BTreeSet;

use serde_json::Value;
use sluice_e2e::{machines::Machines, netns::Link, process::skip, wait::eventually};

const NODES: [usize; 3] = [0, 1, 2];

/// What the leader loses.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// What it sends the others.
    Speech,
    /// What the others send it.
    Hearing,
    /// Both.
    Both,
    /// Both ways to one of the others.
    OneNode,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_not_heard_acknowledges_nothing_and_the_others_go_on() {
    under("a_leader_that_is_not_heard_acknowledges_nothing_and_the_others_go_on", &[Loss::Speech]).await;
}

#[ignore = "slow tier"]
#[tokio::test(flavor = "multi_thread")]
async fn every_loss_of_ways_leaves_one_side_that_acknowledges_and_heals_by_itself() {
    let losses = [Loss::Hearing, Loss::OneNode, Loss::Both, Loss::Speech, Loss::OneNode, Loss::Hearing];
    under("every_loss_of_ways_leaves_one_side_that_acknowledges_and_heals_by_itself", &losses).await;
}

async fn under(test: &str, losses: &[Loss]) {
    let machines = match Machines::start(NODES.len()).await {
        Ok(machines) => machines,
        Err(reason) => return skip(test, &reason),
    };
    let mut acknowledged = BTreeSet::new();
    for (number, loss) in losses.iter().enumerate() {
        let leader = machines.leader(&NODES).await;
        let others: Vec<usize> = NODES.into_iter().filter(|node| *node != leader).collect();
        lose(&machines, *loss, leader, &others);
        let suspect = match loss {
            Loss::OneNode => others[0],
            Loss::Speech | Loss::Hearing | Loss::Both => leader,
        };
        let majority: Vec<usize> = NODES.into_iter().filter(|node| *node != suspect).collect();
        let name = format!("of-the-majority-{number}");
        let created = machines.sluice(&majority, &["--timeout", "30s", "key", "create", &name]);
        assert!(created.status.success(), "{loss:?}: the majority goes on: {created:?}");
        acknowledged.insert(name);

        let refused = machines.sluice(&[suspect], &["--timeout", "2s", "key", "create", &format!("alone-{number}")]);
        assert_eq!(refused.status.code(), Some(3), "{loss:?}: one of three acknowledges nothing: {refused:?}");
        let read = machines.sluice(&[suspect], &["-o", "json", "--timeout", "2s", "key", "list", "--all"]);
        // A node that some way reaches the leader may answer, if it answers what is committed.
        assert!(!read.status.success() || acknowledged.is_subset(&names(&read.stdout)), "{loss:?}: {read:?}");

        machines.heal();
        eventually("the node that was cut off has what the others decided", || async {
            let read = machines.sluice(&[suspect], &["-o", "json", "--timeout", "5s", "key", "list", "--all"]);
            if acknowledged.is_subset(&names(&read.stdout)) { Ok(()) } else { Err(format!("{read:?}")) }
        })
        .await;
    }
    let all = names(&machines.sluice(&NODES, &["-o", "json", "--timeout", "30s", "key", "list", "--all"]).stdout);
    assert!(all.len() <= 2 * losses.len(), "what was refused as unknown was done once at most: {all:?}");
}

fn lose(machines: &Machines, loss: Loss, leader: usize, others: &[usize]) {
    let network = &machines.network;
    match loss {
        Loss::Speech => others.iter().for_each(|other| network.set_way(leader, *other, Link::Down)),
        Loss::Hearing => others.iter().for_each(|other| network.set_way(*other, leader, Link::Down)),
        Loss::Both => others.iter().for_each(|other| machines.apart(leader, *other)),
        Loss::OneNode => machines.apart(leader, others[0]),
    }
}

/// The names of a list of keys; none where it is no list.
fn names(stdout: &[u8]) -> BTreeSet<String> {
    let keys: Value = serde_json::from_slice(stdout).unwrap_or_default();
    let items = keys["items"].as_array().cloned().unwrap_or_default();
    items.iter().filter_map(|key| key["name"].as_str().map(str::to_owned)).collect()
}
