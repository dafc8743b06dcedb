//! What `grpcurl` asks before it can call anything, from a caller that states nothing about itself.

use std::collections::BTreeSet;

use prost::Message as _;
use sluice_e2e::cluster::Cluster;
use sluice_proto::admin::{CreateTokenRequest, ListTokensRequest};
use sluice_rpc::admin::cluster_client::ClusterClient;
use tonic::transport::Channel;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_metadata_lists_describes_and_calls_as_local() {
    let cluster = Cluster::start(1, &[]).await;
    let channel = Channel::from_shared(cluster.url(0)).unwrap().connect().await.unwrap();
    let MessageResponse::ListServicesResponse(listed) =
        ask(&channel, MessageRequest::ListServices(String::new())).await
    else {
        panic!("a list of services answers a question for one");
    };
    let names: BTreeSet<_> = listed.service.into_iter().map(|service| service.name).collect();
    for service in ["Config", "Apis", "Keys", "Fleet", "Cluster"] {
        let name = format!("sluice.admin.v1.{service}");
        assert!(names.contains(&name), "{name} is not in {names:?}");
        assert!(describes(&channel, &name).await, "{name} is not described");
    }
    assert!(describes(&channel, "sluice.admin.v1.ChangeRequest").await, "messages are described too");

    let mut client = ClusterClient::new(channel);
    let request = CreateTokenRequest { role: "data".into(), ..CreateTokenRequest::default() };
    let made = client.create_token(request).await.unwrap().into_inner();
    let tokens = client.list_tokens(ListTokensRequest::default()).await.unwrap().into_inner().items;
    let token = tokens.iter().find(|token| token.id == made.id).unwrap();
    assert_eq!(token.created_by, "local", "an operator on plaintext loopback is `local`");
}

/// Whether the file that defines `symbol` is answered, and really defines it.
async fn describes(channel: &Channel, symbol: &str) -> bool {
    let answer = ask(channel, MessageRequest::FileContainingSymbol(symbol.to_owned())).await;
    let MessageResponse::FileDescriptorResponse(files) = answer else { return false };
    let short = symbol.rsplit('.').next().unwrap();
    files.file_descriptor_proto.iter().any(|file| {
        let file = prost_types::FileDescriptorProto::decode(&**file).unwrap();
        let services = file.service.iter().map(|service| service.name());
        services.chain(file.message_type.iter().map(|message| message.name())).any(|name| name == short)
    })
}

async fn ask(channel: &Channel, question: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let mut client = ServerReflectionClient::new(channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    answers.message().await.unwrap().unwrap().message_response.unwrap()
}
