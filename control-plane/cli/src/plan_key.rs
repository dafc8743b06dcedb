//! `plan add-key` and `plan remove-key`: which keys are in a plan.

use serde_json::json;
use sluice_proto::{
    admin::{Delete, operation},
    model::{Kind, UsagePlanKey, document},
};

use crate::{
    args::Consent, document::stored_json, failure::Failure, key::KEY, noun::Noun, output::Changed, plan::PLAN,
    session::Session,
};

const PLAN_KEY: Noun = Noun { kind: Kind::UsagePlanKey, word: "membership", id_chars: None, columns: &[], absent: &[] };

/// Puts a key in a plan; one that is there stays there, as a stage does that is attached again.
pub(crate) async fn add(session: &Session, plan: &str, key: &str) -> Result<(), Failure> {
    let (plan_id, key_id) = ids(session, plan, key).await?;
    let member = UsagePlanKey { plan_id: plan_id.clone(), key_id: key_id.clone(), ..UsagePlanKey::default() };
    let reply = match PLAN_KEY.put_new(session, document::Kind::UsagePlanKey(member)).await {
        Ok(reply) => reply,
        Err(failure) if failure.code == "conflict" && failure.message.ends_with("already exists") => {
            let value = json!({"planId": plan_id, "keyId": key_id});
            session.output.either(&value, &format!("key {key} is in plan {plan} already: nothing to do"));
            return Ok(());
        }
        Err(failure) => return Err(failure),
    };
    let what = format!("key {key} to plan {plan}");
    let document = reply.results.first().map(stored_json).unwrap_or_default();
    session.output.changed(Changed { verb: "added", what, document, revision: reply.revision });
    Ok(())
}

/// Takes a key out of a plan, after consent.
pub(crate) async fn remove(session: &Session, plan: &str, key: &str, consent: Consent) -> Result<(), Failure> {
    let (plan_id, key_id) = ids(session, plan, key).await?;
    session.consent(consent, &format!("take key {key} out of plan {plan}"))?;
    let delete = Delete { target: Some(PLAN_KEY.named(&[&plan_id, &key_id])), expected_version: None };
    let reply = session.change(vec![operation::Kind::Delete(delete)]).await;
    let reply = reply.map_err(|failure| match failure.code.as_str() {
        "not-found" => Failure { message: format!("key {key} is not in plan {plan}"), ..failure },
        _ => failure,
    })?;
    let document = json!({"deleted": {"kind": PLAN_KEY.word, "ids": [plan_id, key_id]}});
    let what = format!("key {key} from plan {plan}");
    session.output.changed(Changed { verb: "removed", what, document, revision: reply.revision });
    Ok(())
}

async fn ids(session: &Session, plan: &str, key: &str) -> Result<(String, String), Failure> {
    Ok((session.id_of(&PLAN, plan).await?, session.id_of(&KEY, key).await?))
}
