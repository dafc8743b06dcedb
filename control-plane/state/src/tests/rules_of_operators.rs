//! Rules of operators, case by case.

use bytes::Bytes;
use sluice_proto::raft::{
    ChangeOperator, CreateOperator, DeleteOperator, FoundCluster, Operator, OperatorCertificate, command::Kind,
    rejected::Code,
};

use super::cluster::*;
use crate::MemoryTables;

fn create(name: &str, role: &str, expires_ms: u64) -> Kind {
    let operator = Operator {
        name: name.to_owned(),
        role: role.to_owned(),
        token_hash: hash_of(name),
        expires_ms,
        ..Operator::default()
    };
    Kind::CreateOperator(CreateOperator { stamp: None, operator: Some(operator) })
}

fn hash_of(token: &str) -> Bytes {
    Bytes::copy_from_slice(sluice_model::Digest::of(token.as_bytes()).as_bytes())
}

fn delete(name: &str) -> Kind {
    Kind::DeleteOperator(DeleteOperator { stamp: None, name: name.to_owned() })
}

fn change(name: &str, token: Option<&str>, serial: Option<&str>) -> Kind {
    let certificate = serial.map(|serial| OperatorCertificate { serial: serial.to_owned(), expires_ms: 9 });
    let token_hash = token.map(hash_of);
    Kind::ChangeOperator(ChangeOperator { stamp: None, name: name.to_owned(), token_hash, certificate })
}

/// A cluster whose first operator has a token.
fn founded() -> Cluster {
    let mut cluster = Cluster { tables: MemoryTables::new(), ..Cluster::founded() };
    done(cluster.apply(Kind::FoundCluster(FoundCluster {
        cluster_id: "c1".to_owned(),
        generation: "g1".to_owned(),
        bootstrap_token_hash: hash_of("bootstrap"),
        ..FoundCluster::default()
    })));
    cluster
}

#[test]
fn an_operator_is_found_by_name_and_by_the_one_token_it_has() {
    let mut cluster = founded();
    done(cluster.apply(create("ann", "viewer", 0)));
    assert_eq!(code(cluster.apply(create("ann", "admin", 0))), Code::AlreadyExists);
    assert_eq!(code(cluster.apply(create("bootstrap", "admin", 0))), Code::AlreadyExists);
    assert_eq!(code(cluster.apply(create("bob", "boss", 0))), Code::Invalid);
    assert_eq!(code(cluster.apply(create("a/b", "viewer", 0))), Code::Invalid);
    assert_eq!(cluster.view().operator_of_token(&hash_of("ann")).unwrap().name, "ann");
    done(cluster.apply(change("ann", Some("new"), None)));
    assert_eq!(cluster.view().operator_of_token(&hash_of("ann")), None);
    done(cluster.apply(change("ann", None, Some("0a"))));
    let ann = cluster.view().operator_of_token(&hash_of("new")).unwrap();
    assert_eq!((ann.role.as_str(), ann.certificate_serial.as_str(), ann.token_made_ms > 0), ("viewer", "0a", true));
    assert_eq!(code(cluster.apply(change("bob", Some("x"), None))), Code::NotFound);
    done(cluster.apply(delete("ann")));
    assert_eq!(cluster.view().operator_of_token(&hash_of("new")), None);
    assert!(cluster.view().operators().is_empty());
    assert_eq!(code(cluster.apply(delete("ann"))), Code::NotFound);
    assert_eq!(cluster.view().number(), 0, "data nodes see nothing of it");
}

#[test]
fn the_last_admin_who_does_not_expire_cannot_be_deleted() {
    let mut cluster = founded();
    done(cluster.apply(create("dep", "deployer", 0)));
    done(cluster.apply(create("tim", "admin", cluster.now_ms + 60_000)));
    let before = cluster.tables.clone();
    assert_eq!(code(cluster.apply(delete("bootstrap"))), Code::Invalid);
    assert!(cluster.view().cluster() == crate::View(&before).cluster(), "a refusal leaves nothing");
    done(cluster.apply(create("ann", "admin", 0)));
    done(cluster.apply(delete("bootstrap")));
    assert!(cluster.view().cluster().unwrap().bootstrap_token_hash.is_empty());
    assert_eq!(code(cluster.apply(delete("bootstrap"))), Code::NotFound);
    assert_eq!(code(cluster.apply(change("bootstrap", Some("x"), None))), Code::NotFound);
    assert_eq!(code(cluster.apply(delete("ann"))), Code::Invalid);
    done(cluster.apply(create("bob", "admin", 0)));
    done(cluster.apply(delete("ann")));
    for other in ["tim", "dep"] {
        done(cluster.apply(delete(other)));
    }
    assert_eq!(code(cluster.apply(delete("bob"))), Code::Invalid);
}

#[test]
fn who_is_no_lasting_admin_goes_even_where_there_is_none() {
    let mut cluster = Cluster::founded();
    done(cluster.apply(create("dep", "deployer", 0)));
    done(cluster.apply(delete("dep")));
}

#[test]
fn the_token_of_the_founding_is_rotated_as_any_other_and_has_no_certificate() {
    let mut cluster = founded();
    done(cluster.apply(change("bootstrap", Some("new"), None)));
    assert_eq!(cluster.view().cluster().unwrap().bootstrap_token_hash, hash_of("new"));
    assert_eq!(code(cluster.apply(change("bootstrap", None, Some("0a")))), Code::Invalid);
}
