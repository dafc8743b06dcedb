//! The search for an order, after Wing and Gong with the memory of Lowe: a set of operations that are done and the value
//! they leave is looked at once.
//!
//! Operations that leave the key as it is and fit are taken as soon as they may be: taking them later opens nothing. So
//! only writes branch.

use std::collections::{BTreeMap, HashSet};

use super::{Kind, Operation, Value, Version, Violation, Written};

/// What the key is.
type State = Option<Value>;

/// Which operations are in the order so far, a bit each.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Taken(Vec<u64>);

impl Taken {
    fn none_of(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn has(&self, index: usize) -> bool {
        self.0[index / 64] & (1 << (index % 64)) != 0
    }

    fn take(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }
}

/// A place in the search.
#[derive(Clone)]
struct Place {
    taken: Taken,
    state: State,
    /// Every operation before this one that was answered is taken.
    first: usize,
}

/// Looks for an order of `operations`, which are sorted by their calls.
pub(super) fn order(operations: &[Operation], versions: &BTreeMap<Value, Version>) -> Result<(), Violation> {
    let open: Vec<usize> = (0..operations.len()).filter(|index| operations[*index].ended.is_none()).collect();
    let mut seen = HashSet::new();
    let mut places = vec![Place { taken: Taken::none_of(operations.len()), state: None, first: 0 }];
    let mut furthest = (0, None);
    while let Some(mut place) = places.pop() {
        let candidates = loop {
            place.advance(operations);
            if place.first == operations.len() {
                return Ok(());
            }
            let candidates = place.candidates(operations, &open);
            let quiet = |index: &&usize| outcome(&operations[**index].kind, place.state, versions) == Some(place.state);
            match candidates.iter().find(quiet) {
                Some(index) => place.taken.take(*index),
                None => break candidates,
            }
        };
        if place.first >= furthest.0 {
            furthest = (place.first, Some(place.state));
        }
        if !seen.insert((place.taken.clone(), place.state)) {
            continue;
        }
        // The last is looked at first: what was answered before what never was, which most often is not needed.
        for index in candidates.into_iter().rev() {
            if let Some(state) = outcome(&operations[index].kind, place.state, versions) {
                let mut next = Place { state, ..place.clone() };
                next.taken.take(index);
                places.push(next);
            }
        }
    }
    let (first, state) = furthest;
    let problem = format!("no order goes on when the key is {:?}", state.flatten());
    Err(Violation { stuck: operations[first].clone(), problem })
}

impl Place {
    /// Passes over what is taken, and over what was never answered: it need not be taken.
    fn advance(&mut self, operations: &[Operation]) {
        while self.first < operations.len() && (self.taken.has(self.first) || operations[self.first].ended.is_none()) {
            self.first += 1;
        }
    }

    /// What may come next: whatever was called before any other that is left was answered.
    fn candidates(&self, operations: &[Operation], open: &[usize]) -> Vec<usize> {
        let mut candidates = Vec::new();
        let mut soonest = u64::MAX;
        for (index, operation) in operations.iter().enumerate().skip(self.first) {
            if operation.called > soonest {
                break;
            }
            if let Some(ended) = operation.ended.filter(|_| !self.taken.has(index)) {
                soonest = soonest.min(ended);
                candidates.push(index);
            }
        }
        let may = |index: &&usize| operations[**index].called <= soonest && !self.taken.has(**index);
        candidates.extend(open.iter().filter(may));
        candidates
    }
}

/// What the key is after an operation; none when the answer does not fit. One without an answer is asked for its effect:
/// where it would have none it need not be taken.
fn outcome(kind: &Kind, state: State, versions: &BTreeMap<Value, Version>) -> Option<State> {
    let has = |version: Version| state.and_then(|value| versions.get(&value)) == Some(&version);
    match kind {
        Kind::Create(value, Some(Written::Done(_)) | None) => state.is_none().then_some(Some(*value)),
        Kind::Create(_, Some(Written::Exists)) => state.is_some().then_some(state),
        Kind::Update(value, expected, Some(Written::Done(_)) | None) => has(*expected).then_some(Some(*value)),
        Kind::Update(_, expected, Some(Written::Changed)) => (state.is_some() && !has(*expected)).then_some(state),
        Kind::Delete(Some(Written::Done(_)) | None) => state.is_some().then_some(None),
        Kind::Update(_, _, Some(Written::Missing)) | Kind::Delete(Some(Written::Missing)) => {
            state.is_none().then_some(state)
        }
        Kind::Read(found) => (found.map(|(value, _)| value) == state).then_some(state),
        // An answer that this question has not.
        Kind::Create(..) | Kind::Update(..) | Kind::Delete(_) => None,
    }
}
