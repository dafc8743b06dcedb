//! `Config.Export`: objects as `Apply` reads them.

use sluice_proto::{
    admin::{ExportReply, ExportRequest},
    raft::Table,
};
use sluice_state::{Tables, View};
use tonic::Response;

use crate::{
    admin::Admin,
    call::Call,
    config::{PageToken, fresh_view},
    files::{EXPORTED_KINDS, exported},
    nearest::did_you_mean,
    read,
    refused::{Reason, Refused},
    replica::Replica,
};

/// Exports one object, or a page of a kind.
pub(super) async fn export<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: ExportRequest,
) -> Result<Response<ExportReply>, Refused> {
    let kinds = EXPORTED_KINDS.map(|(kind, _)| kind);
    let Some((kind, table)) = EXPORTED_KINDS.into_iter().find(|(kind, _)| *kind == message.kind) else {
        let text = format!("expected one of {}, found `{}`", kinds.join(", "), message.kind);
        return Err(Refused::invalid("kind", text, did_you_mean(&message.kind, kinds)));
    };
    let size = read::page_size(message.page_size)?;
    let after = PageToken::parse(message.page_token.as_deref())?.map(|token| token.0);
    let view = fresh_view(&admin.replica, call, message.stale).await?;
    let (stale, number) = (message.stale, view.number());
    let exporting = tokio::task::spawn_blocking(move || page(&view, kind, table, message.name, after, size));
    let reply =
        exporting.await.map_err(|error| Refused::new(Reason::Unavailable, format!("exporting ended: {error}")))?;
    Ok(admin.answer(stale, number, reply?))
}

fn page<T: Tables>(
    view: &View<T>,
    kind: &str,
    table: Table,
    name: Option<String>,
    after: Option<Vec<String>>,
    size: usize,
) -> Result<ExportReply, Refused> {
    if let Some(name) = name {
        let id = one(view, kind, table, &name)?;
        let object = exported(view, kind, &id);
        return Ok(ExportReply { objects: object.into_iter().collect(), next_page_token: String::new() });
    }
    let page = view.list::<&str>(table, &[], after.as_deref(), size);
    let next = page.items.last().filter(|_| page.more).map(|(key, _)| PageToken(key.clone()).to_text());
    let objects = page.items.iter().filter_map(|(key, _)| exported(view, kind, &key[0])).collect();
    Ok(ExportReply { objects, next_page_token: next.unwrap_or_default() })
}

/// The id of the one object that is called `name`, by id or name.
fn one<T: Tables>(view: &View<T>, kind: &str, table: Table, name: &str) -> Result<String, Refused> {
    if !name.contains('/') && read::exists(view, table, &[name.to_owned()]) {
        return Ok(name.to_owned());
    }
    let mut ids = read::named_so(view, table, name);
    match ids.len() {
        1 => Ok(ids.remove(0)),
        0 => Err(Refused::not_found(format!("there is no {kind} with the id or name `{name}`"))),
        many => {
            let message = format!("{many} objects of kind {kind} are named `{name}`: {}", ids.join(", "));
            Err(Refused::invalid("name", message, "name one of them by its id"))
        }
    }
}
