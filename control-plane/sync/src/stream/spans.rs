//! Deltas that are shared: each is built once for the span it covers, by the first stream that needs it.
//!
//! Promise: who needs another span waits for none of this. Absent: building (`deltas`), and a bound in bytes, which each
//! delta holds itself.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sluice_model::Revision;
use tokio::{sync::OnceCell, time::Instant};

use super::deltas::DeltaMessages;

/// Spans that are remembered: all lead to the newest number, from where data nodes that fell behind stand.
const SPANS_MAX: usize = 16;

/// A delta, or that it is too large to be one.
pub(crate) type Built = Option<Arc<DeltaMessages>>;

/// Spans that were begun lately.
#[derive(Default)]
pub(crate) struct Spans {
    begun: Mutex<VecDeque<Span>>,
}

struct Span {
    from: Revision,
    /// The number that this node held when the first stream asked; what is built leads at least there.
    asked: u64,
    begun: Instant,
    cell: Arc<OnceCell<Built>>,
}

impl Span {
    /// Whether it leads to `number`, or will.
    fn leads_to(&self, number: u64) -> bool {
        let built = self.cell.get().and_then(Option::as_ref);
        self.asked >= number || built.is_some_and(|delta| delta.to.number >= number)
    }
}

impl Spans {
    /// The place of the delta from `from` to `number`, or beyond. What no longer leads to the newest number is forgotten;
    /// streams that are sending it hold it themselves.
    pub(crate) fn place(&self, from: &Revision, number: u64) -> Arc<OnceCell<Built>> {
        let mut begun = self.lock();
        begun.retain(|span| span.leads_to(number));
        if let Some(span) = begun.iter().find(|span| span.from == *from) {
            return span.cell.clone();
        }
        if begun.len() == SPANS_MAX {
            begun.pop_front();
        }
        let cell = Arc::default();
        begun.push_back(Span { from: from.clone(), asked: number, begun: Instant::now(), cell: Arc::clone(&cell) });
        cell
    }

    /// Forgets what was built, except in the last `kept`: data nodes that need it ask at about the same moment.
    pub(crate) fn forget_built(&self, kept: Duration) {
        self.lock().retain(|span| !span.cell.initialized() || span.begun.elapsed() < kept);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Span>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
