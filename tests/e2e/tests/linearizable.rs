//! Single keys behave as if there were one copy of them, under partitions and kills: a history of what clients asked and
//! were answered is checked for an order that explains it.

use std::{thread, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sluice_e2e::{
    history::{self, Exam, Kind, Notes, Operation},
    machines::{Machines, channel},
    netns::Link,
    process::skip,
    wait::eventually,
};

const NODES: usize = 3;
const CLIENTS: usize = 6;
const KEYS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_linearizable_under_a_few_partitions_and_kills() {
    examined("a_key_is_linearizable_under_a_few_partitions_and_kills", 3, 40).await;
}

#[ignore = "slow tier"]
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_linearizable_under_many_partitions_and_kills() {
    examined("a_key_is_linearizable_under_many_partitions_and_kills", 60, 200).await;
}

/// What is done to the cluster while clients ask it.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// A node is alone.
    Alone(usize),
    /// What one node sends another is lost, and nothing else.
    OneWay(usize, usize),
    /// What a node sends the other nodes is lost; it hears them.
    Mute(usize),
    /// Two nodes do not reach each other, and both reach the third.
    Apart(usize, usize),
    /// A node dies and comes back.
    Killed(usize),
    /// All nodes do.
    AllKilled,
}

/// So many faults, each for a while in which at least so many writes are asked.
async fn examined(test: &str, faults: usize, writes: u64) {
    let mut machines = match Machines::start(NODES).await {
        Ok(machines) => machines,
        Err(reason) => return skip(test, &reason),
    };
    let seed: u64 = rand::random();
    eprintln!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let exam = Exam::new(KEYS);
    let clients: Vec<_> = (0..CLIENTS as u64).map(|client| asking(&machines, &exam, seed ^ client)).collect();
    for number in 0..faults {
        let fault = chosen(&mut random, number);
        begin(&mut machines, fault);
        goes_on(&exam, writes).await;
        end(&mut machines, fault);
        goes_on(&exam, writes / 2).await;
    }
    exam.stop();
    let notes: Vec<Notes> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    verdict(seed, faults, notes);
}

/// A client on the operator's machine, on a thread of its own.
fn asking(machines: &Machines, exam: &Exam, seed: u64) -> thread::JoinHandle<Notes> {
    let (entrance, exam) = (machines.network.entrance(machines.operator()), exam.clone());
    thread::spawn(move || {
        entrance.enter().expect("a host of the test can be entered");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { exam.run((0..NODES).map(channel).collect(), seed).await })
    })
}

fn chosen(random: &mut StdRng, number: usize) -> Fault {
    let one = random.random_range(0..NODES);
    let other = (one + random.random_range(1..NODES)) % NODES;
    // Each in turn, so that a short run has them all but the last.
    match number % 6 {
        0 => Fault::Alone(one),
        1 => Fault::Killed(one),
        2 => Fault::Mute(one),
        3 => Fault::OneWay(one, other),
        4 => Fault::Apart(one, other),
        _ => Fault::AllKilled,
    }
}

fn begin(machines: &mut Machines, fault: Fault) {
    match fault {
        Fault::Alone(node) => others(node).for_each(|other| machines.apart(node, other)),
        Fault::OneWay(from, to) => machines.network.set_way(from, to, Link::Down),
        Fault::Mute(node) => others(node).for_each(|other| machines.network.set_way(node, other, Link::Down)),
        Fault::Apart(one, other) => machines.apart(one, other),
        Fault::Killed(node) => machines.kill(node),
        Fault::AllKilled => (0..NODES).for_each(|node| machines.kill(node)),
    }
}

fn end(machines: &mut Machines, fault: Fault) {
    match fault {
        Fault::Killed(node) => machines.restart(node),
        Fault::AllKilled => (0..NODES).for_each(|node| machines.restart(node)),
        Fault::Alone(_) | Fault::OneWay(..) | Fault::Mute(_) | Fault::Apart(..) => machines.heal(),
    }
}

fn others(node: usize) -> impl Iterator<Item = usize> {
    (0..NODES).filter(move |other| *other != node)
}

/// Waits until more writes are asked; who has no answer asks on after its patience.
async fn goes_on(exam: &Exam, writes: u64) {
    let wanted = exam.asked() + writes;
    eventually("the clients ask on", || async {
        let asked = exam.asked();
        if asked >= wanted { Ok(()) } else { Err(asked) }
    })
    .await;
    // Beyond an election, so that both sides of a partition have found out.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
}

/// Checks every key and prints what came of it.
fn verdict(seed: u64, faults: usize, notes: Vec<Notes>) {
    let mut keys = Notes::new();
    for (key, operations) in notes.into_iter().flatten() {
        keys.entry(key).or_default().extend(operations);
    }
    let count = |which: &dyn Fn(&Operation) -> bool| keys.values().flatten().filter(|one| which(one)).count();
    let (all, reads) = (count(&|_| true), count(&|one| matches!(one.kind, Kind::Read(_))));
    let (open, done) = (count(&|one| one.ended.is_none()), count(&|one| one.kind.is_done()));
    let of = format!(
        "SEED={seed}: {all} operations on {} keys by {CLIENTS} clients under {faults} faults: {reads} reads, \
         {done} writes done, {open} of unknown outcome",
        keys.len()
    );
    for (key, operations) in keys {
        if let Err(violation) = history::check(operations) {
            panic!("{of}; key {key} is {violation}");
        }
    }
    eprintln!("{of}; linearizable");
    assert!(done > 10 * faults, "{of}");
}
