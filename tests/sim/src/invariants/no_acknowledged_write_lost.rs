//! No acknowledged write is lost: a linearizable read shows it or a later one, and so does every node at rest. What was
//! not asked for is nowhere.

use std::collections::BTreeMap;

use super::Invariant;
use crate::event::Event;

/// Values of a key only ever rise, so that one number says what was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct NoAcknowledgedWriteLost {
    asked: BTreeMap<String, u64>,
    acknowledged: BTreeMap<String, u64>,
    /// What had been acknowledged when each read that is under way began.
    reads: BTreeMap<u64, u64>,
}

impl NoAcknowledgedWriteLost {
    fn floor(&self, key: &str) -> u64 {
        self.acknowledged.get(key).copied().unwrap_or_default()
    }

    /// `value` of `key` lies between what had to be there and what may be.
    fn check(&self, key: &str, value: u64, floor: u64, place: &str) -> Result<(), String> {
        if value < floor {
            return Err(format!("{key} = {floor} was acknowledged, and {place} has {value}"));
        }
        let asked = self.asked.get(key).copied().unwrap_or_default();
        if value > asked {
            return Err(format!("{key} = {asked} was asked for last, and {place} has {value}"));
        }
        Ok(())
    }
}

impl Invariant for NoAcknowledgedWriteLost {
    fn name(&self) -> &'static str {
        "no_acknowledged_write_lost"
    }

    fn see(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Asked { key, value } => {
                self.asked.insert(key.clone(), *value);
                Ok(())
            }
            Event::Acknowledged { key, value, .. } => {
                let known = self.acknowledged.entry(key.clone()).or_default();
                *known = (*known).max(*value);
                Ok(())
            }
            Event::ReadBegan { id, key } => {
                self.reads.insert(*id, self.floor(key));
                Ok(())
            }
            Event::Read { id, key, value } => {
                let floor = self.reads.remove(id).unwrap_or_default();
                self.check(key, *value, floor, "a linearizable read")
            }
            Event::AtRest { node, values, .. } => {
                let mut keys = self.asked.keys();
                let value = |key: &String| values.get(key).copied().unwrap_or_default();
                keys.try_for_each(|key| self.check(key, value(key), self.floor(key), &format!("c{node} at rest")))
            }
            _ => Ok(()),
        }
    }
}
