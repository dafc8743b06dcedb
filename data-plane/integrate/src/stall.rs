//! The longest silence of a body on its way, in either direction.
//!
//! Promise: costs nothing until something has to be waited for.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A bound on silence.
#[derive(Debug)]
pub(crate) struct Stall {
    after: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl Stall {
    pub(crate) fn new(after: Duration) -> Self {
        Self { after, timer: None, armed: false }
    }

    /// Something moved: the silence begins anew with the next wait.
    pub(crate) fn moved(&mut self) {
        self.armed = false;
    }

    /// Ready when nothing has moved for so long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let end = || Instant::now() + self.after;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end())));
        if !self.armed {
            timer.as_mut().reset(end());
            self.armed = true;
        }
        timer.as_mut().poll(cx)
    }
}
