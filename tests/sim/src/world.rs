//! What all nodes of a run share: the network, the dice, the witness, and who is there.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sluice_identity::{Founding, Keyring};
use tokio::sync::oneshot;

use crate::{
    circumstances::Circumstances,
    control::Running,
    data::DataNode,
    dice::Dice,
    event::Event,
    network::{End, Network, NoAnswer, Party},
    witness::Witness,
};

/// The world of one run. Clones are the same one.
#[derive(Clone)]
pub(crate) struct World {
    inner: Arc<Inner>,
}

struct Inner {
    circumstances: Circumstances,
    dice: Dice,
    witness: Witness,
    network: Network,
    keys: Keyring,
    cluster_id: String,
    controls: Mutex<BTreeMap<u64, Running>>,
    data_nodes: Mutex<Vec<Arc<DataNode>>>,
}

impl World {
    /// The world of a cluster that is being founded.
    pub(crate) fn new(circumstances: Circumstances, dice: Dice, witness: Witness, founding: &Founding) -> Self {
        let inner = Inner {
            network: Network::new(&circumstances),
            circumstances,
            dice,
            witness,
            keys: Keyring::of(vec![founding.cluster_key.clone()]),
            cluster_id: founding.identity.cluster_id.clone(),
            controls: Mutex::default(),
            data_nodes: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// They open what control nodes keep sealed.
    pub(crate) fn keys(&self) -> &Keyring {
        &self.inner.keys
    }

    pub(crate) fn cluster_id(&self) -> &str {
        &self.inner.cluster_id
    }

    /// All data nodes, running or not.
    pub(crate) fn data_nodes(&self) -> Vec<Arc<DataNode>> {
        self.inner.data_nodes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn add_data_node(&self, node: Arc<DataNode>) {
        self.inner.data_nodes.lock().unwrap_or_else(PoisonError::into_inner).push(node);
    }

    pub(crate) fn circumstances(&self) -> &Circumstances {
        &self.inner.circumstances
    }

    pub(crate) fn dice(&self) -> &Dice {
        &self.inner.dice
    }

    pub(crate) fn witness(&self) -> &Witness {
        &self.inner.witness
    }

    pub(crate) fn network(&self) -> &Network {
        &self.inner.network
    }

    pub(crate) fn saw(&self, event: &Event) {
        self.inner.witness.saw(event);
    }

    /// The control node with this Raft id, if it is running.
    pub(crate) fn control(&self, node: u64) -> Option<Running> {
        self.controls().get(&node).cloned()
    }

    /// All control nodes that are running.
    pub(crate) fn running(&self) -> Vec<Running> {
        self.controls().values().cloned().collect()
    }

    pub(crate) fn started(&self, node: u64, running: Running) {
        self.controls().insert(node, running);
    }

    pub(crate) fn stopped(&self, node: u64) -> Option<Running> {
        self.controls().remove(&node)
    }

    fn controls(&self) -> MutexGuard<'_, BTreeMap<u64, Running>> {
        self.inner.controls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls control node `to`; what it serves the call with is made by `serve` when the request arrives.
    ///
    /// Dropping the future takes nothing back: a request that is on its way is carried out.
    ///
    /// # Errors
    /// Why there is no answer; where nobody is told why, the future never returns, and the caller needs a deadline.
    pub(crate) fn call<T, F, S>(
        &self,
        from: &End,
        to: u64,
        serve: S,
    ) -> impl Future<Output = Result<T, NoAnswer>> + Send + use<T, F, S>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
        S: FnOnce(Running) -> F + Send + 'static,
    {
        let (world, from) = (self.clone(), from.clone());
        async move {
            let (answer, answered) = oneshot::channel();
            tokio::spawn(async move {
                let result = world.carry(&from, to, serve).await;
                // Who has given up hears nothing; nor does who is dead.
                if !from.life.has_ended() {
                    let _ = answer.send(result);
                }
            });
            match answered.await {
                Ok(result) => result,
                Err(_) => std::future::pending().await,
            }
        }
    }

    async fn carry<T, F>(&self, from: &End, to: u64, serve: impl FnOnce(Running) -> F) -> Result<T, NoAnswer>
    where
        F: Future<Output = T>,
    {
        let Inner { dice, network, .. } = &*self.inner;
        let there = Party::Control(to);
        if from.life.has_ended() {
            return std::future::pending().await;
        }
        network.send(dice, from.party, there).await?;
        self.inner.witness.felt(to);
        let Some(running) = self.control(to) else {
            network.send(dice, there, from.party).await?;
            return Err(NoAnswer::Refused);
        };
        let life = running.life.clone();
        let Some(done) = life.run(serve(running)).await else {
            // It died over it.
            network.send(dice, there, from.party).await?;
            return Err(NoAnswer::Broken);
        };
        network.send(dice, there, from.party).await?;
        Ok(done)
    }
}
