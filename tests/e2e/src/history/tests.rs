use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::*;

fn at(called: u64, ended: u64, kind: Kind) -> Operation {
    Operation { called, ended: Some(ended), kind }
}

fn open(called: u64, kind: Kind) -> Operation {
    Operation { called, ended: None, kind }
}

fn created(value: Value, version: Version) -> Kind {
    Kind::Create(value, Some(Written::Done(version)))
}

fn updated(value: Value, expected: Version, version: Version) -> Kind {
    Kind::Update(value, expected, Some(Written::Done(version)))
}

const DELETED: Kind = Kind::Delete(Some(Written::Done(0)));

fn found(value: Value, version: Version) -> Kind {
    Kind::Read(Some((value, version)))
}

#[test]
fn one_after_the_other_is_accepted() {
    let history = vec![
        at(1, 2, Kind::Read(None)),
        at(3, 4, created(1, 10)),
        at(5, 6, Kind::Create(2, Some(Written::Exists))),
        at(7, 8, updated(3, 10, 11)),
        at(9, 10, Kind::Update(4, 10, Some(Written::Changed))),
        at(11, 12, found(3, 11)),
        at(13, 14, DELETED),
        at(15, 16, Kind::Update(5, 11, Some(Written::Missing))),
        at(17, 18, Kind::Delete(Some(Written::Missing))),
        at(19, 20, Kind::Read(None)),
    ];
    assert_eq!(check(history), Ok(()));
}

#[test]
fn at_the_same_time_either_may_be_first() {
    for seen in [Kind::Read(None), found(1, 10)] {
        assert_eq!(check(vec![at(1, 10, created(1, 10)), at(2, 9, seen)]), Ok(()));
    }
    // Two that read both sides of one write must agree on its place.
    let history = |first, second| check(vec![at(1, 20, created(1, 10)), at(2, 4, first), at(5, 7, second)]);
    assert_eq!(history(Kind::Read(None), found(1, 10)), Ok(()));
    assert!(history(found(1, 10), Kind::Read(None)).is_err(), "what was seen is gone again");
}

#[test]
fn a_stale_read_is_rejected() {
    let history = vec![at(1, 2, created(1, 10)), at(3, 4, updated(2, 10, 11)), at(5, 6, found(1, 10))];
    let violation = check(history).unwrap_err();
    assert_eq!(violation.stuck.called, 5, "{violation}");
    assert!(check(vec![at(1, 2, created(1, 10)), at(3, 4, Kind::Read(None))]).is_err());
}

#[test]
fn a_lost_update_and_a_double_winner_are_rejected() {
    let both = vec![at(1, 2, created(1, 10)), at(3, 9, updated(2, 10, 11)), at(4, 8, updated(3, 10, 12))];
    assert!(check(both).is_err(), "one version is replaced once");
    let makers = vec![at(1, 9, created(1, 10)), at(2, 8, created(2, 11))];
    assert!(check(makers).is_err(), "a key is made once");
    let twice = vec![at(1, 2, created(1, 10)), at(3, 4, DELETED), at(5, 6, DELETED)];
    assert!(check(twice).is_err(), "a key is deleted once");
}

#[test]
fn a_refusal_must_have_had_its_reason() {
    assert!(check(vec![at(1, 2, Kind::Create(1, Some(Written::Exists)))]).is_err());
    let history = vec![at(1, 2, created(1, 10)), at(3, 4, Kind::Update(2, 10, Some(Written::Changed)))];
    assert!(check(history).is_err(), "the version was the expected one");
    let history = vec![at(1, 2, created(1, 10)), at(3, 4, Kind::Update(2, 10, Some(Written::Missing)))];
    assert!(check(history).is_err());
}

#[test]
fn an_unknown_outcome_may_come_late_or_never_but_not_early() {
    let late = vec![open(1, Kind::Create(1, None)), at(2, 3, Kind::Read(None)), at(4, 5, found(1, 10))];
    assert_eq!(check(late), Ok(()));
    assert_eq!(check(vec![open(1, Kind::Create(1, None)), at(2, 3, Kind::Read(None))]), Ok(()));
    let early = vec![at(1, 2, found(1, 10)), open(3, Kind::Create(1, None))];
    assert!(check(early).is_err(), "nothing has an effect before it is asked");
    let gone = vec![
        open(1, Kind::Create(1, None)),
        at(2, 3, found(1, 10)),
        at(4, 5, Kind::Read(None)),
        at(6, 7, found(1, 10)),
    ];
    assert!(check(gone).is_err(), "it has its effect once");
}

#[test]
fn a_value_with_two_versions_is_rejected() {
    assert!(check(vec![at(1, 2, created(1, 10)), at(3, 4, found(1, 11))]).is_err());
    assert!(check(vec![at(1, 2, created(1, 10)), at(3, 4, updated(2, 10, 10))]).is_err());
}

/// Histories of one register that is right, with answers that come late, some never; and the same with one read changed.
#[test]
fn what_a_register_answers_is_accepted_and_an_answer_that_it_did_not_give_is_rejected() {
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut history = registered(&mut random, 300);
        assert_eq!(check(history.clone()), Ok(()), "seed {seed}");
        let reads: Vec<usize> =
            (0..history.len()).filter(|index| matches!(history[*index].kind, Kind::Read(Some(_)))).collect();
        if let Some(changed) = reads.get(random.random_range(0..reads.len().max(1))) {
            // A value that nobody wrote.
            history[*changed].kind = found(u64::MAX, u64::MAX);
            assert!(check(history).is_err(), "seed {seed}");
        }
    }
}

/// Operations that take effect one after the other, each at a moment between its call and its answer.
fn registered(random: &mut StdRng, count: u64) -> Vec<Operation> {
    let mut state: Option<(Value, Version)> = None;
    let mut known = 0;
    (0..count)
        .map(|number| {
            let effect = number * 10 + 1_000;
            let written = Written::Done(effect);
            let lost = random.random_range(0..20) == 0;
            let kind = match (random.random_range(0..6), state) {
                (0, None) => {
                    state = Some((number, effect));
                    Kind::Create(number, Some(written))
                }
                (0, Some(_)) => Kind::Create(number, Some(Written::Exists)),
                (1 | 2, None) => Kind::Update(number, known, Some(Written::Missing)),
                (1 | 2, Some((_, version))) if version == known => {
                    state = Some((number, effect));
                    Kind::Update(number, known, Some(written))
                }
                (1 | 2, Some(_)) => Kind::Update(number, known, Some(Written::Changed)),
                (3, None) => Kind::Delete(Some(Written::Missing)),
                (3, Some(_)) => {
                    state = None;
                    Kind::Delete(Some(Written::Done(0)))
                }
                _ => {
                    known = state.map_or(known, |(_, version)| version);
                    Kind::Read(state)
                }
            };
            let (called, ended) = (effect - random.random_range(1..60), effect + random.random_range(1..60));
            match kind {
                Kind::Create(value, _) if lost => open(called, Kind::Create(value, None)),
                Kind::Update(value, expected, _) if lost => open(called, Kind::Update(value, expected, None)),
                Kind::Delete(_) if lost => open(called, Kind::Delete(None)),
                kind => at(called, ended, kind),
            }
        })
        .collect()
}
