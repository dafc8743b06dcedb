//! Joins of a plaintext cluster on this machine whose answers are scripted.

use std::{
    collections::VecDeque,
    future::pending,
    path::Path,
    sync::{Arc, Mutex},
};

use sluice_proto::admin::{
    CreateTokenReply, DemoteRequest, ListTokensReply, ListTokensRequest, MembersReply, PromoteRequest,
    RemoveNodeRequest, RenewReply, RenewRequest, RevokeTokenReply, RevokeTokenRequest, RotateKeyReply,
    RotateKeyRequest, StatusReply, StatusRequest, TransferLeaderReply, TransferLeaderRequest,
};
use sluice_rpc::admin::cluster_server::{Cluster, ClusterServer};
use tonic::Response;

use super::*;
use crate::{Door, Listener, grpc_server};

/// A control node that answers joins as it is told, and remembers them.
#[derive(Clone, Default)]
struct Scripted {
    answers: Arc<Mutex<VecDeque<Result<JoinReply, Status>>>>,
    seen: Arc<Mutex<Vec<JoinRequest>>>,
}

impl Scripted {
    /// Serves; its address.
    async fn serve(&self) -> String {
        let identity = Identity::plaintext("c1", NodeRole::Control, "n1");
        let listener = Listener::bind("127.0.0.1:0", Door::Admin, &identity, Plaintext::LoopbackOnly).await.unwrap();
        let address = listener.local_address().to_string();
        let router = grpc_server().add_service(ClusterServer::new(self.clone()));
        tokio::spawn(router.serve_with_incoming_shutdown(listener.incoming(), pending()));
        address
    }

    fn answer(&self, answer: Result<JoinReply, Status>) {
        self.answers.lock().unwrap().push_back(answer);
    }

    /// The request ids of the joins that came.
    fn request_ids(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().iter().map(|join| join.request_id.clone()).collect()
    }
}

#[tonic::async_trait]
impl Cluster for Scripted {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn create_token(&self, request: Request<CreateTokenRequest>) -> Result<Response<CreateTokenReply>, Status> {
        let key = ClusterKey::generate().unwrap();
        let request = ("local", &request.get_ref().request_id[..]);
        let token = JoinToken::of_request(&key, request, "c1", NodeRole::Data, None);
        Ok(Response::new(CreateTokenReply { token: token.to_text().expose().clone(), ..CreateTokenReply::default() }))
    }

    async fn list_tokens(&self, _: Request<ListTokensRequest>) -> Result<Response<ListTokensReply>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn revoke_token(&self, _: Request<RevokeTokenRequest>) -> Result<Response<RevokeTokenReply>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn rotate_key(&self, _: Request<RotateKeyRequest>) -> Result<Response<RotateKeyReply>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinReply>, Status> {
        self.seen.lock().unwrap().push(request.into_inner());
        self.answers.lock().unwrap().pop_front().expect("an answer for each join").map(Response::new)
    }

    async fn promote(&self, _: Request<PromoteRequest>) -> Result<Response<MembersReply>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn demote(&self, _: Request<DemoteRequest>) -> Result<Response<MembersReply>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn remove_node(&self, _: Request<RemoveNodeRequest>) -> Result<Response<MembersReply>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn transfer_leader(
        &self,
        _: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderReply>, Status> {
        Ok(Response::new(Default::default()))
    }
}

async fn joined(address: &str, folder: &Path, token: Option<&JoinToken>) -> Result<Joined, IdentityFailure> {
    let request = Join {
        control: &[address.to_owned()],
        token,
        role: NodeRole::Data,
        node: Node::default(),
        folder,
        plaintext: Plaintext::LoopbackOnly,
        patience: Duration::ZERO,
    };
    join(request, |_| Ok(())).await
}

fn admitted() -> JoinReply {
    JoinReply { cluster_id: "c1".into(), node_id: "d1".into(), ..JoinReply::default() }
}

#[tokio::test]
async fn an_attempt_that_is_refused_for_good_is_forgotten_and_the_next_start_makes_another() {
    let control = Scripted::default();
    let address = control.serve().await;
    for refusal in [
        Status::unauthenticated("the join token is not accepted"),
        Status::failed_precondition("this request id is older than what is remembered"),
        Status::invalid_argument("csrPem: expected a request"),
        Status::already_exists("node d1 already exists"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        control.answer(Err(refusal.clone()));
        let failure = joined(&address, folder.path(), None).await.unwrap_err().to_string();
        for words in [refusal.message(), "start the node again"] {
            assert!(failure.contains(words), "{words} in {failure}");
        }
        assert!(!folder.path().join(JOINING_FILE).exists());
        control.answer(Ok(admitted()));
        assert_eq!(joined(&address, folder.path(), None).await.unwrap().identity.node_id, "d1");
        let asked = control.request_ids();
        assert_ne!(asked[asked.len() - 2], asked[asked.len() - 1], "another attempt");
    }
}

#[tokio::test]
async fn with_a_token_a_refused_node_is_told_to_bring_another() {
    let control = Scripted::default();
    let address = control.serve().await;
    let folder = tempfile::tempdir().unwrap();
    let token = JoinToken::of_request(&ClusterKey::generate().unwrap(), ("local", b"1"), "c1", NodeRole::Data, None);
    control.answer(Err(Status::unauthenticated("the join token is not accepted")));
    let failure = joined(&address, folder.path(), Some(&token)).await.unwrap_err().to_string();
    assert!(failure.contains("sluice cluster token create --role data"), "{failure}");
}

#[tokio::test]
async fn an_attempt_without_an_answer_is_the_same_when_it_is_repeated() {
    let control = Scripted::default();
    let address = control.serve().await;
    let folder = tempfile::tempdir().unwrap();
    // Whether it was taken is not known, or may be otherwise next time.
    for silence in [Status::unavailable("no leader"), Status::resource_exhausted("busy"), Status::internal("a defect")]
    {
        control.answer(Err(silence));
        joined(&address, folder.path(), None).await.unwrap_err();
        assert!(folder.path().join(JOINING_FILE).exists());
    }
    control.answer(Ok(admitted()));
    joined(&address, folder.path(), None).await.unwrap();
    let asked = control.request_ids();
    assert!(asked.iter().all(|id| *id == asked[0]), "{asked:?}");
    assert!(!folder.path().join(JOINING_FILE).exists());
}
