//! Usage plans and the ids of throttles.
//!
//! Promise: the id of a throttle depends only on what it limits, so that a bucket outlives snapshots and restarts of the
//! control plane. Absent: buckets. Not compiled yet: quotas.

use std::{collections::BTreeMap, sync::Arc};

use sluice_limit::Limit;
use sluice_model::{Digest, part::LookupHash};
use sluice_proto::model::{ThrottleSettings, UsagePlan};

use crate::{
    key::KeyEntry,
    stage::{CompiledStage, Route},
    verb::Verb,
};

/// A usage plan.
#[derive(Debug)]
pub struct CompiledPlan {
    /// Its id.
    pub id: Arc<str>,
    /// Its name.
    pub name: Box<str>,
    id_hash: u128,
    throttle: Option<Limit>,
    stages: BTreeMap<u128, PlanStage>,
}

/// What a plan says about one stage: limits of single methods, by the method's id.
type PlanStage = BTreeMap<ThrottleId, Limit>;

/// A limit and the name of its bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttle {
    /// Names the bucket.
    pub id: ThrottleId,
    /// What it holds.
    pub limit: Limit,
}

/// Names a bucket; as good as unique, since its bits come from a cryptographic hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThrottleId(pub u128);

impl CompiledPlan {
    pub(crate) fn compile(id: &str, plan: &UsagePlan) -> Self {
        let mut stages: BTreeMap<u128, PlanStage> = BTreeMap::new();
        for stage in &plan.api_stages {
            let stage_hash = stage_hash(&stage.api_id, &stage.stage);
            let methods = stages.entry(stage_hash).or_default();
            for (place, settings) in &stage.throttle {
                if let (Some((path, verb)), Some(limit)) = (method_place(place), limit_of(settings)) {
                    methods.insert(ThrottleId::of_method(stage_hash, hash128(path.as_bytes()), verb), limit);
                }
            }
        }
        Self {
            id: id.into(),
            name: plan.name.as_str().into(),
            id_hash: hash128(format!("plan/{id}").as_bytes()),
            throttle: plan.throttle.as_ref().and_then(limit_of),
            stages,
        }
    }

    /// Says whether the plan admits to `stage`.
    pub fn covers(&self, stage: &CompiledStage) -> bool {
        self.stages.contains_key(&stage.hash)
    }

    /// Returns the limit of each key of the plan, over all its stages.
    pub fn throttle(&self, key: &KeyEntry) -> Option<Throttle> {
        let limit = self.throttle?;
        Some(Throttle { id: ThrottleId(self.id_hash).of_key(&key.hash), limit })
    }

    /// Returns the limit of each key of the plan on one method, where the plan has one.
    pub fn method_throttle(&self, stage: &CompiledStage, route: &Route<'_>, key: &KeyEntry) -> Option<Throttle> {
        let methods = self.stages.get(&stage.hash).filter(|methods| !methods.is_empty())?;
        let any = ThrottleId::of_method(stage.hash, route.method.path_hash, None);
        let (id, limit) = methods.get_key_value(&route.id).or_else(|| methods.get_key_value(&any))?;
        Some(Throttle { id: ThrottleId(id.0 ^ self.id_hash).of_key(&key.hash), limit: *limit })
    }
}

impl ThrottleId {
    /// The id of a method of a stage; `None` for its ANY.
    pub(crate) fn of_method(stage_hash: u128, path_hash: u128, verb: Option<Verb>) -> Self {
        let verb = verb.map_or(0, |verb| verb as u128 + 1);
        // Paths and stages are hashes of different inputs; the turn keeps a path and a stage of equal hash apart.
        Self(stage_hash ^ path_hash.rotate_left(1) ^ verb)
    }

    fn of_key(self, hash: &LookupHash) -> Self {
        Self(self.0 ^ u128::from_le_bytes(hash.0))
    }
}

/// Names a stage of an API.
pub(crate) fn stage_hash(api_id: &str, stage: &str) -> u128 {
    hash128(format!("stage/{api_id}/{stage}").as_bytes())
}

/// The first 16 bytes of the digest of `bytes`.
pub(crate) fn hash128(bytes: &[u8]) -> u128 {
    let digest = Digest::of(bytes);
    let mut first = [0; 16];
    first.copy_from_slice(&digest.0[..16]);
    u128::from_le_bytes(first)
}

/// Reads `{path}/{VERB}`, in which `~1` may stand for `/`; the verb is `None` for ANY.
pub(crate) fn method_place(place: &str) -> Option<(String, Option<Verb>)> {
    let (path, verb) = place.rsplit_once('/')?;
    let verb = if verb == "ANY" { None } else { Some(Verb::parse(verb)?) };
    let path = path.replace("~1", "/").replace("~0", "~");
    let path = path.trim_start_matches('/').trim_end_matches('/');
    Some((format!("/{path}"), verb))
}

/// The limit of a plan's throttle.
pub(crate) fn limit_of(settings: &ThrottleSettings) -> Option<Limit> {
    limit_from(settings.rate_limit, settings.burst_limit)
}

/// A limit from a rate and a burst; where only one is there, the other is one second's worth of it.
///
/// A bucket needs both, and AWS's console asks for both. Without a burst AWS leaves that side to its account's limit,
/// which Sluice does not have: a side without a bound would make a limit that never throttles, whoever set it. One second's
/// worth keeps what was meant: a rate alone holds over every second, and of a burst alone as many come again each second.
pub(crate) fn limit_from(rate: Option<f64>, burst: Option<i32>) -> Option<Limit> {
    // A negative number is how AWS shows "no limit" in method settings.
    let rate = rate.filter(|rate| *rate >= 0.0);
    let burst = burst.and_then(|burst| u32::try_from(burst).ok());
    match (rate, burst) {
        (None, None) => None,
        (Some(rate), Some(burst)) => Some(Limit::new(rate, burst)),
        // A cast from float to integer saturates.
        (Some(rate), None) => Some(Limit::new(rate, (rate.ceil() as u32).max(1))),
        (None, Some(burst)) => Some(Limit::new(f64::from(burst), burst)),
    }
}

#[cfg(test)]
mod tests {
    use sluice_limit::{BURST_MAX, RATE_MAX_PER_S};

    use super::*;

    #[test]
    fn the_place_of_a_method_is_read_in_both_spellings() {
        for (text, path, verb) in [
            ("/pets/GET", "/pets", Some(Verb::Get)),
            ("~1pets~1{id}/PUT", "/pets/{id}", Some(Verb::Put)),
            ("~1/GET", "/", Some(Verb::Get)),
            ("//GET", "/", Some(Verb::Get)),
            ("pets/ANY", "/pets", None),
        ] {
            assert_eq!(method_place(text), Some((path.to_owned(), verb)), "{text}");
        }
        assert_eq!(method_place("*/*"), None);
        assert_eq!(method_place("/pets"), None);
    }

    #[test]
    fn a_limit_needs_a_number() {
        assert_eq!(limit_from(None, None), None);
        assert_eq!(limit_from(Some(5.0), Some(7)), Some(Limit::new(5.0, 7)));
        assert_eq!(limit_from(Some(-1.0), Some(-1)), None);
    }

    #[test]
    fn one_number_limits_too_by_one_second_of_it() {
        assert_eq!(limit_from(Some(5.0), None), Some(Limit::new(5.0, 5)));
        assert_eq!(limit_from(Some(5.0), Some(-1)), Some(Limit::new(5.0, 5)));
        assert_eq!(limit_from(Some(2.5), None), Some(Limit::new(2.5, 3)));
        assert_eq!(limit_from(Some(1.0 / 3600.0), None), Some(Limit::new(1.0 / 3600.0, 1)));
        assert_eq!(limit_from(Some(1e6), None), Some(Limit::new(1e6, 1_000_000)));
        assert_eq!(limit_from(None, Some(7)), Some(Limit::new(7.0, 7)));
        assert_eq!(limit_from(None, Some(i32::MAX)), Some(Limit::new(RATE_MAX_PER_S, BURST_MAX)));
    }

    #[test]
    fn ids_differ_by_stage_path_verb_and_key() {
        let (one, other) = (stage_hash("a", "b"), stage_hash("a", "c"));
        let path = hash128(b"/pets");
        let ids = [
            ThrottleId::of_method(one, path, None),
            ThrottleId::of_method(one, path, Some(Verb::Get)),
            ThrottleId::of_method(other, path, None),
            ThrottleId::of_method(one, hash128(b"/"), None),
            ThrottleId::of_method(one, path, None).of_key(&LookupHash([7; 16])),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }
}
