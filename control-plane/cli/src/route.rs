//! `route`: path and verb of every method of an API.

use clap::Subcommand;
use serde_json::{Value, json};
use sluice_proto::admin::{ListRoutesRequest, RouteLine};
use sluice_rpc::admin::apis_client::ApisClient;

use crate::{
    api::API,
    args::Page,
    failure::Failure,
    noun::pages,
    session::Session,
    table::{Column, column},
};

const COLUMNS: [Column; 6] = [
    column("METHOD", "httpMethod"),
    column("PATH", "path"),
    column("INTEGRATION", "type"),
    column("URI", "uri"),
    column("KEY", "apiKeyRequired"),
    column("AUTHORIZATION", "authorizationType"),
];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the routes of an API, sorted by path
    #[command(after_help = "Example:\n  sluice route list pets --all")]
    List {
        /// Id or name of the API
        api: String,
        #[command(flatten)]
        page: Page,
    },
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self::List { api, page } = self;
        let session = &session.reading(page.freshness);
        let api_id = session.id_of(&API, &api).await?;
        pages(session, &COLUMNS, &page, async |page_size, page_token| {
            let stale = session.freshness.stale;
            let message = ListRoutesRequest { api_id: api_id.clone(), page_size, page_token, stale };
            let reply = session
                .client
                .read(session.timeout, message, async |channel, request| {
                    ApisClient::new(channel).list_routes(request).await
                })
                .await?;
            Ok((reply.items.iter().map(route_json).collect(), reply.next_page_token))
        })
        .await
    }
}

fn route_json(route: &RouteLine) -> Value {
    json!({
        "path": route.path,
        "httpMethod": route.http_method,
        "resourceId": route.resource_id,
        "type": route.integration_type,
        "uri": route.uri,
        "apiKeyRequired": route.api_key_required,
        "authorizationType": route.authorization_type,
        "operationName": route.operation_name,
    })
}
