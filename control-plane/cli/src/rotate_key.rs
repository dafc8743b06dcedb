//! `cluster rotate-key`: begins a rotation of the cluster key, or finds one, and waits for its end.

use std::time::{Duration, Instant};

use serde_json::json;
use sluice_proto::admin::{RotateKeyReply, RotateKeyRequest};
use sluice_rpc::admin::cluster_client::ClusterClient;

use crate::{
    cluster::ask_status,
    failure::{Exit, Failure},
    session::Session,
    upload,
};

/// Between two looks at how far it is.
const ASK_EVERY: Duration = Duration::from_millis(200);

pub(crate) async fn run(session: &Session, wait: Duration) -> Result<(), Failure> {
    let give_up = Instant::now() + wait;
    let message = RotateKeyRequest { request_id: session.requests.next() };
    let begun = session
        .client
        .call(session.timeout, message, async |channel, request| ClusterClient::new(channel).rotate_key(request).await)
        .await?;
    let RotateKeyReply { key_id, under_way, nodes_without, .. } = &begun;
    if *under_way {
        session.output.note(&format!("a rotation to key {key_id} was begun earlier; this waits for its end"));
    }
    if !nodes_without.is_empty() {
        let names = nodes_without.join(", ");
        session.output.note(&format!("not reached: {names}; they get the new key when they are back"));
    }
    ended(session, give_up, &begun).await?;
    let value = json!({"rotated": {"keyId": key_id, "oldKeyId": begun.old_key_id, "nodesWithout": nodes_without}});
    session
        .output
        .either(&value, &format!("rotated the cluster key: {key_id} seals, {} is forgotten", begun.old_key_id));
    Ok(())
}

/// Waits until nothing is sealed with the old key. A cluster that elects a leader meanwhile is asked again.
async fn ended(session: &Session, give_up: Instant, begun: &RotateKeyReply) -> Result<(), Failure> {
    let bar = upload::bar(session.output);
    let mut most = 0;
    loop {
        let asked = ask_status(session).await;
        match &asked {
            Ok(status) if status.old_key_id.is_empty() => break,
            Ok(status) => {
                if let Some(left) = status.sealed_with_old_key {
                    most = most.max(left);
                    bar.set_length(most);
                    bar.set_position(most - left);
                }
            }
            Err(failure) if failure.exit == Exit::Unknown => {}
            Err(_) => {
                asked?;
            }
        }
        if Instant::now() >= give_up {
            let message = format!(
                "key {} seals, but values sealed with {} are left; the cluster goes on, and the same command waits again",
                begun.key_id, begun.old_key_id
            );
            return Err(Failure::new(Exit::NotServed, "not-ended", message));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    bar.finish_and_clear();
    Ok(())
}
