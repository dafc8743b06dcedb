//! A rotation on the leader, turn by turn: counts what is sealed with the old key, seals it anew, closes the old key,
//! looks again, and ends.
//!
//! Promise: a turn reads and writes a bounded number of rows; it holds nothing that the next leader would lack. A row that
//! someone changes meanwhile is met again in the next pass. Absent: who holds which key (`held`).

use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message as _;
use sluice_identity::{reseal_cluster, sealing_key};
use sluice_proto::{
    model::ApiKey,
    raft::{ClusterRow, Command, Reseal, ResealedRow, Stamp, Table, command, rotate_key::Step},
};
use sluice_state::{Tables, View};
use tracing::{info, warn};

use super::propose;
use crate::{
    admin::Admin,
    commit::barrier,
    propose::{here, now_ms},
    refused::{Reason, Refused},
    replica::{Leader, Replica},
    secrets::Secrets,
};

/// Rows that one turn looks at.
const ROWS: usize = 1_000;
/// Bytes of documents that one command puts in place: half of what an entry of the log carries.
const BYTES: usize = sluice_model::limits::ENTRY_BYTES_MAX / 2;
/// For one turn.
const TURN: Duration = Duration::from_secs(30);

/// Whether there is more to do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Yes.
    More,
    /// Not before something changes.
    Quiet,
}

/// Where the leader stands in its pass over the rows.
#[derive(Debug, Default)]
pub(super) struct Rotating {
    pass: Pass,
    /// The key of the last row that was looked at.
    after: Option<Vec<String>>,
    /// Rows of this pass that are sealed with the old key.
    met: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Pass {
    #[default]
    Count,
    Reseal,
}

impl Rotating {
    /// Does some of what there is to do.
    pub(super) async fn turn<R: Replica>(&mut self, admin: &Admin<R>) -> Result<Turn, Refused> {
        let (cluster, sealing) = {
            let view = admin.replica.view();
            (view.cluster().unwrap_or_default(), view.sealing_key())
        };
        if cluster.old_key_id.is_empty() || admin.replica.leader() != Leader::This {
            *self = Self::default();
            admin.rotation.set(None);
            return Ok(Turn::Quiet);
        }
        let deadline = Instant::now() + TURN;
        if self.after.is_none() {
            // A leader's state may lack what was committed before it led.
            barrier(&admin.replica, deadline).await?;
            if self.pass == Pass::Reseal {
                reseal_own_row(admin, &sealing, deadline).await?;
            }
        }
        let page = self.page(admin, &sealing).await?;
        self.met += page.met;
        if !page.rows.is_empty() {
            let count = page.rows.len() as u64;
            let reseal = Reseal { key_id: sealing.clone(), rows: page.rows, ..Reseal::default() };
            put(admin, reseal, deadline).await?;
            admin.rotation.set(admin.rotation.left().map(|left| left.saturating_sub(count)));
        }
        self.after = page.last;
        if self.after.is_none() {
            self.end_of_pass(admin, &cluster, &sealing, deadline).await?;
        }
        Ok(Turn::More)
    }

    async fn end_of_pass<R: Replica>(
        &mut self,
        admin: &Admin<R>,
        cluster: &ClusterRow,
        sealing: &str,
        deadline: Instant,
    ) -> Result<(), Refused> {
        let met = std::mem::take(&mut self.met);
        if self.pass == Pass::Count {
            self.pass = Pass::Reseal;
            admin.rotation.set(Some(met));
            return Ok(());
        }
        admin.rotation.set(Some(0));
        if met > 0 {
            return Ok(());
        }
        let step = if cluster.old_key_closed { Step::End } else { Step::Close };
        let stamp = stamp(admin);
        propose(admin, stamp, step, sealing, deadline).await?;
        if step == Step::End {
            info!(
                key_id = sealing,
                old_key_id = cluster.old_key_id,
                "cluster key rotated: nothing is sealed with the old one"
            );
        }
        Ok(())
    }

    /// Looks at the next rows. In the counting pass nothing is sealed.
    async fn page<R: Replica>(&self, admin: &Admin<R>, sealing: &str) -> Result<Page, Refused> {
        let (view, secrets, sealing) = (admin.replica.view(), admin.tools.secrets.clone(), sealing.to_owned());
        let (pass, after) = (self.pass, self.after.clone());
        let reading = tokio::task::spawn_blocking(move || read(&view, &secrets, &sealing, pass, after.as_deref()));
        reading.await.map_err(|error| Refused::new(Reason::Unavailable, error.to_string()))?
    }
}

/// What was found in some rows.
#[derive(Debug, Default)]
struct Page {
    rows: Vec<ResealedRow>,
    met: u64,
    /// Where the next one begins; none after the last.
    last: Option<Vec<String>>,
}

fn read<T: Tables>(
    view: &View<T>,
    secrets: &Secrets,
    sealing: &str,
    pass: Pass,
    after: Option<&[String]>,
) -> Result<Page, Refused> {
    let listed = view.list::<&str>(Table::ApiKey, &[], after, ROWS);
    let mut page = Page::default();
    let mut bytes = 0;
    for (key, stored) in &listed.items {
        page.last = Some(key.clone());
        let Ok(document) = ApiKey::decode(stored.bytes.clone()) else { continue };
        let sealed = document.sealed_value.as_deref().unwrap_or_default();
        if sealed.is_empty() || sealing_key(sealed) == sealing {
            continue;
        }
        if pass == Pass::Count {
            page.met += 1;
            continue;
        }
        match secrets.reseal(sealing, &document) {
            Ok(document) => {
                page.met += 1;
                bytes += document.len();
                page.rows.push(ResealedRow { id: key[0].clone(), expected_version: stored.version, document });
            }
            // Nothing that this node holds opens it: it is lost, and would be for any key.
            Err(refused) => warn!(key = key[0], reason = refused.message, "a sealed value cannot be opened"),
        }
        if bytes >= BYTES {
            return Ok(page);
        }
    }
    if !listed.more {
        page.last = None;
    }
    Ok(page)
}

/// Seals the secrets of the cluster's own row anew, if they are not yet.
async fn reseal_own_row<R: Replica>(admin: &Admin<R>, sealing: &str, deadline: Instant) -> Result<(), Refused> {
    let cluster = admin.replica.view().cluster().unwrap_or_default();
    if sealing_key(&cluster.sealed_lookup_key) == sealing {
        return Ok(());
    }
    let resealed =
        reseal_cluster(admin.tools.secrets.keys(), sealing, &cluster.sealed_ca_key, &cluster.sealed_lookup_key);
    let (sealed_ca_key, sealed_lookup_key) =
        resealed.map_err(|failure| Refused::new(Reason::Unavailable, failure.to_string()))?;
    let reseal = Reseal { key_id: sealing.to_owned(), sealed_ca_key, sealed_lookup_key, ..Reseal::default() };
    put(admin, reseal, deadline).await
}

async fn put<R: Replica>(admin: &Admin<R>, reseal: Reseal, deadline: Instant) -> Result<(), Refused> {
    let reseal = Reseal { stamp: Some(stamp(admin)), ..reseal };
    let command = Command { kind: Some(command::Kind::Reseal(reseal)) };
    here(&admin.replica, command, deadline).await.map(drop)
}

/// Of what no one asked for, and what may be done twice.
fn stamp<R: Replica>(admin: &Admin<R>) -> Stamp {
    let actor = format!("node:{}", admin.about.node_id);
    Stamp { actor, time_ms: now_ms(admin.replica.view().stamp()), ..Stamp::default() }
}

impl Secrets {
    /// The document of an API key with its value sealed with the cluster key `sealing`.
    fn reseal(&self, sealing: &str, key: &ApiKey) -> Result<Bytes, Refused> {
        let value = self.open(&key.id, key.sealed_value.as_deref().unwrap_or_default())?;
        let sealed_value = Some(self.seal(sealing, &key.id, &value)?);
        Ok(ApiKey { sealed_value, ..key.clone() }.encode_to_vec().into())
    }
}
