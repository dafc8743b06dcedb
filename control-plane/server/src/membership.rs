//! How a node comes to its cluster: it founds one, joins one, or is in one already.

use std::time::{SystemTime, UNIX_EPOCH};

use sluice_identity::{FoundingRequest, Identity, Join, JoinToken, Keyring, NodeRole, found, join, read_secret};
use sluice_proto::raft::{FoundCluster, Node};
use tracing::info;

use crate::{Settings, StartFailure, data_dir::DataDir};

/// A node that knows its cluster.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) identity: Identity,
    pub(crate) keys: Keyring,
    /// The first command of a cluster that this node founds.
    pub(crate) founding: Option<FoundCluster>,
}

/// Under which addresses a node is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announced {
    /// By control nodes: HOST:PORT.
    pub(crate) peer: String,
    /// By operators and data nodes: HOST:PORT.
    pub(crate) admin: String,
}

impl Announced {
    /// What the settings say, or else what is listened on.
    pub(crate) fn of(settings: &Settings, peer_bound: &str, admin_bound: &str) -> Result<Self, StartFailure> {
        let peer = settings.advertise.clone().unwrap_or_else(|| peer_bound.to_owned());
        let admin = match &settings.advertise_admin {
            Some(admin) => admin.clone(),
            None => match (peer.rsplit_once(':'), admin_bound.rsplit_once(':')) {
                (Some((host, _)), Some((_, port))) => format!("{host}:{port}"),
                _ => admin_bound.to_owned(),
            },
        };
        reachable("advertise", &peer)?;
        reachable("advertise-admin", &admin)?;
        Ok(Self { peer, admin })
    }

    /// The hosts that stand in the node's certificate.
    pub(crate) fn hosts(&self) -> Vec<&str> {
        vec![host_of(&self.peer), host_of(&self.admin)]
    }
}

fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Refuses what no other machine could connect to: no port, or the address of every interface.
fn reachable(setting: &'static str, address: &str) -> Result<(), StartFailure> {
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let host = host_of(address);
    if port.is_none_or(|port| port == 0) || host.is_empty() || ["0.0.0.0", "::"].contains(&host) {
        return Err(StartFailure::Advertise { setting, found: address.to_owned() });
    }
    Ok(())
}

/// Founds, joins or finds the node's cluster, as settings and folder say.
pub(crate) async fn establish(
    settings: &Settings,
    data: &DataDir,
    announced: &Announced,
) -> Result<Membership, StartFailure> {
    if settings.plaintext && !settings.bootstrap {
        return Err(StartFailure::PlaintextWithoutBootstrap);
    }
    match data.identity()? {
        Some(identity) if settings.bootstrap => {
            Err(StartFailure::AlreadyFounded { folder: data.root().to_owned(), cluster: identity.cluster_id })
        }
        Some(identity) => Ok(Membership { identity, keys: data.cluster_keys()?, founding: data.founding()? }),
        None if settings.bootstrap => found_here(settings, data, announced),
        None if settings.join.is_empty() => Err(StartFailure::Nothing { folder: data.root().to_owned() }),
        None => join_there(settings, data, announced).await,
    }
}

/// Whether the node is about to begin or join a cluster without certificates.
pub(crate) fn begins_in_plaintext(settings: &Settings, data: &DataDir) -> Result<bool, StartFailure> {
    if data.identity()?.is_some() {
        return Ok(false);
    }
    if settings.bootstrap || settings.join.is_empty() {
        return Ok(settings.bootstrap && settings.plaintext);
    }
    Ok(join_token(settings)?.is_none_or(|token| token.ca_pem.is_none()))
}

fn join_token(settings: &Settings) -> Result<Option<JoinToken>, StartFailure> {
    match &settings.join_token_file {
        Some(path) => Ok(Some(JoinToken::parse(read_secret(path)?.expose())?)),
        None => Ok(None),
    }
}

fn found_here(settings: &Settings, data: &DataDir, announced: &Announced) -> Result<Membership, StartFailure> {
    let hosts = announced.hosts();
    let now_ms = now_ms();
    let request = if settings.plaintext {
        FoundingRequest::Plaintext { now_ms }
    } else {
        FoundingRequest::Certified { hosts: &hosts, life: settings.certificate_lifetime, now_ms }
    };
    let founding = found(request)?;
    data.keep_founding(&founding)?;
    let identity = founding.identity;
    info!(
        cluster_id = %identity.cluster_id,
        node_id = %identity.node_id,
        token_file = %data.operator_token_path().display(),
        ca_file = %Identity::ca_path(&data.identity_folder()).display(),
        "founding a cluster"
    );
    Ok(Membership { identity, keys: data.cluster_keys()?, founding: Some(founding.command) })
}

async fn join_there(settings: &Settings, data: &DataDir, announced: &Announced) -> Result<Membership, StartFailure> {
    let token = join_token(settings)?;
    let folder = data.identity_folder();
    let request = Join {
        control: &settings.join,
        token: token.as_ref(),
        role: NodeRole::Control,
        // The leader says when it joined; what is asked again after a restart must be the same request.
        node: Node { joined_ms: 0, ..node_row(announced) },
        folder: &folder,
        plaintext: settings.plaintext_reach(),
        patience: settings.join_patience,
    };
    let joined = join(request, |keys| Keyring::save(&data.cluster_key_path(), keys)).await?;
    Ok(Membership { identity: joined.identity, keys: data.cluster_keys()?, founding: None })
}

/// What a control node says of itself; the cluster adds ids.
pub(crate) fn node_row(announced: &Announced) -> Node {
    Node {
        role: NodeRole::Control.as_str().to_owned(),
        peer_address: announced.peer.clone(),
        public_address: announced.admin.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        level: sluice_model::LEVEL,
        joined_ms: now_ms(),
        ..Node::default()
    }
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(settings: &Settings) -> Result<Announced, StartFailure> {
        Announced::of(settings, "127.0.0.1:7101", "127.0.0.1:7100")
    }

    #[test]
    fn a_node_announces_what_it_is_told_or_what_it_listens_on() {
        let settings = Settings::default();
        let expect = Announced { peer: "127.0.0.1:7101".into(), admin: "127.0.0.1:7100".into() };
        assert_eq!(announced(&settings).unwrap(), expect);
        let settings = Settings { advertise: Some("control-1.example:7111".into()), ..settings };
        let expect = Announced { peer: "control-1.example:7111".into(), admin: "control-1.example:7100".into() };
        assert_eq!(announced(&settings).unwrap(), expect);
        assert_eq!(expect.hosts(), ["control-1.example", "control-1.example"]);
    }

    #[test]
    fn what_others_cannot_reach_is_not_announced() {
        for wrong in ["0.0.0.0:7101", "[::]:7101", "host", "host:0", ":7101"] {
            let settings = Settings { advertise: Some(wrong.into()), ..Settings::default() };
            let message = announced(&settings).unwrap_err().to_string();
            assert!(message.contains("--advertise"), "{message}");
        }
    }

    #[tokio::test]
    async fn an_empty_folder_needs_a_word_and_a_full_one_refuses_bootstrap() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(folder.path());
        let idle = Settings::default();
        let names = announced(&idle).unwrap();
        let nothing = establish(&idle, &data, &names).await.unwrap_err();
        assert!(matches!(nothing, StartFailure::Nothing { .. }), "{nothing}");
        let first = Settings { bootstrap: true, plaintext: true, ..idle.clone() };
        let founded = establish(&first, &data, &names).await.unwrap();
        assert!(founded.founding.is_some());
        let refused = establish(&first, &data, &names).await.unwrap_err();
        assert!(matches!(refused, StartFailure::AlreadyFounded { .. }), "{refused}");
        let again = establish(&idle, &data, &names).await.unwrap();
        assert_eq!(again.identity.node_id, founded.identity.node_id);
        assert_eq!(again.founding, founded.founding, "an unfinished founding is finished");
    }
}
