//! `Config.Get`: one document.

use sluice_identity::OperatorRole;
use sluice_proto::{
    admin::{GetReply, GetRequest, Stored},
    model::{Document, document},
};
use tonic::Response;

use crate::{
    admin::Admin,
    audit::record_read,
    call::Call,
    config::fresh_view,
    noun::Noun as _,
    operators::require,
    plan::{described, without_secrets},
    read,
    refused::Refused,
    replica::Replica,
};

/// Reads a document; the value of a key only where it is asked for.
pub(super) async fn get<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: GetRequest,
) -> Result<Response<GetReply>, Refused> {
    let name =
        message.r#ref.ok_or_else(|| Refused::invalid("ref", "expected the name of a document, found none", ""))?;
    let (kind, _) = read::named(&name, "ref")?;
    if message.show_value {
        require(call, OperatorRole::Admin, "the value of an API key")?;
    }
    let view = fresh_view(&admin.replica, call, message.stale).await?;
    let (document, version) = read::document(&view, kind, &name.ids)
        .ok_or_else(|| Refused::not_found(format!("{} does not exist", described(kind, &name.ids))))?;
    let document = match document.kind {
        Some(document::Kind::ApiKey(key)) => {
            let value = match (message.show_value, &key.sealed_value) {
                (true, Some(sealed)) => {
                    record_read(admin, call, format!("show the value of api key {} ({})", key.id, key.name)).await?;
                    Some(admin.tools.secrets.open(&key.id, sealed)?)
                }
                _ => None,
            };
            let mut key = without_secrets(key);
            key.value = value;
            key.into_document()
        }
        kind => Document { kind },
    };
    let stored = Stored { r#ref: Some(name), document: Some(document), version };
    let reply = GetReply { stored: Some(stored), revision: Some(view.revision().into()) };
    Ok(admin.answer(message.stale, view.number(), reply))
}
