//! Where a node's configuration comes from: its cluster, which it joins first if it has not yet, or someone who holds it
//! already.
//!
//! Promise: a node that has joined once needs no flag again: identity, control nodes and the last-good configuration are
//! in its folder. Absent: following itself (`sluice-follow`).

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sluice_follow::{FollowFailure, FollowSettings, Follower, Order, SnapshotCell, Standing};
use sluice_identity::{
    Dialer, Identity, IdentityFailure, Join, JoinToken, NodeRole, Plaintext, Renewal, join, keep_removal, read_secret,
};
use sluice_pipeline::{Served, SnapshotSource};
use sluice_proto::raft::Node;
use sluice_telemetry::Metrics;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::folder_lock::{FolderFailure, FolderLock};
use crate::settings::Settings;

/// How long a joining node goes on while no control node answers.
const JOIN_WITHIN: Duration = Duration::from_secs(120);
/// Control nodes of the cluster, one a line, as the last join told them.
const CONTROL_FILE: &str = "control";

/// Why there is no way to a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationFailure {
    /// Neither a cluster nor an identity is known.
    #[error(
        "expected --follow, --join, or the identity of an earlier join in {}, found none; name a control node",
        .folder.display()
    )]
    NoCluster {
        /// The data folder.
        folder: PathBuf,
    },
    /// The node has no identity, and gets none.
    #[error(transparent)]
    Identity(#[from] IdentityFailure),
    /// The list of control nodes cannot be kept.
    #[error("cannot keep {}: {source}", .path.display())]
    Keep {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder is another node's, or cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderFailure),
    /// Following cannot start.
    #[error(transparent)]
    Follow(#[from] FollowFailure),
}

/// Where a node's configuration comes from.
#[derive(Debug)]
pub(crate) struct Configuration {
    source: Source,
    follower: Option<Follower>,
    folder: PathBuf,
    /// Let go of behind the last write.
    _lock: Option<FolderLock>,
}

/// A source that can be shown in logs.
#[derive(Clone)]
struct Source(Arc<dyn SnapshotSource>);

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Source").field(&self.0.version()).finish()
    }
}

/// A follower's cell as traffic cores read it.
struct Followed(SnapshotCell);

impl SnapshotSource for Followed {
    fn version(&self) -> u64 {
        self.0.version()
    }

    fn load(&self) -> Option<Served> {
        let served = self.0.load()?;
        Some(Served { snapshot: served.snapshot, lookup_key: served.lookup_key })
    }
}

impl Configuration {
    /// What someone else holds.
    pub(crate) fn fixed(source: Arc<dyn SnapshotSource>) -> Self {
        Self { source: Source(source), follower: None, folder: PathBuf::new(), _lock: None }
    }

    /// What the cluster says; joins it first where the node has no identity yet.
    pub(crate) async fn follow(
        settings: &Settings,
        http: SocketAddr,
        metrics: &Metrics,
    ) -> Result<Self, ConfigurationFailure> {
        let address = settings.advertise.clone().unwrap_or_else(|| http.to_string());
        let of_folder = || Identity::of_folder(&settings.data_dir, NodeRole::Data);
        // Nothing is written where no node can live.
        if of_folder()?.is_none() && settings.follow.is_empty() && settings.join.is_empty() {
            return Err(ConfigurationFailure::NoCluster { folder: settings.data_dir.clone() });
        }
        let lock = FolderLock::take(&settings.data_dir)?;
        let identity = match of_folder()? {
            Some(identity) => identity,
            None => become_node(settings, &address).await?,
        };
        let dialer = Dialer::of_node(&identity, plaintext(settings))?;
        let renewal = Renewal::of(&identity, &NodeRole::Data.identity_folder(&settings.data_dir));
        let follow = FollowSettings {
            data_dir: settings.data_dir.clone(),
            control: control_addresses(settings),
            cluster_id: identity.cluster_id,
            node_id: identity.node_id,
            address,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            fail_compile: settings.fail_compile.clone(),
        };
        info!(node_id = %follow.node_id, cluster_id = %follow.cluster_id, "configuration is followed");
        let follower = Follower::start(follow, dialer, renewal, metrics)?;
        let source = Source(Arc::new(Followed(follower.cell())));
        Ok(Self { source, follower: Some(follower), folder: settings.data_dir.clone(), _lock: Some(lock) })
    }

    /// What the cluster wants of the node, and where the node says how it stands; none for one that follows no cluster.
    pub(crate) fn orders(&self) -> Option<(watch::Receiver<Order>, watch::Sender<Standing>)> {
        self.follower.as_ref().map(|follower| (follower.orders(), follower.standing()))
    }

    /// What traffic cores read.
    pub(crate) fn source(&self) -> Arc<dyn SnapshotSource> {
        Arc::clone(&self.source.0)
    }

    /// Waits until the cluster has removed this node, notes that in its folder, and says so; for ever where no one is followed.
    pub(crate) fn removed(&self) -> impl Future<Output = ConfigurationFailure> + use<> {
        let following = self.follower.as_ref().map(Follower::status);
        let folder = self.folder.clone();
        async move {
            let Some(mut following) = following else { return std::future::pending().await };
            if following.wait_for(|status| status.removed).await.is_err() {
                return std::future::pending().await;
            }
            if let Err(failure) = keep_removal(&folder, NodeRole::Data) {
                warn!(%failure, "the removal is not noted: the next start will be refused by the control nodes");
            }
            IdentityFailure::Removed { folder }.into()
        }
    }

    /// Stops following; what is served stays.
    pub(crate) async fn stop(self) {
        if let Some(follower) = self.follower {
            follower.stop().await;
        }
    }
}

/// Joins the cluster: with a token over TLS, without one in a cluster of this machine.
async fn become_node(settings: &Settings, address: &str) -> Result<Identity, ConfigurationFailure> {
    let folder = settings.data_dir.as_path();
    let control = if settings.join.is_empty() { &settings.follow } else { &settings.join };
    let token = match &settings.join_token_file {
        Some(path) => Some(JoinToken::parse(read_secret(path)?.expose())?),
        None => None,
    };
    let request = Join {
        control,
        token: token.as_ref(),
        role: NodeRole::Data,
        node: Node {
            role: NodeRole::Data.as_str().to_owned(),
            public_address: address.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            level: sluice_model::LEVEL,
            ..Node::default()
        },
        folder,
        plaintext: plaintext(settings),
        patience: JOIN_WITHIN,
    };
    let joined = join(request, |_| Ok(())).await?;
    keep_control(folder, &joined.control_addresses)?;
    Ok(joined.identity)
}

fn keep_control(folder: &Path, addresses: &[String]) -> Result<(), ConfigurationFailure> {
    let path = folder.join(CONTROL_FILE);
    std::fs::write(&path, addresses.join("\n")).map_err(|source| ConfigurationFailure::Keep { path, source })
}

/// Control nodes to begin with: those of the settings, else those that the join told.
fn control_addresses(settings: &Settings) -> Vec<String> {
    let given: Vec<String> = settings.follow.iter().chain(&settings.join).cloned().collect();
    if !given.is_empty() {
        return given;
    }
    let path = settings.data_dir.join(CONTROL_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => text.lines().map(str::to_owned).collect(),
        Err(error) => {
            warn!(%error, path = %path.display(), "control nodes of the last join are not known");
            Vec::new()
        }
    }
}

fn plaintext(settings: &Settings) -> Plaintext {
    if settings.insecure { Plaintext::Anywhere } else { Plaintext::LoopbackOnly }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_without_a_cluster_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { data_dir: folder.path().to_owned(), ..Settings::default() };
        let http = "127.0.0.1:8080".parse().unwrap();
        let refused = Configuration::follow(&settings, http, &Metrics::new()).await.unwrap_err().to_string();
        assert!(refused.contains("--follow"), "{refused}");
        assert!(refused.contains(&folder.path().display().to_string()), "{refused}");
    }

    #[tokio::test]
    async fn the_folder_of_a_control_node_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let identity = NodeRole::Control.identity_folder(folder.path());
        Identity::plaintext("c1", NodeRole::Control, "n1").save(&identity).unwrap();
        let follow = vec!["http://127.0.0.1:1".to_owned()];
        let settings = Settings { data_dir: folder.path().to_owned(), follow, ..Settings::default() };
        let http = "127.0.0.1:8080".parse().unwrap();
        let refused = Configuration::follow(&settings, http, &Metrics::new()).await.unwrap_err().to_string();
        assert!(refused.contains("holds a control node") && refused.contains("--data-dir"), "{refused}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is written");
    }

    #[tokio::test]
    async fn a_folder_in_which_a_node_runs_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Identity::plaintext("c1", NodeRole::Data, "d1").save(folder.path()).unwrap();
        let follow = vec!["http://127.0.0.1:1".to_owned()];
        let settings = Settings { data_dir: folder.path().to_owned(), follow, ..Settings::default() };
        let start = async || {
            let http = "127.0.0.1:8080".parse().unwrap();
            Configuration::follow(&settings, http, &Metrics::new()).await
        };
        let first = start().await.unwrap();
        let refused = start().await.unwrap_err().to_string();
        assert!(refused.contains(&folder.path().display().to_string()), "{refused}");
        first.stop().await;
        start().await.unwrap().stop().await;
    }

    #[test]
    fn control_nodes_of_a_join_are_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { data_dir: folder.path().to_owned(), ..Settings::default() };
        keep_control(folder.path(), &["10.0.0.1:7100".to_owned(), "10.0.0.2:7100".to_owned()]).unwrap();
        assert_eq!(control_addresses(&settings), ["10.0.0.1:7100", "10.0.0.2:7100"]);
        let settings = Settings { follow: vec!["127.0.0.1:7100".to_owned()], ..settings };
        assert_eq!(control_addresses(&settings), ["127.0.0.1:7100"]);
    }
}
