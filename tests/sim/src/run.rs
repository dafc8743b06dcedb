//! One run: a cluster is founded, operators work, trouble is made, everything is mended, and what came of it is looked at.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use prost::Message;
use sluice_identity::{Founding, FoundingRequest, found};
use sluice_proto::raft::{Command, FoundCluster, Node, PutNode, Stamp, command};
use sluice_state::View;
use sluice_telemetry::Metrics;
use tokio::{
    runtime::Runtime,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    circumstances::Circumstances,
    clock,
    control::Control,
    data::DataNode,
    dice::Dice,
    event::Event,
    fingerprint,
    operator::{self, Operator},
    raft::{members::metrics_of, read, types::EncodedCommand},
    trouble::{self, Trouble},
    witness::{Violation, Witness},
    world::World,
};

/// For everything to work again once it is mended.
const HEAL_MAX: Duration = Duration::from_secs(60);

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The seed that runs it again.
    pub seed: u64,
    /// The same for every run of the same seed by the same build.
    pub fingerprint: u64,
    /// What was seen.
    pub events: u64,
    /// The first rule that was broken.
    pub violation: Option<Violation>,
}

/// How a run is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// Nothing is printed.
    Quiet,
    /// Every event goes to the standard error.
    Everything,
}

/// Runs `seed` on the calling thread, which must not have been used before, on a runtime of one thread whose clock is
/// paused. `adjust` changes the circumstances that the seed has drawn; data nodes keep their files under `home`.
///
/// # Errors
/// When the runtime cannot be made, or a node does not start in the beginning.
pub fn run(
    seed: u64,
    telling: Telling,
    adjust: impl FnOnce(&mut Circumstances),
    home: &Path,
    runtime: impl FnOnce() -> std::io::Result<Runtime>,
) -> anyhow::Result<Report> {
    // The clock beneath the metrics compares two real clocks once in a process, and never ends where both stand still.
    let _ = std::thread::spawn(Metrics::new).join();
    sluice_machine::simulate(seed, clock::BEGIN);
    let runtime = runtime()?;
    let report = runtime.block_on(async {
        clock::follow();
        let dice = Dice::new(seed);
        let mut circumstances = Circumstances::draw(&dice);
        adjust(&mut circumstances);
        let founding = founding()?;
        let world = World::new(circumstances, dice, Witness::new(telling == Telling::Everything), &founding);
        let lived = live(&world, founding.command, home);
        let violation = tokio::select! {
            biased;
            violation = world.witness().broken() => Some(violation),
            lived = lived => {
                lived?;
                None
            }
        };
        let (fingerprint, events) = world.witness().fingerprint();
        anyhow::Ok(Report { seed, fingerprint, events, violation })
    });
    runtime.shutdown_background();
    report
}

/// How a cluster begins. Its secrets are of the system's randomness, which no seed decides, and nothing else depends on them;
/// what it is called is of ours.
fn founding() -> anyhow::Result<Founding> {
    let mut founding = found(FoundingRequest::Plaintext { now_ms: clock::wall_ms() })?;
    founding.command.generation = "generation".to_owned();
    for id in [&mut founding.command.cluster_id, &mut founding.identity.cluster_id] {
        "simulated".clone_into(id);
    }
    Ok(founding)
}

async fn live(world: &World, first: FoundCluster, home: &Path) -> anyhow::Result<()> {
    let circumstances = world.circumstances();
    world.saw(&Event::Trouble(format!("{circumstances:?}")));
    let nodes = 1..=circumstances.voters + circumstances.late;
    let controls: Vec<Arc<Control>> = nodes.map(|id| Arc::new(Control::new(world.clone(), id))).collect();
    for control in &controls {
        control.start().await?;
    }
    if let Some(first) = controls.first() {
        first.initialize(circumstances.voters).await?;
    }
    propose(world, command::Kind::FoundCluster(first)).await?;
    for number in 1..=circumstances.data_nodes {
        let home: PathBuf = home.join(format!("d{number}"));
        let node = Arc::new(DataNode::new(world.clone(), number, home));
        world.add_data_node(node.clone());
        if circumstances.data_nodes_joined {
            join(world, &node).await?;
        }
        node.start()?;
    }
    let until = Instant::now() + circumstances.troubled;
    let mut operators = JoinSet::new();
    for number in 1..=circumstances.operators {
        operators.spawn(Operator::new(world.clone(), number).run(until));
    }
    Trouble::new(world.clone(), controls.clone()).run(until).await;
    mend(world, &controls).await;
    let ended = timeout(HEAL_MAX, async { while operators.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        world.saw(&Event::NotHealed("a change that was asked for has no outcome".to_owned()));
        return Ok(());
    }
    rest(world, &controls).await;
    Ok(())
}

/// Puts a data node into the list of those that joined.
async fn join(world: &World, node: &DataNode) -> anyhow::Result<()> {
    let stamp = Stamp { actor: "bootstrap".to_owned(), time_ms: clock::wall_ms(), ..Stamp::default() };
    let node = Node { id: node.node_id(), role: "data".to_owned(), ..Node::default() };
    propose(world, command::Kind::PutNode(PutNode { stamp: Some(stamp), node: Some(node) })).await
}

/// Proposes before there is trouble.
async fn propose(world: &World, kind: command::Kind) -> anyhow::Result<()> {
    let command = Command { kind: Some(kind) };
    let command = EncodedCommand(command.encode_to_vec().into());
    let proposed = async {
        loop {
            for running in world.running() {
                if running.leadership.borrow().this && running.core.client_write(command.clone()).await.is_ok() {
                    return;
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(HEAL_MAX, proposed).await.map_err(|_| anyhow::anyhow!("a cluster without trouble takes no command"))
}

/// Everything is there again.
async fn mend(world: &World, controls: &[Arc<Control>]) {
    world.saw(&Event::Trouble("everything is mended".to_owned()));
    // Whoever is on the way to mend or to start something may still come; both change nothing any more.
    world.network().mend();
    for control in controls {
        control.pace().slow_for(Duration::ZERO);
        trouble::start(world, control).await;
    }
    for node in world.data_nodes() {
        trouble::start_data(world, &node);
    }
}

/// Waits until all nodes are voters that hold the same, and looks at what they hold.
async fn rest(world: &World, controls: &[Arc<Control>]) {
    let mut prober = Operator::new(world.clone(), 1 + world.circumstances().operators);
    let healed = timeout(HEAL_MAX, async {
        while !are_members(world, controls) {
            trouble::join_late(world, controls);
            sleep(Duration::from_millis(500)).await;
        }
        let number = prober.change(None).await.unwrap_or_default();
        for running in world.running() {
            while !read::barrier(world, &running, Instant::now() + Duration::from_secs(5)).await {}
        }
        let serves = |node: &Arc<DataNode>| node.truth().number.is_some_and(|serves| serves >= number);
        while !world.data_nodes().iter().all(serves) {
            sleep(Duration::from_millis(500)).await;
        }
    });
    if healed.await.is_err() {
        world.saw(&Event::NotHealed("the control plane does not come to rest".to_owned()));
        return;
    }
    let keys = operator::all_keys(world.circumstances().operators);
    for control in controls {
        let tables = control.tables();
        let rows = tables.rows().iter().flat_map(|(key, value)| [key.as_slice(), value.as_slice()]);
        let rows = fingerprint::of(&rows.collect::<Vec<_>>().concat());
        let view = View(tables.clone());
        let values = keys.iter().map(|key| (key.clone(), operator::value(&view, key))).collect();
        world.saw(&Event::AtRest { node: control.raft_id(), values, rows });
    }
}

/// Whether the leader has all nodes among its voters.
fn are_members(world: &World, controls: &[Arc<Control>]) -> bool {
    let leads = world.running().into_iter().find(|running| running.leadership.borrow().this);
    leads.is_some_and(|leader| {
        let metrics = metrics_of(&leader.core);
        let voters: Vec<u64> = metrics.membership_config.voter_ids().collect();
        controls.iter().all(|control| voters.contains(&control.raft_id()))
            && metrics.membership_config.get_joint_config().len() == 1
    })
}
