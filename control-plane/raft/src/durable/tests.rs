use proptest::prelude::*;

use super::*;

fn log_ids() -> impl Strategy<Value = LogId> {
    (any::<u64>(), any::<u64>(), any::<u64>())
        .prop_map(|(term, node_id, index)| LogId::new(LeaderId { term, node_id }, index))
}

fn memberships() -> impl Strategy<Value = Membership> {
    let members = proptest::collection::btree_map(1..9_u64, "[a-z]{1,8}:[0-9]{1,5}", 1..8);
    (members, any::<bool>()).prop_map(|(members, joint)| {
        let voters: BTreeSet<u64> = members.keys().copied().take(5).collect();
        let first = members.keys().copied().take(1).collect();
        let configs = if joint { vec![voters, first] } else { vec![voters] };
        let nodes: BTreeMap<u64, BasicNode> =
            members.into_iter().map(|(id, address)| (id, BasicNode::new(address))).collect();
        Membership::new(configs, nodes).unwrap()
    })
}

fn entries() -> impl Strategy<Value = Entry> {
    let payload = prop_oneof![
        Just(EntryPayload::Blank),
        proptest::collection::vec(any::<u8>(), 0..64)
            .prop_map(|bytes| EntryPayload::Normal(EncodedCommand(bytes.into()))),
        memberships().prop_map(EntryPayload::Membership),
    ];
    (log_ids(), payload).prop_map(|(log_id, payload)| Entry { log_id, payload })
}

fn comes_back<T: Durable + PartialEq + std::fmt::Debug>(value: &T) {
    assert_eq!(&T::decode(value.encode()).unwrap(), value);
}

proptest! {
    #[test]
    fn entries_come_back_as_they_were(entry in entries()) {
        comes_back(&entry);
    }

    #[test]
    fn votes_come_back_as_they_were(term in any::<u64>(), node_id in any::<u64>(), committed in any::<bool>()) {
        comes_back(&Vote { leader_id: LeaderId { term, node_id }, committed });
    }

    #[test]
    fn memberships_and_snapshots_come_back_as_they_were(
        last_log_id in proptest::option::of(log_ids()),
        stored in proptest::option::of(log_ids()),
        membership in memberships(),
    ) {
        let last_membership = StoredMembership::new(stored, membership);
        comes_back(&last_membership);
        comes_back(&SnapshotMeta { last_log_id, last_membership });
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Entry::decode(bytes.clone());
        let _ = SnapshotMeta::decode(bytes);
    }

    #[test]
    fn names_of_snapshots_sort_as_their_indexes(one in log_ids(), other in log_ids()) {
        let (name, other_name) = (snapshot_name(Some(&one)), snapshot_name(Some(&other)));
        prop_assert_eq!(one.index < other.index, one.index != other.index && name < other_name);
    }
}

#[test]
fn the_first_log_id_is_not_none() {
    comes_back(&SnapshotMeta {
        last_log_id: Some(LogId::new(LeaderId { term: 0, node_id: 0 }, 0)),
        last_membership: StoredMembership::default(),
    });
    comes_back(&SnapshotMeta::default());
}

#[test]
fn an_entry_without_a_part_is_refused() {
    let whole = message::Entry {
        log_id: Some(message::LogId::default()),
        payload: Some(message::entry::Payload::Blank(message::Blank {})),
    };
    assert!(Entry::from_message(whole.clone()).is_ok());
    assert!(Entry::from_message(message::Entry { log_id: None, ..whole.clone() }).is_err());
    assert!(Entry::from_message(message::Entry { payload: None, ..whole }).is_err());
    let members = vec![message::Member { node_id: 1, address: "a:1".to_owned() }];
    let configs = vec![message::VoterSet { node_ids: vec![1, 2] }];
    assert!(Membership::from_message(message::Membership { configs, members }).is_err());
}
