//! A replica on tables in memory, for tests: apply is the real one, the log is a counter.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sluice_identity::{ClusterKey, Keyring, LOCAL, Operator, OperatorRole, Peer, Sealer, Shown};
use sluice_proto::{
    admin::{
        ChangeReply, ChangeRequest, Delete, Deploy, NodeLine, Operation, Patch, PatchOperation, Put, Stored, WaitReply,
        operation,
    },
    model::{Document, Kind, Ref, Revision, document},
    raft::{
        Command, DrainReply, DrainRequest, ForwardReply, ForwardRequest, FoundCluster, ProposeReply, ProposeRequest,
        SessionReport, SessionReportReply, Stamp, command,
    },
};
use sluice_raft::{Astray, HistoryWindow, Leadership, ProposeFailure, ReadFailure, RewindFailure, RewindTo, Shortage};
use sluice_rpc::admin::config_server::Config as _;
use sluice_state::{Draft, MemoryTables, View};
use tonic::{Request, Status};

use crate::{
    admin::Admin,
    fleet::{Sessions, Wanted},
    noun::Noun,
    refused::{Reason, Refused},
    replica::{Applied, Leader, Replica, Standing, Vote},
    services::{AdminSettings, admin},
};

/// A replica that is always the leader.
#[derive(Clone)]
pub(crate) struct MemoryReplica {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    tables: Arc<MemoryTables>,
    log_index: u64,
    /// Runs once before the next proposal: someone else is faster.
    before_next: Option<Box<dyn FnOnce() + Send>>,
    /// What views show until the next read barrier.
    stale: Option<Arc<MemoryTables>>,
}

impl MemoryReplica {
    pub(crate) fn apply(&self, command: &Command) -> Applied {
        let mut inner = self.inner.lock().unwrap();
        inner.log_index += 1;
        let (tables, log_index) = (inner.tables.clone(), inner.log_index);
        let mut draft = Draft::new(&*tables);
        let applied = sluice_state::apply(&mut draft, log_index, command);
        let writes = draft.into_writes();
        Arc::make_mut(&mut inner.tables).write(writes);
        Applied { outcome: applied.outcome, log_index }
    }

    pub(crate) fn view_number(&self) -> u64 {
        self.view().number()
    }

    pub(crate) fn log_index(&self) -> u64 {
        self.inner.lock().unwrap().log_index
    }

    /// The state as it is now.
    pub(crate) fn tables(&self) -> Arc<MemoryTables> {
        self.inner.lock().unwrap().tables.clone()
    }

    /// Views show `tables`, as on a leader that has not applied all it has, until the next read barrier.
    pub(crate) fn lag_at(&self, tables: Arc<MemoryTables>) {
        self.inner.lock().unwrap().stale = Some(tables);
    }

    /// Does something between the next plan and its proposal.
    pub(crate) fn before_next(&self, action: impl FnOnce() + Send + 'static) {
        self.inner.lock().unwrap().before_next = Some(Box::new(action));
    }
}

impl Replica for MemoryReplica {
    type Tables = Arc<MemoryTables>;

    fn view(&self) -> View<Self::Tables> {
        let inner = self.inner.lock().unwrap();
        View(inner.stale.as_ref().unwrap_or(&inner.tables).clone())
    }

    fn applied_in(_: &View<Self::Tables>) -> Option<u64> {
        None
    }

    fn leader(&self) -> Leader {
        Leader::This
    }

    async fn propose(&self, command: Command, _deadline: Instant) -> Result<Applied, ProposeFailure> {
        let first = self.inner.lock().unwrap().before_next.take();
        if let Some(first) = first {
            first();
        }
        Ok(self.apply(&command))
    }

    async fn read_barrier(&self, _deadline: Instant) -> Result<(), ReadFailure> {
        self.inner.lock().unwrap().stale = None;
        Ok(())
    }

    async fn forward(&self, _: u64, _: ForwardRequest, _: Instant) -> Result<ForwardReply, Status> {
        Err(Status::unavailable("there is no other node"))
    }

    fn standing(&self) -> Standing {
        Standing { raft_id: 1, term: 1, leader: Some(1), ..Standing::default() }
    }

    async fn add_learner(&self, _: u64, _: &str, _: Instant) -> Result<(), Refused> {
        Ok(())
    }

    async fn history(&self) -> Result<HistoryWindow, RewindFailure> {
        Err(RewindFailure::Storage("tables in memory have no past".to_owned()))
    }

    fn rewind(&self, _: RewindTo) -> Result<View<Self::Tables>, RewindFailure> {
        Err(RewindFailure::Storage("tables in memory have no past".to_owned()))
    }

    fn may_change(&self, _: Vote) -> Result<(), Refused> {
        Ok(())
    }

    async fn change_vote(&self, _: Vote, _: Instant) -> Result<(), Refused> {
        Ok(())
    }

    fn disk_shortage(&self) -> Option<Shortage> {
        None
    }

    fn clocks_astray(&self) -> Vec<Astray> {
        Vec::new()
    }

    fn heir(&self) -> Option<u64> {
        None
    }

    async fn hand_over(&self, _: u64, _: Instant) -> Result<Leadership, Refused> {
        Err(Refused::new(Reason::Members, "there is no other node"))
    }

    async fn propose_at(&self, _: u64, _: ProposeRequest, _: Instant) -> Result<ProposeReply, Status> {
        Err(Status::unavailable("there is no other node"))
    }

    async fn drain_at(&self, _: u64, _: DrainRequest, _: Instant) -> Result<DrainReply, Status> {
        Err(Status::unavailable("there is no other node"))
    }
}

/// A call of an operator who may do everything.
pub(crate) fn as_admin<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Peer::operator(&Operator::new(LOCAL, OperatorRole::Admin), Shown::Nothing));
    request
}

/// No data nodes.
pub(crate) struct NoSessions;

#[tonic::async_trait]
impl Sessions for NoSessions {
    fn take_report(&self, _: SessionReport) -> SessionReportReply {
        SessionReportReply::default()
    }

    async fn wait(&self, _: Revision, _: Vec<String>, _: Duration) -> WaitReply {
        WaitReply::default()
    }

    fn nodes(&self) -> Vec<NodeLine> {
        Vec::new()
    }

    fn order(&self, _: &str, _: Wanted) -> bool {
        false
    }

    fn order_this(&self, _: Wanted) {}

    fn place_of(&self, _: &str) -> Option<u64> {
        None
    }

    fn draining(&self) -> Vec<(u64, usize)> {
        Vec::new()
    }
}

/// The services of a cluster that was just founded.
pub(crate) fn founded() -> Admin<MemoryReplica> {
    let cluster_key = ClusterKey::generate().unwrap();
    let sealed_lookup_key = Sealer::new(&cluster_key).seal("lookup-key", &[7; 32]).unwrap();
    let inner = Inner { tables: Arc::default(), log_index: 0, before_next: None, stale: None };
    let replica = MemoryReplica { inner: Arc::new(Mutex::new(inner)) };
    let found = FoundCluster {
        stamp: Some(Stamp { actor: "bootstrap".into(), ..Stamp::default() }),
        cluster_id: "c1".into(),
        generation: "g1".into(),
        sealed_lookup_key,
        plaintext: true,
        ..FoundCluster::default()
    };
    replica.apply(&Command { kind: Some(command::Kind::FoundCluster(found)) });
    admin(
        replica,
        Arc::new(NoSessions),
        AdminSettings {
            node_id: "n1".into(),
            keys: Keyring::of(vec![cluster_key]),
            certificate_lifetime: Duration::from_secs(3600),
        },
    )
}

impl Admin<MemoryReplica> {
    pub(crate) async fn try_change(&self, operations: Vec<Operation>) -> Result<ChangeReply, Status> {
        let request = ChangeRequest { request_id: Vec::new(), operations };
        Ok(self.change(Request::new(request)).await?.into_inner())
    }

    /// One operation that is done.
    pub(crate) async fn done(&self, operation: Operation) -> Stored {
        let reply = self.try_change(vec![operation]).await;
        reply.unwrap_or_else(|status| panic!("{status:?}")).results.remove(0)
    }

    /// One operation that is refused: its code and message.
    pub(crate) async fn refused(&self, operation: Operation) -> (String, String) {
        let status = self.try_change(vec![operation]).await.unwrap_err();
        let details: sluice_proto::admin::ErrorDetails = prost::Message::decode(status.details()).unwrap();
        (details.code, status.message().to_owned())
    }
}

pub(crate) fn put<N: Noun>(document: N) -> Operation {
    let put = Put { document: Some(document.into_document()), expected_version: None };
    Operation { kind: Some(operation::Kind::Put(put)) }
}

pub(crate) fn patch(kind: Kind, ids: &[&str], operations: &[(&str, &str, &str)]) -> Operation {
    let operations = operations.iter().map(|(op, path, value)| PatchOperation {
        op: (*op).to_owned(),
        path: (*path).to_owned(),
        value: (*value).to_owned(),
        from: String::new(),
    });
    let patch = Patch { target: Some(named(kind, ids)), operations: operations.collect(), expected_version: None };
    Operation { kind: Some(operation::Kind::Patch(patch)) }
}

pub(crate) fn delete(kind: Kind, ids: &[&str]) -> Operation {
    let delete = Delete { target: Some(named(kind, ids)), expected_version: None };
    Operation { kind: Some(operation::Kind::Delete(delete)) }
}

pub(crate) fn deploy(api_id: &str, stage: &str) -> Operation {
    let deploy = Deploy { api_id: api_id.into(), stage_name: stage.into(), ..Deploy::default() };
    Operation { kind: Some(operation::Kind::Deploy(deploy)) }
}

pub(crate) fn named(kind: Kind, ids: &[&str]) -> Ref {
    Ref { kind: kind.into(), ids: ids.iter().map(|id| (*id).to_owned()).collect() }
}

/// The id that the last part of a stored row's name is.
pub(crate) fn id_of(stored: &Stored) -> String {
    stored.r#ref.as_ref().unwrap().ids.last().unwrap().clone()
}

macro_rules! unwrapper {
    ($name:ident, $variant:ident, $noun:ty) => {
        pub(crate) fn $name(stored: &Stored) -> $noun {
            match stored.document.clone() {
                Some(Document { kind: Some(document::Kind::$variant(document)) }) => document,
                other => panic!("expected another document, found {other:?}"),
            }
        }
    };
}

unwrapper!(rest_api_of, RestApi, sluice_proto::model::RestApi);
unwrapper!(resource_of, Resource, sluice_proto::model::Resource);
unwrapper!(stage_of, Stage, sluice_proto::model::Stage);
unwrapper!(key_of, ApiKey, sluice_proto::model::ApiKey);
